#pragma once

// Carries jobs to one WebUI, one at a time, each from its lease to its end: builds the request,
// drives the attempt (core/attempt), and hands result or failure back to jobs.

#include "core/attempt.hpp"
#include "core/ports.hpp"
#include "jobs/jobs.hpp"
#include "proto/webui.hpp"
#include "store/spool.hpp"
#include "work/backend_driver.hpp"

namespace gateway::work {

class runner {
public:
    struct options {
        core::attempt_limits limits;
        proto::input_rules rules;
    };
    struct parts {
        jobs::jobs& jobs;
        store::spool& spool;
        net::time_source& time;
        const core::models_port& models; // for cache_info
        net::gate&
            stopping; // opens when the grace of a drain is over: running jobs are handed back
        std::function<void(const core::model_set&)> used = {}; // a job goes out that names these
    };

    runner(backend_driver& backend, parts uses, options chosen);

    // Until intake stops or it is cancelled.
    net::task<> run();

private:
    struct order;
    struct run_state;

    net::task<> carry(jobs::lease lease);
    std::optional<order> prepare(const jobs::lease& lease, std::string& why) const;
    std::optional<std::string> resolve(const jobs::lease& lease, const core::model_ref& file,
                                       std::string& why) const;
    net::task<core::attempt_end> drive(run_state& state);
    net::task<> act(run_state& state, core::attempt_action what);
    net::task<> conclude(run_state& state, core::attempt_end end);
    static net::task<> post_job(runner& self, run_state& state);
    static net::task<> read_progress(backend_driver& backend, run_state& state);
    static net::task<> hear_stop(std::shared_ptr<net::gate> asked, run_state& state);
    static net::task<> hear_shutdown(net::gate& stopping, run_state& state);
    static net::task<> follow_probe(backend_driver& backend, run_state& state);

    backend_driver& backend_;
    parts uses_;
    options options_;
    bool stopped_ = false; // cancelled while a job ran
};

} // namespace gateway::work
