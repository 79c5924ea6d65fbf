#pragma once

// A stream whose other end is the test: bytes arrive as it says, cut as it says, and reads and
// writes fail at the step it names.

#include "net/stream.hpp"

#include <deque>
#include <limits>
#include <optional>

namespace gateway::test {

class scripted_stream final : public net::stream {
public:
    explicit scripted_stream(net::executor ex) : incoming_(ex), room_(ex) { room_.open(); }

    // --- the test's end ---

    void arrives(std::string bytes);
    void ends();                                // the peer closes after what has arrived
    void breaks(error_code ec);                 // the next reads fail with this
    void cut_reads(std::size_t n) { cut_ = n; } // at most n bytes per read
    // The k-th read (0 is the first) fails; so does the k-th write, after `taken` of its bytes.
    void fail_read_at(std::size_t k, error_code ec) { failing_read_ = {k, ec}; }
    void fail_write_at(std::size_t k, error_code ec, std::size_t taken = 0);
    void takes_at_once(std::size_t n) { at_once_ = n; } // without waiting; else nothing
    void block_writes() { room_.close(); }              // until unblock_writes()
    void unblock_writes() { room_.open(); }

    const std::string& written() const { return written_; }
    std::string take_written() { return std::exchange(written_, {}); }
    bool is_closed() const { return closed_; }
    bool is_finished() const { return finished_; }
    std::size_t reads() const { return reads_; }
    std::size_t writes() const { return writes_; }

    // --- the product's end ---

    net::task<result<std::size_t>> read_some(std::span<char> into) override;
    std::size_t write_now(std::string_view bytes) noexcept override;
    net::task<error_code> write(std::string_view bytes) override;
    void close() noexcept override;
    void finish() noexcept override { finished_ = true; }
    net::task<error_code> wait_readable() override;
    bool peer_closed() noexcept override;
    bool pending() noexcept override { return has_something(); }
    std::uint64_t sent() const noexcept override { return sent_; }

private:
    struct failure {
        std::size_t step = std::numeric_limits<std::size_t>::max();
        error_code code;
    };
    bool has_something() const { return closed_ || ended_ || broken_ || !arrived_.empty(); }
    net::task<error_code> until_readable();

    net::gate incoming_;
    net::gate room_;
    std::deque<std::string> arrived_;
    std::string written_;
    std::optional<error_code> broken_;
    failure failing_read_;
    failure failing_write_;
    std::size_t taken_ = 0;
    std::size_t at_once_ = 0;
    std::size_t cut_ = std::numeric_limits<std::size_t>::max();
    std::size_t reads_ = 0;
    std::size_t writes_ = 0;
    std::uint64_t sent_ = 0;
    bool ended_ = false;
    bool closed_ = false;
    bool finished_ = false;
};

} // namespace gateway::test
