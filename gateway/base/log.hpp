#pragma once

// One line per event: human text on a terminal, JSON otherwise. Lines are made on the caller's
// thread and written by one of their own, so that a slow terminal never holds up the loop.

#include "base/time.hpp"

#include <atomic>
#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace gateway::log {

enum class level : std::uint8_t {
    trace,   // every step of everything
    debug,   // requests, probes
    info,    // what happens to jobs and backends
    warning, // it goes on, but somebody should know
    error,   // something that was promised could not be done
};

enum class format : std::uint8_t {
    human,  // "07:45:12.034 INFO  backend ready  backend=webui-0 took_ms=12"
    json,   // {"time":"2026-01-02T07:45:12.034Z","level":"info","msg":"backend ready",…}
    runpod, // {"requestId": "<job>", "message": "…", "level": "INFO"} (runpod.md §4.7)
};

// What a field can hold. Text is only looked at until the call returns.
class value {
public:
    template <std::same_as<bool> Bool> value(Bool b) : held_(b) {}
    template <std::signed_integral Int> value(Int i) : held_(static_cast<std::int64_t>(i)) {}
    template <std::unsigned_integral Int>
        requires(!std::same_as<Int, bool>)
    value(Int i) : held_(static_cast<std::uint64_t>(i))
    {
    }
    value(double d) : held_(d) {}
    value(std::string_view text) : held_(text) {}
    value(const std::string& text) : held_(std::string_view(text)) {}
    value(const char* text) : held_(std::string_view(text)) {}

    using any = std::variant<bool, std::int64_t, std::uint64_t, double, std::string_view>;
    const any& get() const { return held_; }

private:
    any held_;
};

struct field {
    std::string_view name; // job_id, attempt, backend, request_id, …; units in the name: took_ms
    value what;
};
using fields = std::initializer_list<field>;

// Log one event: log::info("backend ready", {{"backend", name}, {"took_ms", 12}}).
// Everything is redacted; a text over 2 KiB is cut, so no picture ever gets into a log.
void write(level how_bad, std::string_view message, fields more);

namespace detail {
inline std::atomic<std::uint8_t> least{0xff}; // nothing is logged outside a session
}

inline bool enabled(level how_bad)
{
    return static_cast<std::uint8_t>(how_bad) >= detail::least.load(std::memory_order_relaxed);
}
inline void trace(std::string_view message, fields more = {})
{
    if (enabled(level::trace))
        write(level::trace, message, more);
}
inline void debug(std::string_view message, fields more = {})
{
    if (enabled(level::debug))
        write(level::debug, message, more);
}
inline void info(std::string_view message, fields more = {})
{
    if (enabled(level::info))
        write(level::info, message, more);
}
inline void warning(std::string_view message, fields more = {})
{
    if (enabled(level::warning))
        write(level::warning, message, more);
}
inline void error(std::string_view message, fields more = {})
{
    if (enabled(level::error))
        write(level::error, message, more);
}

// One finished line, without its line break. What write() uses; pure, for tests.
std::string line(format form, level how_bad, wall_time when, std::string_view message, fields more);

// Where lines go. Returns false when the line could not be written; it then counts as dropped.
using output = std::function<bool(std::string_view line_with_break)>;
output to_descriptor(int fd);

// Logging works while a session lives; its end writes out what is queued. One at a time.
class session {
public:
    struct options {
        level least = level::info;
        format form = format::human;
        output out = to_descriptor(2);
        std::function<wall_time()> clock; // the system's, unless a test turns its own
    };

    explicit session(options chosen);
    ~session();
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    // Lines lost since the start, to a full queue or a broken output.
    std::uint64_t dropped() const;
    // Returns once everything logged so far is written.
    void flush();

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

// Says that a wait goes on without filling the log: the first time, then each 15th
// (handler.md §1).
class repeat_summary {
public:
    explicit repeat_summary(std::uint32_t each = 15) : each_(each) {}

    // Counts one more try; true when this one is to be told.
    bool again()
    {
        ++count_;
        return count_ == 1 || (each_ != 0 && count_ % each_ == 0);
    }
    std::uint32_t count() const { return count_; }
    void reset() { count_ = 0; }

private:
    std::uint32_t each_;
    std::uint32_t count_ = 0;
};

} // namespace gateway::log
