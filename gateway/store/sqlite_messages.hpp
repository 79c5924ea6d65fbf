#pragma once

// The outbox as SQL. Private to store; part of rows, and of its transactions.

#include "store/sqlite_prepared.hpp"

namespace gateway::store {

class message_rows {
public:
    explicit message_rows(SQLite::Database& db);

    // The job has just ended, in this transaction, by this attempt or (0) while it waited.
    void post(std::int64_t job, std::int64_t attempt);
    bool apply(const record_try& op);
    bool apply(const reopen_message& op);
    void erase(std::int64_t job);

    std::vector<core::message_id> pending(core::message_id after, std::size_t limit);
    std::vector<message_record> of_job(core::job_key job);
    // Everything but input and result; nothing when there is no such message.
    std::optional<message_content> content(core::message_id id);

private:
    void read_tries(std::vector<message_record>& of_one_job);

    prepared post_, forget_old_, forget_old_tries_;
    prepared update_, add_try_, forget_tries_, reopen_;
    prepared erase_, erase_tries_;
    prepared read_pending_, read_messages_, read_tries_, read_content_;
};

} // namespace gateway::store
