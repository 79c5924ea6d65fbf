#pragma once

// The journal's operations as SQL, and its rows as records. One transaction at a time, begun and
// ended by the caller. Private to store.

#include "store/journal.hpp"

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace gateway::store {

// A prepared statement whose parameters are given when it is run. They must live until then.
class prepared {
public:
    prepared(SQLite::Database& db, const char* sql) : statement_(db, sql) {}

    // Returns the number of rows changed.
    template <class... Args> int run(const Args&... args)
    {
        start(args...);
        const int changed = statement_.exec();
        statement_.tryReset();
        return changed;
    }
    template <class... Args> void start(const Args&... args)
    {
        statement_.tryReset(); // a failed run is not told twice
        int place = 0;
        (bind(++place, args), ...);
    }
    bool next() { return statement_.executeStep(); }
    std::int64_t integer(int column) { return statement_.getColumn(column).getInt64(); }
    std::string text(int column) { return statement_.getColumn(column).getString(); }
    bool is_null(int column) { return statement_.isColumnNull(column); }
    void stop() { statement_.tryReset(); }

private:
    struct blob_view {
        const std::string& bytes;
    };
    friend blob_view as_blob(const std::string& bytes);

    void bind(int place, std::int64_t value) { statement_.bind(place, value); }
    void bind(int place, const std::optional<std::uint32_t>& value)
    {
        value ? statement_.bind(place, std::int64_t{*value}) : statement_.bind(place);
    }
    void bind(int place, const std::string& text) { statement_.bindNoCopy(place, text); }
    void bind(int place, const blob_view& blob)
    {
        statement_.bindNoCopy(place, blob.bytes.data(), static_cast<int>(blob.bytes.size()));
    }

    SQLite::Statement statement_;
};

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

private:
    bool apply(const operation& op);
    bool apply(const insert_job& op);
    bool apply(const begin_attempt& op);
    bool apply(const requeue_job& op);
    bool apply(const finish_job& op);
    bool apply(const restart_job& op);
    bool apply(const erase_job& op);
    void read_attempts(std::vector<job_record>& page, core::job_key after);
    void read_results(std::vector<job_record>& page, core::job_key after);
    void read_once(std::vector<job_record>& page, core::job_key after);
    std::shared_ptr<const core::model_set> model_set(std::int64_t id);

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
    prepared read_past_attempts_, read_retries_;
};

} // namespace gateway::store
