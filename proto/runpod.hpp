#pragma once

// The RunPod job API: what clients send and every body they get back (runpod.md §1). Keys are
// sorted and absent rather than null; outputs are spliced in as text and never parsed again.

#include "core/job.hpp"
#include "proto/job_id.hpp"
#include "proto/problem.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace gateway::proto {

// --- What clients send ---------------------------------------------------------------------------

struct policy_limits {
    core::job_policy defaults;
    std::chrono::milliseconds least_execution{5'000};
    std::chrono::milliseconds most_execution{604'800'000};
    std::chrono::milliseconds least_ttl{10'000};
    std::chrono::milliseconds most_ttl{604'800'000};
};

struct run_request {
    std::string input;   // a JSON object, compact
    std::string webhook; // empty: none
    core::job_policy policy;
    std::string s3_config;   // a JSON object with secrets in it, never echoed; empty: none
    std::string policy_text; // `policy` as it was sent; empty: none
    std::optional<std::string> idempotency_key; // only in a line of a batch
};

// `webhookV2` and anything unknown is dropped (runpod.md §1.3). Out-of-range times are clamped,
// wrong types are a problem.
parsed<run_request> parse_run_request(std::string_view body, const policy_limits& limits = {});
// The same with `idempotency_key` beside `input`.
parsed<run_request> parse_batch_line(std::string_view line, const policy_limits& limits = {});

// `wait` and `ttl` of a query string, in ms: clamped; not a number is a problem.
parsed<std::chrono::milliseconds> parse_wait(std::string_view text);       // 1000…300000
parsed<std::chrono::milliseconds> parse_result_ttl(std::string_view text); // 0…7 days

// --- What they get back --------------------------------------------------------------------------

// One job as a client sees it. Fields that its state does not show are left out by the writers,
// whatever they hold (runpod.md §1.6).
struct job_view {
    std::string id;
    core::job_state state = core::job_state::in_queue;
    std::chrono::milliseconds delay_time{};
    std::chrono::milliseconds execution_time{};
    std::string worker_id; // empty: never dispatched
    std::uint32_t retries = 0;
    std::string error;
    bool has_output = false;
};

// The two texts around an output that is streamed from somewhere else.
struct frame {
    std::string head;
    std::string tail;
};

// `output` is JSON; it is left out when view.has_output is false.
std::string job_body(const job_view& view, std::string_view output = {});
frame job_frame(const job_view& view);

// The same with `input` and `webhook` echoed (runpod.md §1.9). `input` is JSON.
std::string webhook_body(const job_view& view, std::string_view input, std::string_view webhook,
                         std::string_view output = {});
frame webhook_frame(const job_view& view, std::string_view input, std::string_view webhook);

// {"id":…,"status":…}: the reply to run, cancel and retry.
std::string id_status_body(std::string_view id, core::job_state state);
std::string purge_body(std::uint64_t removed);

struct health_counts {
    std::uint64_t completed = 0, failed = 0, in_progress = 0, in_queue = 0, retried = 0; // jobs
    std::uint64_t idle = 0, initializing = 0, ready = 0, running = 0, throttled = 0,
                  unhealthy = 0; // workers
};
std::string health_body(const health_counts& counts);

// Each item is the JSON of one `output`. `error` is for FAILED and TIMED_OUT.
std::string stream_body(core::job_state state, std::span<const std::string> outputs,
                        std::string_view error = {});

// `output` of a running job and item of /stream (decisions.md 13).
struct progress_view {
    double progress = 0; // 0…1
    std::string_view phase;
    std::optional<double> eta_seconds; // absent when unknown
};
std::string progress_object(const progress_view& view);

// What a caller of the plain handler form gets when a job fails (handler.md §3.8).
std::string handler_failure_body(std::string_view reason);

} // namespace gateway::proto
