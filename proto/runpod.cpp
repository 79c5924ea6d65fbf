#include "proto/runpod.hpp"

#include "proto/idempotency.hpp"
#include "proto/json.hpp"
#include "proto/json_scanner.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace gateway::proto {

namespace {

using std::chrono::milliseconds;

// --- Reading -------------------------------------------------------------------------------------

std::string describe_member(const member_span& member)
{
    constexpr std::size_t shown = 4096; // of a long text its kind is enough
    if (member.kind == json_kind::string && member.text.size() > shown)
        return "a long text";
    const document parsed_value(member.text);
    return describe(&parsed_value.root());
}

const member_span* present(const member_list& body, std::string_view key)
{
    const member_span* found = body.find(key);
    return found == nullptr || found->kind == json_kind::null ? nullptr : found;
}

void complain_wanted(complaints& into, std::string_view path, const std::string& found,
                     std::string_view wanted)
{
    into.add(std::string(path) + ": found " + found + "; " + std::string(wanted) + " is wanted");
}

std::string read_input(const member_list& body, complaints& wrong)
{
    const member_span* input = body.find("input");
    if (input != nullptr && input->kind == json_kind::object)
        return std::string(input->text);
    complain_wanted(wrong, "input", input == nullptr ? "nothing" : describe_member(*input),
                    "an object");
    return {};
}

bool is_web_address(std::string_view text)
{
    const auto url = boost::urls::parse_uri({text.data(), text.size()});
    return url && !url->host().empty() &&
           (url->scheme_id() == boost::urls::scheme::http ||
            url->scheme_id() == boost::urls::scheme::https);
}

std::string read_webhook(const member_list& body, complaints& wrong)
{
    const member_span* member = present(body, "webhook");
    if (member == nullptr)
        return {};
    const document value(member->text);
    const json::string* text = value.root().if_string();
    if (text != nullptr && (text->empty() || is_web_address({text->data(), text->size()})))
        return {text->data(), text->size()};
    complain_wanted(wrong, "webhook", describe_member(*member), "an http or https URL");
    return {};
}

// Times of a policy are numbers, not texts that look like numbers; whatever is out of range is
// clamped (decisions.md 10).
milliseconds read_time(reader& policy, std::string_view key, milliseconds standard,
                       milliseconds least, milliseconds most)
{
    const json::value* found = policy.find(key);
    if (found == nullptr)
        return standard;
    if (const auto* whole = found->if_int64())
        return std::clamp(milliseconds(*whole), least, most);
    if (found->is_uint64())
        return most;
    const auto* real = found->if_double();
    if (real == nullptr || *real != std::floor(*real)) {
        policy.complain_wanted(key, "a whole number of milliseconds");
        return standard;
    }
    const double clamped =
        std::clamp(*real, static_cast<double>(least.count()), static_cast<double>(most.count()));
    return milliseconds(static_cast<std::int64_t>(clamped));
}

core::job_policy read_policy(const member_list& body, const policy_limits& limits,
                             complaints& wrong)
{
    core::job_policy policy = limits.defaults;
    const member_span* member = present(body, "policy");
    if (member == nullptr)
        return policy;
    const document value(member->text);
    const json::object* object = value.root().if_object();
    if (object == nullptr) {
        complain_wanted(wrong, "policy", describe_member(*member), "an object");
        return policy;
    }
    reader from(*object, "policy", wrong);
    policy.execution_timeout =
        read_time(from, "executionTimeout", limits.defaults.execution_timeout,
                  limits.least_execution, limits.most_execution);
    policy.ttl = read_time(from, "ttl", limits.defaults.ttl, limits.least_ttl, limits.most_ttl);
    policy.low_priority = from.boolean("lowPriority").value_or(limits.defaults.low_priority);
    return policy;
}

std::optional<std::string> read_key(const member_list& body, complaints& wrong)
{
    const member_span* member = present(body, "idempotency_key");
    if (member == nullptr)
        return std::nullopt;
    const document value(member->text);
    const json::string* text = value.root().if_string();
    if (text == nullptr) {
        complain_wanted(wrong, "idempotency_key", describe_member(*member), "a text");
        return std::nullopt;
    }
    auto key = parse_idempotency_key({text->data(), text->size()});
    if (!key)
        wrong.add(key.error().detail);
    return key ? std::optional(std::move(*key)) : std::nullopt;
}

// Its members are secrets: no complaint may show them.
std::string read_s3_config(const member_list& body, complaints& wrong)
{
    const member_span* member = present(body, "s3Config");
    if (member == nullptr)
        return {};
    if (member->kind == json_kind::object)
        return std::string(member->text);
    wrong.add("s3Config: an object is wanted");
    return {};
}

parsed<milliseconds> parse_time(std::string_view name, std::string_view text, milliseconds least,
                                milliseconds most)
{
    std::int64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, wrong] = std::from_chars(text.data(), end, value);
    if (text.empty() || stop != end || wrong == std::errc::invalid_argument)
        return make_problem(problem_code::invalid_request,
                            std::string(name) + ": found the text " + quoted(text.substr(0, 40)) +
                                "; a whole number of milliseconds is wanted");
    if (wrong == std::errc::result_out_of_range)
        return text.front() == '-' ? least : most;
    return std::clamp(milliseconds(value), least, most);
}

// --- Writing -------------------------------------------------------------------------------------

bool has_failed(core::job_state state)
{
    return state == core::job_state::failed || state == core::job_state::timed_out;
}

// What of a view its state shows (the table of runpod.md §1.6).
struct shown_fields {
    bool delay = false;
    bool error = false;
    bool execution = false;
    bool output = false;
};

shown_fields shown_in(const job_view& view)
{
    using core::job_state;
    const bool dispatched = !view.worker_id.empty();
    switch (view.state) {
    case job_state::in_queue: return {};
    case job_state::in_progress: return {true, false, view.has_output, view.has_output};
    // An error only when its output has been lost since.
    case job_state::completed:
        return {true, !view.has_output && !view.error.empty(), true, view.has_output};
    case job_state::failed:
    case job_state::timed_out: return {true, true, true, view.has_output};
    case job_state::cancelled: return {dispatched, false, dispatched, false};
    }
    return {};
}

struct request_echo {
    std::string_view input;
    std::string_view webhook;
};

frame make_frame(const job_view& view, const request_echo* echo)
{
    const shown_fields shown = shown_in(view);
    frame made;
    object_writer head(made.head);
    if (shown.delay)
        head.integer("delayTime", view.delay_time.count());
    if (shown.error)
        head.text("error", view.error);
    if (shown.execution)
        head.integer("executionTime", view.execution_time.count());
    head.text("id", view.id);
    if (echo != nullptr)
        head.raw("input", echo->input);
    if (shown.output)
        head.key("output");

    std::string rest;
    object_writer tail(rest);
    if (shown.delay && view.retries != 0)
        tail.integer("retries", view.retries);
    tail.text("status", core::to_text(view.state));
    if (echo != nullptr && !echo->webhook.empty())
        tail.text("webhook", echo->webhook);
    if (shown.delay && !view.worker_id.empty())
        tail.text("workerId", view.worker_id);
    tail.close();
    rest.front() = ','; // it goes on where the head, or the output, ends
    made.tail = std::move(rest);
    return made;
}

std::string join(const job_view& view, frame around, std::string_view output)
{
    std::string body = std::move(around.head);
    if (shown_in(view).output)
        body += output;
    body += around.tail;
    return body;
}

} // namespace

namespace {

parsed<run_request> parse_request(std::string_view body, const policy_limits& limits, bool with_key)
{
    const member_list members = split_members(body);
    if (!members.error.empty())
        return make_problem(problem_code::malformed_json, members.error);
    if (!members.is_object)
        return make_problem(problem_code::invalid_request,
                            "the body is JSON, but not an object with `input` in it");
    complaints wrong;
    run_request request;
    request.input = read_input(members, wrong);
    request.webhook = read_webhook(members, wrong);
    request.policy = read_policy(members, limits, wrong);
    request.s3_config = read_s3_config(members, wrong);
    if (const member_span* policy = present(members, "policy"))
        request.policy_text = policy->text;
    if (with_key)
        request.idempotency_key = read_key(members, wrong);
    if (!wrong.none())
        return wrong.as_problem();
    return request;
}

} // namespace

parsed<run_request> parse_run_request(std::string_view body, const policy_limits& limits)
{
    return parse_request(body, limits, false);
}

parsed<run_request> parse_batch_line(std::string_view line, const policy_limits& limits)
{
    return parse_request(line, limits, true);
}

parsed<milliseconds> parse_wait(std::string_view text)
{
    return parse_time("wait", text, milliseconds(1'000), milliseconds(300'000));
}

parsed<milliseconds> parse_result_ttl(std::string_view text)
{
    return parse_time("ttl", text, milliseconds(0), milliseconds(604'800'000));
}

frame job_frame(const job_view& view) { return make_frame(view, nullptr); }

std::string job_body(const job_view& view, std::string_view output)
{
    return join(view, job_frame(view), output);
}

frame webhook_frame(const job_view& view, std::string_view input, std::string_view webhook)
{
    const request_echo echo{input, webhook};
    return make_frame(view, &echo);
}

std::string webhook_body(const job_view& view, std::string_view input, std::string_view webhook,
                         std::string_view output)
{
    return join(view, webhook_frame(view, input, webhook), output);
}

std::string id_status_body(std::string_view id, core::job_state state)
{
    std::string out;
    object_writer body(out);
    body.text("id", id).text("status", core::to_text(state)).close();
    return out;
}

std::string purge_body(std::uint64_t removed)
{
    std::string out;
    object_writer body(out);
    body.key("removed");
    append_number(out, removed);
    body.text("status", "completed").close();
    return out;
}

std::string health_body(const health_counts& counts)
{
    std::string out;
    const auto count = [&out](object_writer& group, std::string_view key, std::uint64_t value) {
        group.key(key);
        append_number(out, value);
    };
    object_writer body(out);
    body.key("jobs");
    object_writer jobs(out);
    count(jobs, "completed", counts.completed);
    count(jobs, "failed", counts.failed);
    count(jobs, "inProgress", counts.in_progress);
    count(jobs, "inQueue", counts.in_queue);
    count(jobs, "retried", counts.retried);
    jobs.close();
    body.key("workers");
    object_writer workers(out);
    count(workers, "idle", counts.idle);
    count(workers, "initializing", counts.initializing);
    count(workers, "ready", counts.ready);
    count(workers, "running", counts.running);
    count(workers, "throttled", counts.throttled);
    count(workers, "unhealthy", counts.unhealthy);
    workers.close();
    body.close();
    return out;
}

std::string stream_body(core::job_state state, std::span<const std::string> outputs,
                        std::string_view error)
{
    std::string out;
    object_writer body(out);
    if (has_failed(state))
        body.text("error", error);
    body.text("status", core::to_text(state)).key("stream");
    out += '[';
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        out += i == 0 ? "{\"output\":" : ",{\"output\":";
        out += outputs[i];
        out += '}';
    }
    out += ']';
    body.close();
    return out;
}

std::string progress_object(const progress_view& view)
{
    std::string out;
    object_writer body(out);
    body.number("progress", view.progress).text("phase", view.phase);
    if (view.eta_seconds)
        body.number("eta_seconds", *view.eta_seconds);
    body.close();
    return out;
}

std::string handler_failure_body(std::string_view reason)
{
    std::string out;
    object_writer body(out);
    body.text("error", reason).text("message", "Failed to process inference request").close();
    return out;
}

} // namespace gateway::proto
