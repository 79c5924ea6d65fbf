#include "api/intake.hpp"

#include "base/log.hpp"
#include "proto/idempotency.hpp"
#include "proto/job_id.hpp"

namespace gateway::api {

namespace {
constexpr std::size_t read_at_once = std::size_t{16} * 1024; // larger bodies go to a lane
constexpr std::string_view key_header = "Idempotency-Key";
} // namespace

intake::intake(parts with) : with_(with), rules_(rules_of(with.settings)), keys_(with.settings.auth)
{
}

std::string intake::client_of(const net::request& request) const
{
    return std::string(keys_.client(credentials_of(request)));
}

net::task<proto::parsed<jobs::submission>> intake::read_large(std::string body,
                                                              submission_facts facts) const
{
    auto work = [&] { return read_submission(body, rules_, facts); };
    co_return co_await with_.parsing.run(std::move(work));
}

net::task<intake::readings> intake::read(texts lines, submission_facts facts) const
{
    auto work = [&] {
        readings all;
        all.reserve(lines.size());
        for (const auto& line : lines)
            all.push_back(read_submission(line, rules_, facts));
        return all;
    };
    co_return co_await with_.parsing.run(std::move(work));
}

net::task<proto::parsed<jobs::accepted>> intake::submit(call c, jobs::door through, bool sync) const
{
    submission_facts facts{through, sync, client_of(c.request)};
    if (c.request.has_header(key_header)) {
        auto key = proto::parse_idempotency_key(c.request.header(key_header));
        if (!key)
            co_return key.error();
        facts.idempotency_key = std::move(*key);
    }
    auto body = std::move(c.request.body);
    proto::parsed<jobs::submission> s = jobs::submission{};
    if (body.size() <= read_at_once)
        s = read_submission(body, rules_, facts);
    else
        s = co_await read_large(std::move(body), std::move(facts));
    if (!s)
        co_return s.error();
    auto submitted = std::move(*s);
    const auto job = co_await with_.jobs.submit(std::move(submitted));
    if (!job)
        co_return problem_of(job.error());
    if (log::enabled(log::level::debug)) {
        const auto& j = job->job;
        log::debug("job accepted", {{"job_id", proto::to_text({j.key, j.secret, j.sync})},
                                    {"replayed", job->replayed},
                                    {"request_id", c.request_id}});
    }
    co_return *job;
}

proto::problem problem_of(const jobs::refusal& why)
{
    using proto::problem_code;
    const auto code = [&] {
        switch (why.reason) {
        case jobs::refusal::why::queue_full: return problem_code::queue_full;
        case jobs::refusal::why::no_room: return problem_code::storage_full;
        case jobs::refusal::why::draining: return problem_code::draining;
        case jobs::refusal::why::storage: return problem_code::storage_unavailable;
        case jobs::refusal::why::reused: return problem_code::idempotency_reused;
        case jobs::refusal::why::pending: return problem_code::idempotency_pending;
        }
        return problem_code::storage_unavailable;
    };
    auto what = proto::make_problem(code(), why.text);
    if (why.retry_after.count() > 0)
        what.retry_after = why.retry_after;
    return what;
}

} // namespace gateway::api
