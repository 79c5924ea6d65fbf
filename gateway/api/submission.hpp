#pragma once

// From the body of run or runsync to what jobs keeps: parsed, checked, with the operator's limits
// and defaults applied. Everything that can be decided from the request alone is decided here.

#include "config/settings.hpp"
#include "jobs/jobs.hpp"
#include "net/resolver.hpp"
#include "proto/runpod.hpp"
#include "proto/webui_job.hpp"

namespace gateway::api {

// What the settings say about requests, in proto's words.
struct submission_rules {
    proto::policy_limits policy;
    proto::input_rules input;
    net::address_policy receivers; // of webhooks
};
submission_rules rules_of(const config::settings& from);

// What is known of a job beside its text.
struct submission_facts {
    jobs::door through = jobs::door::runpod;
    bool sync = false;
    std::string client; // who asks: one client's Idempotency-Keys mean nothing to another
    std::optional<std::string> idempotency_key = {}; // a line of a batch brings its own
};

// Pure; safe on any thread.
proto::parsed<jobs::submission> read_submission(std::string_view body,
                                                const submission_rules& rules,
                                                const submission_facts& facts);

} // namespace gateway::api
