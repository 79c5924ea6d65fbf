#pragma once

// The few calls that the doors make on those who do the work. Implemented in work/, called from
// api/; neither side sees the other. Answers come from state already in memory.

#include "base/time.hpp"
#include "core/job.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gateway::core {

// One WebUI, as /health, /readyz, /metrics and the logs show it.
struct backend_status {
    std::string name;       // "webui-0"
    std::string url;        // without credentials
    std::string state;      // "down", "settling", … "ready" (core/backend)
    std::string reason;     // why it is in that state, for people
    std::string dialect;    // empty while unknown
    std::string checkpoint; // loaded now, as far as known
    bool ready = false;
    bool initializing = false; // on its way up, as opposed to broken
    std::uint64_t epoch = 0;
    std::uint64_t restarts = 0; // epochs lost
    std::uint64_t jobs = 0;     // attempts ended
    std::uint64_t swaps = 0;    // checkpoints loaded for a job
    duration busy{};            // sum over attempts
    job_key running = 0;        // 0: none
};

class backends_port {
public:
    virtual ~backends_port() = default;
    virtual std::vector<backend_status> backends() const = 0;
};

// The model library in numbers.
struct model_counts {
    std::uint64_t checkpoints = 0;
    std::uint64_t loras = 0;
    std::uint64_t embeddings = 0;
    std::uint64_t vaes = 0;
    std::uint64_t bytes = 0; // names that share their bytes count once
    std::uint64_t downloads_active = 0;
    std::uint64_t downloads_done = 0;
    std::uint64_t downloads_failed = 0;
    std::uint64_t downloads_cancelled = 0; // nobody wanted them any more
    std::uint64_t files_shared = 0;        // further names for bytes that were there already
    std::map<std::string, std::uint64_t> downloaded_bytes; // by "huggingface", "civitai", "other"
    std::vector<std::uint64_t> download_seconds; // histogram; one more than download_bounds
    double download_seconds_sum = 0;
    std::map<std::string, std::uint64_t>
        evictions; // by reason: "unused", "disk", "budget", "asked"
    std::uint64_t evicted_bytes = 0;
};
constexpr std::array<double, 8> download_bounds{1, 5, 15, 60, 180, 600, 1800, 7200};

// Why a job still waits for its files: one of them, and how far it is.
struct model_wait {
    std::string file;
    std::uint64_t bytes = 0;
    std::uint64_t total = 0; // 0: unknown
    double bytes_per_second = 0;
    std::string state; // of its file, as in model_status

    std::optional<double> eta_seconds() const; // nothing while it cannot be known
};

class models_port {
public:
    virtual ~models_port() = default;
    virtual model_counts models() const = 0;
    // Nothing is missing: an empty list.
    virtual std::vector<model_wait> missing(set_id models) const = 0;
};

// One model file, there or not, as /api/v1/models shows it.
struct model_status {
    model_kind kind = model_kind::checkpoint;
    std::string name;
    // "queued", "elsewhere" (another gateway fetches it), "fetching", "verifying", "present",
    // "removing", "failed"
    std::string state;
    std::string reason; // of a failure, for people
    std::string path;   // empty while it is not there
    std::string source; // URL without secrets; empty: somebody put it there
    std::string sha256; // empty: not known
    std::uint64_t size = 0;
    std::uint64_t uses = 0;
    wall_time downloaded{}; // unset: not known; last_used: never
    wall_time last_used{};
    bool pinned = false;
    bool ours = false;                  // fetched or adopted: may be deleted when room is needed
    bool needed = false;                // by a job that waits or runs, or loaded now
    std::vector<std::string> listed_by; // backends
    model_wait progress;                // while it is on its way
};

// What an operator may ask of the library. It is done soon, not at once.
class library_port {
public:
    enum class answer : std::uint8_t {
        done,    // or will be
        unknown, // no such file
        refused, // `reason` says why
    };
    struct reply {
        answer what = answer::done;
        std::string reason;
    };

    virtual ~library_port() = default;
    // In order of kind and name.
    virtual std::vector<model_status> files() const = 0;
    virtual std::optional<model_status> file(model_kind kind, const std::string& name) const = 0;
    // Fetches it, though no job needs it; a failure that is remembered is forgotten.
    virtual reply pull(const model_ref& file) = 0;
    // Deletes it, or stops fetching it.
    virtual reply remove(model_kind kind, const std::string& name) = 0;
    virtual reply pin(model_kind kind, const std::string& name, bool on) = 0;
};

// Webhooks in numbers.
struct webhook_counts {
    std::uint64_t delivered = 0;
    std::uint64_t failed_tries = 0; // that are followed by another one
    std::uint64_t given_up = 0;
    std::uint64_t gone = 0; // the receiver wants no more of them
    std::uint64_t pending = 0;
    std::uint64_t under_way = 0;
    std::uint64_t open_breakers = 0; // receivers out of service
    duration oldest_pending{};       // since its job ended
};

class webhooks_port {
public:
    virtual ~webhooks_port() = default;
    virtual webhook_counts counts() const = 0;
};

} // namespace gateway::core
