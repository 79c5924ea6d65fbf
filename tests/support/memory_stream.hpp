#pragma once

// Two streams joined in memory: what one end writes, the other reads.

#include "net/stream.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace gateway::test {

class memory_stream final : public net::stream {
public:
    static std::pair<std::shared_ptr<memory_stream>, std::shared_ptr<memory_stream>>
    make_pair(net::executor ex);
    ~memory_stream() override { close(); }

    // Both ends are told, as by a reset.
    void reset(error_code ec);
    bool is_closed() const { return closed_; }

    net::task<result<std::size_t>> read_some(std::span<char> into) override;
    net::task<error_code> write(std::string_view bytes) override;
    void close() noexcept override;
    void finish() noexcept override;
    net::task<error_code> wait_readable() override;
    bool peer_closed() noexcept override;
    bool pending() noexcept override { return has_something(); }
    std::uint64_t sent() const noexcept override { return sent_; }

private:
    // One direction.
    struct pipe {
        explicit pipe(net::executor ex) : filled(std::move(ex)) {}
        std::size_t left() const { return bytes.size() - taken; }
        net::gate filled;
        std::string bytes;
        std::size_t taken = 0;
        std::optional<error_code> broken;
        bool ended = false;     // its writer has finished
        bool abandoned = false; // its reader has gone
    };

    memory_stream(std::shared_ptr<pipe> in, std::shared_ptr<pipe> out);
    bool has_something() const;
    net::task<error_code> until_readable();

    std::shared_ptr<pipe> in_;
    std::shared_ptr<pipe> out_;
    std::uint64_t sent_ = 0;
    bool closed_ = false;
};

} // namespace gateway::test
