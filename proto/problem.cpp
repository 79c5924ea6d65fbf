#include "proto/problem.hpp"

#include "proto/json.hpp"

#include <array>
#include <stdexcept>

namespace gateway::proto {

namespace {

struct entry {
    problem_code code;
    int status;
    bool retryable;
    std::string_view name;
    std::string_view detail;
};

// In the order of the enum. Texts in quotes in runpod.md §1.8 are RunPod's own.
constexpr std::array<entry, problem_count> catalogue{{
    {problem_code::malformed_json, 400, false, "malformed_json", "the body is not JSON"},
    {problem_code::invalid_request, 400, false, "invalid_request", "the request is not valid"},
    {problem_code::body_too_large, 400, false, "body_too_large", "the body is too large"},
    {problem_code::no_token, 401, false, "no_token", "no token provided"},
    {problem_code::invalid_token, 401, false, "invalid_token", "invalid api key"},
    {problem_code::forbidden, 403, false, "forbidden", "this key may not do this"},
    {problem_code::route_not_found, 404, false, "route_not_found", "no such route"},
    {problem_code::endpoint_not_found, 404, false, "endpoint_not_found", "endpoint not found"},
    {problem_code::job_not_found, 404, false, "job_not_found", "job not found"},
    {problem_code::image_not_found, 404, false, "image_not_found", "no such image"},
    {problem_code::model_not_found, 404, false, "model_not_found", "model not found"},
    {problem_code::method_not_allowed, 405, false, "method_not_allowed", "method not allowed"},
    {problem_code::not_for_queue, 400, false, "not_for_queue", "not allowed for QB API"},
    {problem_code::not_retryable, 400, false, "not_retryable",
     "only a job that is FAILED or TIMED_OUT can be retried"},
    {problem_code::conflict, 409, false, "conflict", "the state of the job does not allow this"},
    {problem_code::result_expired, 410, false, "result_expired", "the result has expired"},
    {problem_code::unprocessable, 422, false, "unprocessable", "this can never run here"},
    {problem_code::idempotency_reused, 422, false, "idempotency_reused",
     "this Idempotency-Key was used for another job"},
    {problem_code::idempotency_pending, 409, true, "idempotency_pending",
     "the first request with this Idempotency-Key is not answered yet"},
    {problem_code::queue_full, 429, true, "queue_full", "the queue is full"},
    {problem_code::storage_full, 429, true, "storage_full", "there is no room to keep another job"},
    {problem_code::rate_limited, 429, true, "rate_limited", "rate limit exceeded"},
    {problem_code::internal, 500, true, "internal", "internal error"},
    {problem_code::bad_backend_reply, 502, true, "bad_backend_reply",
     "a WebUI gave an answer that could not be read"},
    {problem_code::draining, 503, true, "draining", "the gateway is shutting down"},
    {problem_code::storage_unavailable, 503, true, "storage_unavailable",
     "the gateway cannot write to its disk"},
    {problem_code::backend_unavailable, 503, true, "backend_unavailable", "no WebUI is ready"},
}};

constexpr bool catalogue_is_in_order()
{
    for (std::size_t i = 0; i < catalogue.size(); ++i)
        if (catalogue[i].code != static_cast<problem_code>(i))
            return false;
    return true;
}
static_assert(catalogue_is_in_order());

const entry& at(problem_code code) { return catalogue[static_cast<std::size_t>(code)]; }

std::string_view detail_of(const problem& what)
{
    return what.detail.empty() ? default_detail(what.code) : std::string_view(what.detail);
}

void append_errors(object_writer& body, std::string& out, const problem& what)
{
    if (what.errors.empty())
        return;
    body.key("errors");
    char before = '[';
    for (const auto& error : what.errors) {
        out += before;
        append_quoted(out, error);
        before = ',';
    }
    out += ']';
}

} // namespace

int status_of(problem_code code) { return at(code).status; }
std::string_view name_of(problem_code code) { return at(code).name; }
bool retryable(problem_code code) { return at(code).retryable; }
std::string_view default_detail(problem_code code) { return at(code).detail; }

int native_status_of(problem_code code)
{
    if (code == problem_code::invalid_request)
        return 422;
    if (code == problem_code::body_too_large)
        return 413;
    return code == problem_code::not_retryable ? 409 : status_of(code);
}

std::string_view title_of(int status)
{
    switch (status) {
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 413: return "Content Too Large";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    default: return "Internal Server Error";
    }
}

problem make_problem(problem_code code, std::string detail)
{
    problem made;
    made.code = code;
    made.detail = detail.empty() ? std::string(default_detail(code)) : std::move(detail);
    return made;
}

problem body_over_limit(std::uint64_t limit_bytes)
{
    constexpr std::uint64_t kib = 1024;
    std::string size = std::to_string(limit_bytes) + " bytes";
    if (limit_bytes != 0 && limit_bytes % (kib * kib) == 0)
        size = std::to_string(limit_bytes / (kib * kib)) + "MiB";
    else if (limit_bytes != 0 && limit_bytes % kib == 0)
        size = std::to_string(limit_bytes / kib) + "KiB";
    return make_problem(problem_code::body_too_large,
                        "bad request: body: exceeded max body size of " + size);
}

std::string runpod_body(const problem& what)
{
    std::string out;
    object_writer body(out);
    body.integer("status", status_of(what.code))
        .text("title", title_of(status_of(what.code)))
        .text("detail", detail_of(what))
        .text("code", name_of(what.code))
        .text("error", detail_of(what));
    append_errors(body, out, what);
    body.close();
    return out;
}

std::string problem_json(const problem& what, std::string_view instance)
{
    std::string out;
    object_writer body(out);
    const int status = native_status_of(what.code);
    body.text("type", "about:blank")
        .text("title", title_of(status))
        .integer("status", status)
        .text("detail", detail_of(what));
    if (!instance.empty())
        body.text("instance", instance);
    body.text("code", name_of(what.code)).boolean("retryable", retryable(what.code));
    if (!what.job_id.empty())
        body.text("job_id", what.job_id);
    body.text("error", detail_of(what));
    append_errors(body, out, what);
    body.close();
    return out;
}

void throw_exception_from_error(const problem& what, const boost::source_location&)
{
    throw std::logic_error("a problem nobody looked at: " + std::string(detail_of(what)));
}

} // namespace gateway::proto
