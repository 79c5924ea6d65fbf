#pragma once

// Delays between tries: growing, capped, and spread by a random number that the caller brings.

#include "base/time.hpp"

namespace gateway::core {

struct backoff_limits {
    duration first = std::chrono::milliseconds(100);
    double factor = 2;
    duration cap = std::chrono::minutes(1);
    double jitter = 0; // 0: exactly; 0.5: up to half shorter; 1: anywhere from nothing
};

// The delay after the n-th try, n from 1. `random` is in [0, 1).
duration backoff_delay(const backoff_limits& limits, int n, double random = 0);

// The same with the counting done.
class backoff {
public:
    explicit backoff(backoff_limits limits) : limits_(limits) {}

    duration next(double random = 0);
    void reset() { tries_ = 0; }
    int tries() const { return tries_; }

private:
    backoff_limits limits_;
    int tries_ = 0;
};

} // namespace gateway::core
