#pragma once

// All the WebUIs together: a driver and a runner for each, what the doors may know of them, and
// what concerns them all.

#include "core/ports.hpp"
#include "jobs/jobs.hpp"
#include "work/backend_driver.hpp"
#include "work/runner.hpp"

#include <memory>
#include <vector>

namespace gateway::work {

class fleet final : public core::backends_port {
public:
    struct parts {
        net::client& http;
        net::dialer& dialer;
        net::time_source& time;
        net::lane& disk;
        jobs::jobs& jobs;
        store::spool& spool;
        const core::models_port& models;
        std::function<bool(const core::model_ref&)> waived;    // backend_driver::parts
        std::function<bool(const core::model_ref&)> doubtful;  // the same
        std::function<void(const core::model_set&)> used = {}; // runner::parts
    };

    // Throws std::invalid_argument when a URL is wrong.
    fleet(net::executor ex, parts uses, std::vector<backend_driver::options> backends,
          runner::options running);

    // Probes and runs jobs until it is cancelled.
    net::task<> run();
    // The grace of a drain is over: running jobs are interrupted and handed back to the queue.
    void hand_back() { stopping_.open(); }
    // Whether every WebUI has been given up on (webui.exit_when_unready).
    bool hopeless() const;
    net::versions& changes() { return changes_; }

    void files_arrived(bool checkpoints, bool loras);
    // How often WebUIs have looked into their folders, all together.
    std::uint64_t looks() const;
    // Whether any WebUI that is up lists this file by itself.
    bool lists(const core::model_ref& file) const;

    // The names of those that do.
    std::vector<std::string> listed_by(const core::model_ref& file) const;
    // The checkpoints that are loaded, as the WebUIs name them and as far as known.
    std::vector<std::string> loaded() const;

    // Whether one WebUI's lists are known.
    bool anyone_ready() const;

    std::vector<core::backend_status> backends() const override;

private:
    net::task<> watch();
    net::task<> fail_unauthorized();
    bool all_unauthorized() const;

    jobs::jobs& jobs_;
    net::time_source& time_;
    net::gate stopping_;
    net::versions changes_;
    std::vector<std::unique_ptr<backend_driver>> drivers_;
    std::vector<std::unique_ptr<runner>> runners_;
};

} // namespace gateway::work
