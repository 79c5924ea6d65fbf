#include "jobs/jobs.hpp"

#include "base/log.hpp"
#include "jobs/entry.hpp"

#include <algorithm>

namespace gateway::jobs {

const std::vector<double>& jobs::histogram_bounds()
{
    static const std::vector<double> bounds{0.05, 0.1, 0.25, 0.5, 1,   2.5,  5,    10,
                                            30,   60,  120,  300, 600, 1800, 3600, 14400};
    return bounds;
}

jobs::jobs(net::executor ex, net::time_source& time, store::journal& journal, store::spool& spool,
           limits allowed, naming names, const store::health* room)
    : ex_(ex),
      time_(time),
      journal_(journal),
      spool_(spool),
      limits_(allowed),
      naming_(std::move(names)),
      room_(room),
      queue_(allowed.queue),
      settled_(ex),
      offers_(ex),
      demand_(ex),
      outbox_(ex, time, journal, [this](core::job_key key) { webhooks_settled(key); }),
      due_changed_(ex)
{
    counters_.attempts_by_outcome.resize(static_cast<std::size_t>(core::outcome::preparation) + 1);
    counters_.wait_seconds.resize(histogram_bounds().size() + 1);
    counters_.run_seconds.resize(histogram_bounds().size() + 1);
}

jobs::~jobs() = default;

// --- the index ---

jobs::entry* jobs::look(core::job_key key) const { return jobs_.find(key); }

net::task<jobs::hold> jobs::take(core::job_key key)
{
    for (;;) {
        entry* e = look(key);
        if (e == nullptr || !e->busy)
            co_return hold(*this, e);
        const auto ec = co_await settled_.past(settled_.current());
        if (ec)
            co_return hold(*this, nullptr);
    }
}

jobs::entry& jobs::keep(core::job job)
{
    auto fresh = std::make_unique<entry>();
    fresh->job = job;
    auto& e = jobs_.put(job.key, std::move(fresh));
    counters_.kept = jobs_.size();
    schedule(e);
    return e;
}

void jobs::changed_now(entry& e)
{
    ++e.version;
    if (e.more && e.more->watchers)
        e.more->watchers->bump();
}

void jobs::forget(core::job_key key)
{
    entry* e = look(key);
    if (e == nullptr)
        return;
    if (e->more && e->more->result)
        spool_.discard(e->more->result->file);
    if (e->more && e->more->once)
        keys_.release(*e->more->once, key);
    const auto watchers = e->more ? e->more->watchers : nullptr;
    outbox_.erased(key);
    unschedule(*e);
    jobs_.erase(key);
    counters_.kept = jobs_.size();
    if (watchers)
        watchers->bump();
}

core::scheduler::ticket jobs::ticket_of(const core::job& job) const
{
    return {job.key, job.models, job.input_bytes, job.policy.low_priority, steady_time{}};
}

std::uint16_t jobs::backend_index(const std::string& name)
{
    auto it = std::find(backends_.begin(), backends_.end(), name);
    if (it == backends_.end())
        it = backends_.insert(it, name);
    return static_cast<std::uint16_t>(it - backends_.begin());
}

std::optional<wall_time> jobs::oldest_waiting() const
{
    const auto key = queue_.oldest();
    const entry* e = key ? look(*key) : nullptr;
    if (e == nullptr)
        return std::nullopt;
    return e->job.queued;
}

// --- what a client may see ---

std::optional<view> jobs::find(core::job_key key, std::uint64_t secret) const
{
    const entry* e = look(key);
    if (e == nullptr || e->hidden || e->job.secret != secret)
        return std::nullopt;
    return view_of(*e);
}

std::vector<view> jobs::above(core::job_key key, std::size_t limit) const
{
    std::vector<view> found;
    for (const auto* e = jobs_.next_above(key); e != nullptr && found.size() < limit;
         e = jobs_.next_above(e->job.key)) {
        if (!e->hidden)
            found.push_back(view_of(*e));
    }
    return found;
}

std::vector<view> jobs::below(core::job_key key, std::size_t limit) const
{
    std::vector<view> found;
    for (const auto* e = jobs_.next_below(key); e != nullptr && found.size() < limit;
         e = jobs_.next_below(e->job.key)) {
        if (!e->hidden)
            found.push_back(view_of(*e));
    }
    return found;
}

view jobs::view_of(const entry& e) const
{
    view v;
    v.job = &e.job;
    v.version = e.version;
    if (e.job.backend != core::no_backend)
        v.worker = backends_.at(e.job.backend);
    if (e.more) {
        if (!e.more->error.empty())
            v.error = &e.more->error;
        if (e.more->last_progress)
            v.last_progress = &*e.more->last_progress;
        if (e.more->result)
            v.result = &*e.more->result;
    }
    return v;
}

net::task<result<store::job_history>> jobs::history(core::job_key key)
{
    co_return co_await journal_.read_history(key);
}

net::task<bool> jobs::changed(core::job_key key, std::uint64_t seen, steady_time until)
{
    for (;;) {
        entry* e = look(key);
        if (e == nullptr || e->hidden || e->version > seen)
            co_return true;
        auto& watchers = e->extra().watchers;
        if (!watchers)
            watchers = std::make_shared<net::versions>(ex_);
        const auto mine = watchers;
        const bool moved = co_await mine->past(mine->current(), time_, until);
        if (!moved)
            co_return false;
    }
}

void jobs::keep_for(core::job_key key, std::chrono::milliseconds from_now)
{
    entry* e = look(key);
    if (e == nullptr || !core::is_final(e->job.state))
        return;
    const auto asked = time_.wall() + from_now;
    if (asked >= due_of(*e))
        return;
    e->extra().keep_until = asked;
    schedule(*e);
}

jobs::drained jobs::drain(core::job_key key) const
{
    const entry* e = look(key);
    if (e == nullptr || !e->more || !e->more->events)
        return {};
    return {e->more->events->undrained(), e->more->events->version()};
}

void jobs::acknowledge(core::job_key key, std::uint64_t cursor)
{
    entry* e = look(key);
    if (e != nullptr && e->more && e->more->events)
        e->more->events->acknowledge(cursor);
}

// --- cancel, retry, purge ---

net::task<error_code> jobs::cancel(core::job_key key, steady_time until)
{
    {
        auto e = co_await take(key);
        if (!e || e->hidden || core::is_final(e->job.state))
            co_return error_code{};
        if (e->job.state == core::job_state::in_queue) {
            auto next = e->job;
            next.end_queued(core::job_state::cancelled, time_.wall());
            queue_.remove(key);
            store::write w;
            w.emplace_back(store::finish_job{
                {key, 0}, next.state, core::outcome::cancelled, next.ended, {}, std::nullopt});
            const auto ec = co_await commit_known(std::move(w));
            if (ec) {
                queue_.requeue(ticket_of(e->job));
                offers_.bump();
                co_return ec;
            }
            e->job = next;
            ended(*e, core::outcome::cancelled);
            log::info("job cancelled while it waited", {{"job_id", naming_.id(next)}});
            co_return error_code{};
        }
        e->job.cancel_asked = true;
        if (e->extra().stop)
            e->extra().stop->open();
    }
    // The runner interrupts, confirms, and ends the attempt.
    for (;;) {
        entry* e = look(key);
        if (e == nullptr || core::is_final(e->job.state))
            co_return error_code{};
        const auto seen = e->version;
        const bool moved = co_await changed(key, seen, until);
        if (!moved)
            co_return error_code{};
    }
}

net::task<boost::system::result<core::verdict>> jobs::retry(core::job_key key)
{
    auto e = co_await take(key);
    if (!e || e->hidden)
        co_return core::verdict::wrong_state;
    auto next = e->job;
    const auto verdict = next.retry(time_.wall());
    if (verdict != core::verdict::done)
        co_return verdict;
    store::write w;
    w.emplace_back(store::restart_job{key, next.queued});
    const auto ec = co_await commit_known(std::move(w));
    if (ec)
        co_return ec;
    e->job = next;
    if (e->more) {
        e->more->error.clear();
        e->more->outcomes.clear();
        e->more->last_progress.reset();
        e->more->events.reset();
        e->more->keep_until.reset();
        if (e->more->result)
            spool_.discard(e->more->result->file);
        e->more->result.reset();
    }
    ++counters_.retried;
    schedule(*e);
    changed_now(*e);
    queue_.requeue(ticket_of(next));
    offers_.bump();
    demand_.bump();
    log::info("job waits again", {{"job_id", naming_.id(next)}});
    co_return core::verdict::done;
}

net::task<boost::system::result<core::verdict>> jobs::remove(core::job_key key)
{
    auto e = co_await take(key);
    if (!e)
        co_return core::verdict::done;
    if (e->job.state == core::job_state::in_progress)
        co_return core::verdict::wrong_state;
    queue_.remove(key);
    store::write w;
    w.emplace_back(store::erase_job{key});
    const auto ec = co_await commit_known(std::move(w));
    if (ec) {
        if (e->job.state == core::job_state::in_queue)
            queue_.requeue(ticket_of(e->job));
        offers_.bump();
        co_return ec;
    }
    log::info("job deleted", {{"job_id", naming_.id(e->job)}});
    e.gone();
    forget(key);
    demand_.bump();
    co_return core::verdict::done;
}

net::task<std::size_t> jobs::purge()
{
    const auto* newest = jobs_.next_below(~core::job_key{0});
    const core::job_key last = newest == nullptr ? 0 : newest->job.key;
    std::size_t removed = 0;
    for (core::job_key at = 0; at < last;) {
        auto keys = queue_.waiting(at, limits_.slice);
        at = keys.empty() ? last : keys.back();
        std::erase_if(keys, [last](core::job_key key) { return key > last; }); // came later
        condition waits = [](const entry& e) { return e.job.state == core::job_state::in_queue; };
        const auto erased = co_await erase(std::move(keys), std::move(waits));
        if (!erased)
            break;
        removed += *erased;
    }
    counters_.purged += removed;
    if (removed > 0)
        log::info("queue purged", {{"jobs", removed}});
    co_return removed;
}

void jobs::stop_intake()
{
    intake_ = false;
    offers_.bump();
}

} // namespace gateway::jobs
