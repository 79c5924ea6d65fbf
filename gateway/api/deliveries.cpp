#include "api/deliveries.hpp"

#include "api/answer.hpp"
#include "proto/job_id.hpp"
#include "proto/webhook.hpp"

namespace gateway::api {

namespace {

using proto::problem_code;

// The key of a job that the client may see.
std::optional<core::job_key> key_of(const jobs::jobs& all, std::string_view id)
{
    const auto ref = proto::parse_job_id(id);
    const auto view = ref ? all.find(ref->key, ref->secret) : std::nullopt;
    if (!view || view->job->sync != ref->sync)
        return std::nullopt;
    return ref->key;
}

net::response refused(const call& c, problem_code code, std::string detail = {})
{
    return problem_on(c.request.path, proto::make_problem(code, std::move(detail)));
}

net::response storage_refused(const call& c, const error_code& ec)
{
    auto what = proto::make_problem(problem_code::storage_unavailable,
                                    "the gateway's journal does not work: " + ec.message());
    what.retry_after = std::chrono::seconds(5);
    return problem_on(c.request.path, what);
}

proto::webhook_message shown(std::string_view job_id, store::message_record&& m)
{
    proto::webhook_message out;
    out.id = proto::webhook_id(job_id, m.id.number);
    out.told = m.told;
    out.state = m.state;
    out.opened = m.opened;
    out.next = m.next;
    for (auto& t : m.tried)
        out.tried.push_back({t.when, t.took, t.status, std::move(t.error)});
    return out;
}

} // namespace

std::vector<route> deliveries::routes()
{
    const auto body = with_.settings.server.body_limit;
    auto look = [this](call c) { return log(c); };
    auto again = [this](call c) { return redeliver(c); };
    return {
        {"GET", "/api/v1/jobs/{id}/webhook", "getJobWebhook", false, false, body, {}, look},
        {"POST",
         "/api/v1/jobs/{id}/webhook:redeliver",
         "redeliverJobWebhook",
         false,
         false,
         body,
         {},
         again},
    };
}

net::task<net::response> deliveries::log(call c)
{
    const auto key = key_of(with_.jobs, c.id);
    if (!key)
        co_return refused(c, problem_code::job_not_found);
    auto all = co_await with_.jobs.outbox().log(*key);
    if (!all)
        co_return storage_refused(c, all.error());
    std::vector<proto::webhook_message> messages;
    const std::string url = all->empty() ? "" : all->front().url;
    for (auto& m : *all)
        messages.push_back(shown(c.id, std::move(m)));
    co_return json_answer(proto::webhook_log_body(c.id, url, messages));
}

net::task<net::response> deliveries::redeliver(call c)
{
    const auto key = key_of(with_.jobs, c.id);
    if (!key)
        co_return refused(c, problem_code::job_not_found);
    const auto message = co_await with_.jobs.outbox().redeliver(*key);
    if (!message)
        co_return storage_refused(c, message.error());
    if (!*message)
        co_return refused(c, problem_code::conflict,
                          "there is nothing to deliver: the job has not ended, or it was submitted "
                          "without a webhook");
    auto answer = json_answer(proto::redelivery_body(proto::webhook_id(c.id, (*message)->number)));
    answer.status = 202;
    co_return answer;
}

} // namespace gateway::api
