#pragma once

// What must survive: jobs, their inputs and attempts, and what became of them. A write is a list of
// operations that take effect together; it is durable when commit() returns, or it has not
// happened.

#include "core/history.hpp"
#include "core/idempotency.hpp"
#include "core/job.hpp"
#include "core/retry.hpp"
#include "net/async.hpp"
#include "store/message.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace gateway::store {

// Where a finished job's result lies.
struct result_record {
    std::string file;                      // name within the spool
    std::uint64_t size = 0;                // bytes in that file
    std::uint64_t splice = 0;              // offset where `extra` goes in
    std::string extra;                     // text spliced into the reply (cache_info)
    std::string index;                     // opaque to the store: where the images lie
    std::optional<std::uint32_t> checksum; // CRC-32 of the file; nothing: an older version wrote it
};

using core::attempt_record;
using core::job_history;
using core::retry_record;

// One job as replay() returns it: everything but the input. job.models and job.backend mean nothing
// outside a process, so they are left empty: intern `files`, look up the backend's name.
struct job_record {
    core::job job;
    std::shared_ptr<const core::model_set>
        files; // never null; shared by all jobs that want the same
    std::string webhook;
    std::string error;                    // of failed jobs
    std::optional<result_record> result;  // of completed ones
    std::vector<attempt_record> attempts; // oldest first; since the client's last /retry
    std::optional<core::idempotency> once;
};

// What a message tells of: the job as it was when it ended, whatever has become of it since.
struct message_content {
    core::job job; // models and backend are left empty
    std::string url;
    std::string worker; // name of the backend of its last attempt; empty: it ended while it waited
    std::string error;
    std::string input;
    std::optional<result_record> result;
};

// --- operations ---

struct insert_job {
    core::job job;
    core::model_set files;
    std::string input; // JSON text
    std::string webhook;
    std::optional<core::idempotency> once; // found again for as long as the job is kept
};
// The attempt and the job's new state, before the first byte of the POST. The job must be waiting
// and fence.attempt must be its last attempt plus one.
struct begin_attempt {
    core::fence fence;
    std::string backend;
    wall_time started{};
    std::uint16_t retries = 0;
};
// The attempt has ended and the job waits again. It must be running that attempt.
struct requeue_job {
    core::fence fence;
    core::outcome ended = core::outcome::done;
    wall_time when{};
    std::string reason;
};
// The job has ended. With a fence of attempt 0 it ended while waiting, whatever attempts it had
// before (`started` is forgotten then); else it must be running that attempt. `ends` of the job is
// counted up, and when it has a webhook there is a message of that number.
struct finish_job {
    core::fence fence;
    core::job_state state = core::job_state::failed;
    core::outcome ended = core::outcome::done; // of its last attempt
    wall_time when{};
    std::string error;
    std::optional<result_record> result;
};
// A client's /retry of a failed or timed-out job: waits again, error and result forgotten, attempts
// only in its history from now on; the fence and `retries` go on counting.
struct restart_job {
    core::job_key job = 0;
    wall_time queued{};
};
// Forgets the job, whatever its state; nothing happens when it is gone already.
struct erase_job {
    core::job_key job = 0;
};

// An operation whose job or message is not in the state that it asks for makes its whole write fail
// with journal_errc::conflict, and nothing of that write happens.
using operation = std::variant<insert_job, begin_attempt, requeue_job, finish_job, restart_job,
                               erase_job, record_try, reopen_message>;
using write = std::vector<operation>;

enum class journal_errc {
    conflict = 1, // a row was not in the state the operation asks for; nothing was changed
    unknown,      // an I/O error at COMMIT: whether it happened is not known until read back
    io,           // it did not happen
    full,         // no space; it did not happen
    corrupt,      // the database is damaged
    closed,       // the journal has been closed
    missing,      // no such job or message
};
const boost::system::error_category& journal_category();
error_code make_error_code(journal_errc e);

class journal {
public:
    virtual ~journal() = default;
    // Keys are handed out here so that they need no round trip; they grow and are never reused.
    virtual core::job_key next_key() = 0;
    // Durable and visible when it returns without error. Cancellation does not end the wait: the
    // answer is always what became of the write.
    virtual net::task<error_code> commit(write w) = 0;
    virtual net::task<result<std::string>> read_input(core::job_key job) = 0;
    // Empty for a job that has never run, and for one that is gone.
    virtual net::task<result<job_history>> read_history(core::job_key job) = 0;
    // Everything kept, in key order, at most `limit` jobs with keys above `after`; an empty page is
    // the end. Asked for before the first commit.
    virtual net::task<result<std::vector<job_record>>> replay(core::job_key after,
                                                              std::size_t limit) = 0;
    // Pending messages in the order of their ids, at most `limit` above `after`.
    virtual net::task<result<std::vector<core::message_id>>>
    pending_messages(core::message_id after, std::size_t limit) = 0;
    // All that is kept of the messages of a job, oldest first.
    virtual net::task<result<std::vector<message_record>>> read_messages(core::job_key job) = 0;
    // `missing` when there is no such message.
    virtual net::task<result<message_content>> read_message(core::message_id id) = 0;
    // Waits for what has been begun, then tidies up; commits asked for later fail with `closed`.
    virtual net::task<> close() = 0;

    struct stats {
        std::uint64_t commits = 0; // transactions
        std::uint64_t writes = 0;  // calls of commit()
        std::uint64_t failures = 0;
        duration commit_time{}; // sum
        duration longest_commit{};
        std::uint64_t bytes = 0;  // of the database and its log
        std::string last_failure; // for people; empty when there was none
        std::string trouble; // why jobs cannot be kept now; empty when the last commit went well
    };
    virtual const stats& counters() const = 0;
};

class file_system;

struct sqlite_options {
    std::string vfs; // empty: SQLite's own; tests give one that fails
    std::uint64_t ballast = std::uint64_t{8} << 20; // bytes kept free for ends of jobs; 0: none
    std::size_t checkpoint_pages = 1000; // of log, before they are carried into the database
    file_system* files = nullptr;        // for the ballast; nullptr: the system's
};

// SQLite with WAL and synchronous=FULL, one connection on a lane of its own, which must have one
// thread (or none, in tests). Everything that arrives while a commit is on its way goes into the
// next one. Throws std::runtime_error, saying what to do, when the file cannot be opened, is
// damaged, or is from a newer version.
std::unique_ptr<journal> open_sqlite(const std::string& file, net::lane& lane,
                                     const sqlite_options& options = {});

} // namespace gateway::store

template <>
struct boost::system::is_error_code_enum<gateway::store::journal_errc> : std::true_type {};
