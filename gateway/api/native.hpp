#pragma once

// The native API below /api/v1/jobs: submit, list, look, result, single pictures, cancel, retry,
// delete, what happened to a job, and many jobs at once. Keeps nothing of its own.

#include "api/intake.hpp"
#include "api/route.hpp"
#include "core/ports.hpp"
#include "proto/native.hpp"

#include <memory>

namespace gateway::api {

class native {
public:
    // All of it outlives the door.
    struct parts {
        jobs::jobs& jobs;
        const api::intake& intake;
        const core::backends_port& backends;
        const core::models_port* models;
        net::time_source& time;
        const config::settings& settings;
    };

    explicit native(parts with);

    std::vector<route> routes();
    // From now on streams of events and batches end.
    void release_held() { *open_ = false; }

private:
    struct found {
        std::string id;
        core::job_key key = 0;
        jobs::view view; // good until the next await
    };
    std::optional<found> find(std::string_view id) const;
    proto::native_job shown(const found& job) const;
    proto::native_job shown(std::string id, const jobs::view& view) const;
    std::optional<proto::job_wait> wait_of(const core::job& job) const;

    net::task<net::response> submit(call c);
    net::task<net::response> batch(call c);
    net::task<net::response> list(call c);
    net::task<net::response> get(call c);
    net::task<net::response> result(call c);
    net::task<net::response> image(call c);
    net::task<net::response> cancel(call c);
    net::task<net::response> retry(call c);
    net::task<net::response> remove(call c);
    net::task<net::response> events(call c);

    net::task<net::response> describe(std::string id, std::string_view path);
    net::task<std::optional<net::response>> stop_first(call c, core::job_key key);
    net::task<std::optional<net::response>> no_result(call c);

    parts with_;
    std::shared_ptr<bool> open_ = std::make_shared<bool>(true);
};

} // namespace gateway::api
