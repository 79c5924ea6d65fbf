#include "core/failures.hpp"

#include <algorithm>
#include <utility>

namespace gateway::core {

void failure_memory::failed(const std::string& what, std::string reason, bool permanent,
                            steady_time now)
{
    if (!all_.contains(what))
        make_room(now);
    auto& e = all_[what];
    e.reason = std::move(reason);
    if (!permanent) {
        e.until = now + limits_.passing;
        return;
    }
    auto wait = limits_.permanent;
    for (int i = 0; i < e.times && wait < limits_.longest; ++i)
        wait *= 2;
    ++e.times;
    e.until = now + std::min(wait, std::max(limits_.longest, limits_.permanent));
}

std::optional<std::string> failure_memory::reason(const std::string& what, steady_time now) const
{
    const auto at = all_.find(what);
    if (at == all_.end() || now >= at->second.until)
        return std::nullopt;
    return at->second.reason;
}

// How often something failed is forgotten once it has not been tried for the longest time.
void failure_memory::make_room(steady_time now)
{
    std::erase_if(all_,
                  [&](const auto& known) { return now >= known.second.until + limits_.longest; });
    if (all_.size() < limits_.entries)
        return;
    const auto first = std::min_element(all_.begin(), all_.end(), [](const auto& a, const auto& b) {
        return a.second.until < b.second.until;
    });
    all_.erase(first);
}

} // namespace gateway::core
