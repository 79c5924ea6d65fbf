#pragma once

// All the doors behind one service: what the program gives to net::server.

#include "api/deliveries.hpp"
#include "api/models.hpp"
#include "api/native.hpp"
#include "api/ops.hpp"
#include "api/router.hpp"
#include "api/runpod.hpp"

namespace gateway::api {

class doors {
public:
    // All of it outlives the doors. `checks` go into /readyz.
    struct parts {
        jobs::jobs& jobs;
        const core::backends_port& backends;
        const core::models_port* models = nullptr;
        const store::journal* journal = nullptr;
        const store::spool* spool = nullptr;
        const store::health* health = nullptr;
        net::time_source& time;
        net::lane& parsing; // where large requests are read
        const config::settings& settings;
        random_source& random; // for request ids
        std::vector<check> checks;
        std::function<const net::loop_stats*()> loop; // for /metrics
        const core::webhooks_port* webhooks = nullptr;
        core::library_port* library = nullptr; // without one there is no /api/v1/models
        net::versions* library_changes = nullptr;
    };

    explicit doors(parts with);
    doors(const doors&) = delete;
    doors& operator=(const doors&) = delete;

    api::router& service() { return router_; }
    // For a port of its own: health, and nothing that needs a key.
    api::router& health() { return health_; }
    // Makes `server` tell how long its requests take, and /metrics how it is.
    void watch(net::server& server);
    // Before the server drains: held answers go out within a second, /readyz says no.
    void drain();

private:
    const net::server* server_ = nullptr;
    metrics metrics_;
    intake intake_;
    runpod runpod_;
    native native_;
    deliveries deliveries_;
    ops ops_;
    models models_;
    api::router router_;
    api::router health_;
};

} // namespace gateway::api
