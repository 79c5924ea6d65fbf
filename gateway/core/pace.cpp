#include "core/pace.hpp"

#include <algorithm>
#include <cmath>

namespace gateway::core {

pace::pace(pace_limits limits)
    : limits_(limits), wanted_(std::clamp(limits.first, 1, std::max(limits.most, 1)))
{
}

void pace::settle(steady_time now)
{
    stage_ = stage::settling;
    since_ = now;
    all_there_ = false;
}

void pace::rest(steady_time now)
{
    stage_ = stage::resting;
    since_ = now;
    before_ = 0;
    doubling_ = false; // from here on one at a time
}

void pace::on_trouble(steady_time now)
{
    wanted_ = std::max(1, wanted_ / 2);
    rest(now);
}

void pace::on_sample(std::uint64_t bytes, int receiving, bool may_grow, steady_time now)
{
    if (receiving == 0)
        return;
    if (!begun_) {
        begun_ = true;
        settle(now);
    }
    const auto elapsed = now - since_;
    switch (stage_) {
    case stage::settling:
        if (!all_there_ && (receiving >= wanted_ || elapsed >= limits_.patience)) {
            all_there_ = true;
            since_ = now;
        } else if (all_there_ && elapsed >= limits_.settle) {
            stage_ = stage::measuring;
            since_ = now;
            bytes_ = bytes;
        }
        break;
    case stage::measuring:
        if (elapsed >= limits_.measure)
            judge(static_cast<double>(bytes - bytes_) /
                      std::chrono::duration<double>(elapsed).count(),
                  may_grow, now);
        break;
    case stage::resting:
        if (elapsed >= limits_.pause && wanted_ < limits_.most && may_grow)
            settle(now);
        break;
    }
}

void pace::judge(double rate, bool may_grow, steady_time now)
{
    if (before_ > 0 && rate < rate_ * limits_.gain) {
        wanted_ = before_;
        return rest(now);
    }
    if (before_ > 0 && wanted_ > before_ + 1) {
        // Fewer would have brought as much: what one brought before, times that many.
        const double worth = std::ceil(before_ * rate / rate_);
        if (worth < 0.75 * wanted_) {
            wanted_ = static_cast<int>(worth);
            return rest(now);
        }
    }
    if (wanted_ >= limits_.most || !may_grow)
        return rest(now);
    before_ = wanted_;
    rate_ = rate;
    wanted_ = std::min(limits_.most, doubling_ ? wanted_ * 2 : wanted_ + 1);
    settle(now);
}

} // namespace gateway::core
