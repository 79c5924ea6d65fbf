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

void check_same(const std::vector<store::attempt_record>& a,
                const std::vector<store::attempt_record>& b)
{
    BOOST_REQUIRE_EQUAL(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        BOOST_TEST(a[i].attempt == b[i].attempt);
        BOOST_TEST(a[i].backend == b[i].backend);
        BOOST_TEST((a[i].started == b[i].started));
        BOOST_TEST((a[i].ended == b[i].ended));
        BOOST_TEST((a[i].ended_at == b[i].ended_at));
        BOOST_TEST(a[i].reason == b[i].reason);
    }
}

net::task<> do_history(store::journal& j, core::job_key job, std::optional<store::job_history>& out)
{
    auto past = co_await j.read_history(job);
    BOOST_REQUIRE(past.has_value());
    out.emplace(std::move(*past));
}

template <class T> net::task<> do_get(net::task<result<T>> from, std::optional<result<T>>& out)
{
    auto got = co_await std::move(from);
    out.emplace(std::move(got));
}

// Reads through the journal's lane or in the test's turn.
template <class T> result<T> get(world& w, net::task<result<T>> from)
{
    std::optional<result<T>> out;
    w.run(do_get(std::move(from), out));
    BOOST_REQUIRE(out.has_value());
    return std::move(*out);
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

store::job_history history(world& w, store::journal& j, core::job_key job)
{
    std::optional<store::job_history> out;
    w.run(do_history(j, job, out));
    BOOST_REQUIRE(out.has_value());
    return std::move(*out);
}

std::vector<store::job_record> everything(world& w, store::journal& j, std::size_t page)
{
    std::vector<store::job_record> out;
    w.run(do_replay(j, page, out));
    return out;
}

std::vector<core::message_id> pending(world& w, store::journal& j, std::size_t page)
{
    std::vector<core::message_id> all;
    for (core::message_id last;; last = all.back()) {
        const auto some = get(w, j.pending_messages(last, page));
        BOOST_REQUIRE(some.has_value());
        if (some->empty())
            return all;
        all.insert(all.end(), some->begin(), some->end());
    }
}

std::vector<store::message_record> messages(world& w, store::journal& j, core::job_key job)
{
    auto all = get(w, j.read_messages(job));
    BOOST_REQUIRE(all.has_value());
    return std::move(*all);
}

result<store::message_content> message(world& w, store::journal& j, core::message_id id)
{
    return get(w, j.read_message(id));
}

void check_same(const store::message_record& a, const store::message_record& b)
{
    BOOST_TEST_CONTEXT("message " << a.id.number << " of job " << a.id.job)
    {
        BOOST_TEST((a.id == b.id));
        BOOST_TEST((a.told == b.told));
        BOOST_TEST(a.url == b.url);
        BOOST_TEST((a.state == b.state));
        BOOST_TEST(a.tries == b.tries);
        BOOST_TEST((a.opened == b.opened));
        BOOST_TEST((a.next == b.next));
        BOOST_REQUIRE_EQUAL(a.tried.size(), b.tried.size());
        for (std::size_t i = 0; i < a.tried.size(); ++i) {
            BOOST_TEST((a.tried[i].when == b.tried[i].when));
            BOOST_TEST((a.tried[i].took == b.tried[i].took));
            BOOST_TEST(a.tried[i].status == b.tried[i].status);
            BOOST_TEST(a.tried[i].error == b.tried[i].error);
        }
    }
}

void check_same(const store::message_content& a, const store::message_content& b)
{
    BOOST_TEST(a.job.key == b.job.key);
    BOOST_TEST(a.job.secret == b.job.secret);
    BOOST_TEST(a.job.sync == b.job.sync);
    BOOST_TEST((a.job.state == b.job.state));
    BOOST_TEST(a.job.retries == b.job.retries);
    BOOST_TEST(a.job.ends == b.job.ends);
    BOOST_TEST(a.job.delay().count() == b.job.delay().count());
    BOOST_TEST(a.job.execution({}).count() == b.job.execution({}).count());
    BOOST_TEST(a.url == b.url);
    BOOST_TEST(a.worker == b.worker);
    BOOST_TEST(a.error == b.error);
    BOOST_TEST(a.input == b.input);
    BOOST_REQUIRE_EQUAL(a.result.has_value(), b.result.has_value());
    if (a.result)
        BOOST_TEST(a.result->file == b.result->file);
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
        BOOST_TEST(a.job.ends == b.job.ends);
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
        BOOST_TEST((a.once == b.once));
        check_same(a.attempts, b.attempts);
    }
}

void check_same(const store::job_history& a, const store::job_history& b)
{
    check_same(a.attempts, b.attempts);
    BOOST_REQUIRE_EQUAL(a.retries.size(), b.retries.size());
    for (std::size_t i = 0; i < a.retries.size(); ++i) {
        BOOST_TEST(a.retries[i].attempt == b.retries[i].attempt);
        BOOST_TEST((a.retries[i].state == b.retries[i].state));
        BOOST_TEST((a.retries[i].ended == b.retries[i].ended));
        BOOST_TEST(a.retries[i].error == b.retries[i].error);
        BOOST_TEST((a.retries[i].queued == b.retries[i].queued));
    }
}

} // namespace gateway::test
