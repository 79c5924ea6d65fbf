#include "core/job.hpp"

#include <cassert>
#include <limits>

namespace gateway::core {

std::string_view to_text(job_state state)
{
    switch (state) {
    case job_state::in_queue: return "IN_QUEUE";
    case job_state::in_progress: return "IN_PROGRESS";
    case job_state::completed: return "COMPLETED";
    case job_state::failed: return "FAILED";
    case job_state::cancelled: return "CANCELLED";
    case job_state::timed_out: return "TIMED_OUT";
    }
    return "FAILED";
}

namespace {

// Wall time may be set back between two stamps; nobody has ever waited less than nothing.
std::chrono::milliseconds between(wall_time from, wall_time to)
{
    return to > from ? to - from : std::chrono::milliseconds(0);
}

} // namespace

std::chrono::milliseconds job::delay() const
{
    if (started != wall_time{})
        return between(queued, started);
    return is_final(state) ? between(queued, ended) : std::chrono::milliseconds(0);
}

std::chrono::milliseconds job::execution(wall_time now) const
{
    if (started == wall_time{} || state == job_state::in_queue)
        return std::chrono::milliseconds(0);
    return between(started, is_final(state) ? ended : now);
}

verdict job::begin(std::uint16_t on_backend, wall_time now)
{
    if (is_final(state))
        return verdict::already_final;
    if (state != job_state::in_queue)
        return verdict::wrong_state;
    state = job_state::in_progress;
    if (started != wall_time{} && retries < std::numeric_limits<std::uint16_t>::max())
        ++retries;
    ++attempt;
    backend = on_backend;
    started = now;
    return verdict::done;
}

verdict job::finish(fence by, job_state final_state, wall_time now)
{
    assert(is_final(final_state));
    if (is_final(state))
        return verdict::already_final;
    if (by != current() || state != job_state::in_progress)
        return verdict::stale;
    state = final_state;
    ended = now;
    ++ends;
    return verdict::done;
}

verdict job::requeue(fence by)
{
    if (is_final(state))
        return verdict::already_final;
    if (by != current() || state != job_state::in_progress)
        return verdict::stale;
    state = job_state::in_queue;
    backend = no_backend;
    return verdict::done;
}

verdict job::end_queued(job_state final_state, wall_time now)
{
    assert(is_final(final_state));
    if (is_final(state))
        return verdict::already_final;
    if (state != job_state::in_queue)
        return verdict::wrong_state;
    state = final_state;
    started = wall_time{};
    ended = now;
    ++ends;
    return verdict::done;
}

verdict job::retry(wall_time now)
{
    if (state != job_state::failed && state != job_state::timed_out)
        return verdict::wrong_state;
    state = job_state::in_queue;
    queued = now;
    started = wall_time{};
    ended = wall_time{};
    backend = no_backend;
    cancel_asked = false;
    return verdict::done;
}

} // namespace gateway::core
