#pragma once

// How late the event loop runs what is due: one timer that is set to a fixed beat.

#include "net/async.hpp"

#include <array>

namespace gateway::api {

class loop_watch {
public:
    static constexpr std::array<double, 8> bounds{0.0005, 0.001, 0.0025, 0.005,
                                                  0.01,   0.025, 0.1,    1};
    static constexpr duration beat = std::chrono::milliseconds(100);

    explicit loop_watch(net::time_source& time) : time_(time) {}
    // Until it is cancelled.
    net::task<> run();

    struct numbers {
        std::array<std::uint64_t, bounds.size() + 1> buckets{};
        double sum = 0; // seconds
    };
    const numbers& lag() const { return lag_; }

private:
    net::time_source& time_;
    numbers lag_;
};

} // namespace gateway::api
