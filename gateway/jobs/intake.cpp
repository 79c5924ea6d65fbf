// Taking jobs in: a place is reserved and the Idempotency-Key claimed, then the journal has them,
// and only then does anybody hear of them.

#include "base/log.hpp"
#include "base/text.hpp"
#include "jobs/entry.hpp"

namespace gateway::jobs {

namespace {

// Room comes with the expiry of results or by an operator's hand: not in seconds.
constexpr std::chrono::seconds room_pause{30};

refusal refused(core::scheduler::refusal why, const core::scheduler& queue,
                const core::scheduler::limits& allowed)
{
    refusal r{refusal::why::queue_full, {}, std::chrono::seconds(5)};
    if (why == core::scheduler::refusal::too_many_jobs)
        r.text = "the queue is full: " + std::to_string(queue.size()) +
                 " jobs wait, the limit (jobs.max_queued) is " + std::to_string(allowed.jobs);
    else
        r.text = "the queue is full: inputs of waiting jobs take " + format_bytes(queue.bytes()) +
                 ", the limit (jobs.max_queued_bytes) is " + format_bytes(allowed.bytes);
    return r;
}

bool is_pending(const jobs::answer& a) { return !a && a.error().reason == refusal::why::pending; }

} // namespace

// --- one job ---

net::task<jobs::answer> jobs::submit(submission s)
{
    if (s.once) {
        const auto once = *s.once;
        auto earlier = co_await wait_for_known(once);
        if (earlier)
            co_return counted(std::move(*earlier));
    }
    auto why = reserve(s);
    if (why)
        co_return counted(std::move(*why));
    auto a = arrive(s);

    // An idle backend gets the job in the same commit: one wait for the disk instead of two.
    const auto runner = claim_idle(a.job.models);
    auto input = runner ? s.input : std::move(s.input); // only a runner needs it again
    store::write w;
    w.emplace_back(
        store::insert_job{a.job, std::move(s.files), std::move(input), a.webhook, a.once});
    auto begun = a.job;
    if (runner) {
        begun.begin(backend_index(runner->backend), begun.submitted);
        w.emplace_back(
            store::begin_attempt{begun.current(), runner->backend, begun.started, begun.retries});
    }
    const auto ec = co_await commit_known(std::move(w));
    if (ec) {
        if (runner)
            runner->claimed = false;
        offers_.bump();
        co_return counted(not_kept(a, ec));
    }
    if (!runner) {
        publish(a);
        offers_.bump();
        demand_.bump();
        co_return accepted{a.job};
    }
    auto& e = show(a, begun);
    queue_.release(a.job.input_bytes);
    count_running(begun.models);
    runner->got = lease_of(e, std::move(s.input));
    offers_.bump();
    if (runner->abandoned) {
        const auto late = co_await end_attempt(begun.current(), core::outcome::shutdown,
                                               "the gateway stopped before the job began");
        (void)late;
    }
    co_return accepted{a.job};
}

// --- many jobs ---

net::task<std::vector<jobs::answer>> jobs::submit(std::vector<submission> all)
{
    std::vector<answer> answers(all.size());
    std::vector<std::pair<std::size_t, arriving>> under_way;
    std::vector<std::size_t> later; // their keys are being kept already, perhaps by this very write
    store::write w;
    for (std::size_t i = 0; i < all.size(); ++i) {
        auto& s = all[i];
        auto earlier = s.once ? known(*s.once) : std::nullopt;
        auto why = earlier ? std::nullopt : reserve(s);
        if (earlier && is_pending(*earlier)) {
            later.push_back(i);
        } else if (earlier) {
            answers[i] = counted(std::move(*earlier));
        } else if (why) {
            answers[i] = counted(std::move(*why));
        } else {
            auto a = arrive(s);
            w.emplace_back(store::insert_job{a.job, std::move(s.files), std::move(s.input),
                                             a.webhook, a.once});
            under_way.emplace_back(i, std::move(a));
        }
    }
    error_code ec;
    if (!w.empty())
        ec = co_await commit_known(std::move(w));
    for (auto& [i, a] : under_way) {
        if (ec) {
            answers[i] = counted(not_kept(a, ec));
        } else {
            publish(a);
            answers[i] = accepted{a.job};
        }
    }
    offers_.bump();
    demand_.bump();
    for (const auto i : later) {
        auto s = std::move(all[i]);
        auto answered = co_await submit(std::move(s));
        answers[i] = std::move(answered);
    }
    co_return answers;
}

// --- Idempotency-Keys ---

// What the key stands for; nothing when it is free.
std::optional<jobs::answer> jobs::known(const core::idempotency& once) const
{
    const auto* found = keys_.find(once.key);
    if (found == nullptr)
        return std::nullopt;
    const entry* e = found->job != 0 ? look(found->job) : nullptr;
    if (found->job != 0 && (e == nullptr || e->hidden))
        return std::nullopt; // its job is as good as gone
    if (found->content != once.content)
        return refusal{refusal::why::reused,
                       "this Idempotency-Key came with another job before; use a new key for a new "
                       "job, or send the same input, webhook and policy again",
                       {}};
    if (e == nullptr)
        return refusal{refusal::why::pending,
                       "the first request with this Idempotency-Key is still being written down; "
                       "ask again in a moment",
                       std::chrono::seconds(1)};
    return accepted{e->job, true};
}

net::task<std::optional<jobs::answer>> jobs::wait_for_known(core::idempotency once)
{
    const auto until = time_.now() + replay_wait;
    for (;;) {
        const auto seen = settled_.current();
        auto found = known(once);
        if (!found || !is_pending(*found))
            co_return found;
        const bool moved = co_await settled_.past(seen, time_, until);
        if (!moved)
            co_return found;
    }
}

// --- the steps ---

std::optional<refusal> jobs::reserve(const submission& s)
{
    if (!intake_)
        return refusal{refusal::why::draining, "the gateway is stopping and takes no more jobs",
                       std::chrono::seconds(5)};
    auto no_room = room_ != nullptr ? room_->no_room() : std::string();
    if (!no_room.empty())
        return refusal{refusal::why::no_room, std::move(no_room), room_pause};
    const auto place = queue_.reserve(s.input.size());
    if (place != core::scheduler::refusal::none)
        return refused(place, queue_, limits_.queue);
    return std::nullopt;
}

// A place is reserved for it.
jobs::arriving jobs::arrive(const submission& s)
{
    arriving a;
    a.job.key = journal_.next_key();
    a.job.secret = naming_.secret() & ((std::uint64_t{1} << 60) - 1);
    a.job.submitted = a.job.queued = time_.wall();
    a.job.input_bytes = s.input.size();
    a.job.policy = s.policy;
    a.job.models = sets_.intern(s.files);
    a.job.sync = s.sync;
    a.webhook = s.webhook;
    a.once = s.once;
    a.through = s.through;
    if (a.once)
        keys_.claim(*a.once);
    return a;
}

// The journal has it; `now` is the job as it stands there.
jobs::entry& jobs::show(arriving& a, const core::job& now)
{
    auto& e = keep(now);
    ++counters_.submitted[static_cast<std::size_t>(a.through)];
    e.has_webhook = !a.webhook.empty();
    if (a.once) {
        e.extra().once = a.once->key;
        keys_.settle(*a.once, now.key);
        settled_.bump();
    }
    return e;
}

void jobs::publish(arriving& a)
{
    show(a, a.job);
    queue_.admit(ticket_of(a.job));
}

refusal jobs::not_kept(const arriving& a, const error_code& ec)
{
    queue_.release(a.job.input_bytes);
    if (a.once) {
        keys_.release(a.once->key, 0);
        settled_.bump();
    }
    log::error("job not kept", {{"error", ec.message()}});
    return {refusal::why::storage,
            "the job could not be written to the journal (" + ec.message() +
                "); nothing of it was kept",
            std::chrono::seconds(10)};
}

jobs::answer jobs::counted(answer a)
{
    ++(a ? counters_.replayed : counters_.refused);
    return a;
}

// Only when nothing waits at all, so that nobody is overtaken.
std::shared_ptr<jobs::idle_runner> jobs::claim_idle(core::set_id models)
{
    if (queue_.size() > 0 || !may_begin())
        return nullptr;
    for (const auto& runner : idle_) {
        if (!runner->claimed && !runner->abandoned && (*runner->can_run)(models)) {
            runner->claimed = true;
            return runner;
        }
    }
    return nullptr;
}

} // namespace gateway::jobs
