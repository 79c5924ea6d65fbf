#include "support/world.hpp"

#include <boost/asio/post.hpp>

namespace gateway::test {

void world::settle()
{
    loop.restart();
    while (loop.poll() > 0) {
    }
}

void world::advance(duration d)
{
    time.advance(d);
    settle();
}

void world::start(net::task<> work)
{
    auto done = [](std::exception_ptr failure) {
        if (failure)
            std::rethrow_exception(failure);
    };
    net::asio::co_spawn(loop, std::move(work), done);
}

void world::run(net::task<> work)
{
    start(std::move(work));
    settle();
}

void world::cancel(net::task_group& group)
{
    net::asio::post(loop, [&group] { group.cancel(); });
    settle();
}

bool world::run_until(const std::function<bool()>& done, duration limit)
{
    const auto end = time.now() + limit;
    settle();
    while (!done()) {
        const auto next = time.next_wake();
        if (!next || *next > end)
            return false;
        advance(*next - time.now());
    }
    return true;
}

} // namespace gateway::test
