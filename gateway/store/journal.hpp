#pragma once

// What must survive: jobs, their inputs and attempts, and what became of them. A write is a list of
// operations that take effect together; it is durable when commit() returns, or it has not
// happened.

#include "core/job.hpp"
#include "core/retry.hpp"
#include "net/async.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace gateway::store {

// Where a finished job's result lies.
struct result_record {
    std::string file;         // name within the spool
    std::uint64_t size = 0;   // bytes in that file
    std::uint64_t splice = 0; // offset where `extra` goes in
    std::string extra;        // text spliced into the reply (cache_info)
    std::string index;        // opaque to the store: where the images lie
};

struct attempt_record {
    std::uint32_t attempt = 0;
    std::string backend; // its name
    wall_time started{};
    std::optional<core::outcome> ended; // nothing: it was running
};

// One job as replay() returns it: everything but the input.
struct job_record {
    core::job job; // job.models is set by replay() from `files`
    core::model_set files;
    std::string webhook;
    std::string error;                    // of failed jobs
    std::optional<result_record> result;  // of completed ones
    std::vector<attempt_record> attempts; // oldest first; since the client's last /retry
};

// --- operations ---

struct insert_job {
    core::job job;
    core::model_set files;
    std::string input; // JSON text
    std::string webhook;
};
// The attempt and the job's new state, before the first byte of the POST.
struct begin_attempt {
    core::fence fence;
    std::string backend;
    wall_time started{};
    std::uint16_t retries = 0;
};
// The attempt has ended and the job waits again.
struct requeue_job {
    core::fence fence;
    core::outcome ended = core::outcome::done;
};
// The job has ended. With a fence of attempt 0 it ended while waiting. The row must still be in the
// state that allows it, else the whole write fails with journal_errc::conflict.
struct finish_job {
    core::fence fence;
    core::job_state state = core::job_state::failed;
    core::outcome ended = core::outcome::done; // of its last attempt
    wall_time when{};
    std::string error;
    std::optional<result_record> result;
};
// A client's /retry: waits again, attempts and result forgotten; the fence goes on counting.
struct restart_job {
    core::job_key job = 0;
    wall_time queued{};
};
struct erase_job {
    core::job_key job = 0;
};

using operation =
    std::variant<insert_job, begin_attempt, requeue_job, finish_job, restart_job, erase_job>;
using write = std::vector<operation>;

enum class journal_errc {
    conflict = 1, // a row was not in the state the operation asks for; nothing was changed
    unknown,      // an I/O error at COMMIT: whether it happened is not known until read back
    io,           // it did not happen
    full,         // no space; it did not happen
    corrupt,      // the database is damaged
    closed,       // the journal has been closed
};
const boost::system::error_category& journal_category();
error_code make_error_code(journal_errc e);

class journal {
public:
    virtual ~journal() = default;
    // Keys are handed out here so that they need no round trip; they grow and are never reused.
    virtual core::job_key next_key() = 0;
    // Durable and visible when it returns without error.
    virtual net::task<error_code> commit(write w) = 0;
    virtual net::task<result<std::string>> read_input(core::job_key job) = 0;
    // Everything kept, in key order; asked for once, before the first commit.
    virtual net::task<result<std::vector<job_record>>> replay() = 0;

    struct stats {
        std::uint64_t commits = 0; // transactions
        std::uint64_t writes = 0;  // calls of commit()
        std::uint64_t failures = 0;
        duration commit_time{}; // sum
        duration longest_commit{};
        std::uint64_t bytes = 0; // of the database and its log
    };
    virtual const stats& counters() const = 0;
};

// SQLite with WAL and synchronous=FULL, one connection on a lane of its own. Everything that
// arrives while a commit is on its way goes into the next one. Throws std::runtime_error, saying
// what to do, when the file cannot be opened, is damaged, or is from a newer version.
std::unique_ptr<journal> open_sqlite(const std::string& file, net::lane& lane);

} // namespace gateway::store

template <>
struct boost::system::is_error_code_enum<gateway::store::journal_errc> : std::true_type {};
