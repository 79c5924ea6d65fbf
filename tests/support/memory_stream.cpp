#include "support/memory_stream.hpp"

#include <boost/asio/error.hpp>

#include <cstring>

namespace gateway::test {

std::pair<std::shared_ptr<memory_stream>, std::shared_ptr<memory_stream>>
memory_stream::make_pair(net::executor ex)
{
    const auto there = std::make_shared<pipe>(ex);
    const auto back = std::make_shared<pipe>(ex);
    return {std::shared_ptr<memory_stream>(new memory_stream(back, there)),
            std::shared_ptr<memory_stream>(new memory_stream(there, back))};
}

memory_stream::memory_stream(std::shared_ptr<pipe> in, std::shared_ptr<pipe> out)
    : in_(std::move(in)), out_(std::move(out))
{
}

void memory_stream::reset(error_code ec)
{
    for (const auto& p : {in_, out_}) {
        p->broken = ec;
        p->filled.open();
    }
}

bool memory_stream::has_something() const
{
    return closed_ || in_->left() > 0 || in_->ended || in_->broken;
}

net::task<error_code> memory_stream::until_readable()
{
    const auto from = in_;
    while (!has_something()) {
        from->filled.close();
        const auto ec = co_await from->filled.wait();
        if (ec)
            co_return ec;
    }
    const error_code aborted = net::asio::error::operation_aborted;
    co_return closed_ ? aborted : error_code();
}

net::task<result<std::size_t>> memory_stream::read_some(std::span<char> into)
{
    const auto ec = co_await until_readable();
    if (ec)
        co_return ec;
    auto& p = *in_;
    if (p.broken)
        co_return *p.broken;
    if (p.left() == 0)
        co_return error_code(net::asio::error::eof);
    const auto n = std::min(into.size(), p.left());
    std::memcpy(into.data(), p.bytes.data() + p.taken, n);
    p.taken += n;
    if (p.left() == 0) {
        p.bytes.clear();
        p.taken = 0;
    }
    co_return n;
}

net::task<error_code> memory_stream::write(std::string_view bytes)
{
    if (closed_)
        co_return net::asio::error::operation_aborted;
    if (out_->broken)
        co_return *out_->broken;
    if (out_->abandoned)
        co_return net::asio::error::broken_pipe;
    out_->bytes += bytes;
    sent_ += bytes.size();
    out_->filled.open();
    co_return error_code();
}

void memory_stream::close() noexcept
{
    closed_ = true;
    in_->abandoned = true;
    in_->filled.open();
    finish();
}

void memory_stream::finish() noexcept
{
    out_->ended = true;
    out_->filled.open();
}

net::task<error_code> memory_stream::wait_readable() { co_return co_await until_readable(); }

bool memory_stream::peer_closed() noexcept
{
    return closed_ || (in_->left() == 0 && (in_->ended || in_->broken));
}

} // namespace gateway::test
