#pragma once

// Bytes over TCP or TLS behind two functions, so that everything above is tested without sockets.

#include "net/async.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace gateway::net {

// A connected byte stream. One reader and one writer at a time; close() ends both.
class stream {
public:
    virtual ~stream() = default;
    // At least one byte; asio::error::eof when the peer has finished.
    virtual task<result<std::size_t>> read_some(std::span<char> into) = 0;
    // What can be written without waiting, which may be nothing; an error is for write() to tell.
    virtual std::size_t write_now(std::string_view) noexcept { return 0; }
    // All of it, or the error that stopped it.
    virtual task<error_code> write(std::string_view bytes) = 0;
    // Ends a pending read and write with operation_aborted.
    virtual void close() noexcept = 0;
    // Nothing more will be written: the peer reads the end. Reading goes on.
    virtual void finish() noexcept = 0;
    // Completes when there is something to read or the peer is gone; reads nothing.
    virtual task<error_code> wait_readable() = 0;
    // Whether the peer has closed its side; true only when that is certain (peeks, never blocks).
    virtual bool peer_closed() noexcept = 0;
    // Whether something waits to be read, bytes or the end (peeks, never blocks).
    virtual bool pending() noexcept = 0;
    // Bytes that have left this process, or may have; 0 means that the peer cannot know of
    // anything.
    virtual std::uint64_t sent() const noexcept = 0;
};

} // namespace gateway::net
