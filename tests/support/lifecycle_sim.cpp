#include "support/lifecycle_sim.hpp"

#include <algorithm>

namespace gateway::test {

using namespace std::chrono_literals;
using core::job_state;
using simulation = lifecycle_simulation;
using step = lifecycle_step;

namespace {

constexpr std::size_t calls_at_once = 3;
constexpr auto a_while = 4s;        // in which every call that waits for a commit ends
constexpr auto house_is_late = 31s; // at most, with deleting

} // namespace

// --- the calls ---

// What is said after the process has died is heard by nobody.
void simulation::answered(call& c, std::string text) const
{
    if (std::any_of(calls_.begin(), calls_.end(), [&](const auto& one) { return one.get() == &c; }))
        c.answer = std::move(text);
}

namespace {

std::string text_of(const boost::system::result<core::verdict>& v)
{
    if (!v)
        return "error";
    switch (*v) {
    case core::verdict::done: return "done";
    case core::verdict::stale: return "stale";
    case core::verdict::already_final: return "already final";
    case core::verdict::wrong_state: return "wrong state";
    case core::verdict::expired: return "expired";
    }
    return {};
}

} // namespace

net::task<> simulation::submit(simulation& self, std::shared_ptr<call> c, jobs::submission s)
{
    const auto job = co_await self.jobs->submit(std::move(s));
    self.answered(*c, job && job->job.key == c->whom.job ? "kept" : "error");
}

net::task<> simulation::lease(simulation& self, std::shared_ptr<call> c)
{
    const core::scheduler::runnable anything = [](core::set_id) { return true; };
    const auto got = co_await self.jobs->next_lease("webui-0", anything);
    if (!got)
        co_return;
    self.attempts_.push_back(got->fence);
    c->whom = got->fence;
    self.answered(*c, std::to_string(got->fence.job) + "/" + std::to_string(got->fence.attempt));
}

namespace {

std::string file_of(core::fence f)
{
    return std::to_string(f.job) + "-" + std::to_string(f.attempt);
}

} // namespace

net::task<> simulation::complete(simulation& self, std::shared_ptr<call> c)
{
    auto name = file_of(c->whom) + "-" + std::to_string(++self.written_); // it may complete twice
    auto writer = co_await self.spool->create(name);
    const std::string text = R"({"images":[")" + name + R"("]})";
    const auto ec = co_await writer->append(text);
    (void)ec;
    auto file = co_await writer->finish();
    store::result_record record;
    record.file = name;
    record.size = text.size();
    record.splice = text.size() - 1;
    record.checksum = file->checksum();
    const auto done = co_await self.jobs->complete(c->whom, std::move(record), *file);
    self.answered(*c, text_of(done));
}

net::task<> simulation::change(simulation& self, std::shared_ptr<call> c)
{
    auto& jobs = *self.jobs;
    error_code ec;
    switch (c->what) {
    case call::kind::submit:
    case call::kind::lease:
    case call::kind::complete: co_return;
    case call::kind::end: ec = co_await jobs.end_attempt(c->whom, c->how, "because"); break;
    case call::kind::fail_waiting: ec = co_await jobs.fail_waiting(c->whom.job, "because"); break;
    case call::kind::cancel: {
        const auto until = self.time.now() + 100ms;
        ec = co_await jobs.cancel(c->whom.job, until);
        break;
    }
    case call::kind::retry: {
        const auto verdict = co_await jobs.retry(c->whom.job);
        self.answered(*c, text_of(verdict));
        co_return;
    }
    case call::kind::purge: {
        const auto removed = co_await jobs.purge();
        self.answered(*c, std::to_string(removed) + " removed");
        co_return;
    }
    }
    self.answered(*c, ec ? "error" : "done");
}

void simulation::begin(const step& s, call::kind what)
{
    auto c = std::make_shared<call>();
    c->what = what;
    const auto near = s.dice % 8; // mostly what is new
    if (what == call::kind::submit) {
        c->whom.job = ++submitted_;
        c->low_priority = s.dice % 5 == 0;
    } else if (what == call::kind::complete || what == call::kind::end) {
        if (attempts_.empty())
            return;
        c->whom = attempts_[attempts_.size() - 1 - std::min(near, attempts_.size() - 1)];
        static constexpr core::outcome ends[] = {
            core::outcome::rejected,  core::outcome::unreachable,   core::outcome::out_of_memory,
            core::outcome::no_model,  core::outcome::shutdown,      core::outcome::lost_restarted,
            core::outcome::cancelled, core::outcome::storage_failed};
        c->how = ends[s.dice / 8 % std::size(ends)];
    } else if (what != call::kind::lease && what != call::kind::purge) {
        if (submitted_ == 0)
            return;
        c->whom.job = submitted_ - std::min<std::uint64_t>(near, submitted_ - 1);
    }
    calls_.push_back(c);
    ++made_;
    if (what == call::kind::submit) {
        auto job = a_job();
        job.policy.low_priority = c->low_priority;
        job.policy.ttl = s.dice % 7 == 0 ? 60s : 24h;
        job.sync = s.dice % 3 == 0;
        start(submit(*this, c, std::move(job)));
    } else if (what == call::kind::lease) {
        runners_.spawn(lease(*this, c));
    } else if (what == call::kind::complete) {
        start(complete(*this, c));
    } else {
        start(change(*this, c));
    }
    if (s.dice % 4 == 0)
        settle(); // else all of them begin in the same turn
}

// --- what happens to the process ---

void simulation::take(const step& s)
{
    using kind = step::kind;
    if (s.what <= kind::fail_waiting) {
        if (calls_.empty())
            avoid_expiry();
        begin(s, static_cast<call::kind>(s.what));
        if (calls_.size() >= calls_at_once)
            settle_calls();
        return;
    }
    if (s.what == kind::fault) {
        static constexpr store::journal_errc faults[] = {
            store::journal_errc::io, store::journal_errc::full, store::journal_errc::unknown,
            store::journal_errc::unknown};
        journal->fail_next(faults[s.dice % 4], s.dice % 4 == 3);
        return;
    }
    if (s.what == kind::crash)
        return crash(s.dice);
    settle_calls();
    if (s.what == kind::shorten && submitted_ > 0) {
        const auto key = submitted_ - std::min<std::uint64_t>(s.dice % 8, submitted_ - 1);
        jobs->keep_for(key, 50s);
        const auto j = model_.jobs.find(key);
        if (j != model_.jobs.end() && core::is_final(j->second.state) && !is_due(key))
            due_[key] = shortened_[key] = std::min(due_[key], time.wall() + 50s);
    } else if (s.what == kind::pass) {
        static constexpr duration times[] = {1s, 45s, 100s, 31min};
        pass({}, times[s.dice % 4]);
    } else if (s.what == kind::jump) {
        static constexpr wall_duration jumps[] = {-1h, 1h, -5s, 5s};
        pass(jumps[s.dice % 4], 1s);
    }
    journal->set_delay(std::chrono::milliseconds(s.dice % 3 * 40));
}

void simulation::stop(net::task_group& group)
{
    world::cancel(group);
    run_until([&group] { return group.size() == 0; }, a_while);
}

// Lets every call come to its end; runners that got nothing stop waiting.
void simulation::settle_calls()
{
    run_until([] { return false; }, a_while);
    const bool starved = std::any_of(calls_.begin(), calls_.end(), [](const auto& c) {
        return c->what == call::kind::lease && !c->answer;
    });
    stop(runners_);
    for (const auto& c : calls_) {
        if (!c->answer && c->what != call::kind::lease)
            fail("a call never came to its end: " + to_text(*c));
        if (!c->answer)
            c->answer = "none";
    }
    std::vector<const call*> all;
    for (const auto& c : calls_) {
        if (c->what == call::kind::purge && journal->counters().failures > failures_)
            for (const auto& [key, row] : journal->rows())
                c->spared.insert(key);
        all.push_back(c.get());
    }
    model_.in_order = journal->counters().failures == failures_;
    if (!explain(model_, std::move(all), false))
        fail("no order of the calls explains what was answered and what is left");
    if (!model_.in_order) {
        start(health->look()); // it is all right again
        advance(a_while);      // until nobody stands back any more
    }
    if (starved && model_.in_order && model_.count(job_state::in_queue) > 0)
        fail("a runner waits although a job does, too");
    calls_.clear();
    check("after the calls");
}

void simulation::crash(std::uint64_t dice)
{
    run_until([] { return false; }, std::chrono::milliseconds(dice % 5 * 30));
    std::vector<call> last;
    for (const auto& c : std::exchange(calls_, {}))
        last.push_back(*c);
    restart(dice / 8 % 4);
    house_.spawn(jobs->keep_house());
    shortened_.clear();
    std::vector<const call*> all;
    for (const auto& c : last)
        all.push_back(&c);
    model_.in_order = false;
    if (!explain(model_, std::move(all), true)) {
        for (auto& c : last)
            calls_.push_back(std::make_shared<call>(std::move(c)));
        fail("no order of the calls explains what is left after the crash");
    }
    check("after a crash");
}

// --- time ---

void simulation::pass(wall_duration jump, duration d)
{
    time.jump_wall(jump);
    const auto end = time.now() + d + (jump != wall_duration{} ? house_is_late : duration{});
    while (run_until([] { return false; }, end - time.now()), time.now() < end)
        advance(end - time.now());
    follow_expiry();
    check("after time has passed");
}

// No job expires while calls are under way: the model does not know the time.
void simulation::avoid_expiry()
{
    const auto soon = [this](const auto& j) {
        const auto at = due_.find(j.first);
        const auto end = time.wall() + 2 * a_while;
        if (at == due_.end() || j.second.hidden)
            return false;
        const auto expires = journal->rows().at(j.first).record.job.expires();
        return at->second <= end || (expires > time.wall() && expires <= end);
    };
    while (std::any_of(model_.jobs.begin(), model_.jobs.end(), soon))
        pass({}, 2 * a_while + house_is_late);
}

bool simulation::is_due(core::job_key key) const
{
    const auto at = due_.find(key);
    return at != due_.end() && at->second <= time.wall();
}

// What has been deleted had to be due, and what is due has been deleted.
void simulation::follow_expiry()
{
    for (auto at = model_.jobs.begin(); at != model_.jobs.end();) {
        auto& [key, j] = *at;
        const auto row = journal->rows().find(key);
        const bool is_there = row != journal->rows().end();
        const bool shown = is_there && jobs->find(key, row->second.record.job.secret).has_value();
        if (!shown && !j.hidden && !is_due(key))
            fail("job " + std::to_string(key) + " was deleted before its time");
        if (shown && due_.contains(key) && due_.at(key) + house_is_late < time.wall())
            fail("job " + std::to_string(key) + " was not deleted in time");
        if (!is_there) {
            at = model_.jobs.erase(at);
            continue;
        }
        if (!shown)
            j.hidden = j.cancel_asked = true;
        ++at;
    }
}

// --- the comparison ---

bool simulation::explain(const lifecycle_model& m, std::vector<const call*> rest, bool died)
{
    const bool all_cut_off =
        std::none_of(rest.begin(), rest.end(), [](const call* c) { return c->answer.has_value(); });
    if (all_cut_off) {
        auto end = m;
        if (died)
            end.crash(limits.retry);
        if (is_left(end)) {
            model_ = std::move(end);
            return true;
        }
    }
    for (std::size_t i = 0; i < rest.size(); ++i) {
        auto others = rest;
        others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
        const bool may_fail = journal->counters().failures > failures_ || died;
        const auto& got = rest[i]->answer;
        const bool refused = got == "error" || got == "none" || got == "0 removed";
        if (refused && may_fail && explain(m, others, died))
            return true;
        if (got == "error")
            continue;
        auto next = m;
        const auto answer = next.apply(*rest[i], limits.retry);
        if ((!rest[i]->answer || *rest[i]->answer == answer) && explain(next, others, died))
            return true;
    }
    return false;
}

namespace {

std::vector<core::outcome> ends_of(const store::job_record& record)
{
    std::vector<core::outcome> ends;
    for (const auto& attempt : record.attempts)
        if (attempt.ended)
            ends.push_back(*attempt.ended);
    return ends;
}

} // namespace

// Whether the journal and jobs hold what the model does.
bool simulation::is_left(const lifecycle_model& m) const
{
    for (const auto& [key, j] : m.jobs) {
        const auto row = journal->rows().find(key);
        if (row == journal->rows().end()) {
            if (is_due(key))
                continue;
            return false;
        }
        const auto& job = row->second.record.job;
        const auto shown = jobs->find(key, job.secret);
        const bool is_kept = job.state == j.state && job.attempt == j.attempt &&
                             (core::is_final(j.state) || ends_of(row->second.record) == j.ended);
        const bool runs = j.state == job_state::in_progress;
        const bool is_shown = shown && !j.hidden && shown->job->state == j.state &&
                              shown->job->attempt == j.attempt &&
                              (!runs || shown->job->cancel_asked == j.cancel_asked);
        const bool is_same = is_kept && (shown ? is_shown : j.hidden || is_due(key));
        if (!is_same)
            return false;
    }
    return std::all_of(journal->rows().begin(), journal->rows().end(),
                       [&m](const auto& row) { return m.jobs.contains(row.first); });
}

// What is true whatever has happened.
void simulation::check(const std::string& when)
{
    failures_ = journal->counters().failures;
    std::size_t results = 0;
    for (const auto& [key, row] : journal->rows()) {
        const auto& job = row.record.job;
        if (const auto j = model_.jobs.find(key); j != model_.jobs.end())
            j->second.past_ttl = job.expires() <= time.wall() + 2 * a_while;
        const auto at = shortened_.find(key);
        const auto keep = job.sync ? limits.keep_sync : limits.keep_async;
        due_[key] = core::is_final(job.state) ? job.ended + keep : job.expires();
        if (core::is_final(job.state) && at != shortened_.end())
            due_[key] = std::min(due_[key], at->second);
        else if (at != shortened_.end())
            shortened_.erase(at);
        if (job.state != job_state::completed)
            continue;
        ++results;
        const auto v = jobs->find(key, job.secret);
        if (v && (v->result == nullptr ||
                  !v->result->file.name().starts_with(file_of(job.current()) + "-")))
            fail(when + ": a completed job has not the result of its last attempt");
    }
    std::erase_if(model_.jobs,
                  [this](const auto& j) { return !journal->rows().contains(j.first); });
    if (jobs->waiting() != model_.count(job_state::in_queue))
        fail(when + ": " + std::to_string(jobs->waiting()) + " jobs stand in line");
    if (jobs->running() != model_.count(job_state::in_progress))
        fail(when + ": " + std::to_string(jobs->running()) + " jobs are said to run");
    if (++settled_ % 8 == 0 && spool->counters().files != results)
        fail(when + ": " + std::to_string(spool->counters().files) + " result files for " +
             std::to_string(results) + " results");
}

void simulation::fail(const std::string& what) const
{
    std::string text = what +
                       "\n  the time: " + std::to_string(time.wall().time_since_epoch().count()) +
                       "\n  the model: " + to_text(model_) + "\n  the journal: ";
    for (const auto& [key, row] : journal->rows()) {
        const auto& job = row.record.job;
        const auto shown = jobs->find(key, job.secret);
        text += std::to_string(key) + ": " + std::string(core::to_text(job.state)) + "/" +
                std::to_string(job.attempt) + " shown as " +
                (shown ? std::string(core::to_text(shown->job->state)) : "nothing") + "; ";
    }
    for (const auto& c : calls_)
        text += "\n  " + to_text(*c);
    throw lifecycle_mismatch(text);
}

// Every job that waits can be run to its end.
void simulation::drain()
{
    for (int n = 0; model_.count(job_state::in_queue) > 0; ++n) {
        if (n > 1000)
            fail("jobs that wait never end");
        take({step::kind::lease, 0});
        settle_calls();
        if (!attempts_.empty())
            take({step::kind::end, 0});
        settle_calls();
    }
}

} // namespace gateway::test
