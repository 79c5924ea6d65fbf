#include "support/scripted_stream.hpp"

#include <boost/asio/error.hpp>

#include <cstring>

namespace gateway::test {

namespace {
const error_code aborted = net::asio::error::operation_aborted;
const error_code end_of_file = net::asio::error::eof;
} // namespace

void scripted_stream::arrives(std::string bytes)
{
    if (bytes.empty())
        return;
    arrived_.push_back(std::move(bytes));
    incoming_.open();
}

void scripted_stream::ends()
{
    ended_ = true;
    incoming_.open();
}

void scripted_stream::breaks(error_code ec)
{
    broken_ = ec;
    incoming_.open();
}

void scripted_stream::fail_write_at(std::size_t k, error_code ec, std::size_t taken)
{
    failing_write_ = {k, ec};
    taken_ = taken;
}

net::task<error_code> scripted_stream::until_readable()
{
    while (!has_something()) {
        incoming_.close();
        const auto ec = co_await incoming_.wait();
        if (ec)
            co_return ec;
    }
    co_return closed_ ? aborted : error_code();
}

net::task<result<std::size_t>> scripted_stream::read_some(std::span<char> into)
{
    if (reads_++ == failing_read_.step)
        co_return failing_read_.code;
    const auto ec = co_await until_readable();
    if (ec)
        co_return ec;
    if (arrived_.empty())
        co_return broken_ ? *broken_ : end_of_file;
    auto& front = arrived_.front();
    const auto n = std::min({into.size(), front.size(), cut_});
    std::memcpy(into.data(), front.data(), n);
    front.erase(0, n);
    if (front.empty())
        arrived_.pop_front();
    co_return n;
}

std::size_t scripted_stream::write_now(std::string_view bytes) noexcept
{
    if (closed_ || !room_.is_open())
        return 0;
    const auto n = std::min(at_once_, bytes.size());
    written_ += bytes.substr(0, n);
    sent_ += n;
    return n;
}

net::task<error_code> scripted_stream::write(std::string_view bytes)
{
    if (writes_++ == failing_write_.step) {
        written_ += bytes.substr(0, taken_);
        sent_ += std::min(taken_, bytes.size());
        co_return failing_write_.code;
    }
    const auto ec = co_await room_.wait();
    if (ec)
        co_return ec;
    if (closed_)
        co_return aborted;
    written_ += bytes;
    sent_ += bytes.size();
    co_return error_code{};
}

void scripted_stream::close() noexcept
{
    closed_ = true;
    incoming_.open();
    room_.open();
}

net::task<error_code> scripted_stream::wait_readable() { co_return co_await until_readable(); }

bool scripted_stream::peer_closed() noexcept
{
    return closed_ || (arrived_.empty() && (ended_ || broken_));
}

} // namespace gateway::test
