#pragma once

// The one event loop: runs it, hears the signals that end it, and measures itself. The figures are
// plain counters; who publishes them is somebody else's affair.

#include "net/async.hpp"

#include <array>
#include <cstdint>
#include <initializer_list>

namespace gateway::net {

// How often something took how long, in fixed buckets.
class duration_histogram {
public:
    // Upper bounds, in seconds; what is longer than all of them is counted behind the last.
    static constexpr std::array<double, 14> bounds{0.00005, 0.0001, 0.00025, 0.0005, 0.001,
                                                   0.0025,  0.005,  0.01,    0.025,  0.05,
                                                   0.1,     0.25,   1.0,     5.0};

    void add(duration d, std::uint64_t times = 1);
    const std::array<std::uint64_t, bounds.size() + 1>& counts() const { return counts_; }
    std::uint64_t total() const { return total_; }
    double sum() const { return sum_; } // seconds
    duration longest() const { return longest_; }
    // The upper bound of the bucket in which this share of all values is reached (0.9999).
    double quantile(double share) const;

private:
    std::array<std::uint64_t, bounds.size() + 1> counts_{};
    std::uint64_t total_ = 0;
    double sum_ = 0;
    duration longest_{};
};

// Turns the readings of a thread's CPU clock into run times per turn. A reading costs as much as
// parsing a small request, so while all is calm one is taken for eight turns together, and their
// mean is counted. A group that was not calm is counted as one turn that took it all, the upper
// bound, and turns are measured one by one until calm returns.
class turn_meter {
public:
    // After each turn: whether the clock is to be read now.
    bool is_due() { return --left_ == 0; }
    // The CPU time since the last reading.
    void read(duration used);
    const duration_histogram& run_time() const { return run_time_; }
    std::uint64_t turns() const { return turns_; }

private:
    duration_histogram run_time_;
    std::uint64_t turns_ = 0;
    unsigned group_ = 1; // turns until the next reading
    unsigned left_ = 1;
    unsigned calm_ = 0; // single turns in a row that were short
};

struct loop_stats {
    std::uint64_t turns = 0;
    duration_histogram run_time; // of one handler, in CPU time
    duration_histogram lag;      // how late a timer fires, in wall time
};

class loop {
public:
    explicit loop(duration probe_every = std::chrono::milliseconds(100));
    ~loop();
    loop(const loop&) = delete;
    loop& operator=(const loop&) = delete;

    executor ex();
    // Calls `heard` on the loop each time one of these signals arrives (SIGTERM, SIGINT, SIGHUP).
    void on_signal(std::initializer_list<int> signals, std::function<void(int)> heard);
    // Until stop(), or until nothing is left to do after finish().
    void run();
    // Ends run() now, whatever is still waiting.
    void stop();
    // No more signals and no more probes: run() returns once all work has ended.
    void finish();
    const loop_stats& stats();

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

} // namespace gateway::net
