#pragma once

// What happened to a job, told from the rows that the journal keeps of it anyway.

#include "core/job.hpp"
#include "core/retry.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::core {

struct attempt_record {
    std::uint32_t attempt = 0;
    std::string backend; // its name
    wall_time started{};
    std::optional<outcome> ended; // nothing: it was running
    wall_time ended_at{};         // unset: it runs, or an older version wrote it
    std::string reason;           // why it ended, for people; empty when all went well
};

// A client's /retry: what had become of the job until then.
struct retry_record {
    std::uint32_t attempt = 0; // the last one before; 0: there was none
    job_state state = job_state::failed;
    wall_time ended{};
    std::string error;
    wall_time queued{}; // when it was asked for
};

// All that happened to one job, oldest first.
struct job_history {
    std::vector<attempt_record> attempts;
    std::vector<retry_record> retries;
};

// One entry of a job's log. What does not apply is left empty.
struct job_event {
    enum class kind : std::uint8_t {
        queued,    // submitted, or retried by a client
        started,   // an attempt began
        waiting,   // an attempt ended and the job waits for the next one
        completed, // and the other final states
        failed,
        cancelled,
        timed_out,
    };
    kind what = kind::queued;
    wall_time at{};
    std::uint32_t attempt = 0;
    std::string backend;
    std::optional<outcome> ended; // of the attempt
    std::string reason;           // why it ended, or why the job did
};

std::string_view to_text(job_event::kind what); // "queued", …
constexpr bool is_final(job_event::kind what) { return what >= job_event::kind::completed; }

// Whether what was read from the journal and what is in memory are of the same moment; else look
// again once the job has changed.
bool agrees(const job_history& past, const job& j);
// Oldest first. The log only grows: an entry's place in it never changes while the job is kept.
std::vector<job_event> events_of(const job& j, const job_history& past, std::string_view error);

} // namespace gateway::core
