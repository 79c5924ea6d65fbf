#include "core/scheduler.hpp"

#include "core/blocks.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

namespace gateway::core {

namespace {

// A waiting job in 16 bytes. The journal takes no input of more than a gigabyte, and nobody has
// room for a billion different sets.
struct entry {
    job_key key = 0;
    std::uint32_t bytes = 0;
    set_id models : 30 = no_models;
    set_id low_priority : 1 = 0;
    set_id paused : 1 = 0;
};
constexpr std::uint64_t most_bytes = 0xffff'ffff;
constexpr set_id most_sets = (1U << 30) - 1;

entry entry_of(const scheduler::ticket& t, bool paused)
{
    entry e;
    e.key = t.key;
    e.bytes = static_cast<std::uint32_t>(std::min(t.bytes, most_bytes));
    e.models = t.models & most_sets;
    e.low_priority = t.low_priority ? 1U : 0U;
    e.paused = paused ? 1U : 0U;
    return e;
}

struct entry_key {
    job_key operator()(const entry& e) const { return e.key; }
};
struct same_key {
    job_key operator()(job_key k) const { return k; }
};
using keys = sorted_blocks<job_key, same_key>;

// Where a job stands in the line: normal before low priority, then the key.
using rank = std::pair<bool, job_key>;

// The waiting jobs that need one model set. Paused ones stand apart, so that the heads of the lines
// are always what can be leased.
struct line {
    keys normal;
    keys low;
    std::set<rank> paused;

    keys& of(bool low_priority) { return low_priority ? low : normal; }
    bool empty() const { return normal.empty() && low.empty() && paused.empty(); }
    std::optional<rank> head() const
    {
        if (!normal.empty())
            return rank{false, normal.front()};
        if (!low.empty())
            return rank{true, low.front()};
        return std::nullopt;
    }
    std::optional<rank> first() const
    {
        std::optional<rank> best = head();
        if (!paused.empty() && (!best || *paused.begin() < *best))
            best = *paused.begin();
        return best;
    }
};

} // namespace

struct scheduler::impl {
    limits allowed;
    sorted_blocks<entry, entry_key> jobs;             // all waiting jobs
    std::unordered_map<set_id, line> lines;           // none is empty
    std::map<job_key, steady_time> pause_of;          // paused jobs; few
    std::set<std::pair<steady_time, job_key>> pauses; // the same, by time
    std::uint64_t bytes = 0;
    std::size_t reserved_jobs = 0;
    std::uint64_t reserved_bytes = 0;

    void give_back(std::uint64_t n)
    {
        reserved_jobs -= std::min<std::size_t>(reserved_jobs, 1);
        reserved_bytes -= std::min(reserved_bytes, n);
    }

    void queue(const ticket& t)
    {
        const bool paused = t.not_before != steady_time{};
        if (!jobs.insert(entry_of(t, paused)))
            return;
        bytes += std::min(t.bytes, most_bytes);
        line& l = lines[t.models];
        if (paused) {
            l.paused.insert({t.low_priority, t.key});
            pause_of.emplace(t.key, t.not_before);
            pauses.insert({t.not_before, t.key});
        } else {
            l.of(t.low_priority).insert(t.key);
        }
    }

    // Takes a job out of its line's paused ones and forgets its pause.
    void forget_pause(const entry& e, line& l)
    {
        l.paused.erase({e.low_priority != 0, e.key});
        const auto pause = pause_of.find(e.key);
        pauses.erase({pause->second, e.key});
        pause_of.erase(pause);
    }

    void end_pauses(steady_time now)
    {
        while (!pauses.empty() && pauses.begin()->first <= now) {
            entry e = *jobs.find(pauses.begin()->second);
            line& l = lines.at(e.models);
            forget_pause(e, l);
            l.of(e.low_priority != 0).insert(e.key);
            jobs.erase(e.key);
            e.paused = 0;
            jobs.insert(e);
        }
    }

    std::optional<entry> take(job_key key)
    {
        const entry* found = jobs.find(key);
        if (found == nullptr)
            return std::nullopt;
        const entry e = *found;
        const auto at = lines.find(e.models);
        if (e.paused != 0)
            forget_pause(e, at->second);
        else
            at->second.of(e.low_priority != 0).erase(key);
        if (at->second.empty())
            lines.erase(at);
        jobs.erase(key);
        bytes -= e.bytes;
        return e;
    }
};

scheduler::scheduler(limits allowed) : impl_(std::make_unique<impl>()) { impl_->allowed = allowed; }

scheduler::~scheduler() = default;

scheduler::refusal scheduler::reserve(std::uint64_t bytes)
{
    impl& s = *impl_;
    if (s.jobs.size() + s.reserved_jobs >= s.allowed.jobs)
        return refusal::too_many_jobs;
    const std::uint64_t used = s.bytes + s.reserved_bytes;
    if (used > s.allowed.bytes || bytes > s.allowed.bytes - used)
        return refusal::too_many_bytes;
    ++s.reserved_jobs;
    s.reserved_bytes += bytes;
    return refusal::none;
}

void scheduler::release(std::uint64_t bytes) { impl_->give_back(bytes); }

void scheduler::admit(const ticket& t)
{
    impl_->give_back(t.bytes);
    impl_->queue(t);
}

void scheduler::requeue(const ticket& t) { impl_->queue(t); }

bool scheduler::remove(job_key key) { return impl_->take(key).has_value(); }

std::optional<scheduler::ticket> scheduler::lease(const runnable& can_run, steady_time now)
{
    impl_->end_pauses(now);
    std::optional<rank> best;
    for (const auto& [models, l] : impl_->lines) {
        const std::optional<rank> head = l.head();
        if (head && (!best || *head < *best) && can_run(models))
            best = head;
    }
    if (!best)
        return std::nullopt;
    const entry e = *impl_->take(best->second);
    return ticket{.key = e.key,
                  .models = e.models,
                  .bytes = e.bytes,
                  .low_priority = e.low_priority != 0,
                  .not_before = {}};
}

std::optional<steady_time> scheduler::next_pause_end(steady_time now) const
{
    const auto next = impl_->pauses.upper_bound({now, ~job_key{0}});
    return next == impl_->pauses.end() ? std::nullopt : std::optional(next->first);
}

std::vector<set_id> scheduler::wanted() const
{
    std::vector<std::pair<rank, set_id>> firsts;
    firsts.reserve(impl_->lines.size());
    for (const auto& [models, l] : impl_->lines)
        firsts.emplace_back(*l.first(), models);
    std::sort(firsts.begin(), firsts.end());
    std::vector<set_id> sets;
    sets.reserve(firsts.size());
    for (const auto& [first, models] : firsts)
        sets.push_back(models);
    return sets;
}

std::vector<job_key> scheduler::waiting_for(set_id models) const
{
    const auto at = impl_->lines.find(models);
    if (at == impl_->lines.end())
        return {};
    std::vector<job_key> all;
    const line& l = at->second;
    all.reserve(l.normal.size() + l.low.size() + l.paused.size());
    l.normal.for_each([&](job_key k) { all.push_back(k); });
    l.low.for_each([&](job_key k) { all.push_back(k); });
    for (const auto& [low, k] : l.paused)
        all.push_back(k);
    std::sort(all.begin(), all.end());
    return all;
}

std::vector<job_key> scheduler::waiting(job_key after, std::size_t limit) const
{
    std::vector<job_key> some;
    if (limit == 0)
        return some;
    impl_->jobs.for_each_above(after, [&](const entry& e) {
        some.push_back(e.key);
        return some.size() < limit;
    });
    return some;
}

std::size_t scheduler::size() const { return impl_->jobs.size(); }
std::uint64_t scheduler::bytes() const { return impl_->bytes; }
bool scheduler::waits(job_key key) const { return impl_->jobs.find(key) != nullptr; }

std::optional<job_key> scheduler::oldest() const
{
    return impl_->jobs.empty() ? std::nullopt : std::optional(impl_->jobs.front().key);
}

std::size_t scheduler::memory() const
{
    std::size_t sum = impl_->jobs.memory();
    for (const auto& [models, l] : impl_->lines)
        sum += sizeof(line) + 32 + l.normal.memory() + l.low.memory() + l.paused.size() * 64;
    return sum + impl_->pauses.size() * 128;
}

} // namespace gateway::core
