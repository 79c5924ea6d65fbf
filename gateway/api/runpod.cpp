#include "api/runpod.hpp"

#include "api/answer.hpp"
#include "api/result_body.hpp"
#include "base/log.hpp"
#include "proto/json.hpp"

#include <algorithm>

namespace gateway::api {

namespace {

using proto::problem_code;
using std::chrono::milliseconds;

constexpr milliseconds standard_wait{90'000}; // of runsync and status-sync (runpod.md §1.2)
// Below the 10 s after which Python's client gives up reading and asks again (runpod.md §8).
constexpr milliseconds stream_wait{8'000};
constexpr milliseconds cancel_wait{2'000}; // clients give up after 3 s (runpod.md §3)
// How often a held answer looks whether its client is still there.
constexpr milliseconds look_around{1'000};
constexpr std::uint64_t sent_at_once = std::uint64_t{64} * 1024; // larger results are streamed

net::response storage_problem(const error_code& ec)
{
    auto what = proto::make_problem(problem_code::storage_unavailable,
                                    "the gateway could not write to its journal: " + ec.message());
    what.retry_after = std::chrono::seconds(5);
    return problem_answer(what);
}

net::response unreadable(const std::string& id, const error_code& why)
{
    log::error("a stored result could not be read", {{"job_id", id}, {"error", why.message()}});
    return problem_answer(problem_code::internal,
                          "the result of this job could not be read from disk: " + why.message());
}

// `wait` of the query, or `standard` without one.
proto::parsed<milliseconds> wait_of(const call& c, milliseconds standard)
{
    const auto asked = c.request.parameter("wait");
    if (!asked)
        return standard;
    return proto::parse_wait(*asked);
}

std::string id_of(const core::job& job)
{
    return proto::to_text(proto::job_ref{job.key, job.secret, job.sync});
}

const std::pair<std::string, std::string> replayed_header{"Idempotency-Replayed", "true"};

std::string progress_text(const core::progress_view& p)
{
    return proto::progress_object({p.fraction, core::to_text(p.phase), p.eta_seconds});
}

proto::job_view view_of(std::string id, const jobs::view& v, wall_time now)
{
    proto::job_view out;
    out.id = std::move(id);
    out.state = v.job->state;
    out.delay_time = v.job->delay();
    out.execution_time = v.job->execution(now);
    out.worker_id = v.worker;
    out.retries = v.job->retries;
    if (v.error != nullptr)
        out.error = *v.error;
    return out;
}

bool has_stored_output(const jobs::view& v)
{
    return v.job->state == core::job_state::completed && v.result != nullptr;
}

// Everything but a stored result, which has to be read first.
std::string job_text(std::string id, const jobs::view& v, wall_time now)
{
    if (v.job->state == core::job_state::in_queue)
        return proto::id_status_body(id, v.job->state);
    auto out = view_of(std::move(id), v, now);
    if (v.job->state != core::job_state::in_progress || v.last_progress == nullptr)
        return proto::job_body(out);
    out.has_output = true;
    return proto::job_body(out, progress_text(*v.last_progress));
}

} // namespace

runpod::runpod(parts with) : with_(with) {}

std::vector<route> runpod::routes()
{
    const auto body = with_.settings.server.body_limit;
    const auto& jobs = with_.settings.jobs;
    const auto later = [this](auto member) {
        return [this, member](call c) { return (this->*member)(c); };
    };
    const auto status_first = [this](const call& c) { return status_now(c); };
    const auto health_now = [this](const call&) { return std::optional(health()); };

    const auto status_later = later(&runpod::status);
    const auto status_sync_later = later(&runpod::status_sync);
    const auto stream_later = later(&runpod::stream);
    return {
        {"GET", "/status/{id}", "getStatus", true, false, body, status_first, status_later},
        {"POST", "/status/{id}", "postStatus", true, false, body, status_first, status_later},
        {"POST", "/run", "run", true, false, jobs.run_body_limit, {}, later(&runpod::run)},
        {"POST",
         "/runsync",
         "runsync",
         true,
         false,
         jobs.runsync_body_limit,
         {},
         later(&runpod::runsync)},
        {"GET", "/status-sync/{id}", "getStatusSync", true, false, body, {}, status_sync_later},
        {"POST", "/status-sync/{id}", "postStatusSync", true, false, body, {}, status_sync_later},
        {"GET", "/stream/{id}", "getStream", true, false, body, {}, stream_later},
        {"POST", "/stream/{id}", "postStream", true, false, body, {}, stream_later},
        {"POST", "/cancel/{id}", "cancel", true, false, body, {}, later(&runpod::cancel)},
        {"POST", "/retry/{id}", "retry", true, false, body, {}, later(&runpod::retry)},
        {"POST", "/purge-queue", "purgeQueue", true, false, body, {}, later(&runpod::purge)},
        {"GET", "/health", "health", true, false, body, health_now, {}},
    };
}

std::optional<runpod::found> runpod::find(std::string_view id) const
{
    const auto ref = proto::parse_job_id(id);
    if (!ref)
        return std::nullopt;
    auto v = with_.jobs.find(ref->key, ref->secret);
    if (!v || v->job->sync != ref->sync)
        return std::nullopt;
    return found{*ref, std::move(*v)};
}

// --- submitting ---

net::task<net::response> runpod::run(call c)
{
    const auto job = co_await with_.intake.submit(c, jobs::door::runpod, false);
    if (!job)
        co_return problem_answer(job.error());
    auto answer = json_answer(proto::id_status_body(id_of(job->job), core::job_state::in_queue));
    if (job->replayed)
        answer.headers.push_back(replayed_header);
    co_return answer;
}

net::task<net::response> runpod::runsync(call c)
{
    const auto wait = wait_of(c, standard_wait);
    if (!wait)
        co_return problem_answer(wait.error());
    const auto job = co_await with_.intake.submit(c, jobs::door::runpod, true);
    if (!job)
        co_return problem_answer(job.error());
    auto id = id_of(job->job);
    auto answer = co_await hold(c, std::move(id), *wait);
    if (job->replayed)
        answer.headers.push_back(replayed_header);
    co_return answer;
}

// --- looking ---

// The way of most requests: no coroutine, no file.
std::optional<net::response> runpod::status_now(const call& c)
{
    const auto job = find(c.id);
    if (!job)
        return problem_answer(problem_code::job_not_found);
    if (!c.request.query.empty()) {
        if (const auto asked = c.request.parameter("ttl")) {
            const auto ttl = proto::parse_result_ttl(*asked);
            if (!ttl)
                return problem_answer(ttl.error());
            with_.jobs.keep_for(job->ref.key, *ttl);
        }
    }
    if (has_stored_output(job->view))
        return std::nullopt;
    return json_answer(job_text(std::string(c.id), job->view, with_.time.wall()));
}

net::task<net::response> runpod::status(call c)
{
    std::string id(c.id);
    co_return co_await show(std::move(id));
}

net::task<net::response> runpod::show(std::string id)
{
    const auto ref = proto::parse_job_id(id);
    const core::job_key key = ref ? ref->key : 0;
    const auto unread = co_await with_.jobs.check_result(key);
    const auto job = find(id);
    if (!job)
        co_return problem_answer(problem_code::job_not_found);
    if (!has_stored_output(job->view))
        co_return json_answer(job_text(std::move(id), job->view, with_.time.wall()));
    if (unread)
        co_return unreadable(id, unread);

    auto shown = view_of(id, job->view, with_.time.wall());
    shown.has_output = true;
    auto [head, tail] = proto::job_frame(shown);
    auto source =
        std::make_shared<result_body>(std::move(head), *job->view.result, std::move(tail));
    net::response answer;
    if (source->size().value_or(0) > sent_at_once) {
        answer.source = std::move(source);
        co_return answer;
    }
    auto text = co_await read_all(source);
    if (!text)
        co_return unreadable(id, text.error());
    answer.body = std::move(*text);
    co_return answer;
}

// Waits for news of a job, at most one look_around. False when there is nobody to hold for.
net::task<bool> runpod::look_again(call c, core::job_key key, std::uint64_t seen, steady_time until)
{
    const auto now = with_.time.now();
    if (!holding_ || now >= until || c.request.abandoned())
        co_return false;
    const auto next = std::min(until, now + look_around);
    co_await with_.jobs.changed(key, seen, next);
    const bool stopping = co_await net::cancelled();
    co_return !stopping;
}

net::task<net::response> runpod::hold(call c, std::string id, milliseconds wait)
{
    const auto until = with_.time.now() + wait;
    for (;;) {
        const auto job = find(id);
        if (!job || core::is_final(job->view.job->state))
            break;
        const auto key = job->ref.key;
        const auto seen = job->view.version;
        const bool go_on = co_await look_again(c, key, seen, until);
        if (!go_on)
            break;
    }
    co_return co_await show(std::move(id));
}

net::task<net::response> runpod::status_sync(call c)
{
    const auto wait = wait_of(c, standard_wait);
    if (!wait)
        co_return problem_answer(wait.error());
    std::string id(c.id);
    co_return co_await hold(c, std::move(id), *wait);
}

// --- the stream of progress ---

net::task<net::response> runpod::stream(call c)
{
    const auto wait = wait_of(c, stream_wait);
    if (!wait)
        co_return problem_answer(wait.error());
    const auto until = with_.time.now() + *wait;
    for (;;) {
        const auto job = find(c.id);
        if (!job)
            co_return problem_answer(problem_code::job_not_found);
        const auto key = job->ref.key;
        const auto seen = job->view.version;
        if (core::is_final(job->view.job->state) || !with_.jobs.drain(key).items.empty())
            co_return stream_answer(c, *job);
        const bool go_on = co_await look_again(c, key, seen, until);
        if (!go_on)
            break;
    }
    const auto job = find(c.id);
    if (!job)
        co_return problem_answer(problem_code::job_not_found);
    co_return stream_answer(c, *job);
}

net::response runpod::stream_answer(const call& c, const found& job)
{
    const auto drained = with_.jobs.drain(job.ref.key);
    std::vector<std::string> items;
    items.reserve(drained.items.size());
    for (const auto& event : drained.items) {
        if (event.is_progress) {
            items.push_back(progress_text(event.progress));
            continue;
        }
        std::string where = c.endpoint.empty() ? "" : "/v2/" + std::string(c.endpoint);
        where += "/status/" + std::string(c.id);
        std::string item;
        proto::object_writer(item)
            .number("progress", 1.0)
            .text("phase", event.text)
            .text("result", where)
            .close();
        items.push_back(std::move(item));
    }
    const std::string_view error =
        job.view.error != nullptr ? std::string_view(*job.view.error) : std::string_view();
    auto answer = json_answer(proto::stream_body(job.view.job->state, items, error));
    // Only what has really been sent is not sent again. The kernel takes bytes for a client that is
    // gone, too.
    if (c.request.abandoned())
        return answer;
    answer.written = [&all = with_.jobs, key = job.ref.key, cursor = drained.cursor](bool sent) {
        if (sent)
            all.acknowledge(key, cursor);
    };
    return answer;
}

// --- changing ---

net::task<net::response> runpod::cancel(call c)
{
    const auto job = find(c.id);
    if (!job)
        co_return problem_answer(problem_code::job_not_found);
    const auto key = job->ref.key;
    const auto until = with_.time.now() + cancel_wait;
    const auto ec = co_await with_.jobs.cancel(key, until);
    if (ec)
        co_return storage_problem(ec);
    const auto after = find(c.id);
    if (!after)
        co_return problem_answer(problem_code::job_not_found);
    co_return json_answer(proto::id_status_body(c.id, after->view.job->state));
}

net::task<net::response> runpod::retry(call c)
{
    const auto job = find(c.id);
    if (!job)
        co_return problem_answer(problem_code::job_not_found);
    const auto key = job->ref.key;
    const auto done = co_await with_.jobs.retry(key);
    if (!done)
        co_return storage_problem(done.error());
    if (*done == core::verdict::done)
        co_return json_answer(proto::id_status_body(c.id, core::job_state::in_queue));
    const auto after = find(c.id);
    if (!after)
        co_return problem_answer(problem_code::job_not_found);
    if (*done == core::verdict::expired)
        co_return problem_answer(problem_code::not_retryable,
                                 "the job's time to live (policy.ttl) is over; submit it again");
    co_return problem_answer(problem_code::not_retryable,
                             "only a job that is FAILED or TIMED_OUT can be retried; this one is " +
                                 std::string(core::to_text(after->view.job->state)));
}

net::task<net::response> runpod::purge(call)
{
    const auto removed = co_await with_.jobs.purge();
    co_return json_answer(proto::purge_body(removed));
}

net::response runpod::health() const
{
    const auto& numbers = with_.jobs.numbers();
    proto::health_counts counts;
    counts.completed = numbers.completed;
    counts.failed = numbers.failed;
    counts.in_progress = with_.jobs.running();
    counts.in_queue = with_.jobs.waiting();
    counts.retried = numbers.retried;
    for (const auto& backend : with_.backends.backends()) {
        if (backend.ready) {
            ++counts.ready;
            ++(backend.running != 0 ? counts.running : counts.idle);
        } else {
            ++(backend.initializing ? counts.initializing : counts.unhealthy);
        }
    }
    return json_answer(proto::health_body(counts));
}

} // namespace gateway::api
