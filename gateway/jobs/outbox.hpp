#pragma once

// What webhooks are still to be told: the messages that ends of jobs have posted, for whoever
// delivers them, and what became of them, for the doors. The only writer of messages after they are
// posted. A job's rows and result stay for as long as one of its messages is pending.

#include "net/async.hpp"
#include "store/journal.hpp"

#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

namespace gateway::jobs {

class outbox {
public:
    // Something to deliver.
    struct note {
        core::message_id id;
        bool at_once = false; // asked for by a client: now, whatever was planned
    };

    // `settled` hears of each job that has no pending message any more.
    outbox(net::executor ex, net::time_source& time, store::journal& journal,
           std::function<void(core::job_key)> settled);

    // --- for jobs ---

    // Finds what a former process left.
    net::task<error_code> replay();
    // The job has ended, and its webhook is to be told; that is committed.
    void posted(core::message_id id);
    bool holds(core::job_key job) const { return pending_.contains(job); }
    // The job is gone, and its messages with it.
    void erased(core::job_key job) { pending_.erase(job); }

    // --- for work ---

    // The next message to deliver; nothing when the caller is cancelled.
    net::task<std::optional<note>> next() { return notes_.next(); }
    // Where the message goes and what has been tried. Nothing when it is gone or not pending.
    net::task<result<std::optional<store::message_record>>> find(core::message_id id);
    net::task<result<store::message_content>> read(core::message_id id);
    // Written down, however long it takes; only the end of the process or of the job stops it.
    net::task<error_code> tried(store::record_try what);

    // --- for the doors ---

    // Oldest first.
    net::task<result<std::vector<store::message_record>>> log(core::job_key job);
    // Has the newest message delivered (again), and says which it is; nothing when there is none.
    net::task<result<std::optional<core::message_id>>> redeliver(core::job_key job);

private:
    net::time_source& time_;
    store::journal& journal_;
    std::function<void(core::job_key)> settled_;
    net::inbox<note> notes_;
    std::unordered_map<core::job_key, std::size_t> pending_; // how many messages of each job
};

} // namespace gateway::jobs
