#pragma once

// The journal's operations as SQL, and its rows as records. One transaction at a time, begun and
// ended by the caller. Private to store.

#include "store/sqlite_messages.hpp"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace gateway::store {

class rows {
public:
    explicit rows(SQLite::Database& db);

    // Before the writes of a batch: their model sets get numbers. Sets that no job comes to use do
    // no harm.
    void intern(const write& w);
    // Applies all of it and returns true, or finds a job in another state, returns false and has
    // changed nothing.
    bool apply(const write& w);
    // The last thing in every transaction.
    void stamp(std::int64_t batch, core::job_key last_key);
    // Between transactions: forgets model sets that no job wants, at most so many. Returns how
    // many.
    int forget_sets(std::int64_t limit);
    // After a rollback: numbers given in that transaction are void.
    void forget_interned() { set_ids_.clear(); }

    std::int64_t last_batch();
    core::job_key last_key();
    // Nothing when there is no such job.
    std::optional<std::string> input(core::job_key job);
    job_history history(core::job_key job);
    // Throws std::runtime_error when a row makes no sense.
    std::vector<job_record> page(core::job_key after, std::size_t limit);
    std::vector<core::message_id> pending_messages(core::message_id after, std::size_t limit)
    {
        return messages_.pending(after, limit);
    }
    std::vector<message_record> messages(core::job_key job) { return messages_.of_job(job); }
    // Nothing when there is no such message.
    std::optional<message_content> message(core::message_id id);

private:
    bool apply(const operation& op);
    bool apply(const insert_job& op);
    bool apply(const begin_attempt& op);
    bool apply(const requeue_job& op);
    bool apply(const finish_job& op);
    bool apply(const restart_job& op);
    bool apply(const erase_job& op);
    bool apply(const record_try& op) { return messages_.apply(op); }
    bool apply(const reopen_message& op) { return messages_.apply(op); }
    void read_attempts(std::vector<job_record>& page, core::job_key after);
    void read_results(std::vector<job_record>& page, core::job_key after);
    void read_once(std::vector<job_record>& page, core::job_key after);
    std::shared_ptr<const core::model_set> model_set(std::int64_t id);

    message_rows messages_;
    std::unordered_map<std::string, std::int64_t> set_ids_;
    std::unordered_map<std::int64_t, std::shared_ptr<const core::model_set>> sets_;
    prepared savepoint_, release_, undo_;
    prepared find_set_, add_set_, read_set_, erase_sets_;
    prepared insert_job_, insert_input_, insert_once_;
    prepared begin_job_, insert_attempt_;
    prepared requeue_job_, end_attempt_;
    prepared finish_running_, finish_waiting_, put_result_;
    prepared note_retry_, restart_job_, set_attempts_aside_;
    prepared erase_job_, erase_input_, erase_attempts_, erase_result_, erase_retries_, erase_once_;
    prepared stamp_, read_stamp_, read_last_key_;
    prepared read_input_, read_jobs_, read_attempts_, read_results_, read_once_;
    prepared read_past_attempts_, read_retries_, read_result_;
};

} // namespace gateway::store
