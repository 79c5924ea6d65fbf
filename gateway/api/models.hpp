#pragma once

// The door to the model library: what is there, what is on its way, and what operators ask of it.
// Everything is answered from memory; what is asked for is done soon (core::library_port).

#include "api/route.hpp"
#include "config/settings.hpp"
#include "core/ports.hpp"
#include "proto/problem.hpp"

namespace gateway::api {

class models {
public:
    // All of it outlives the door. Without a library there are no routes.
    struct parts {
        core::library_port* library = nullptr;
        net::versions* changes = nullptr; // of the library; moves on with every change of state
        net::time_source& time;
        const config::settings& settings;
    };

    explicit models(parts with) : with_(with) {}

    std::vector<route> routes();
    // Streams of events end within a second.
    void draining() { *holding_ = false; }

private:
    struct named {
        core::model_kind kind = core::model_kind::checkpoint;
        std::string name;
    };
    proto::parsed<named> name_of(const call& c) const;
    static net::response problem(const call& c, const proto::problem& what);
    net::response show(const call& c, const named& file, int status = 200) const;

    net::response list(const call& c) const;
    net::response get(const call& c) const;
    net::response pull(const call& c) const;
    net::task<net::response> remove(call c);
    net::response pin(const call& c, bool on) const;
    net::response events(const call& c) const;

    parts with_;
    std::shared_ptr<bool> holding_ = std::make_shared<bool>(true);
};

} // namespace gateway::api
