#pragma once

// What a RunPod worker and the queue say to each other: take, done, stream, stop and ping, both
// ends of each (runpod.md §4). Our worker writes what the SDK writes; our queue reads what the SDK
// sends, whatever its content type claims.

#include "proto/problem.hpp"
#include "proto/runpod.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

// --- URLs of the worker --------------------------------------------------------------------------

// The templates as RunPod gives them in RUNPOD_WEBHOOK_GET_JOB and so on; `done` also carries
// errors and progress. Both tokens, $RUNPOD_POD_ID and $ID, may stand in any of them; $ID is the
// worker in `take` and `ping` and the job in `done` and `stream` (runpod.md §4.1).
struct worker_templates {
    std::string take;
    std::string done;
    std::string stream;
    std::string ping; // empty: none are sent
};

class worker_urls {
public:
    worker_urls(worker_templates templates, std::string worker_id)
        : templates_(std::move(templates)), worker_(std::move(worker_id))
    {
    }

    // For one job, or for up to `wanted` through the batch form. `busy`: some job is in progress.
    std::string take(std::size_t wanted, bool busy) const;
    // Empty when the take template has no `/job-take/` to replace: then there is no such call.
    std::string stop() const;
    std::string done(std::string_view job, bool is_stream = false) const;
    std::string stream(std::string_view job) const;
    // `jobs` are those in progress.
    std::string ping(std::span<const std::string> jobs, std::string_view version) const;
    std::string ping_unhealthy(std::string_view check, std::string_view reason,
                               std::string_view version) const;

private:
    worker_templates templates_;
    std::string worker_;
};

// --- What the worker is told ---------------------------------------------------------------------

struct taken_job {
    std::string id;
    std::string input;   // JSON text; {} when it was left out, as the platform does with empty ones
    std::string webhook; // empty: none
    std::string batch_id;
};

struct take_answer {
    std::vector<taken_job> jobs;
    // What was wrong with each element that is not a job; those after it are taken all the same.
    std::vector<std::string> refused;
};
// Of a 200: one job, or an array of them. Nothing at all (an empty body, or one that is not JSON
// by its content type) is an answer without jobs.
parsed<take_answer> parse_take_answer(std::string_view content_type, std::string_view body);

// The ids of `{"jobsToStop":[…]}`.
parsed<std::vector<std::string>> parse_stop_answer(std::string_view body);

// --- What the worker posts -----------------------------------------------------------------------

// The largest body of job-done that the platform takes (runpod.md §1.4).
constexpr std::uint64_t max_worker_result = 20'000'000;

// Around an output that is streamed: {"output": …}. `stop_pod` asks for a fresh worker.
frame done_frame(bool stop_pod = false);
std::string done_output(std::string_view output, bool stop_pod = false); // `output` is JSON
std::string done_error(std::string_view error, bool stop_pod = false);
std::string done_progress(std::string_view output);

// Who failed, as the SDK describes it inside the text of an error.
struct worker_identity {
    std::string hostname;
    std::string worker_id;
    std::string version;
};
// {"error_type": …, "error_message": …, …} as text, for done_error().
std::string error_text(std::string_view type, std::string_view message, const worker_identity& who);

// --- What the queue is told ----------------------------------------------------------------------

enum class worker_report : std::uint8_t {
    progress,  // `output` is the progress
    completed, // with `output`, or without any
    failed,    // `error`, and perhaps `output`
};

struct done_request {
    worker_report kind = worker_report::completed;
    std::string output; // JSON; empty: none was sent
    std::string error;  // a text; what was no text is turned into one (runpod.md §7 no. 8)
    bool stop_pod = false;
};
parsed<done_request> parse_done(std::string_view body);

// The output of a job-stream chunk.
parsed<std::string> parse_stream_chunk(std::string_view body);

// A path segment as the SDK sends it, with a query glued to it when the template had no `?`:
// `id&isStream=false`.
struct glued_segment {
    std::string id;
    std::string query; // without the `&`
};
glued_segment split_glued(std::string_view segment);

// The reply to job-take: one job, or an array of them. `input` is always there, even when empty
// (runpod.md §1.8).
std::string taken_body(const taken_job& job);
std::string taken_batch_body(std::span<const taken_job> jobs);
std::string stop_body(std::span<const std::string> jobs);

} // namespace gateway::proto
