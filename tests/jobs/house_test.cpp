// Restarts and expiry: what is left of jobs when the process dies, and when their time is over.

#include "support/jobs_world.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>

using namespace gateway;
using namespace gateway::test;
using namespace std::chrono_literals;
using core::job_state;
using core::outcome;

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::job_state)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::verdict)

namespace {

net::task<> keep_house_until(jobs::jobs& jobs, net::gate& stop)
{
    const auto ex = co_await net::current_executor();
    net::task_group group(ex);
    group.spawn(jobs.keep_house());
    const auto ec = co_await stop.wait();
    (void)ec;
    group.cancel();
    co_await group.join();
}

net::task<> retry_later(jobs::jobs& jobs, core::job_key key,
                        std::optional<boost::system::result<core::verdict>>& out)
{
    const auto done = co_await jobs.retry(key);
    out = done;
}

struct house_world : jobs_world {
    net::gate stop{ex()};
    house_world() { open_house(); }
    ~house_world() { close_house(); }
    void open_house()
    {
        stop.close();
        start(keep_house_until(*jobs, stop));
        settle();
    }
    void close_house()
    {
        stop.open();
        settle();
    }
    void restart_all()
    {
        close_house();
        restart();
        open_house();
    }
    void pass(duration d)
    {
        advance(d);
        let_commits_pass();
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(house_, house_world)

BOOST_AUTO_TEST_CASE(waiting_and_finished_jobs_survive_a_restart)
{
    const auto done = submit();
    BOOST_TEST(complete(*lease(), R"({"images":["x"]})") == core::verdict::done);
    const auto failed = submit();
    end(*lease(), outcome::rejected, "no such sampler");
    const auto waiting = submit();

    restart_all();
    BOOST_TEST(state(done) == job_state::completed);
    BOOST_TEST(state(waiting) == job_state::in_queue);
    BOOST_TEST(*jobs->find(failed.key, failed.secret)->error == "no such sampler");
    BOOST_TEST(jobs->find(done.key, done.secret)->result->file.size() == 16u);
    const auto l = lease();
    BOOST_REQUIRE(l.has_value());
    BOOST_TEST(l->fence.job == waiting.key);
    BOOST_TEST(l->input == R"({"prompt":"a cat"})");
}

BOOST_AUTO_TEST_CASE(a_job_that_ran_when_the_process_died_waits_again_with_a_new_fence)
{
    const auto job = submit();
    const auto old = lease();
    restart_all();
    BOOST_TEST(state(job) == job_state::in_queue);
    const auto l = lease();
    BOOST_REQUIRE(l.has_value());
    BOOST_TEST(l->fence.attempt == 2u);
    BOOST_TEST(l->earlier.size() == 1u);
    BOOST_TEST(complete(*old) == core::verdict::stale);
    BOOST_TEST(complete(*l) == core::verdict::done);
}

BOOST_AUTO_TEST_CASE(a_job_that_was_there_at_too_many_crashes_is_put_aside)
{
    limits.retry.max_crashes = 3;
    restart_all();
    const auto job = submit();
    for (int i = 0; i < 3; ++i) {
        BOOST_TEST(state(job) == job_state::in_queue);
        BOOST_REQUIRE(lease().has_value());
        restart_all();
    }
    BOOST_TEST(state(job) == job_state::failed);
    BOOST_TEST(jobs->find(job.key, job.secret)->error->find("died") != std::string::npos);
    BOOST_TEST(jobs->running() == 0u);
}

BOOST_AUTO_TEST_CASE(results_of_run_are_kept_thirty_minutes_and_of_runsync_one)
{
    auto quick = a_job();
    quick.sync = true;
    const auto sync = submit(quick);
    BOOST_TEST(complete(*lease()) == core::verdict::done);
    const auto async = submit();
    BOOST_TEST(complete(*lease()) == core::verdict::done);

    pass(58s);
    BOOST_TEST(shown(sync).has_value());
    pass(3s);
    BOOST_TEST(!shown(sync).has_value());
    pass(28min);
    BOOST_TEST(shown(async).has_value());
    pass(2min);
    BOOST_TEST(!shown(async).has_value());
    BOOST_TEST(journal->rows().empty());
    BOOST_TEST(spool->counters().files == 0u);
}

BOOST_AUTO_TEST_CASE(a_client_may_shorten_how_long_its_result_is_kept)
{
    const auto job = submit();
    BOOST_TEST(complete(*lease()) == core::verdict::done);
    jobs->keep_for(job.key, 6s);
    pass(5s);
    BOOST_TEST(shown(job).has_value());
    pass(3s);
    BOOST_TEST(!shown(job).has_value());
}

BOOST_AUTO_TEST_CASE(ttl_deletes_a_job_that_still_waits)
{
    auto s = a_job();
    s.policy.ttl = 10s;
    const auto job = submit(s);
    pass(8s);
    BOOST_TEST(shown(job).has_value());
    pass(3s);
    BOOST_TEST(!shown(job).has_value());
    BOOST_TEST(jobs->waiting() == 0u);
    BOOST_TEST(!lease().has_value());
}

BOOST_AUTO_TEST_CASE(a_job_that_ended_and_waits_again_has_its_ttl_back)
{
    limits.keep_async = 5s;
    restart_all();
    auto s = a_job();
    s.policy.ttl = 20s;
    const auto job = submit(s);
    end(*lease(), outcome::rejected);
    BOOST_TEST(state(job) == job_state::failed);
    pass(3s);
    BOOST_TEST((retry(job) == core::verdict::done));
    pass(10s); // longer than the failure would have been kept
    BOOST_TEST(shown(job).has_value());
    pass(8s);
    BOOST_TEST(!shown(job).has_value());
}

BOOST_AUTO_TEST_CASE(a_job_that_is_retried_as_its_time_runs_out_is_not_deleted)
{
    const auto job = submit();
    end(*lease(), outcome::rejected);
    pass(29min + 50s);
    journal->hold();
    std::optional<boost::system::result<core::verdict>> retried;
    start(retry_later(*jobs, job.key, retried));
    pass(1min);
    BOOST_TEST(!retried.has_value());

    journal->release();
    let_commits_pass();

    BOOST_TEST((retried->value() == core::verdict::done));
    BOOST_TEST(state(job) == job_state::in_queue);
    BOOST_TEST(lease().has_value());
}

BOOST_AUTO_TEST_CASE(a_job_past_its_ttl_is_not_begun_any_more)
{
    auto s = a_job();
    s.policy.ttl = 10s;
    const auto job = submit(s);
    close_house();
    advance(11s);
    BOOST_TEST(!lease().has_value());
    BOOST_TEST(state(job) == job_state::in_queue);
    open_house();
    pass(2s);
    BOOST_TEST(!shown(job).has_value());
}

BOOST_AUTO_TEST_CASE(ttl_stops_a_running_job_and_forgets_it)
{
    auto s = a_job();
    s.policy.ttl = 10s;
    const auto job = submit(s);
    const auto l = lease();
    pass(11s);
    BOOST_TEST(l->stop->is_open());
    BOOST_TEST(!shown(job).has_value());
    end(*l, outcome::cancelled);
    BOOST_TEST(journal->rows().empty());
    BOOST_TEST(jobs->running() == 0u);
}

BOOST_AUTO_TEST_CASE(a_result_that_comes_after_ttl_is_dropped_with_its_file)
{
    auto s = a_job();
    s.policy.ttl = 10s;
    submit(s);
    const auto l = lease();
    pass(11s);
    BOOST_TEST(complete(*l) == core::verdict::done);
    BOOST_TEST(journal->rows().empty());
    BOOST_TEST(spool->counters().files == 0u);
}

BOOST_AUTO_TEST_CASE(expiry_that_the_journal_refuses_is_tried_again)
{
    auto s = a_job();
    s.policy.ttl = 10s;
    const auto job = submit(s);
    journal->fail_when(
        [](const store::operation& op) { return std::holds_alternative<store::erase_job>(op); });
    pass(11s);
    BOOST_TEST(shown(job).has_value());
    BOOST_TEST(state(job) == job_state::in_queue);
    journal->fail_when({});
    pass(2s);
    BOOST_TEST(!shown(job).has_value());
}

BOOST_AUTO_TEST_CASE(files_nobody_knows_are_swept_at_start)
{
    std::filesystem::create_directories(folder.path() / "spool");
    std::ofstream(folder.path() / "spool" / "999-1") << "left over";
    restart_all();
    BOOST_TEST(!std::filesystem::exists(folder.path() / "spool" / "999-1"));
}

BOOST_AUTO_TEST_CASE(a_lost_result_file_is_said_and_does_not_stop_the_start)
{
    const auto job = submit();
    BOOST_TEST(complete(*lease()) == core::verdict::done);
    for (const auto& file : std::filesystem::directory_iterator(folder.path() / "spool"))
        std::filesystem::remove(file);
    restart_all();
    const auto v = jobs->find(job.key, job.secret);
    BOOST_REQUIRE(v.has_value());
    BOOST_TEST(v->result == nullptr);
    BOOST_REQUIRE(v->error != nullptr);
    BOOST_TEST(v->error->find("damaged or lost") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
