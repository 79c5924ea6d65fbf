#include "api/submission.hpp"

#include "proto/idempotency.hpp"

namespace gateway::api {

submission_rules rules_of(const config::settings& from)
{
    submission_rules rules;
    rules.policy.defaults.execution_timeout = from.jobs.execution_timeout;
    rules.policy.defaults.ttl = from.jobs.ttl;
    rules.input.allowed_fields = from.webui.allow_parameters;
    rules.input.allowed_overrides = from.webui.allow_overrides;
    rules.input.allowed_scripts = from.webui.allow_scripts;
    rules.input.allowed_endpoints = from.webui.allow_endpoints;
    if (!from.models.default_checkpoint.empty()) {
        rules.input.default_checkpoint = core::model_ref{core::model_kind::checkpoint,
                                                         from.models.default_checkpoint,
                                                         from.models.default_checkpoint_url,
                                                         {}};
    }
    return rules;
}

proto::parsed<jobs::submission>
read_submission(std::string_view body, const submission_rules& rules, const submission_facts& facts)
{
    auto request = facts.through == jobs::door::batch
                       ? proto::parse_batch_line(body, rules.policy)
                       : proto::parse_run_request(body, rules.policy);
    if (!request)
        return request.error();
    const auto job = proto::parse_job_input(request->input, rules.input);
    if (!job)
        return job.error();
    jobs::submission made;
    const auto& key = facts.idempotency_key ? facts.idempotency_key : request->idempotency_key;
    if (key)
        made.once = core::idempotency{
            proto::digest_of({facts.client, *key}),
            proto::digest_of({request->input, request->webhook, request->policy_text})};
    made.files = job->models();
    made.input = std::move(request->input);
    made.policy = request->policy;
    made.webhook = std::move(request->webhook);
    made.sync = facts.sync;
    made.through = facts.through;
    return made;
}

} // namespace gateway::api
