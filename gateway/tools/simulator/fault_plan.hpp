#pragma once

// A small language for what goes wrong, and when: "oom@3, reset@5-7, slow-get:2s, exit@~kitten".

#include "base/ids.hpp"
#include "base/time.hpp"

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::tools::simulator {

enum class fault_kind {
    // Of a generation, counted as they get the lock (the first is 1).
    oom,      // 500 OutOfMemoryError half-way through the sampling
    nan,      // 500 NansException at the decode
    error500, // 500 RuntimeError with the argument as text
    reset,    // the connection is cut half-way; the job runs on
    drop,     // the connection is cut before anything has run
    exit,     // the process dies half-way, as if the OOM killer had come
    html,     // a proxy's 502 with an HTML body instead of the answer
    error200, // 200 with an error as its body
    empty,    // 200 with no images
    truncate, // the connection is cut in the middle of the body
    stall,    // the body stops in its middle and nothing more comes
    slow,     // the job takes longer by the argument
    no_model, // 500 AttributeError: there is no model
    cache_db, // 500 OperationalError: the hash cache is broken
    missing,  // from this one on, every route is gone for the time of the argument
    // Of other requests, counted on their own.
    slow_get, // any GET is answered later by the argument
    list_500, // GET sd-models fails
};

struct fault {
    fault_kind kind;
    std::string argument;
    duration time{}; // the argument, when it is one

    // When: all three unset means always.
    std::uint64_t first = 0, last = 0; // numbers from…to; last 0 means without end
    double probability = -1;
    std::string word;            // only prompts that hold it
    std::uint64_t word_turn = 0; // only the n-th such prompt; 0 means each
    std::uint64_t word_seen = 0;
};

class fault_plan {
public:
    fault_plan() = default;
    // Throws std::invalid_argument that says which part is wrong and what would be right.
    static fault_plan parse(std::string_view text);
    static std::string_view help();

    // The next generation: what strikes it.
    std::vector<fault> next_generation(std::string_view prompt);
    // The next GET, the next GET of the model list.
    std::optional<fault> next_get();
    std::optional<fault> next_list();

private:
    bool strikes(fault& f, std::uint64_t number, std::string_view prompt);
    std::optional<fault> next_of(fault_kind kind, std::uint64_t& count);

    std::vector<fault> faults_;
    seeded_random random_{1};
    std::uint64_t generations_ = 0, gets_ = 0, lists_ = 0;
};

// "250ms", "2s", "5m" or plain seconds.
std::optional<duration> parse_time(std::string_view text);

} // namespace gateway::tools::simulator
