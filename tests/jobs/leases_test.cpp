// Attempts when the disk is full, fails, or does not say what it has done.

#include "support/jobs_world.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::test;
using namespace std::chrono_literals;
using core::job_state;
using store::journal_errc;

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::job_state)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::verdict)

namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20;

net::task<> complete_later(jobs_world& w, core::fence by, std::optional<core::verdict>& out)
{
    auto writer = co_await w.spool->create("late");
    const auto ec = co_await writer->append("{}");
    BOOST_TEST(!ec);
    auto file = co_await writer->finish();
    store::result_record record{file->name(), file->size(), 1, "", "", file->checksum()};
    const auto done = co_await w.jobs->complete(by, std::move(record), *file);
    BOOST_REQUIRE(done);
    out = *done;
}

net::task<> remove(store::spool& spool, std::string name)
{
    const auto ec = co_await spool.remove(std::move(name));
    BOOST_TEST(!ec);
}

net::task<> submit_later(jobs_world& w, std::optional<core::job>& out)
{
    auto s = a_job();
    const auto job = co_await w.jobs->submit(std::move(s));
    BOOST_REQUIRE(job);
    out = job->job;
}

net::task<> lease_later(jobs::jobs& jobs, std::optional<jobs::lease>& out)
{
    const core::scheduler::runnable anything = [](core::set_id) { return true; };
    auto got = co_await jobs.next_lease("webui-0", anything);
    BOOST_REQUIRE(got);
    out = std::move(*got);
}

net::task<> cancel_later(jobs_world& w, core::job_key key, std::optional<error_code>& out)
{
    out = co_await w.jobs->cancel(key, w.time.now() + 1s);
}

template <class Operation> test_journal::condition any()
{
    return [](const store::operation& op) { return std::holds_alternative<Operation>(op); };
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(leases_, jobs_world)

// --- room ---

BOOST_AUTO_TEST_CASE(without_room_nothing_is_accepted_and_nothing_begun_but_what_runs_may_end)
{
    room.min_free = 10 * mib;
    restart();
    const auto running = submit();
    const auto waiting = submit();
    const auto l = lease();
    files.set_free_bytes(10 * mib - 1);
    look();

    const auto why = refused();
    BOOST_TEST((why.reason == jobs::refusal::why::no_room));
    BOOST_TEST(why.text.find("data.min_free") != std::string::npos, why.text);
    BOOST_TEST((why.retry_after >= 10s));
    BOOST_TEST(!lease("webui-1").has_value());
    BOOST_TEST(complete(*l) == core::verdict::done);

    files.set_free_bytes(std::nullopt);
    look();
    BOOST_TEST(state(running) == job_state::completed);
    const auto next = lease();
    BOOST_REQUIRE(next.has_value());
    BOOST_TEST(next->fence.job == waiting.key);
    submit();
}

BOOST_AUTO_TEST_CASE(a_runner_that_waits_for_room_gets_its_job_when_there_is_some)
{
    room.spool_bytes = 5;
    restart();
    const auto first = submit();
    const auto second = submit();
    BOOST_TEST(complete(*lease()) == core::verdict::done);
    BOOST_TEST(!lease().has_value()); // 13 bytes are kept

    const auto file = jobs->find(first.key, first.secret)->result->file;
    run(remove(*spool, file.name()));
    const auto l = lease();
    BOOST_REQUIRE(l.has_value());
    BOOST_TEST(l->fence.job == second.key);
}

BOOST_AUTO_TEST_CASE(a_new_job_is_not_handed_over_when_its_result_could_not_be_kept)
{
    files.fail(fault_files::call::sync, 1, EIO, true);
    start(spool->probe());
    settle();
    BOOST_TEST(!health->no_start().empty());

    const auto job = submit(); // it can be kept
    BOOST_TEST(!lease().has_value());
    files.heal();
    look();
    BOOST_TEST(lease()->fence.job == job.key);
}

// --- an input that is gone ---

BOOST_AUTO_TEST_CASE(a_job_whose_input_is_damaged_fails_and_is_in_nobodys_way)
{
    const auto broken = submit();
    const auto next = submit();
    journal->fail_next_read(journal_errc::corrupt);

    const auto l = lease();

    BOOST_REQUIRE(l.has_value());
    BOOST_TEST(l->fence.job == next.key);
    BOOST_TEST(state(broken) == job_state::failed);
    const auto& error = *jobs->find(broken.key, broken.secret)->error;
    BOOST_TEST(error.find("its input cannot be read back") != std::string::npos, error);
}

// --- ends that must be written down ---

// The row is the publication: until it is committed nobody sees a result, hears of one, or finds
// the job ended.
BOOST_AUTO_TEST_CASE(nobody_hears_of_a_result_before_its_row_is_committed)
{
    const auto job = submit();
    const auto l = lease();
    const auto version = jobs->find(job.key, job.secret)->version;
    const auto items = jobs->drain(job.key).items.size();
    std::optional<core::verdict> done;
    journal->hold();
    start(complete_later(*this, l->fence, done));
    advance(10s);

    const auto before = *jobs->find(job.key, job.secret);
    BOOST_TEST(before.job->state == job_state::in_progress);
    BOOST_TEST(before.result == nullptr);
    BOOST_TEST(before.version == version);
    BOOST_TEST(jobs->drain(job.key).items.size() == items);
    BOOST_TEST(jobs->numbers().completed == 0u);
    BOOST_TEST(!done.has_value());

    journal->release();
    let_commits_pass();
    BOOST_TEST((done == core::verdict::done));
    const auto after = *jobs->find(job.key, job.secret);
    BOOST_TEST(after.result != nullptr);
    BOOST_TEST(after.version > version);
    BOOST_TEST(jobs->drain(job.key).items.size() > items);
    BOOST_TEST(jobs->numbers().completed == 1u);
}

BOOST_AUTO_TEST_CASE(a_result_is_written_down_however_long_the_journal_fails)
{
    const auto job = submit();
    const auto l = lease();
    std::optional<core::verdict> done;
    journal->fail_when(any<store::finish_job>(), journal_errc::full);
    start(complete_later(*this, l->fence, done));
    for (int i = 0; i < 3; ++i) {
        let_commits_pass();
        advance(1s);
        BOOST_TEST(!done.has_value());
        BOOST_TEST(state(job) == job_state::in_progress);
    }
    journal->fail_when({});
    BOOST_TEST(run_until([&] { return done.has_value(); }, 10s));

    BOOST_TEST((done == core::verdict::done));
    BOOST_TEST(state(job) == job_state::completed);
    BOOST_TEST(std::filesystem::exists(folder.path() / "spool/late"));
}

// --- commits of which nobody knows what became: asked again before anyone is answered ---

BOOST_AUTO_TEST_CASE(a_submit_that_may_have_happened_is_answered_when_that_is_known)
{
    for (const bool happened : {true, false}) {
        journal->fail_next(journal_errc::unknown, happened);
        std::optional<core::job> accepted;
        start(submit_later(*this, accepted));
        let_commits_pass();
        advance(1s);
        let_commits_pass();

        BOOST_REQUIRE(accepted.has_value());
        BOOST_TEST(journal->rows().contains(accepted->key));
        BOOST_TEST(state(*accepted) == job_state::in_queue);
    }
    BOOST_TEST(jobs->waiting() == 2u);
    BOOST_TEST(journal->rows().size() == 2u);
}

BOOST_AUTO_TEST_CASE(an_attempt_that_may_have_been_written_down_is_begun_once)
{
    for (const bool happened : {true, false}) {
        const auto job = submit();
        journal->fail_next(journal_errc::unknown, happened);
        std::optional<jobs::lease> l;
        start(lease_later(*jobs, l));
        BOOST_TEST(run_until([&] { return l.has_value(); }, 10s));
        BOOST_REQUIRE(l.has_value());
        BOOST_TEST(l->fence.job == job.key);
        BOOST_TEST(l->fence.attempt == 1u);
        BOOST_TEST(journal->rows().at(job.key).record.attempts.size() == 1u);
        BOOST_TEST(complete(*l) == core::verdict::done);
    }
}

BOOST_AUTO_TEST_CASE(a_result_that_may_have_been_published_is_published)
{
    for (const bool happened : {true, false}) {
        const auto job = submit();
        const auto l = lease();
        std::optional<core::verdict> done;
        journal->fail_next(journal_errc::unknown, happened);
        start(complete_later(*this, l->fence, done));
        let_commits_pass();
        advance(1s);
        let_commits_pass();

        BOOST_TEST((done == core::verdict::done));
        BOOST_TEST(state(job) == job_state::completed);
        BOOST_TEST(journal->rows().at(job.key).record.result.has_value());
        std::filesystem::remove(folder.path() / "spool/late");
    }
}

BOOST_AUTO_TEST_CASE(a_cancel_that_may_have_happened_is_answered_when_that_is_known)
{
    for (const bool happened : {true, false}) {
        const auto job = submit();
        journal->fail_next(journal_errc::unknown, happened);
        std::optional<error_code> answer;
        start(cancel_later(*this, job.key, answer));
        let_commits_pass();
        BOOST_TEST(!answer.has_value());
        advance(1s);
        let_commits_pass();

        BOOST_REQUIRE(answer.has_value());
        BOOST_TEST(!*answer);
        BOOST_TEST(state(job) == job_state::cancelled);
        BOOST_TEST((journal->rows().at(job.key).record.job.state == job_state::cancelled));
    }
}

BOOST_AUTO_TEST_SUITE_END()
