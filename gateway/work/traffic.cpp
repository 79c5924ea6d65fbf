#include "work/traffic.hpp"

namespace gateway::work {

net::task<traffic::place> traffic::take(std::string host)
{
    while (open_ >= limits_.connections || by_host_[host] >= limits_.per_host) {
        const auto ec = co_await freed_.past(freed_.current());
        if (ec)
            co_return place{};
    }
    ++open_;
    ++by_host_[host];
    place taken(*this, std::move(host));
    co_return taken;
}

void traffic::place::move_to(const std::string& host)
{
    if (of_ == nullptr || host_ == host)
        return;
    auto& of = *of_;
    of.give_back(std::exchange(host_, host));
    ++of.open_;
    ++of.by_host_[host];
}

void traffic::give_back(const std::string& host)
{
    --open_;
    const auto at = by_host_.find(host);
    if (--at->second == 0)
        by_host_.erase(at);
    freed_.bump();
}

} // namespace gateway::work
