#pragma once

// What operators and orchestrators ask: probes, metrics, documents. Everything is answered from
// memory: a WebUI that is down never makes a probe wait (peers.md §5.5).

#include "api/metrics.hpp"
#include "api/route.hpp"
#include "config/settings.hpp"

namespace gateway::api {

// One thing that must be well before jobs can be accepted and kept.
struct check {
    std::string name;                     // "disk"
    std::function<std::string()> trouble; // empty: all is well. Answers at once.
};

class ops {
public:
    // All of it outlives the door.
    struct parts {
        const jobs::jobs& jobs;
        const core::backends_port& backends;
        const config::settings& settings;
        const api::metrics& metrics;
        std::vector<check> checks; // of the disk and the like, for /readyz
    };

    explicit ops(parts with);

    std::vector<route> routes();
    // What a load balancer on a port of its own may see: whether we live and can work.
    std::vector<route> health_routes();
    // From now on /readyz says that no more jobs are taken.
    void draining() { draining_ = true; }

private:
    // Name and trouble, as a check has found it.
    using findings = std::vector<std::pair<std::string, std::string>>;
    static net::response tell(const findings& found, bool verbose);

    std::vector<route> with_health_path(std::vector<route> all);
    net::response readyz(const call& c) const;
    net::response ready() const;
    net::response ping() const;
    std::string trouble_with_queue() const;

    parts with_;
    bool draining_ = false;
};

} // namespace gateway::api
