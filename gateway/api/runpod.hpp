#pragma once

// RunPod's job API: run, runsync, status, status-sync, stream, cancel, retry, purge-queue, health
// (runpod.md §1, §8). Reads requests, asks jobs, writes answers; keeps nothing of its own.

#include "api/intake.hpp"
#include "core/ports.hpp"

namespace gateway::api {

class runpod {
public:
    // All of it outlives the door.
    struct parts {
        jobs::jobs& jobs;
        const api::intake& intake;
        const core::backends_port& backends;
        net::time_source& time;
        const config::settings& settings;
    };

    explicit runpod(parts with);

    std::vector<route> routes();
    // From now on no answer is held: clients get the state so far within a second.
    void release_held() { holding_ = false; }

private:
    // A job that a client may see: its id was right. Good until the next await.
    struct found {
        proto::job_ref ref;
        jobs::view view;
    };
    std::optional<found> find(std::string_view id) const;

    net::task<net::response> run(call c);
    net::task<net::response> runsync(call c);
    std::optional<net::response> status_now(const call& c);
    net::task<net::response> status(call c);
    net::task<net::response> status_sync(call c);
    net::task<net::response> stream(call c);
    net::task<net::response> cancel(call c);
    net::task<net::response> retry(call c);
    net::task<net::response> purge(call c);
    net::response health() const;

    net::task<net::response> hold(call c, std::string id, std::chrono::milliseconds wait);
    net::task<bool> look_again(call c, core::job_key key, std::uint64_t seen, steady_time until);
    net::task<net::response> show(std::string id);
    net::response stream_answer(const call& c, const found& job);

    parts with_;
    bool holding_ = true;
};

} // namespace gateway::api
