#pragma once

// /metrics: the counters that the parts keep anyway, under the names of peers.md §5.6.

#include "api/http_times.hpp"
#include "core/ports.hpp"
#include "jobs/jobs.hpp"
#include "net/loop.hpp"
#include "net/server.hpp"

#include <prometheus/collectable.h>

namespace gateway::api {

class metrics final : public prometheus::Collectable {
public:
    // All of it outlives the collector. What is null is left out.
    struct parts {
        const jobs::jobs& jobs;
        const core::backends_port& backends;
        const core::models_port* models = nullptr;
        const store::journal* journal = nullptr;
        const store::spool* spool = nullptr;
        const store::health* health = nullptr;
        const net::time_source& time;
        std::function<const net::loop_stats*()> loop;
        // Of the server and the router, which are made after this.
        std::function<const net::server::stats*()> server;
        std::function<const http_times*()> requests;
        const core::webhooks_port* webhooks = nullptr;
    };

    explicit metrics(parts from) : from_(std::move(from)) {}

    std::vector<prometheus::MetricFamily> Collect() const override;
    std::string text() const;

private:
    parts from_;
};

} // namespace gateway::api
