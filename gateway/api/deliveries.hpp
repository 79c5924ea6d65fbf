#pragma once

// The native API's look at webhooks: what a job's webhook was told and what it said, and telling it
// again.

#include "api/route.hpp"
#include "config/settings.hpp"
#include "jobs/jobs.hpp"

namespace gateway::api {

class deliveries {
public:
    // All of it outlives the door.
    struct parts {
        jobs::jobs& jobs;
        const config::settings& settings;
    };

    explicit deliveries(parts with) : with_(with) {}

    std::vector<route> routes();

private:
    net::task<net::response> log(call c);
    net::task<net::response> redeliver(call c);

    parts with_;
};

} // namespace gateway::api
