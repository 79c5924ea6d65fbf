#include "net/stream.hpp"

#include "net/tcp.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <sys/socket.h>

#include <cerrno>

namespace gateway::net {

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

// What one turn of the loop copies into the kernel at most: about 30 µs of work.
constexpr std::size_t slice = 128 * 1024;

class tcp_stream final : public stream {
public:
    explicit tcp_stream(asio::ip::tcp::socket socket) : socket_(std::move(socket))
    {
        error_code ignored; // a socket that is already reset says so at its first use
        socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
        socket_.non_blocking(true, ignored);
    }

    task<result<std::size_t>> read_some(std::span<char> into) override
    {
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none)
            co_return error_code(asio::error::operation_aborted);
        const auto room = asio::buffer(into.data(), into.size());
        auto [ec, n] = co_await socket_.async_read_some(room, as_result);
        if (ec)
            co_return ec;
        co_return n;
    }

    std::size_t write_now(std::string_view bytes) noexcept override
    {
        error_code ec;
        const auto part = bytes.substr(0, slice);
        const auto n = socket_.write_some(asio::buffer(part.data(), part.size()), ec);
        sent_ += n;
        return n;
    }

    // Nearly every write fits into the kernel's buffer, so that is tried first, without suspending.
    task<error_code> write(std::string_view bytes) override
    {
        while (!bytes.empty()) {
            error_code ec;
            const auto part = bytes.substr(0, slice);
            const auto n = socket_.write_some(asio::buffer(part.data(), part.size()), ec);
            if (ec == asio::error::would_block) {
                const auto state = co_await asio::this_coro::cancellation_state;
                if (state.cancelled() != asio::cancellation_type::none)
                    co_return asio::error::operation_aborted;
                auto [late] = co_await socket_.async_wait(asio::socket_base::wait_write, as_result);
                ec = late;
            }
            if (ec)
                co_return ec;
            sent_ += n;
            bytes.remove_prefix(n);
            if (n == slice) {
                auto let_others_run = asio::use_awaitable;
                co_await asio::post(let_others_run);
            }
        }
        co_return error_code{};
    }

    void close() noexcept override
    {
        error_code ignored;
        socket_.close(ignored);
    }

    void finish() noexcept override
    {
        error_code ignored;
        socket_.shutdown(asio::socket_base::shutdown_send, ignored);
    }

    task<error_code> wait_readable() override
    {
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none)
            co_return asio::error::operation_aborted;
        auto [ec] = co_await socket_.async_wait(asio::socket_base::wait_read, as_result);
        co_return ec;
    }

    bool peer_closed() noexcept override { return look_at(socket_) == socket_state::ended; }
    bool pending() noexcept override { return look_at(socket_) != socket_state::quiet; }
    std::uint64_t sent() const noexcept override { return sent_; }

private:
    asio::ip::tcp::socket socket_;
    std::uint64_t sent_ = 0;
};

} // namespace

std::shared_ptr<stream> make_tcp_stream(asio::ip::tcp::socket socket)
{
    return std::make_shared<tcp_stream>(std::move(socket));
}

socket_state look_at(asio::ip::tcp::socket& socket) noexcept
{
    if (!socket.is_open())
        return socket_state::ended;
    char byte = 0;
    const auto n = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n > 0)
        return socket_state::ready;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return socket_state::quiet;
    return socket_state::ended;
}

} // namespace gateway::net
