#pragma once

// The life of jobs as clients and runners may count on it: what each call answers, and what it
// leaves behind. It knows nothing of journals, waiting or memory.

#include "core/job.hpp"
#include "core/retry.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace gateway::test {

// One call on jobs. `answer` is what came back, if anything has: "error" when it was refused
// because the journal failed.
struct call {
    enum class kind { submit, lease, complete, end, cancel, retry, purge, fail_waiting };
    kind what = kind::submit;
    core::fence whom; // the job, or its attempt; of a submit the key it will get, of a lease the
                      // attempt it got
    core::outcome how = core::outcome::rejected;
    bool low_priority = false;
    std::set<core::job_key> spared; // by a purge: they were in hands whose commit then failed
    std::optional<std::string> answer;
};

struct lifecycle_model {
    struct job {
        core::job_state state = core::job_state::in_queue;
        std::uint32_t attempt = 0;
        bool low_priority = false;
        bool cancel_asked = false;
        bool hidden = false; // expired while it ran
        bool past_ttl = false;
        std::vector<core::outcome> ended;
    };
    std::map<core::job_key, job> jobs;
    bool in_order = true; // a job whose attempt could not be written down is overtaken

    std::string apply(const call& c, const core::retry_limits& limits);
    // Every attempt that ran has ended with the process.
    void crash(const core::retry_limits& limits);
    std::size_t count(core::job_state state) const;

private:
    std::string lease(core::job_key got);
    std::string complete(core::fence by);
    void end(core::job_key key, core::outcome how, const core::retry_limits& limits);
};

std::string to_text(const call& c);
std::string to_text(const lifecycle_model& m);

} // namespace gateway::test
