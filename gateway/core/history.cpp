#include "core/history.hpp"

namespace gateway::core {

namespace {

using kind = job_event::kind;

kind kind_of(job_state state)
{
    switch (state) {
    case job_state::in_queue: return kind::queued;
    case job_state::in_progress: return kind::started;
    case job_state::completed: return kind::completed;
    case job_state::failed: return kind::failed;
    case job_state::cancelled: return kind::cancelled;
    case job_state::timed_out: return kind::timed_out;
    }
    return kind::failed;
}

class teller {
public:
    void queued(wall_time at) { add(kind::queued, at); }
    void attempt(const attempt_record& a)
    {
        auto& begun = add(kind::started, a.started);
        begun.attempt = a.attempt;
        begun.backend = a.backend;
        if (!a.ended)
            return;
        auto& over = add(kind::waiting, a.ended_at == wall_time{} ? a.started : a.ended_at);
        over.attempt = a.attempt;
        over.backend = a.backend;
        over.ended = a.ended;
        over.reason = a.reason;
    }
    // The end of an attempt was the end of the job when both were written together.
    void ended(job_state state, wall_time at, std::string_view error, bool while_waiting = false)
    {
        const bool together = !while_waiting && all_.back().what == kind::waiting &&
                              (all_.back().at == at || state == job_state::completed);
        auto& e = together ? all_.back() : add(kind_of(state), at);
        e.what = kind_of(state);
        e.at = at;
        if (!error.empty())
            e.reason = error;
    }
    std::vector<job_event> take() { return std::move(all_); }

private:
    job_event& add(kind what, wall_time at)
    {
        auto& e = all_.emplace_back();
        e.what = what;
        e.at = at;
        return e;
    }
    std::vector<job_event> all_;
};

} // namespace

std::string_view to_text(job_event::kind what)
{
    switch (what) {
    case kind::queued: return "queued";
    case kind::started: return "started";
    case kind::waiting: return "waiting";
    case kind::completed: return "completed";
    case kind::failed: return "failed";
    case kind::cancelled: return "cancelled";
    case kind::timed_out: return "timed_out";
    }
    return "queued";
}

bool agrees(const job_history& past, const job& j)
{
    const auto* last = past.attempts.empty() ? nullptr : &past.attempts.back();
    const bool runs = last != nullptr && !last->ended;
    const bool same_retry = j.queued == j.submitted ||
                            (!past.retries.empty() && past.retries.back().queued == j.queued);
    return same_retry && runs == (j.state == job_state::in_progress) &&
           (last == nullptr ? 0 : last->attempt) == j.attempt;
}

std::vector<job_event> events_of(const job& j, const job_history& past, std::string_view error)
{
    teller log;
    log.queued(j.submitted);
    auto retry = past.retries.begin();
    const auto retries_before = [&](std::uint32_t attempt) {
        for (; retry != past.retries.end() && retry->attempt < attempt; ++retry) {
            log.ended(retry->state, retry->ended, retry->error);
            log.queued(retry->queued);
        }
    };
    for (const auto& a : past.attempts) {
        retries_before(a.attempt);
        log.attempt(a);
    }
    retries_before(~std::uint32_t{0});
    if (is_final(j.state))
        log.ended(j.state, j.ended, error, j.started == wall_time{});
    return log.take();
}

} // namespace gateway::core
