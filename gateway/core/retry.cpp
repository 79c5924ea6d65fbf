#include "core/retry.hpp"

#include <algorithm>
#include <cstddef>

namespace gateway::core {

namespace {

// How the end of an attempt weighs on its job.
enum class weight : std::uint8_t {
    success,
    fatal,     // sending it again would not help, or might run it twice
    counted,   // one of `retry_limits::attempts`, with a pause
    once,      // as counted, but one second chance in all
    elsewhere, // as once: the fault may be this backend's alone
    restart,   // not the job's fault and it did not end: one of `max_restarts`, at once
    in_use,    // as restart, with a pause: somebody else is using the WebUI
    crash,     // one of `max_crashes`
    forgiven,  // the gateway's own doing: never held against the job
    cancelled,
};

// The matrix of webui.md §7.1 with decisions.md 3, 4, 6.
weight weigh(const retry_limits& limits, outcome what)
{
    switch (what) {
    case outcome::done: return weight::success;
    case outcome::cancelled: return weight::cancelled;
    case outcome::shutdown: return weight::forgiven;
    case outcome::crashed: return weight::crash;

    case outcome::unreachable:
    case outcome::reset_unsent:
    case outcome::route_missing:
    case outcome::unauthorized: return weight::restart;
    case outcome::lost_restarted:
        return limits.resend_after_restart ? weight::restart : weight::fatal;
    case outcome::busy: return weight::in_use;

    case outcome::out_of_memory:
    case outcome::nan: return weight::once;
    case outcome::wrong_model:
    case outcome::preparation: return weight::elsewhere;
    case outcome::no_model:
    case outcome::cache_broken:
    case outcome::storage_failed: return weight::counted;

    case outcome::rejected:
    case outcome::lost_running:
    case outcome::server_error:
    case outcome::rate_limited:
    case outcome::bad_reply:
    case outcome::proxy_error:
    case outcome::execution_timeout:
    case outcome::stalled: return weight::fatal;
    }
    return weight::fatal;
}

// The share of the job's past that its limits speak of.
struct tally {
    int counted = 0;
    int once = 0;
    int elsewhere = 0;
    int restarts = 0;
    int crashes = 0;
};

tally count(const retry_limits& limits, std::span<const outcome> attempts)
{
    tally sum;
    for (const outcome what : attempts) {
        const weight w = weigh(limits, what);
        sum.once += w == weight::once;
        sum.elsewhere += w == weight::elsewhere;
        sum.counted += w == weight::counted || w == weight::once || w == weight::elsewhere;
        sum.restarts += w == weight::restart || w == weight::in_use;
        sum.crashes += w == weight::crash;
    }
    return sum;
}

// Which limit ended the job, if one did.
enum class spent : std::uint8_t { nothing, attempts, second_chance, restarts, crashes };

spent check(const retry_limits& limits, weight last, const tally& sum)
{
    switch (last) {
    case weight::success:
    case weight::fatal:
    case weight::forgiven:
    case weight::cancelled: return spent::nothing;
    case weight::counted: return sum.counted >= limits.attempts ? spent::attempts : spent::nothing;
    case weight::once:
    case weight::elsewhere:
        if ((last == weight::once ? sum.once : sum.elsewhere) > 1)
            return spent::second_chance;
        return sum.counted >= limits.attempts ? spent::attempts : spent::nothing;
    case weight::restart:
    case weight::in_use:
        return sum.restarts > limits.max_restarts ? spent::restarts : spent::nothing;
    case weight::crash: return sum.crashes >= limits.max_crashes ? spent::crashes : spent::nothing;
    }
    return spent::nothing;
}

// A backend at fault is left for another one when there is one.
bool may_stay(outcome what)
{
    return what != outcome::out_of_memory && what != outcome::wrong_model &&
           what != outcome::preparation && what != outcome::no_model &&
           what != outcome::cache_broken && what != outcome::unauthorized && what != outcome::busy;
}

next_step step_for(weight last)
{
    switch (last) {
    case weight::success: return next_step::complete;
    case weight::cancelled: return next_step::cancel;
    case weight::fatal: return next_step::fail;
    case weight::restart:
    case weight::crash:
    case weight::forgiven: return next_step::requeue;
    case weight::counted:
    case weight::once:
    case weight::elsewhere:
    case weight::in_use: return next_step::requeue_later;
    }
    return next_step::fail;
}

} // namespace

std::string_view to_text(outcome what)
{
    switch (what) {
    case outcome::done: return "done";
    case outcome::rejected: return "rejected";
    case outcome::unreachable: return "unreachable";
    case outcome::reset_unsent: return "reset_unsent";
    case outcome::route_missing: return "route_missing";
    case outcome::lost_restarted: return "lost_restarted";
    case outcome::lost_running: return "lost_running";
    case outcome::out_of_memory: return "out_of_memory";
    case outcome::nan: return "nan";
    case outcome::no_model: return "no_model";
    case outcome::cache_broken: return "cache_broken";
    case outcome::server_error: return "server_error";
    case outcome::unauthorized: return "unauthorized";
    case outcome::rate_limited: return "rate_limited";
    case outcome::busy: return "busy";
    case outcome::bad_reply: return "bad_reply";
    case outcome::proxy_error: return "proxy_error";
    case outcome::wrong_model: return "wrong_model";
    case outcome::execution_timeout: return "execution_timeout";
    case outcome::stalled: return "stalled";
    case outcome::cancelled: return "cancelled";
    case outcome::shutdown: return "shutdown";
    case outcome::crashed: return "crashed";
    case outcome::storage_failed: return "storage_failed";
    case outcome::preparation: return "preparation";
    }
    return "unknown";
}

retry_decision decide(const retry_limits& limits, std::span<const outcome> attempts)
{
    if (attempts.empty())
        return {.step = next_step::requeue};
    const outcome what = attempts.back();
    const weight last = weigh(limits, what);
    if (check(limits, last, count(limits, attempts)) != spent::nothing)
        return {.step = next_step::fail};
    const next_step step = step_for(last);
    return {.step = step,
            .pause = step == next_step::requeue_later ? limits.pause : duration{},
            .same_backend_ok = may_stay(what)};
}

std::string limit_reached(const retry_limits& limits, std::span<const outcome> attempts)
{
    if (attempts.empty())
        return {};
    const outcome what = attempts.back();
    const tally sum = count(limits, attempts);
    switch (check(limits, weigh(limits, what), sum)) {
    case spent::nothing:
        if (what == outcome::lost_restarted && !limits.resend_after_restart)
            return "The WebUI restarted with the job in it, and retry.resend_after_restart is off.";
        return {};
    case spent::attempts:
        return "Given up after " + std::to_string(sum.counted) +
               (sum.counted == 1 ? " attempt" : " attempts") +
               " (retry.attempts = " + std::to_string(limits.attempts) + ").";
    case spent::second_chance: {
        const auto same = std::count(attempts.begin(), attempts.end(), what);
        return same > 1 ? "It ended the same way when it was tried a second time."
                        : "It had been tried a second time for a fault of the same kind already.";
    }
    case spent::restarts:
        return "Given up: the WebUI was gone or not usable " + std::to_string(sum.restarts) +
               " times while the job was with it (retry.max_restarts = " +
               std::to_string(limits.max_restarts) + ").";
    case spent::crashes:
        return "Quarantined: the gateway died " + std::to_string(sum.crashes) +
               " times while this job ran (retry.max_crashes = " +
               std::to_string(limits.max_crashes) +
               "). If the job is not to blame, ask for /retry.";
    }
    return {};
}

} // namespace gateway::core
