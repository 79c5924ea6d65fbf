#pragma once

// What ran, as JSON lines for tests: one per generation begun, ended and answered, each written at
// once and whole, so that it survives whatever happens to the process. A begin without an end was
// killed.

#include "base/time.hpp"
#include "net/async.hpp"
#include "tools/simulator/python.hpp"

#include <cstdint>
#include <string>

namespace gateway::tools::simulator {

class run_log {
public:
    // An empty path: nothing is written.
    run_log(const std::string& path, net::time_source& time);
    ~run_log();
    run_log(const run_log&) = delete;
    run_log& operator=(const run_log&) = delete;

    // {"event": …, "time": seconds since the epoch, …}. One write(2) of one line.
    void write(std::string_view event, json::object more);
    // Marks what has begun and not ended as killed; safe to call at any time.
    void close(std::string_view reason);

    std::uint64_t begin(std::string_view what, std::string_view prompt, std::int64_t seed,
                        std::string_view model);
    void end(std::uint64_t number, std::string_view outcome, int steps, std::size_t images);
    // The body with which it is going to be answered.
    void reply(std::uint64_t number, std::string_view body);

private:
    int file_ = -1;
    net::time_source& time_;
    std::uint64_t begun_ = 0;
    std::uint64_t running_ = 0; // 0: none
};

// The first 16 hex digits of the sha256, as the log names prompts and replies.
std::string short_hash(std::string_view text);

} // namespace gateway::tools::simulator
