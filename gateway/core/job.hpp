#pragma once

// The job and its legal transitions. Each transition is asked for with the fence of the attempt
// that asks: what an old attempt says changes nothing, and a final state is final (runpod.md §1.6).

#include "base/time.hpp"
#include "core/model.hpp"

#include <cstdint>
#include <string_view>

namespace gateway::core {

enum class job_state : std::uint8_t {
    in_queue,    // waits for a backend, for its models, or for its next attempt
    in_progress, // an attempt is committed to a backend
    completed,
    failed,
    cancelled,
    timed_out, // only ever reported by attached workers (decisions.md 12)
};

constexpr bool is_final(job_state state)
{
    return state != job_state::in_queue && state != job_state::in_progress;
}

std::string_view to_text(job_state state); // "IN_QUEUE", …

// What changes a job's state. Besides, a job may be deleted: when it has expired, whatever its
// state, or with its results.
enum class job_change : std::uint8_t {
    begin,      // an attempt of it is committed to a backend
    requeue,    // that attempt could not go on; the job keeps its place
    finish,     // that attempt ended the job
    end_queued, // it ends while it waits, without an attempt
    retry,      // a client asks for it to wait again (runpod.md §1.2)
};

// Only the attempt that runs may ask for these.
constexpr bool is_fenced(job_change event)
{
    return event == job_change::requeue || event == job_change::finish;
}

struct transition {
    job_change event;
    job_state from;
    job_state to;
};

// The whole life of a job. What is not in this table is refused.
inline constexpr transition lifecycle[] = {
    {job_change::begin, job_state::in_queue, job_state::in_progress},
    {job_change::requeue, job_state::in_progress, job_state::in_queue},
    {job_change::finish, job_state::in_progress, job_state::completed},
    {job_change::finish, job_state::in_progress, job_state::failed},
    {job_change::finish, job_state::in_progress, job_state::cancelled},
    {job_change::finish, job_state::in_progress, job_state::timed_out},
    {job_change::end_queued, job_state::in_queue, job_state::cancelled},
    {job_change::end_queued, job_state::in_queue, job_state::failed},
    {job_change::retry, job_state::failed, job_state::in_queue},
    {job_change::retry, job_state::timed_out, job_state::in_queue},
};

// The journal's integer key; grows with every job, so it is also the order of arrival.
using job_key = std::uint64_t;

// Names one attempt of one job. Attempts count from 1.
struct fence {
    job_key job = 0;
    std::uint32_t attempt = 0;
    bool operator==(const fence&) const = default;
};

// What the client asked for, already clamped (decisions.md 10).
struct job_policy {
    std::chrono::milliseconds execution_timeout{600'000};
    std::chrono::milliseconds ttl{86'400'000}; // from submission, whatever the state
    bool low_priority = false;
};

// Why a transition was refused.
enum class verdict : std::uint8_t {
    done,
    stale,         // the fence is not the current attempt's
    already_final, // nothing changes any more
    wrong_state,   // e.g. retry of a job that is running
    expired,       // retry of a job past its ttl: it would be deleted at once
};

constexpr std::uint16_t no_backend = 0xffff;

struct job {
    job_key key = 0;
    std::uint64_t secret = 0; // 60 random bits, part of the public id
    wall_time submitted{};    // first accepted; ttl counts from here
    wall_time queued{};       // accepted, or /retry asked for; delayTime counts from here
    wall_time started{};      // the current or last attempt; unset when it ended while waiting
    wall_time ended{};        // set in final states
    std::uint64_t input_bytes = 0;
    job_policy policy;
    set_id models = no_models;
    std::uint32_t attempt = 0;          // number of the current or last attempt; the fence
    std::uint16_t backend = no_backend; // where that attempt runs or ran
    std::uint16_t retries = 0;          // dispatches after the first; a client's /retry is none
    std::uint16_t ends = 0;             // how often it has ended: once, and again after each /retry
    job_state state = job_state::in_queue;
    bool sync = false;         // came through runsync: its result is kept for a shorter time
    bool cancel_asked = false; // of a running job: its runner will finish it

    fence current() const { return {key, attempt}; }
    wall_time expires() const { return submitted + policy.ttl; }
    // For the wire, never negative. delayTime: the wait for the current or last attempt, or for the
    // end of a job that ended while waiting; zero until then. executionTime: of that attempt alone.
    std::chrono::milliseconds delay() const;
    std::chrono::milliseconds execution(wall_time now) const;

    // The transitions of `lifecycle`, each with what else it changes.
    verdict begin(std::uint16_t on_backend, wall_time now);
    verdict finish(fence by, job_state final_state, wall_time now);
    verdict requeue(fence by);
    verdict end_queued(job_state final_state, wall_time now);
    verdict retry(wall_time now);

private:
    verdict move(job_change event, job_state to, fence by);
};

} // namespace gateway::core
