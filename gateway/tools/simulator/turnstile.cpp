#include "tools/simulator/turnstile.hpp"

#include <algorithm>

namespace gateway::tools::simulator {

struct turnstile::state {
    net::executor ex;
    std::size_t free;
    std::list<std::shared_ptr<net::gate>> queue; // an open gate has its place already

    void give_back()
    {
        ++free;
        if (queue.empty())
            return;
        --free;
        queue.front()->open();
        queue.pop_front();
    }
};

turnstile::turnstile(net::executor ex, std::size_t places)
    : state_(std::make_shared<state>(state{std::move(ex), places, {}}))
{
}

turnstile::place& turnstile::place::operator=(place&& other) noexcept
{
    leave();
    of_ = std::move(other.of_);
    return *this;
}

void turnstile::place::leave()
{
    if (const auto of = std::move(of_))
        of->give_back();
    of_.reset();
}

net::task<turnstile::place> turnstile::enter()
{
    const auto self = state_;
    if (self->free > 0) {
        --self->free;
        co_return place(self);
    }
    const auto turn = std::make_shared<net::gate>(self->ex);
    self->queue.push_back(turn);
    const auto ec = co_await turn->wait();
    if (!ec)
        co_return place(self);
    if (turn->is_open())
        self->give_back();
    else
        self->queue.remove(turn);
    throw boost::system::system_error(ec);
}

std::size_t turnstile::waiting() const { return state_->queue.size(); }

} // namespace gateway::tools::simulator
