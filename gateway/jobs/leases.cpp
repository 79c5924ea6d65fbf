// The working side of jobs: handing out attempts, hearing of progress, ending them.

#include "base/log.hpp"
#include "jobs/commit.hpp"
#include "jobs/entry.hpp"

#include <algorithm>

namespace gateway::jobs {

namespace {

constexpr auto room_pause = std::chrono::seconds(1); // between looks whether there is room again
constexpr auto commit_pause = std::chrono::seconds(1);

void observe(std::vector<std::uint64_t>& buckets, double& sum, std::chrono::milliseconds took)
{
    const auto seconds = static_cast<double>(took.count()) / 1000.0;
    const auto& bounds = jobs::histogram_bounds();
    const auto at = std::lower_bound(bounds.begin(), bounds.end(), seconds) - bounds.begin();
    ++buckets[static_cast<std::size_t>(at)];
    sum += seconds;
}

} // namespace

net::task<std::optional<lease>> jobs::next_lease(std::string backend,
                                                 core::scheduler::runnable can_run)
{
    // Leaves the list of idle runners however this coroutine ends.
    struct presence {
        jobs& owner;
        std::shared_ptr<idle_runner> me;
        ~presence()
        {
            me->abandoned = true;
            std::erase(owner.idle_, me);
        }
    };

    while (intake_) {
        const bool room = may_begin();
        auto ticket = room ? queue_.lease(can_run, time_.now()) : std::nullopt;
        if (ticket) {
            auto leased = co_await begin(*ticket, backend);
            if (leased)
                co_return leased;
            const auto stopped = co_await net::cancelled();
            if (stopped)
                co_return std::nullopt;
            continue;
        }
        const presence here{*this, std::make_shared<idle_runner>()};
        auto& me = *here.me;
        me.backend = backend;
        me.can_run = &can_run;
        idle_.push_back(here.me);
        auto pause_end = queue_.next_pause_end(time_.now()).value_or(steady_time::max());
        if (!room)
            pause_end = std::min(pause_end, time_.now() + room_pause);
        const bool moved = co_await offers_.past(offers_.current(), time_, pause_end);
        (void)moved;
        while (me.claimed && !me.got) {
            const auto ec = co_await offers_.past(offers_.current());
            if (ec && !me.got)
                co_return std::nullopt;
        }
        if (me.got)
            co_return std::move(me.got);
        const auto state = co_await net::cancelled();
        if (state)
            co_return std::nullopt;
    }
    co_return std::nullopt;
}

net::task<std::optional<lease>> jobs::begin(core::scheduler::ticket t, std::string backend)
{
    auto e = co_await take(t.key);
    if (!e)
        co_return std::nullopt;
    auto next = e->job;
    if (next.expires() <= time_.wall()) {
        // keep_house() is about to delete it, unless the clock goes back.
        t.not_before = time_.now() + commit_pause;
        queue_.requeue(t);
        co_return std::nullopt;
    }
    if (next.begin(backend_index(backend), time_.wall()) != core::verdict::done)
        co_return std::nullopt; // it ended while it was being leased
    auto input = co_await journal_.read_input(t.key);
    error_code ec = input ? error_code{} : input.error();
    if (ec == store::journal_errc::corrupt || ec == store::journal_errc::missing) {
        // It can never run, and must not be in the way of those that can.
        auto why = "its input cannot be read back from the journal: " + ec.message();
        ec = co_await fail_held(*e, std::move(why));
        if (!ec)
            co_return std::nullopt;
    } else if (!ec) {
        store::write w;
        w.emplace_back(store::begin_attempt{next.current(), backend, next.started, next.retries});
        ec = co_await commit_known(std::move(w));
    }
    if (ec) {
        // Nothing has been sent: it waits on, and the disk gets a moment.
        t.not_before = time_.now() + commit_pause;
        queue_.requeue(t);
        offers_.bump();
        log::error("attempt not begun: the journal failed",
                   {{"job_id", naming_.id(next)}, {"backend", backend}, {"error", ec.message()}});
        co_return std::nullopt;
    }
    e->job = next;
    count_running(next.models);
    if (next.retries > 0)
        ++counters_.retried;
    if (e->more)
        e->more->last_progress.reset();
    changed_now(*e);
    demand_.bump();
    co_return lease_of(*e, std::move(*input));
}

lease jobs::lease_of(entry& e, std::string input)
{
    auto& more = e.extra();
    more.stop = std::make_shared<net::gate>(ex_);
    observe(counters_.wait_seconds, counters_.wait_seconds_sum, e.job.delay());
    lease l;
    l.fence = e.job.current();
    l.id = naming_.id(e.job);
    l.job = e.job;
    l.files = sets_.at(e.job.models);
    l.input = std::move(input);
    l.earlier = more.outcomes;
    l.stop = more.stop;
    return l;
}

void jobs::offers_changed() { offers_.bump(); }

void jobs::count_running(core::set_id models)
{
    ++counters_.running;
    ++running_sets_[models];
}

void jobs::count_stopped(core::set_id models)
{
    --counters_.running;
    const auto at = running_sets_.find(models);
    if (--at->second == 0)
        running_sets_.erase(at);
}

std::vector<core::set_id> jobs::running_models() const
{
    std::vector<core::set_id> all;
    all.reserve(running_sets_.size());
    for (const auto& [models, count] : running_sets_)
        all.push_back(models);
    return all;
}

core::feed& jobs::events(entry& e) const
{
    auto& feed = e.extra().events;
    if (!feed)
        feed.emplace(limits_.events_per_job);
    return *feed;
}

void jobs::report(core::fence by, core::progress_view p)
{
    entry* e = look(by.job);
    if (e == nullptr || e->job.state != core::job_state::in_progress || e->job.current() != by)
        return; // an old attempt: late progress changes nothing
    events(*e).add(p);
    e->extra().last_progress = p;
    changed_now(*e);
}

net::task<error_code> jobs::commit_known(store::write w, bool doubtful)
{
    return gateway::jobs::commit_known(journal_, time_, std::move(w), doubtful);
}

net::task<error_code> jobs::commit_surely(store::write w)
{
    return gateway::jobs::commit_surely(journal_, time_, std::move(w));
}

net::task<result<core::verdict>> jobs::complete(core::fence by, store::result_record record,
                                                store::spool_file file)
{
    auto e = co_await take(by.job);
    core::job next = e ? e->job : core::job{};
    const auto verdict =
        e ? next.finish(by, core::job_state::completed, time_.wall()) : core::verdict::stale;
    if (verdict != core::verdict::done) {
        spool_.discard(file);
        co_return verdict;
    }
    store::write w;
    const bool erased = may_go(*e);
    if (erased)
        w.emplace_back(store::erase_job{by.job});
    else
        w.emplace_back(
            store::finish_job{by, next.state, core::outcome::done, next.ended, {}, record});
    const auto ec = co_await commit_surely(std::move(w));
    if (ec) {
        // When it is not known whether the row names the file, the next start finds out.
        if (ec != store::journal_errc::unknown)
            spool_.discard(file);
        co_return ec;
    }
    count_stopped(e->job.models);
    if (erased) {
        spool_.discard(file);
        e.gone();
        forget(by.job);
        co_return core::verdict::done;
    }
    e->job = next;
    e->extra().result = stored_result{std::move(file), record.splice, std::move(record.extra),
                                      std::move(record.index)};
    events(*e).close("completed");
    ended(*e, core::outcome::done);
    co_return core::verdict::done;
}

net::task<error_code> jobs::end_attempt(core::fence by, core::outcome what, std::string reason)
{
    auto e = co_await take(by.job);
    if (!e || e->job.state != core::job_state::in_progress || e->job.current() != by)
        co_return error_code{};

    auto outcomes = e->extra().outcomes;
    outcomes.push_back(what);
    auto decision = core::decide(limits_.retry, outcomes);
    if (e->job.cancel_asked)
        decision.step = core::next_step::cancel;
    auto next = e->job;
    store::write w;
    bool waits_again = false;
    switch (decision.step) {
    case core::next_step::complete: // never: complete() is the way there
    case core::next_step::fail:
        next.finish(by, core::job_state::failed, time_.wall());
        if (const auto limit = core::limit_reached(limits_.retry, outcomes); !limit.empty())
            reason += ". " + limit;
        break;
    case core::next_step::cancel: next.finish(by, core::job_state::cancelled, time_.wall()); break;
    case core::next_step::requeue:
    case core::next_step::requeue_later:
        next.requeue(by);
        waits_again = true;
        break;
    }
    const bool erased = may_go(*e);
    if (erased)
        w.emplace_back(store::erase_job{by.job});
    else if (waits_again)
        w.emplace_back(store::requeue_job{by, what, time_.wall(), reason});
    else
        w.emplace_back(store::finish_job{by, next.state, what, next.ended,
                                         next.state == core::job_state::failed ? reason : "",
                                         std::nullopt});
    const auto ec = co_await commit_surely(std::move(w));
    if (ec)
        co_return ec;

    count_stopped(e->job.models);
    if (erased) {
        e.gone();
        forget(by.job);
        co_return error_code{};
    }
    e->job = next;
    e->extra().outcomes = std::move(outcomes);
    if (!waits_again) {
        if (next.state == core::job_state::failed)
            e->extra().error = std::move(reason);
        ended(*e, what);
        co_return error_code{};
    }
    ++counters_.attempts_by_outcome[static_cast<std::size_t>(what)];
    log::warning("attempt ended, the job waits again", {{"job_id", naming_.id(next)},
                                                        {"attempt", by.attempt},
                                                        {"outcome", core::to_text(what)},
                                                        {"reason", reason}});
    auto ticket = ticket_of(next);
    if (decision.step == core::next_step::requeue_later)
        ticket.not_before = time_.now() + decision.pause;
    changed_now(*e);
    queue_.requeue(ticket);
    offers_.bump();
    demand_.bump();
    co_return error_code{};
}

net::task<error_code> jobs::fail_waiting(core::job_key key, std::string reason)
{
    auto e = co_await take(key);
    if (!e)
        co_return error_code{};
    if (e->job.state != core::job_state::in_queue)
        co_return error_code{};
    queue_.remove(key);
    const auto ec = co_await fail_held(*e, std::move(reason));
    if (ec) {
        queue_.requeue(ticket_of(e->job));
        offers_.bump();
    }
    co_return ec;
}

// Of a waiting job that is held and has been taken out of the queue.
net::task<error_code> jobs::fail_held(entry& e, std::string reason)
{
    auto next = e.job;
    next.end_queued(core::job_state::failed, time_.wall());
    store::write w;
    w.emplace_back(store::finish_job{
        {next.key, 0}, next.state, core::outcome::preparation, next.ended, reason, std::nullopt});
    const auto ec = co_await commit_known(std::move(w));
    if (ec)
        co_return ec;
    e.job = next;
    e.extra().error = std::move(reason);
    ended(e, core::outcome::preparation);
    co_return error_code{};
}

// The job has reached a final state, and that is committed.
void jobs::ended(entry& e, core::outcome last)
{
    const auto& job = e.job;
    ++counters_.attempts_by_outcome[static_cast<std::size_t>(last)];
    switch (job.state) {
    case core::job_state::completed: ++counters_.completed; break;
    case core::job_state::failed:
    case core::job_state::timed_out: ++counters_.failed; break;
    case core::job_state::cancelled: ++counters_.cancelled; break;
    case core::job_state::in_queue:
    case core::job_state::in_progress: break;
    }
    if (job.started != wall_time{})
        observe(counters_.run_seconds, counters_.run_seconds_sum, job.execution(job.ended));
    if (e.more)
        e.more->stop.reset();
    if (e.has_webhook)
        outbox_.posted({job.key, job.ends});
    schedule(e);
    changed_now(e);
    if (job.state == core::job_state::failed)
        log::warning("job failed", {{"job_id", naming_.id(job)},
                                    {"attempt", job.attempt},
                                    {"error", e.more ? std::string_view(e.more->error) : ""}});
    else
        log::info("job ended", {{"job_id", naming_.id(job)},
                                {"state", core::to_text(job.state)},
                                {"delay_ms", job.delay().count()},
                                {"execution_ms", job.execution(job.ended).count()}});
}

} // namespace gateway::jobs
