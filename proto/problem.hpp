#pragma once

// Everything that can be wrong with a request, in one catalogue: code, HTTP status and title. The
// RunPod doors say it in the shape of runpod.md §1.8, the native API as RFC 9457 problem+json.

#include <boost/system/result.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

enum class problem_code : std::uint8_t {
    malformed_json,      // 400 the body is not JSON
    invalid_request,     // 400 the body is JSON, but not a request
    body_too_large,      // 400 over the limit (not 413: runpod.md §1.8)
    no_token,            // 401 no key where one is needed
    invalid_token,       // 401 a key that is not known
    forbidden,           // 403 a key that may not do this
    route_not_found,     // 404 no such path
    endpoint_not_found,  // 404 no such endpoint id
    job_not_found,       // 404 unknown, expired or purged
    image_not_found,     // 404 the job has no such image
    model_not_found,     // 404 no such model file
    method_not_allowed,  // 405 the path exists, with another method
    not_for_queue,       // 400 a custom path on a queue endpoint
    not_retryable,       // 400 /retry of a job that has not failed
    conflict,            // 409 the state of the thing forbids it
    result_expired,      // 410 the job is known, its result is gone
    unprocessable,       // 422 can never run here
    idempotency_reused,  // 422 an Idempotency-Key that came with another job before
    idempotency_pending, // 409 the first request with this Idempotency-Key is still being kept
    queue_full,          // 429 no place for another job
    storage_full,        // 429 no room on the disk to keep another job
    rate_limited,        // 429 too many requests in a time window
    internal,            // 500 our fault
    bad_backend_reply,   // 502 a WebUI's answer could not be read
    draining,            // 503 the gateway is stopping
    storage_unavailable, // 503 the journal or the spool cannot be written
    backend_unavailable, // 503 no WebUI can answer this now
};

constexpr std::size_t problem_count = 27;

struct problem {
    problem_code code = problem_code::internal;
    std::string detail;              // one sentence for a person
    std::vector<std::string> errors; // every complaint, when there are several
    std::string job_id;              // empty: about no job
    std::optional<std::chrono::seconds> retry_after;
};

// A typed value, or what is wrong with the text it should have come from.
template <class T> using parsed = boost::system::result<T, problem>;

int status_of(problem_code code);
// The native API is stricter: 422 for content, 413 for size, 409 for a state that forbids it.
int native_status_of(problem_code code);
std::string_view title_of(int status);       // "Not Found"
std::string_view name_of(problem_code code); // "job_not_found", the stable `code` of the body
bool retryable(problem_code code);           // the same request may succeed later

// The catalogue's own text: `job not found`, `no token provided`, … Codes without a fixed text
// answer with their title in lower case.
std::string_view default_detail(problem_code code);
problem make_problem(problem_code code, std::string detail = {});

// `bad request: body: exceeded max body size of 10MiB`
problem body_over_limit(std::uint64_t limit_bytes);

// {"status":404,"title":"Not Found","detail":"job not found","code":"job_not_found",
//  "error":"job not found"} and `errors` when there are several. Content type application/json.
std::string runpod_body(const problem& what);

// RFC 9457 with `code`, `retryable`, `error` and, when known, `job_id` and `errors`; the status is
// the native one. `instance` is the request's path or id; empty leaves it out.
std::string problem_json(const problem& what, std::string_view instance = {});
constexpr std::string_view problem_content_type = "application/problem+json";

// What result<T, problem>::value() throws when nobody looked first.
[[noreturn]] void throw_exception_from_error(const problem& what, const boost::source_location&);

} // namespace gateway::proto
