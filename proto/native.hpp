#pragma once

// The bodies of the native API (peers.md §5.1, §5.8, §5.9): snake_case, times in RFC 3339, absent
// rather than null.

#include "core/history.hpp"
#include "core/ports.hpp"
#include "core/progress.hpp"
#include "proto/problem.hpp"
#include "proto/result_scan.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

constexpr std::string_view native_jobs = "/api/v1/jobs";

// "/api/v1/jobs/ID"
std::string job_url(std::string_view id);

// What a job waits for.
struct job_wait {
    std::string_view code; // "models", "backend", "turn"
    std::string reason;    // for people
    std::vector<core::model_wait> models;
};

// One job as the native API shows it. `job` must be there; the rest is left out when empty.
struct native_job {
    std::string id;
    const core::job* job = nullptr;
    wall_time now{};
    std::string_view backend;
    const core::progress_view* progress = nullptr;
    std::string_view error;
    bool has_result = false;
    std::optional<job_wait> waiting;
    const core::model_set* models = nullptr;
    const core::job_history* past = nullptr; // shown as `attempts`
    std::vector<image_place> images;
};
void append_native_job(std::string& out, const native_job& job);

// {"id":…,"status":"IN_QUEUE","status_url":…}: the answer to a new job; it is the same for the same
// Idempotency-Key whatever has become of the job.
std::string accepted_body(std::string_view id);

// One line of a batch's answer, with its line break.
void append_batch_line(std::string& out, std::uint64_t line, std::string_view id, bool replayed);
void append_batch_line(std::string& out, std::uint64_t line, const problem& what);

// One entry of a job's log. `number` counts from 1.
std::string event_object(std::string_view id, std::uint64_t number, const core::job_event& event);
std::string events_body(std::string_view id, std::span<const core::job_event> events);
// What a stream of events says beside the log.
std::string progress_event(const core::progress_view& progress, std::uint32_t attempt,
                           std::string_view backend);

// --- What clients ask for ------------------------------------------------------------------------

struct job_filter {
    std::vector<core::job_state> states; // empty: all
    std::optional<wall_time> since;      // submitted then or later
    std::optional<wall_time> until;      // submitted before
    std::string backend;                 // of the current or last attempt
    std::optional<bool> sync;

    bool takes(const core::job& job, std::string_view backend_name) const;
};

// "IN_QUEUE,FAILED", in any case.
parsed<std::vector<core::job_state>> parse_states(std::string_view text);
// RFC 3339: "2026-01-02T07:45:12Z", with a fraction and any offset.
parsed<wall_time> parse_rfc3339(std::string_view name, std::string_view text);
parsed<bool> parse_flag(std::string_view name, std::string_view text);
parsed<std::size_t> parse_limit(std::string_view text, std::size_t most);

} // namespace gateway::proto
