#include "api/native.hpp"

#include "api/answer.hpp"
#include "api/batch_body.hpp"
#include "api/event_stream.hpp"
#include "api/image_body.hpp"
#include "api/job_list.hpp"
#include "api/result_body.hpp"
#include "base/log.hpp"
#include "proto/job_id.hpp"

#include <charconv>

namespace gateway::api {

namespace {

using proto::problem_code;

constexpr std::chrono::seconds cancel_wait{2};

net::response refusal(const call& c, problem_code code, std::string detail = {},
                      std::optional<std::chrono::seconds> retry_after = std::nullopt)
{
    auto what = proto::make_problem(code, std::move(detail));
    what.job_id = c.id;
    what.retry_after = retry_after;
    return problem_on(c.request.path, what);
}

net::response storage_refusal(const call& c, const error_code& ec)
{
    return refusal(c, problem_code::storage_unavailable,
                   "the gateway could not use its journal: " + ec.message(),
                   std::chrono::seconds(5));
}

std::string state_of(const core::job& job) { return std::string(core::to_text(job.state)); }

} // namespace

native::native(parts with) : with_(with) {}

std::vector<route> native::routes()
{
    const auto body = with_.settings.server.body_limit;
    const auto job_body = with_.settings.jobs.run_body_limit;
    const auto later = [this](auto member) {
        return [this, member](call c) { return (this->*member)(c); };
    };
    const auto at = [&](std::string_view method, std::string_view pattern,
                        std::string_view operation, auto member, std::uint64_t limit) {
        return route{method, pattern, operation, false, false, limit, {}, later(member)};
    };
    std::vector<route> all{
        at("POST", "/api/v1/jobs", "submitJob", &native::submit, job_body),
        at("GET", "/api/v1/jobs", "listJobs", &native::list, body),
        at("POST", "/api/v1/jobs:batch", "submitJobs", &native::batch, job_body),
        at("GET", "/api/v1/jobs/{id}", "getJob", &native::get, body),
        at("DELETE", "/api/v1/jobs/{id}", "deleteJob", &native::remove, body),
        at("GET", "/api/v1/jobs/{id}/result", "getJobResult", &native::result, body),
        at("GET", "/api/v1/jobs/{id}/images/{n}", "getJobImage", &native::image, body),
        at("GET", "/api/v1/jobs/{id}/events", "getJobEvents", &native::events, body),
        at("POST", "/api/v1/jobs/{id}/cancel", "cancelJob", &native::cancel, body),
        at("POST", "/api/v1/jobs/{id}/retry", "retryJob", &native::retry, body),
    };
    all[2].streams = true;
    return all;
}

std::optional<native::found> native::find(std::string_view id) const
{
    const auto ref = proto::parse_job_id(id);
    if (!ref)
        return std::nullopt;
    auto v = with_.jobs.find(ref->key, ref->secret);
    if (!v || v->job->sync != ref->sync)
        return std::nullopt;
    return found{std::string(id), ref->key, std::move(*v)};
}

// --- submitting ---

net::task<net::response> native::submit(call c)
{
    const auto job = co_await with_.intake.submit(c, jobs::door::native, false);
    if (!job)
        co_return problem_on(c.request.path, job.error());
    const auto id = proto::to_text({job->job.key, job->job.secret, job->job.sync});
    auto answer = json_answer(proto::accepted_body(id));
    answer.status = 202;
    answer.headers.emplace_back("Location", proto::job_url(id));
    if (job->replayed)
        answer.headers.emplace_back("Idempotency-Replayed", "true");
    co_return answer;
}

net::task<net::response> native::batch(call c)
{
    net::response answer;
    answer.content_type = "application/x-ndjson";
    answer.source = std::make_shared<batch_body>(
        batch_body::parts{with_.jobs, with_.intake, c.request, open_},
        submission_facts{jobs::door::batch, false, with_.intake.client_of(c.request)},
        with_.settings.jobs.run_body_limit);
    co_return answer;
}

// --- looking ---

proto::native_job native::shown(std::string id, const jobs::view& view) const
{
    proto::native_job out;
    out.id = std::move(id);
    out.job = view.job;
    out.now = with_.time.wall();
    out.backend = view.worker;
    out.progress = view.last_progress;
    if (view.error != nullptr)
        out.error = *view.error;
    out.has_result = view.result != nullptr;
    if (view.result != nullptr)
        out.images = proto::parse_image_index(view.result->index);
    return out;
}

proto::native_job native::shown(const found& job) const { return shown(job.id, job.view); }

// Why a waiting job waits, as far as it can be told from here.
std::optional<proto::job_wait> native::wait_of(const core::job& job) const
{
    if (job.state != core::job_state::in_queue)
        return std::nullopt;
    if (with_.models != nullptr) {
        auto missing = with_.models->missing(job.models);
        if (!missing.empty())
            return proto::job_wait{"models",
                                   "its model files are not there yet: " + missing.front().file,
                                   std::move(missing)};
    }
    std::size_t ready = 0;
    std::string trouble = "no WebUI is configured";
    for (const auto& backend : with_.backends.backends()) {
        ready += backend.ready ? 1U : 0U;
        trouble = "no WebUI is ready: " + backend.name + " is " + backend.state +
                  (backend.reason.empty() ? "" : ", " + backend.reason);
    }
    if (ready == 0)
        return proto::job_wait{"backend", std::move(trouble), {}};
    return proto::job_wait{"turn",
                           "it waits for its turn: " + std::to_string(with_.jobs.waiting()) +
                               " jobs wait for " + std::to_string(ready) + " WebUIs",
                           {}};
}

net::task<net::response> native::describe(std::string id, std::string_view path)
{
    auto job = find(id);
    core::job_history past;
    if (job && job->view.job->attempt > 0) {
        const auto key = job->key;
        auto read = co_await with_.jobs.history(key);
        if (read)
            past = std::move(*read);
        else
            log::warning("the history of a job could not be read",
                         {{"job_id", id}, {"error", read.error().message()}});
        job = find(id);
    }
    if (!job)
        co_return problem_on(path, proto::make_problem(problem_code::job_not_found));
    auto view = shown(*job);
    view.past = &past;
    view.waiting = wait_of(*job->view.job);
    view.models = &with_.jobs.sets().at(job->view.job->models);
    std::string body;
    proto::append_native_job(body, view);
    co_return json_answer(std::move(body));
}

net::task<net::response> native::get(call c)
{
    std::string id(c.id);
    const auto path = c.request.path;
    co_return co_await describe(std::move(id), path);
}

net::task<net::response> native::list(call c)
{
    const auto query = parse_list_query(c.request);
    if (!query)
        co_return problem_on(c.request.path, query.error());
    const auto show = [this](std::string& out, const jobs::view& v) {
        auto view = shown(proto::to_text({v.job->key, v.job->secret, v.job->sync}), v);
        proto::append_native_job(out, view);
    };
    list_page page(*query, show);
    while (page.wants_more()) {
        page.take(with_.jobs.below(page.at(), list_page::looks), list_page::looks);
        const auto others = co_await with_.time.sleep_until(with_.time.now()); // others' turn
        if (others)
            break;
    }
    co_return json_answer(page.body());
}

// --- results ---

// What to answer instead of a result that cannot be given; nothing when it can.
net::task<std::optional<net::response>> native::no_result(call c)
{
    const auto ref = proto::parse_job_id(c.id);
    const core::job_key key = ref ? ref->key : 0;
    const auto unread = co_await with_.jobs.check_result(key);
    const auto job = find(c.id);
    if (!job)
        co_return refusal(c, problem_code::job_not_found);
    const auto& j = *job->view.job;
    const auto error = job->view.error != nullptr ? *job->view.error : std::string();
    if (job->view.result != nullptr && unread) {
        log::error("a stored result could not be read",
                   {{"job_id", c.id}, {"error", unread.message()}});
        co_return refusal(c, problem_code::internal,
                          "the result of this job could not be read from disk: " +
                              unread.message());
    }
    if (job->view.result != nullptr)
        co_return std::nullopt;
    if (j.state == core::job_state::completed)
        co_return refusal(c, problem_code::result_expired, error);
    if (core::is_final(j.state))
        co_return refusal(c, problem_code::conflict,
                          "the job is " + state_of(j) + " and has no result" +
                              (error.empty() ? "" : ": " + error));
    co_return refusal(c, problem_code::conflict,
                      "the job is " + state_of(j) + " and has no result yet; follow " +
                          proto::job_url(c.id) + "/events",
                      std::chrono::seconds(2));
}

net::task<net::response> native::result(call c)
{
    auto why = co_await no_result(c);
    if (why)
        co_return std::move(*why);
    net::response answer;
    answer.source = std::make_shared<result_body>("", *find(c.id)->view.result, "");
    answer.headers.emplace_back("Cache-Control", "private, max-age=86400, immutable");
    co_return answer;
}

net::task<net::response> native::image(call c)
{
    auto why = co_await no_result(c);
    if (why)
        co_return std::move(*why);
    const auto job = find(c.id);
    const auto images = proto::parse_image_index(job->view.result->index);
    std::size_t n = 0;
    const auto* end = c.part.data() + c.part.size();
    const auto [stop, wrong] = std::from_chars(c.part.data(), end, n);
    if (wrong != std::errc{} || stop != end || n >= images.size())
        co_return refusal(c, problem_code::image_not_found,
                          "the job has " + std::to_string(images.size()) +
                              " images, counted from 0; there is no image " + std::string(c.part));
    const auto where = images[n];
    const auto tag = "\"" + std::to_string(job->view.job->attempt) + "-" +
                     std::to_string(where.offset) + "-" + std::to_string(where.length) + "\"";
    co_return image_answer(c.request, job->view.result->file, where, tag);
}

// --- changing ---

net::task<net::response> native::cancel(call c)
{
    const auto job = find(c.id);
    if (!job)
        co_return refusal(c, problem_code::job_not_found);
    const auto key = job->key;
    const auto until = with_.time.now() + cancel_wait;
    const auto ec = co_await with_.jobs.cancel(key, until);
    if (ec)
        co_return storage_refusal(c, ec);
    std::string id(c.id);
    const auto path = c.request.path;
    auto answer = co_await describe(std::move(id), path);
    const auto after = find(c.id);
    if (answer.status == 200 && after && !core::is_final(after->view.job->state))
        answer.status = 202; // its WebUI has not stopped yet
    co_return answer;
}

net::task<net::response> native::retry(call c)
{
    const auto job = find(c.id);
    if (!job)
        co_return refusal(c, problem_code::job_not_found);
    const auto key = job->key;
    const auto done = co_await with_.jobs.retry(key);
    if (!done)
        co_return storage_refusal(c, done.error());
    const auto after = find(c.id);
    if (!after)
        co_return refusal(c, problem_code::job_not_found);
    if (*done == core::verdict::expired)
        co_return refusal(c, problem_code::not_retryable,
                          "the job's time to live (policy.ttl) is over; submit it again");
    if (*done != core::verdict::done)
        co_return refusal(c, problem_code::not_retryable,
                          "only a job that is FAILED or TIMED_OUT can be retried; this one is " +
                              state_of(*after->view.job));
    auto answer = json_answer(proto::accepted_body(c.id));
    answer.status = 202;
    answer.headers.emplace_back("Location", proto::job_url(c.id));
    co_return answer;
}

// With `force`, a job that goes on is cancelled first. Nothing when it may be deleted now.
net::task<std::optional<net::response>> native::stop_first(call c, core::job_key key)
{
    const auto asked = c.request.parameter("force");
    const auto force = asked ? proto::parse_flag("force", *asked) : proto::parsed<bool>(false);
    if (!force)
        co_return problem_on(c.request.path, force.error());
    const auto job = find(c.id);
    if (job && *force) {
        const auto until = with_.time.now() + cancel_wait;
        const auto ec = co_await with_.jobs.cancel(key, until);
        if (ec)
            co_return storage_refusal(c, ec);
    }
    const auto after = find(c.id);
    if (!after)
        co_return refusal(c, problem_code::job_not_found);
    if (core::is_final(after->view.job->state))
        co_return std::nullopt;
    if (*force)
        co_return refusal(c, problem_code::conflict,
                          "the job is being stopped, which takes its WebUI longer than usual; "
                          "delete it again in a moment",
                          std::chrono::seconds(2));
    co_return refusal(c, problem_code::conflict,
                      "the job is " + state_of(*after->view.job) +
                          "; cancel it first, or delete it with ?force");
}

net::task<net::response> native::remove(call c)
{
    const auto job = find(c.id);
    if (!job)
        co_return refusal(c, problem_code::job_not_found);
    const auto key = job->key;
    auto why = co_await stop_first(c, key);
    if (why)
        co_return std::move(*why);
    const auto done = co_await with_.jobs.remove(key);
    if (!done)
        co_return storage_refusal(c, done.error());
    if (*done != core::verdict::done)
        co_return refusal(c, problem_code::conflict, "the job runs again; cancel it first");
    net::response answer;
    answer.status = 204;
    answer.content_type.clear();
    co_return answer;
}

// --- what happened ---

net::task<net::response> native::events(call c)
{
    const auto job = find(c.id);
    if (!job)
        co_return refusal(c, problem_code::job_not_found);
    const auto ref = *proto::parse_job_id(c.id);
    const auto log = co_await read_log(with_.jobs, with_.time, ref);
    if (!log)
        co_return storage_refusal(c, log.error());
    if (log->empty())
        co_return refusal(c, problem_code::job_not_found);
    if (c.request.header("Accept").find("text/event-stream") == std::string_view::npos)
        co_return json_answer(proto::events_body(c.id, *log));

    net::response answer;
    const auto last_id = c.request.header("Last-Event-ID");
    if (core::is_final(log->back().what) && number_in(last_id) >= log->size()) {
        answer.status = 204; // all has been told: browsers come back until they hear this
        answer.content_type.clear();
        co_return answer;
    }
    answer.content_type = "text/event-stream";
    answer.headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}};
    const event_stream::parts uses{with_.jobs, with_.time, open_, c.request};
    answer.source = std::make_shared<event_stream>(uses, ref, last_id);
    co_return answer;
}

} // namespace gateway::api
