#pragma once

// Which job each Idempotency-Key stands for. Only jobs that came with a key cost memory here.

#include "core/idempotency.hpp"
#include "core/job.hpp"

#include <unordered_map>

namespace gateway::jobs {

class key_register {
public:
    struct entry {
        core::digest content{};
        core::job_key job = 0; // 0: its job is still on its way to the journal
    };

    // Null when the key is free.
    const entry* find(const core::digest& key) const
    {
        const auto it = all_.find(key);
        return it == all_.end() ? nullptr : &it->second;
    }
    // For a job that is about to be written down; settle() follows, or release() with job 0.
    void claim(const core::idempotency& once) { all_[once.key] = {once.content, 0}; }
    void settle(const core::idempotency& once, core::job_key job)
    {
        all_[once.key] = {once.content, job};
    }
    // Frees the key, unless it stands for another job by now.
    void release(const core::digest& key, core::job_key job)
    {
        const auto it = all_.find(key);
        if (it != all_.end() && it->second.job == job)
            all_.erase(it);
    }
    std::size_t size() const { return all_.size(); }

private:
    std::unordered_map<core::digest, entry, core::digest_hash> all_;
};

} // namespace gateway::jobs
