#pragma once

// What jobs keeps of one job in memory. Private to jobs/.

#include "jobs/jobs.hpp"

namespace gateway::jobs {

// What only some jobs have: most of a long queue never needs it.
struct extras {
    std::string error;
    std::vector<core::outcome> outcomes; // of ended attempts since the last /retry
    std::optional<core::progress_view> last_progress;
    std::optional<core::feed> events; // of /stream
    std::optional<stored_result> result;
    std::optional<wall_time> keep_until; // asked for by a client; shortens retention
    std::shared_ptr<net::gate> stop;
    std::shared_ptr<net::versions> watchers;
    std::optional<core::digest> once; // its Idempotency-Key
};

// A million of them wait at times: every byte counts.
struct jobs::entry {
    core::job job;
    std::unique_ptr<extras> more;
    wall_time due{}; // its place among due_; unset: none
    std::uint32_t version = 1;
    bool busy = false;        // a transition's commit is under way
    bool has_webhook = false; // somebody is to be told how it ends
    // Expired, so gone for clients, until its attempt has stopped or its webhook is settled.
    bool hidden = false;

    extras& extra()
    {
        if (!more)
            more = std::make_unique<extras>();
        return *more;
    }
};

// A job between its reservation and its commit.
struct jobs::arriving {
    core::job job;
    std::string webhook;
    std::optional<core::idempotency> once;
    door through = door::runpod;
};

// A runner waiting for work, so that a submit may hand it a job in the same commit.
struct jobs::idle_runner {
    std::string backend;
    const core::scheduler::runnable* can_run = nullptr;
    bool claimed = false;   // a submit is committing a job for it
    bool abandoned = false; // it is not there any more
    std::optional<lease> got;
};

// The right to change one job: one transition at a time. Empty when the job is gone.
class jobs::hold {
public:
    hold(jobs& owner, entry* e) : owner_(&owner), entry_(e)
    {
        if (entry_ != nullptr)
            entry_->busy = true;
    }
    hold(hold&& other) noexcept : owner_(other.owner_), entry_(std::exchange(other.entry_, nullptr))
    {
    }
    hold& operator=(hold&&) = delete;
    ~hold() { release(); }

    explicit operator bool() const { return entry_ != nullptr; }
    entry* operator->() const { return entry_; }
    entry& operator*() const { return *entry_; }
    void release()
    {
        if (entry_ == nullptr)
            return;
        entry_->busy = false;
        entry_ = nullptr;
        owner_->settled_.bump();
    }
    // The job has been deleted under this hold.
    void gone()
    {
        entry_ = nullptr;
        owner_->settled_.bump();
    }

private:
    jobs* owner_;
    entry* entry_;
};

} // namespace gateway::jobs
