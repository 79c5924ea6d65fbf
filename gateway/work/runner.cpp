#include "work/runner.hpp"

#include "base/log.hpp"
#include "work/exchange.hpp"

#include <utility>

namespace gateway::work {

namespace {

using core::attempt;
using core::attempt_action;

constexpr auto progress_limit = std::chrono::seconds(10);
constexpr auto interrupt_limit = std::chrono::seconds(10);
// The attempt has limits of its own; this only bounds a connection that nobody watches any more.
constexpr auto connection_limit = std::chrono::hours(24);

proto::cache_info cache_info_of(const core::model_counts& models)
{
    proto::cache_info info;
    info.checkpoints_cached = models.checkpoints;
    info.loras_cached = models.loras;
    info.total_cache_size_mb = static_cast<double>(models.bytes) / (1024.0 * 1024.0);
    return info;
}

} // namespace

// The request as this WebUI must be sent it.
struct runner::order {
    proto::webui_route route;
    std::string body;
    proto::expected_models expected;
    std::string checkpoint; // as the WebUI calls it; empty: whichever is loaded
    bool model_loaded = true;
    bool wants_images = true;
    bool any_json = false; // see proto::reply_facts
};

// One attempt on its way. Children of the group write to the inbox and to `report`, nothing else.
struct runner::run_state {
    run_state(net::executor ex, jobs::lease l, order o, core::attempt a, std::uint64_t at_epoch)
        : lease(std::move(l)),
          job(std::move(o)),
          machine(std::move(a)),
          epoch(at_epoch),
          inbox(ex),
          children(ex)
    {
    }

    jobs::lease lease;
    order job;
    core::attempt machine;
    std::uint64_t epoch;
    net::inbox<core::attempt::event> inbox;
    net::task_group children;
    std::optional<exchange_report> report;
    bool asking = false; // for progress
};

runner::runner(backend_driver& backend, parts uses, options chosen)
    : backend_(backend), uses_(uses), options_(std::move(chosen))
{
}

net::task<> runner::run()
{
    const core::scheduler::runnable can_run = [this](core::set_id files) {
        return backend_.can_run(files);
    };
    for (;;) {
        auto lease = co_await uses_.jobs.next_lease(backend_.name(), can_run);
        if (!lease)
            co_return;
        co_await carry(std::move(*lease));
        if (stopped_)
            co_return;
    }
}

net::task<> runner::carry(jobs::lease lease)
{
    log::info(
        "job begins",
        {{"job_id", lease.id}, {"attempt", lease.fence.attempt}, {"backend", backend_.name()}});
    std::string why;
    auto prepared = prepare(lease, why);
    if (!prepared) {
        co_await uses_.jobs.end_attempt(lease.fence, core::outcome::rejected, why);
        co_return;
    }
    if (uses_.used)
        uses_.used(lease.files);
    core::attempt_order limits;
    limits.execution_timeout = lease.job.policy.execution_timeout;
    limits.model_loaded = prepared->model_loaded;
    limits.has_progress = proto::traits_of(backend_.dialect()).has_progress;
    limits.has_interrupt = proto::traits_of(backend_.dialect()).has_interrupt;
    limits.before = backend_.mark();
    const auto began = uses_.time.now();
    core::attempt machine(options_.limits, limits, began);
    const auto ex = co_await net::current_executor();
    run_state state(ex, std::move(lease), std::move(*prepared), std::move(machine),
                    backend_.epoch());
    backend_.job_began(state.lease.fence.job);
    const auto end = co_await drive(state);
    state.children.cancel();
    co_await state.children.join();
    backend_.job_over(uses_.time.now() - began, state.report ? state.report->model_loaded : "");
    backend_.tell(core::backend::job_ended{end.what, state.epoch, end.idle, end.lost, end.reason,
                                           state.machine.mark()});
    co_await conclude(state, end);
}

// --- the request ---

std::optional<runner::order> runner::prepare(const jobs::lease& lease, std::string& why) const
{
    const auto job = proto::parse_job_input(lease.input, options_.rules);
    if (!job) {
        why = job.error().detail;
        return std::nullopt;
    }
    for (const auto& warning : job->warnings)
        log::warning(warning, {{"job_id", lease.id}});

    order out;
    out.route = job->route;
    out.any_json = job->kind == proto::request_kind::other;
    out.wants_images = job->wants_images;
    if (out.any_json) {
        out.body = job->payload;
        return out;
    }
    proto::backend_names names;
    if (job->checkpoint) {
        const auto name = resolve(lease, *job->checkpoint, why);
        if (!name)
            return std::nullopt;
        names.checkpoint = *name;
        out.expected.checkpoint = *name;
        out.expected.checkpoint_sha256 = name->empty() ? "" : job->checkpoint->sha256;
        out.model_loaded = name->empty() || backend_.has_loaded(*name);
    }
    for (const auto& lora : job->loras) {
        const auto name = resolve(lease, lora.file, why);
        if (!name)
            return std::nullopt;
        names.loras.push_back(*name);
        if (!name->empty())
            out.expected.loras.push_back(*name);
    }
    auto sampler = proto::resolve_sampler(job->sampler, job->scheduler, backend_.samplers(),
                                          backend_.schedulers());
    if (!sampler) {
        why = sampler.error().detail;
        return std::nullopt;
    }
    names.sampler = sampler->sampler;
    names.scheduler = sampler->scheduler;
    out.expected.sampler = sampler->sampler;
    out.expected.from = backend_.dialect();
    out.body = proto::request_body(*job, names);
    return out;
}

// What this WebUI calls the file; empty when the job must go without it.
std::optional<std::string> runner::resolve(const jobs::lease& lease, const core::model_ref& file,
                                           std::string& why) const
{
    auto found = backend_.offers().resolve(file);
    if (found.result == core::model_resolution::kind::found)
        return std::move(found.send);
    if (backend_.is_waived(file)) {
        log::warning("the job runs without a file that could not be had",
                     {{"job_id", lease.id}, {"file", file.name}});
        return std::string();
    }
    why = std::move(found.reason);
    return std::nullopt;
}

// --- the attempt ---

net::task<core::attempt_end> runner::drive(run_state& state)
{
    state.children.spawn(hear_stop(state.lease.stop, state));
    state.children.spawn(hear_shutdown(uses_.stopping, state));
    auto step = state.machine.on(attempt::tick{}, uses_.time.now());
    while (step.what != attempt_action::finish) {
        auto event = co_await state.inbox.next(uses_.time, step.at);
        const bool cancelled = co_await net::cancelled();
        if (cancelled) {
            // The process is going down at once: the WebUI may be busy with this job. Behind the
            // shield nothing tells that we are cancelled, so it is remembered.
            co_await net::shield();
            stopped_ = true;
            core::attempt_end end;
            end.what = core::outcome::shutdown;
            end.reason = "the gateway was stopped";
            end.idle = false;
            co_return end;
        }
        if (!event) {
            if (step.what == attempt_action::wait)
                state.inbox.post(attempt::tick{});
            else
                co_await act(state, step.what);
            continue;
        }
        step = state.machine.on(*event, uses_.time.now());
        if (state.machine.progress_changed())
            uses_.jobs.report(state.lease.fence, state.machine.progress());
    }
    co_return state.machine.end();
}

// Does what the attempt asks for; the answer goes into the inbox.
net::task<> runner::act(run_state& state, attempt_action what)
{
    switch (what) {
    case attempt_action::send:
        state.children.spawn(post_job(*this, state));
        state.inbox.post(attempt::sent{});
        break;
    case attempt_action::poll_progress:
        // A WebUI that is slow to tell must not keep a reply or a cancel waiting.
        if (!std::exchange(state.asking, true))
            state.children.spawn(read_progress(backend_, state));
        state.inbox.post(attempt::progress_asked{});
        break;
    case attempt_action::interrupt: {
        const auto reply =
            co_await backend_.calls().post("/sdapi/v1/interrupt", "", interrupt_limit);
        log::info("interrupt sent", {{"job_id", state.lease.id},
                                     {"backend", backend_.name()},
                                     {"status", reply ? reply->head.status : 0}});
        if (reply && reply->head.status < 400)
            state.inbox.post(attempt::interrupt_sent{});
        else
            state.inbox.post(attempt::interrupt_failed{});
        break;
    }
    case attempt_action::probe:
        log::warning("reply lost; looking whether the WebUI is still the same process",
                     {{"job_id", state.lease.id}, {"backend", backend_.name()}});
        backend_.tell(
            core::backend::reply_lost{state.epoch, "a reply was lost", state.machine.mark()});
        state.children.spawn(follow_probe(backend_, state));
        state.inbox.post(attempt::probe_asked{});
        break;
    case attempt_action::wait:
    case attempt_action::finish: break;
    }
}

net::task<> runner::post_job(runner& self, run_state& state)
{
    exchange_order post;
    const auto& fence = state.lease.fence;
    post.file = std::to_string(fence.job) + "-" + std::to_string(fence.attempt);
    post.route = std::move(state.job.route);
    post.body = std::move(state.job.body);
    post.limit = connection_limit;
    post.expected = state.job.expected;
    post.wants_images = state.job.wants_images;
    post.any_json = state.job.any_json;
    auto report = co_await exchange(self.backend_.calls(), self.uses_.spool, std::move(post));
    const auto what = report.what;
    const auto why = report.reason;
    const bool lost = report.lost;
    state.report = std::move(report);
    if (lost)
        state.inbox.post(attempt::connection_failed{false, false, why});
    else if (what == core::outcome::unreachable || what == core::outcome::reset_unsent)
        state.inbox.post(attempt::connection_failed{true, what == core::outcome::unreachable, why});
    else
        state.inbox.post(attempt::reply{what, why});
}

net::task<> runner::read_progress(backend_driver& backend, run_state& state)
{
    const auto reply =
        co_await backend.calls().get("/sdapi/v1/progress?skip_current_image=true", progress_limit);
    state.asking = false;
    if (reply && reply->head.status == 200) {
        const auto report = proto::parse_progress(reply->body);
        if (report) {
            state.inbox.post(attempt::progress_read{reading_of(*report)});
            co_return;
        }
    }
    state.inbox.post(attempt::progress_failed{});
}

net::task<> runner::hear_stop(std::shared_ptr<net::gate> asked, run_state& state)
{
    const auto ec = co_await asked->wait();
    if (!ec)
        state.inbox.post(attempt::cancel_asked{});
}

net::task<> runner::hear_shutdown(net::gate& stopping, run_state& state)
{
    const auto ec = co_await stopping.wait();
    if (!ec)
        state.inbox.post(attempt::shutdown_asked{});
}

// After a lost reply: is it the same process, and is it done with the job?
net::task<> runner::follow_probe(backend_driver& backend, run_state& state)
{
    for (;;) {
        const auto seen = backend.changes().current();
        const auto view = backend.view();
        if (backend.epoch() != state.epoch) {
            state.inbox.post(attempt::backend_restarted{view.reason});
            co_return;
        }
        if (view.state == core::backend_state::ready) {
            state.inbox.post(attempt::backend_idle{});
            co_return;
        }
        if (view.stuck) {
            state.inbox.post(attempt::backend_stuck{view.reason});
            co_return;
        }
        const auto ec = co_await backend.changes().past(seen);
        if (ec)
            co_return;
    }
}

// --- the end ---

net::task<> runner::conclude(run_state& state, core::attempt_end end)
{
    const auto fence = state.lease.fence;
    if (end.what != core::outcome::done) {
        // A reply that came too late to count, e.g. the 200 of an interrupted job.
        if (state.report && state.report->file)
            uses_.spool.discard(state.report->file);
        const auto ec = co_await uses_.jobs.end_attempt(fence, end.what, std::move(end.reason));
        if (ec)
            log::error("the end of an attempt was not kept",
                       {{"job_id", state.lease.id}, {"error", ec.message()}});
        co_return;
    }
    auto& report = *state.report;
    for (const auto& note : report.notes)
        log::warning(note, {{"job_id", state.lease.id}, {"backend", backend_.name()}});
    store::result_record record;
    record.file = report.file.name();
    record.size = report.file.size();
    record.checksum = report.file.checksum();
    record.index = proto::image_index(report.reply);
    if (state.job.any_json) {
        record.splice = record.size;
    } else {
        record.splice = report.reply.closing_brace;
        record.extra = proto::splice_tail(report.reply, cache_info_of(uses_.models.models()));
        record.extra.pop_back(); // the brace is the reply's own
    }
    auto file = report.file;
    const auto done = co_await uses_.jobs.complete(fence, std::move(record), std::move(file));
    if (done)
        co_return;
    const auto ec =
        co_await uses_.jobs.end_attempt(fence, core::outcome::storage_failed,
                                        "the result could not be kept: " + done.error().message());
    if (ec)
        log::error("the end of an attempt was not kept",
                   {{"job_id", state.lease.id}, {"error", ec.message()}});
}

} // namespace gateway::work
