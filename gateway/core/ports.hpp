#pragma once

// The few calls that the doors make on those who do the work. Implemented in work/, called from
// api/; neither side sees the other. Answers come from state already in memory.

#include "base/time.hpp"
#include "core/job.hpp"

#include <cstdint>
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
    std::uint64_t bytes = 0;
    std::uint64_t downloads_active = 0;
    std::uint64_t downloads_done = 0;
    std::uint64_t downloads_failed = 0;
    std::uint64_t downloaded_bytes = 0;
};

// Why a job still waits for its files: one of them, and how far it is.
struct model_wait {
    std::string file;
    std::uint64_t bytes = 0;
    std::uint64_t total = 0; // 0: unknown
    double bytes_per_second = 0;
};

class models_port {
public:
    virtual ~models_port() = default;
    virtual model_counts models() const = 0;
    // Nothing is missing: an empty list.
    virtual std::vector<model_wait> missing(set_id models) const = 0;
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
