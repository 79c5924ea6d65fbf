#pragma once

// Decides which waiting job a backend runs next, how many may wait, and in which order. Jobs are
// held by number only; what they are is the caller's. There is a line of jobs per model set: a
// lease looks at the heads of the lines, never at the queue, and everything else is about log n.

#include "core/job.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace gateway::core {

class scheduler {
public:
    struct limits {
        std::size_t jobs = 1'000'000;
        std::uint64_t bytes = std::uint64_t{10} << 30; // of their inputs
    };

    enum class refusal : std::uint8_t {
        none,
        too_many_jobs,
        too_many_bytes,
    };

    explicit scheduler(limits allowed);
    ~scheduler();

    // A place is reserved before the commit and turned into a queued job after it, so that an
    // accepted job always has room; release() gives the place back when the commit failed.
    refusal reserve(std::uint64_t bytes);
    void release(std::uint64_t bytes);

    struct ticket {
        job_key key = 0;
        set_id models = no_models;
        std::uint64_t bytes = 0;
        bool low_priority = false;
        steady_time not_before{}; // an earlier attempt asked for a pause; unset: none
    };
    // Queues a job whose place is reserved. Order: normal before low priority, then the key.
    void admit(const ticket& t);
    // Queues a job again after an attempt, or at replay, at its old place; it needs no reservation.
    void requeue(const ticket& t);
    // Takes a waiting job out (cancelled, expired, failed); false when it does not wait.
    bool remove(job_key key);

    // What a backend can run now, by model set. Asked for the fewest sets that decide, in no order.
    using runnable = std::function<bool(set_id)>;
    // The oldest job this backend can run, taken out of the queue; nothing when there is none.
    std::optional<ticket> lease(const runnable& can_run, steady_time now);
    // When the first pause ends that keeps a job from being leased; nothing when no pause is on.
    std::optional<steady_time> next_pause_end(steady_time now) const;

    // The model sets that waiting jobs need, in the order in which their first jobs stand in line.
    std::vector<set_id> wanted() const;
    // Waiting jobs that need this set, oldest first.
    std::vector<job_key> waiting_for(set_id models) const;

    // Waiting jobs with keys above `after`, in that order, at most `limit`.
    std::vector<job_key> waiting(job_key after, std::size_t limit) const;

    std::size_t size() const;    // waiting jobs
    std::uint64_t bytes() const; // of their inputs
    bool waits(job_key key) const;
    std::optional<job_key> oldest() const;
    std::size_t memory() const; // bytes of RAM, about: 16 per job and 8 more in its line

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

} // namespace gateway::core
