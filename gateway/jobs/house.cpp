// Keeping house: reading the journal back at start, and letting go of what has expired.

#include "base/log.hpp"
#include "jobs/entry.hpp"

#include <algorithm>

namespace gateway::jobs {

namespace {
// How often wall time is looked at even when nothing is due: it may have jumped.
constexpr auto look_again = std::chrono::seconds(30);
// Jobs read back at a time: enough to be quick, few enough for one turn of the loop.
constexpr std::size_t replay_page = 2'000;
constexpr auto lost_in_crash =
    "the gateway died while the job ran, and that has happened too often for this job";
} // namespace

// --- start ---

net::task<error_code> jobs::replay()
{
    std::vector<std::string> files;
    std::vector<core::fence> open;
    std::vector<store::job_record> finished; // those with a result
    known_sets known;
    core::job_key last = 0;
    for (;;) {
        auto page = co_await journal_.replay(last, replay_page);
        if (!page)
            co_return page.error();
        if (page->empty())
            break;
        last = page->back().job.key;
        for (auto& record : *page) {
            restore(record, known);
            if (record.job.state == core::job_state::in_progress)
                open.push_back(record.job.current());
            if (!record.result)
                continue;
            files.push_back(record.result->file);
            finished.push_back(std::move(record));
        }
    }
    const auto unread = co_await outbox_.replay();
    if (unread)
        co_return unread;
    const auto swept = co_await spool_.sweep(std::move(files));
    if (!swept)
        log::warning("the spool could not be swept", {{"error", swept.error().message()}});
    co_await reopen_results(finished);
    co_await close_crashed(std::move(open));
    log::info(
        "journal replayed",
        {{"jobs", jobs_.size()}, {"waiting", queue_.size()}, {"orphan_files", swept ? *swept : 0}});
    co_return error_code{};
}

void jobs::restore(store::job_record& record, known_sets& known)
{
    auto set = known.find(record.files);
    if (set == known.end())
        set = known.emplace(record.files, sets_.intern(*record.files)).first;
    record.job.models = set->second;
    if (!record.attempts.empty())
        record.job.backend = backend_index(record.attempts.back().backend);
    auto& e = keep(record.job);
    e.has_webhook = !record.webhook.empty();
    if (!record.error.empty())
        e.extra().error = record.error;
    if (record.once) {
        e.extra().once = record.once->key;
        keys_.settle(*record.once, record.job.key);
    }
    for (const auto& attempt : record.attempts) {
        if (attempt.ended)
            e.extra().outcomes.push_back(*attempt.ended);
    }
    if (record.job.state == core::job_state::in_queue)
        queue_.requeue(ticket_of(record.job));
    if (record.job.state == core::job_state::in_progress)
        count_running(record.job.models);
}

net::task<> jobs::close_crashed(std::vector<core::fence> open)
{
    for (const auto fence : open) {
        const auto ec = co_await end_attempt(fence, core::outcome::crashed, lost_in_crash);
        if (ec)
            log::error("a crashed attempt could not be closed", {{"error", ec.message()}});
    }
}

// --- expiry ---

wall_time jobs::due_of(const entry& e) const
{
    if (!core::is_final(e.job.state))
        return e.job.expires();
    auto when = e.job.ended + (e.job.sync ? limits_.keep_sync : limits_.keep_async);
    if (e.more && e.more->keep_until)
        when = std::min(when, *e.more->keep_until);
    return when;
}

void jobs::schedule(entry& e)
{
    unschedule(e);
    e.due = due_of(e);
    const bool sooner = due_.empty() || e.due < due_.front().first;
    due_.insert({e.due, e.job.key});
    if (sooner)
        due_changed_.bump();
}

void jobs::unschedule(entry& e)
{
    if (e.due != wall_time{})
        due_.erase({std::exchange(e.due, wall_time{}), e.job.key});
}

void jobs::hide(entry& e)
{
    e.hidden = true;
    changed_now(e);
}

// Expired, and nobody is to be told of an earlier end of it.
bool jobs::may_go(const entry& e) const { return e.hidden && !outbox_.holds(e.job.key); }

// Its rows had to stay for what its webhook was to be told.
void jobs::webhooks_settled(core::job_key key)
{
    entry* e = look(key);
    if (e != nullptr && e->hidden)
        schedule(*e);
}

net::task<> jobs::keep_house()
{
    for (;;) {
        const auto seen = due_changed_.current();
        co_await expire(time_.wall());
        auto wake = time_.now() + look_again;
        if (!due_.empty())
            wake =
                std::min(wake, time_.now() + std::max<duration>(due_.front().first - time_.wall(),
                                                                std::chrono::seconds(1)));
        const bool moved = co_await due_changed_.past(seen, time_, wake);
        (void)moved;
        const bool stopped = co_await net::cancelled();
        if (stopped)
            co_return;
    }
}

net::task<> jobs::expire(wall_time now)
{
    for (;;) {
        std::vector<core::job_key> gone;
        while (!due_.empty() && due_.front().first <= now && gone.size() < limits_.slice) {
            entry* e = look(due_.front().second);
            unschedule(*e);
            const bool runs = e->job.state == core::job_state::in_progress;
            if (!runs && outbox_.holds(e->job.key)) {
                hide(*e); // and kept for its webhook: webhooks_settled()
                queue_.remove(e->job.key);
                continue;
            }
            if (!runs) {
                gone.push_back(e->job.key);
                continue;
            }
            // Deleted whatever its state (runpod.md §1.3): clients see a 404 from now on, and the
            // row goes when the attempt has been stopped.
            hide(*e);
            e->job.cancel_asked = true;
            if (e->extra().stop)
                e->extra().stop->open();
            ++counters_.expired;
        }
        if (gone.empty())
            co_return;
        condition still_due = [this, now](const entry& e) { return due_of(e) <= now; };
        const auto erased = co_await erase(std::move(gone), std::move(still_due));
        if (!erased)
            co_return; // the next round tries again
        counters_.expired += *erased;
    }
}

// Deletes jobs, few enough for one commit: the rows first, then the memory of them. How many. Jobs
// are held in the order of their keys, so that two who delete never wait for each other.
net::task<result<std::size_t>> jobs::erase(std::vector<core::job_key> keys, condition when)
{
    std::sort(keys.begin(), keys.end());
    std::vector<hold> held;
    store::write w;
    for (const auto key : keys) {
        auto e = co_await take(key);
        if (!e)
            continue;
        if (e->job.state == core::job_state::in_progress || !when(*e)) {
            schedule(*e); // it began, or ended, or was retried in the meantime
            continue;
        }
        w.emplace_back(store::erase_job{key});
        queue_.remove(key);
        held.push_back(std::move(e));
    }
    if (held.empty())
        co_return 0;
    const auto ec = co_await commit_known(std::move(w));
    for (auto& e : held) {
        const auto key = e->job.key;
        if (!ec) {
            e.gone();
            forget(key);
            continue;
        }
        if (e->job.state == core::job_state::in_queue)
            queue_.requeue(ticket_of(e->job));
        schedule(*e);
    }
    if (ec) {
        log::error("expired jobs could not be deleted", {{"error", ec.message()}});
        offers_.bump();
        co_return ec;
    }
    demand_.bump();
    co_return held.size();
}

} // namespace gateway::jobs
