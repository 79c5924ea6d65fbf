#pragma once

// How many connections one download is worth: begins with one, adds while that makes the whole
// faster, and goes back when it does not (downloads.md §3.3). A link that one connection fills
// keeps one; a server that holds each connection down gets more, twice as many at a time.

#include "base/time.hpp"

#include <cstdint>

namespace gateway::core {

struct pace_limits {
    int first = 1;
    int most = 8;
    duration settle = std::chrono::milliseconds(500); // a new connection finds its speed
    duration measure = std::chrono::milliseconds(500);
    duration patience = std::chrono::seconds(3); // for new connections to bring their first byte
    double gain = 1.1;                           // what makes more connections worth keeping
    duration pause = std::chrono::seconds(20);   // after a number that did not pay
};

class pace {
public:
    explicit pace(pace_limits limits);

    int wanted() const { return wanted_; }
    // `bytes` of the whole download so far, brought by `receiving` connections now. Call it every
    // 50 to 250 ms; more connections are asked for only when `may_grow`.
    void on_sample(std::uint64_t bytes, int receiving, bool may_grow, steady_time now);
    // The server has had enough (429, 503, resets): half as many, and no more for a while.
    void on_trouble(steady_time now);

private:
    enum class stage : std::uint8_t {
        settling,  // until all that are wanted have found their speed
        measuring, // their rate together
        resting,   // what there is is right for now
    };
    void settle(steady_time now);
    void rest(steady_time now);
    void judge(double rate, bool may_grow, steady_time now);

    pace_limits limits_;
    stage stage_ = stage::settling;
    int wanted_;
    int before_ = 0;  // connections before the last growth
    double rate_ = 0; // bytes per second with `before_` of them
    bool doubling_ = true;
    bool begun_ = false;
    bool all_there_ = false;
    steady_time since_{}; // of the stage
    std::uint64_t bytes_ = 0;
};

} // namespace gateway::core
