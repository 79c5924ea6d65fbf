#include "support/lifecycle_model.hpp"

namespace gateway::test {

using core::job_state;
using core::next_step;

std::string lifecycle_model::apply(const call& c, const core::retry_limits& limits)
{
    const auto at = jobs.find(c.whom.job);
    job* j = at == jobs.end() ? nullptr : &at->second;
    const bool waits = j != nullptr && j->state == job_state::in_queue;
    const bool runs = j != nullptr && j->state == job_state::in_progress;
    switch (c.what) {
    case call::kind::submit: jobs[c.whom.job].low_priority = c.low_priority; return "kept";
    case call::kind::lease: return lease(c.whom.job);
    case call::kind::complete: return complete(c.whom);
    case call::kind::end:
        if (runs && j->attempt == c.whom.attempt)
            end(c.whom.job, c.how, limits);
        return "done";
    case call::kind::cancel:
        if (waits)
            j->state = job_state::cancelled;
        else if (runs)
            j->cancel_asked = true;
        return "done";
    case call::kind::retry:
        if (j == nullptr || j->state != job_state::failed)
            return "wrong state";
        if (j->past_ttl)
            return "expired";
        *j = {job_state::in_queue, j->attempt, j->low_priority, false, false, false, {}};
        return "done";
    case call::kind::purge: {
        const auto is_waiting = [&c](const auto& one) {
            return one.second.state == job_state::in_queue && !c.spared.contains(one.first);
        };
        return std::to_string(std::erase_if(jobs, is_waiting)) + " removed";
    }
    case call::kind::fail_waiting:
        if (waits)
            j->state = job_state::failed;
        return "done";
    }
    return {};
}

// The oldest of those with the higher priority.
std::string lifecycle_model::lease(core::job_key got)
{
    for (const bool low : {false, true}) {
        for (auto& [key, j] : jobs) {
            if (j.state != job_state::in_queue || j.low_priority != low)
                continue;
            if (!in_order && got != key && got != 0)
                continue;
            j.state = job_state::in_progress;
            return std::to_string(key) + "/" + std::to_string(++j.attempt);
        }
    }
    return "none";
}

std::string lifecycle_model::complete(core::fence by)
{
    const auto at = jobs.find(by.job);
    if (at == jobs.end())
        return "stale";
    job& j = at->second;
    if (core::is_final(j.state))
        return "already final";
    if (j.state != job_state::in_progress || j.attempt != by.attempt)
        return "stale";
    if (j.hidden)
        jobs.erase(at);
    else
        j.state = job_state::completed;
    return "done";
}

void lifecycle_model::end(core::job_key key, core::outcome how, const core::retry_limits& limits)
{
    job& j = jobs.at(key);
    j.ended.push_back(how);
    const auto step = core::decide(limits, j.ended).step;
    if (j.hidden)
        jobs.erase(key);
    else if (j.cancel_asked || step == next_step::cancel)
        j.state = job_state::cancelled;
    else if (step == next_step::fail)
        j.state = job_state::failed;
    else
        j.state = job_state::in_queue;
}

void lifecycle_model::crash(const core::retry_limits& limits)
{
    for (auto& [key, j] : jobs) {
        j.cancel_asked = j.hidden = false; // known to the process alone
        if (j.state == job_state::in_progress)
            end(key, core::outcome::crashed, limits);
    }
}

std::size_t lifecycle_model::count(job_state state) const
{
    std::size_t n = 0;
    for (const auto& [key, j] : jobs)
        n += j.state == state;
    return n;
}

std::string to_text(const call& c)
{
    static constexpr const char* names[] = {"submit", "lease", "complete", "end",
                                            "cancel", "retry", "purge",    "fail_waiting"};
    std::string text = names[static_cast<std::size_t>(c.what)];
    text += " " + std::to_string(c.whom.job) + "/" + std::to_string(c.whom.attempt);
    if (c.what == call::kind::end)
        text += " " + std::string(core::to_text(c.how));
    return text + " -> " + c.answer.value_or("(no answer)");
}

std::string to_text(const lifecycle_model& m)
{
    std::string text;
    for (const auto& [key, j] : m.jobs)
        text += std::to_string(key) + ": " + std::string(core::to_text(j.state)) + "/" +
                std::to_string(j.attempt) + (j.cancel_asked ? " cancel asked" : "") +
                (j.hidden ? " hidden" : "") + "; ";
    return text;
}

} // namespace gateway::test
