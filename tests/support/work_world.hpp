#pragma once

// The working side of the gateway over a fake network: jobs with commits that take their time, a
// fleet of WebUIs, and the HTTP client they share.

#include "support/fake_net.hpp"
#include "support/jobs_world.hpp"
#include "support/scripted_webui.hpp"
#include "work/fleet.hpp"

#include <optional>

namespace gateway::test {

// Numbers that a library would have.
struct fixed_models final : core::models_port {
    core::model_counts counts;
    fixed_models()
    {
        counts.checkpoints = 2;
        counts.loras = 1;
        counts.bytes = 3 * 1024 * 1024;
    }
    core::model_counts models() const override { return counts; }
    std::vector<core::model_wait> missing(core::set_id) const override { return {}; }
};

// Awaits for a test and keeps what came.
template <class T> net::task<> keep(net::task<T> from, std::optional<T>& into)
{
    auto value = co_await std::move(from);
    into.emplace(std::move(value));
}

struct work_world : jobs_world {
    static constexpr const char* first_webui = "http://webui:7860";

    work_world();
    ~work_world();

    // The fleet as configured so far begins to work.
    void begin();
    // A hard stop, as at the end of a drain.
    void stop();
    // The same until every WebUI is ready (or a minute has passed).
    void begin_ready();

    // Lets virtual time pass, from event to event.
    void pass(duration d);
    // Runs until the job is in a final state; a failure says where it was.
    void finish(const core::job& job, duration limit = std::chrono::minutes(30));
    bool is_over(const core::job& job) const;
    std::string error_of(const core::job& job) const;
    std::string result_of(const core::job& job);
    core::backend_status status(std::size_t backend = 0) const;
    bool is_ready(std::size_t backend = 0) const { return status(backend).ready; }
    std::size_t spooled() const; // files

    template <class T> T get(net::task<T> work, duration limit = std::chrono::minutes(10))
    {
        std::optional<T> got;
        start(keep(std::move(work), got));
        run_until([&] { return got.has_value(); }, limit);
        return std::move(got.value());
    }

    net::deadline_wheel wheel{ex(), time};
    fake_net wires{*this};
    net::client http{wires, time, wheel};
    scripted_webui webui{*this, wires.at(first_webui)};
    fixed_models models;

    // What the fleet is told of models; a test may put a real library here.
    core::models_port* library = &models;
    std::function<bool(const core::model_ref&)> waived, doubtful;
    std::function<void(const core::model_set&)> used;

    std::vector<work::backend_driver::options> backends;
    work::runner::options running;
    std::optional<work::fleet> fleet;

protected:
    net::task_group group_{ex()}; // what stop() stops
};

} // namespace gateway::test
