#include "core/job.hpp"

#include <algorithm>
#include <iterator>
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

// Changes the state, if the table has it so.
verdict job::move(job_change event, job_state to, fence by)
{
    if (is_final(state) && event != job_change::retry)
        return verdict::already_final;
    if (is_fenced(event) && (state != job_state::in_progress || by != current()))
        return verdict::stale;
    const bool is_legal =
        std::any_of(std::begin(lifecycle), std::end(lifecycle), [&](const transition& t) {
            return t.event == event && t.from == state && t.to == to;
        });
    if (!is_legal)
        return verdict::wrong_state;
    state = to;
    return verdict::done;
}

verdict job::begin(std::uint16_t on_backend, wall_time now)
{
    const auto moved = move(job_change::begin, job_state::in_progress, current());
    if (moved != verdict::done)
        return moved;
    if (started != wall_time{} && retries < std::numeric_limits<std::uint16_t>::max())
        ++retries;
    ++attempt;
    backend = on_backend;
    started = now;
    return verdict::done;
}

verdict job::finish(fence by, job_state final_state, wall_time now)
{
    const auto moved = move(job_change::finish, final_state, by);
    if (moved != verdict::done)
        return moved;
    ended = now;
    ++ends;
    return verdict::done;
}

verdict job::requeue(fence by)
{
    const auto moved = move(job_change::requeue, job_state::in_queue, by);
    if (moved == verdict::done)
        backend = no_backend;
    return moved;
}

verdict job::end_queued(job_state final_state, wall_time now)
{
    const auto moved = move(job_change::end_queued, final_state, current());
    if (moved != verdict::done)
        return moved;
    started = wall_time{};
    ended = now;
    ++ends;
    return verdict::done;
}

verdict job::retry(wall_time now)
{
    const auto before = state;
    const auto moved = move(job_change::retry, job_state::in_queue, current());
    if (moved != verdict::done)
        return moved;
    if (expires() <= now) {
        state = before;
        return verdict::expired;
    }
    queued = now;
    started = wall_time{};
    ended = wall_time{};
    backend = no_backend;
    cancel_asked = false;
    return verdict::done;
}

} // namespace gateway::core
