#include "api/submission.hpp"

#include "net/client.hpp"
#include "proto/idempotency.hpp"

namespace gateway::api {

namespace {

// "[::1]:9000" → "::1:9000": as net writes hosts.
std::string without_brackets(std::string host)
{
    std::erase_if(host, [](char c) { return c == '[' || c == ']'; });
    return host;
}

net::address_policy receivers_of(const config::settings& from)
{
    net::address_policy peers;
    peers.allow_private = from.webhook.allow_private;
    for (const auto& host : from.webhook.allow_hosts)
        peers.exempt_hosts.insert(without_brackets(host));
    for (const auto& [host, address] : from.net.resolve)
        peers.exempt_hosts.insert(without_brackets(host)); // decisions.md 22
    return peers;
}

// What can be said of a webhook before its name is looked up; empty when nothing is wrong.
std::string why_not(const std::string& webhook, const net::address_policy& receivers)
{
    if (webhook.empty())
        return {};
    const auto to = net::url::parse(webhook);
    if (!to)
        return "webhook: not a URL that can be called: http or https, a host, no user name and no "
               "password, no spaces, at most 8192 characters";
    if (!net::refused_unseen(to->host, to->port, receivers))
        return {};
    return "webhook: " + to->host +
           " is an address in the gateway's own network, which is not allowed. If that is your "
           "receiver, the operator permits it with webhook.allow_hosts, or by starting the gateway "
           "with --allow-webhook " +
           to->host_header();
}

} // namespace

submission_rules rules_of(const config::settings& from)
{
    submission_rules rules;
    rules.policy.defaults.execution_timeout = from.jobs.execution_timeout;
    rules.policy.defaults.ttl = from.jobs.ttl;
    rules.receivers = receivers_of(from);
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
    if (auto wrong = why_not(request->webhook, rules.receivers); !wrong.empty())
        return proto::make_problem(proto::problem_code::invalid_request, std::move(wrong));
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
