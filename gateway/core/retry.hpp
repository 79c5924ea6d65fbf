#pragma once

// An attempt has ended: what becomes of its job? Decided from the outcome and from the attempts the
// journal holds, by the matrix of webui.md §7.1 and decisions.md 3, 4, 6. Holds no counter of its
// own.

#include "base/time.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace gateway::core {

// How an attempt ended. The names are kept in the journal: add at the end, never renumber.
enum class outcome : std::uint8_t {
    done,              // a reply that is verified and stored
    rejected,          // the request is at fault: 400, 422, business 404, the 500s that blame input
    unreachable,       // refused, no route to host, DNS: nothing was sent
    reset_unsent,      // a reset before any byte of the request had left
    route_missing,     // 404 or 405 of the route itself: it never ran
    lost_restarted,    // sent, no reply, and the WebUI is not the process it was
    lost_running,      // sent, no reply, and the WebUI is the same process: it may have run
    out_of_memory,     // 500 that says the GPU is out of memory
    nan,               // 500 NansException: black or NaN picture
    no_model,          // 500: the WebUI has no model loaded or found
    cache_broken,      // 500 OperationalError: the WebUI's cache database
    server_error,      // any other 500
    unauthorized,      // 401: the gateway's credentials for this WebUI are wrong
    rate_limited,      // 429 after it ran (SD.Next)
    busy,              // 503 from the WebUI itself (koboldcpp)
    bad_reply,         // 200 that is not a result: HTML, an error body, cut short, no images
    proxy_error,       // 502–504 or HTML from something in between
    wrong_model,       // a picture made with another model than the one asked for
    execution_timeout, // policy.executionTimeout ran out
    stalled,           // no progress for too long
    cancelled,         // the client asked for it
    shutdown,          // the gateway is stopping
    crashed,           // the gateway died while the attempt ran
    storage_failed,    // the result could not be written down
    preparation,       // the request could not be built for this backend
};

std::string_view to_text(outcome what);

// What becomes of the job. Whether the backend is still good is the backend machine's question.
enum class next_step : std::uint8_t {
    complete,      // the result is published
    fail,          // final, with the reason of this attempt
    cancel,        // final
    requeue,       // back to its place in the queue, at once
    requeue_later, // back to its place, not before `pause`
};

struct retry_limits {
    int attempts = 3; // counted ones, the first included
    duration pause = std::chrono::seconds(5);
    int max_restarts = 20;            // uncounted ones that are forgiven: restarts, missing routes
    int max_crashes = 3;              // deaths of the gateway with this job running; then it fails
    bool resend_after_restart = true; // at-least-once when a WebUI dies with the job in it
};

struct retry_decision {
    next_step step = next_step::fail;
    duration pause{};
    bool same_backend_ok = true; // false: another backend should be preferred
};

// `attempts` are the outcomes of all attempts of this job since it was submitted or retried by its
// client, oldest first, the one just ended last.
retry_decision decide(const retry_limits& limits, std::span<const outcome> attempts);

// The sentence for people when decide() says fail because a limit is used up, to go after the
// reason of the last attempt; empty in every other case.
std::string limit_reached(const retry_limits& limits, std::span<const outcome> attempts);

} // namespace gateway::core
