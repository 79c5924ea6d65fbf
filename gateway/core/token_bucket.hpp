#pragma once

// A limit on a rate that many share: each takes what it has used and waits as long as it is told.

#include "base/time.hpp"

#include <algorithm>
#include <cstdint>

namespace gateway::core {

class token_bucket {
public:
    // 0: no limit. Up to `burst` seconds' worth may be saved up.
    explicit token_bucket(std::uint64_t per_second,
                          std::chrono::duration<double> burst = std::chrono::milliseconds(50))
        : rate_(static_cast<double>(per_second)), most_(rate_ * burst.count()), tokens_(most_)
    {
    }
    // How long whoever has used so much must wait before using more.
    duration take(std::uint64_t used, steady_time now)
    {
        if (rate_ <= 0)
            return duration::zero();
        const auto elapsed = std::chrono::duration<double>(now - last_).count();
        if (begun_)
            tokens_ = std::min(most_, tokens_ + elapsed * rate_);
        begun_ = true;
        last_ = now;
        tokens_ -= static_cast<double>(used);
        if (tokens_ >= 0)
            return duration::zero();
        return std::chrono::duration_cast<duration>(
            std::chrono::duration<double>(-tokens_ / rate_));
    }

private:
    double rate_;
    double most_;
    double tokens_;
    steady_time last_{};
    bool begun_ = false;
};

} // namespace gateway::core
