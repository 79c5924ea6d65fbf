#include "core/backoff.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gateway::core {

duration backoff_delay(const backoff_limits& limits, int n, double random)
{
    if (n < 1 || limits.first <= duration::zero())
        return duration::zero();
    const auto cap = static_cast<double>(limits.cap.count());
    const double grown = static_cast<double>(limits.first.count()) * std::pow(limits.factor, n - 1);
    const double whole = std::min(grown, cap); // also when it has grown beyond all numbers
    return duration(static_cast<duration::rep>(whole * (1 - limits.jitter * random)));
}

duration backoff::next(double random)
{
    if (tries_ < std::numeric_limits<int>::max())
        ++tries_;
    return backoff_delay(limits_, tries_, random);
}

} // namespace gateway::core
