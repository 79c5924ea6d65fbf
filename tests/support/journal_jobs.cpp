#include "support/journal_jobs.hpp"

namespace gateway::test {

namespace {

net::task<> do_commit(store::journal& j, store::write w, std::optional<error_code>& out)
{
    out = co_await j.commit(std::move(w));
}

net::task<> do_read(store::journal& j, core::job_key job, std::optional<result<std::string>>& out)
{
    auto text = co_await j.read_input(job);
    out.emplace(std::move(text));
}

net::task<> do_replay(store::journal& j, std::size_t page, std::vector<store::job_record>& out)
{
    core::job_key last = 0;
    for (;;) {
        auto some = co_await j.replay(last, page);
        BOOST_REQUIRE(some.has_value());
        BOOST_REQUIRE(some->size() <= page);
        if (some->empty())
            co_return;
        last = some->back().job.key;
        for (auto& record : *some)
            out.push_back(std::move(record));
    }
}

} // namespace

error_code commit(world& w, store::journal& j, store::write operations)
{
    std::optional<error_code> out;
    w.run(do_commit(j, std::move(operations), out));
    BOOST_REQUIRE(out.has_value());
    return *out;
}

result<std::string> input(world& w, store::journal& j, core::job_key job)
{
    std::optional<result<std::string>> out;
    w.run(do_read(j, job, out));
    BOOST_REQUIRE(out.has_value());
    return std::move(*out);
}

std::vector<store::job_record> everything(world& w, store::journal& j, std::size_t page)
{
    std::vector<store::job_record> out;
    w.run(do_replay(j, page, out));
    return out;
}

void check_same(const store::job_record& a, const store::job_record& b)
{
    BOOST_TEST_CONTEXT("job " << a.job.key)
    {
        BOOST_TEST(a.job.key == b.job.key);
        BOOST_TEST(a.job.secret == b.job.secret);
        BOOST_TEST((a.job.submitted == b.job.submitted));
        BOOST_TEST((a.job.queued == b.job.queued));
        BOOST_TEST((a.job.started == b.job.started));
        BOOST_TEST((a.job.ended == b.job.ended));
        BOOST_TEST(a.job.input_bytes == b.job.input_bytes);
        BOOST_TEST((a.job.policy.execution_timeout == b.job.policy.execution_timeout));
        BOOST_TEST((a.job.policy.ttl == b.job.policy.ttl));
        BOOST_TEST(a.job.policy.low_priority == b.job.policy.low_priority);
        BOOST_TEST(a.job.models == b.job.models);
        BOOST_TEST(a.job.attempt == b.job.attempt);
        BOOST_TEST(a.job.backend == b.job.backend);
        BOOST_TEST(a.job.retries == b.job.retries);
        BOOST_TEST((a.job.state == b.job.state));
        BOOST_TEST(a.job.sync == b.job.sync);
        BOOST_TEST(a.job.cancel_asked == b.job.cancel_asked);
        BOOST_TEST((*a.files == *b.files));
        BOOST_TEST(a.webhook == b.webhook);
        BOOST_TEST(a.error == b.error);
        BOOST_REQUIRE_EQUAL(a.result.has_value(), b.result.has_value());
        if (a.result) {
            BOOST_TEST(a.result->file == b.result->file);
            BOOST_TEST(a.result->size == b.result->size);
            BOOST_TEST(a.result->splice == b.result->splice);
            BOOST_TEST(a.result->extra == b.result->extra);
            BOOST_TEST(a.result->index == b.result->index);
            BOOST_TEST((a.result->checksum == b.result->checksum));
        }
        BOOST_REQUIRE_EQUAL(a.attempts.size(), b.attempts.size());
        for (std::size_t i = 0; i < a.attempts.size(); ++i) {
            BOOST_TEST(a.attempts[i].attempt == b.attempts[i].attempt);
            BOOST_TEST(a.attempts[i].backend == b.attempts[i].backend);
            BOOST_TEST((a.attempts[i].started == b.attempts[i].started));
            BOOST_TEST((a.attempts[i].ended == b.attempts[i].ended));
        }
    }
}

} // namespace gateway::test
