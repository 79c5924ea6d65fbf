// Taking jobs in: Idempotency-Keys, and many jobs with one write.

#include "support/jobs_world.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::test;
using namespace std::chrono_literals;
using store::journal_errc;
using why = jobs::refusal::why;
using answer = jobs::jobs::answer;

namespace {

net::task<> submit_into(jobs::jobs& jobs, jobs::submission s, std::optional<answer>& out)
{
    out = co_await jobs.submit(std::move(s));
}

net::task<> submit_all_into(jobs::jobs& jobs, std::vector<jobs::submission> all,
                            std::optional<std::vector<answer>>& out)
{
    out = co_await jobs.submit(std::move(all));
}

struct taking_in : jobs_world {
    static jobs::submission keyed(std::uint64_t key, std::uint64_t content = 7)
    {
        auto s = a_job();
        s.once = core::idempotency{{key, 1}, {content, 2}};
        return s;
    }
    void begin(jobs::submission s, std::optional<answer>& out)
    {
        start(submit_into(*jobs, std::move(s), out));
        settle();
    }
    answer take(jobs::submission s)
    {
        std::optional<answer> out;
        begin(std::move(s), out);
        let_commits_pass();
        BOOST_REQUIRE(out.has_value());
        return std::move(*out);
    }
    std::vector<answer> take_all(std::vector<jobs::submission> all)
    {
        std::optional<std::vector<answer>> out;
        start(submit_all_into(*jobs, std::move(all), out));
        let_commits_pass();
        BOOST_REQUIRE(out.has_value());
        return std::move(*out);
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(intake_, taking_in)

BOOST_AUTO_TEST_CASE(the_same_key_and_content_are_the_same_job)
{
    const auto first = take(keyed(1));
    const auto second = take(keyed(1));

    BOOST_REQUIRE(first && second);
    BOOST_TEST(!first->replayed);
    BOOST_TEST(second->replayed);
    BOOST_TEST(first->job.key == second->job.key);
    BOOST_TEST(first->job.secret == second->job.secret);
    BOOST_TEST(jobs->waiting() == 1U);
    BOOST_TEST(jobs->numbers().replayed == 1U);
}

BOOST_AUTO_TEST_CASE(the_same_key_with_another_content_is_refused)
{
    take(keyed(1));
    const auto second = take(keyed(1, 8));

    BOOST_REQUIRE(!second);
    BOOST_TEST((second.error().reason == why::reused));
    BOOST_TEST(second.error().retry_after.count() == 0);
    BOOST_TEST(take(keyed(2, 8)).has_value());
    BOOST_TEST(jobs->waiting() == 2U);
}

BOOST_AUTO_TEST_CASE(who_comes_while_the_first_is_being_kept_waits_for_it)
{
    std::optional<answer> first, second, other;
    begin(keyed(1), first);
    begin(keyed(1), second);
    begin(keyed(1, 8), other);
    BOOST_TEST(!second.has_value());
    BOOST_TEST((other->error().reason == why::reused)); // nothing can change that
    let_commits_pass();

    BOOST_REQUIRE((second && *second));
    BOOST_TEST((*second)->job.key == (*first)->job.key);
    BOOST_TEST(journal->rows().size() == 1U);
}

BOOST_AUTO_TEST_CASE(nobody_waits_long_for_a_journal_that_is_slow)
{
    journal->hold();
    std::optional<answer> first, second;
    begin(keyed(1), first);
    begin(keyed(1), second);
    advance(1900ms);
    BOOST_TEST(!second.has_value());
    advance(200ms);

    BOOST_REQUIRE((second && !*second));
    BOOST_TEST((second->error().reason == why::pending));
    BOOST_TEST(second->error().retry_after.count() == 1);
    journal->release();
    let_commits_pass();
    BOOST_TEST(take(keyed(1))->job.key == (*first)->job.key);
}

BOOST_AUTO_TEST_CASE(a_job_that_could_not_be_kept_leaves_its_key_free)
{
    journal->fail_next(journal_errc::io);
    std::optional<answer> first, second;
    begin(keyed(1), first);
    begin(keyed(1), second);
    let_commits_pass();

    BOOST_TEST((first->error().reason == why::storage));
    BOOST_REQUIRE((second && *second)); // it took the place of the first
    BOOST_TEST(!(*second)->replayed);
}

BOOST_AUTO_TEST_CASE(a_refused_job_leaves_its_key_free)
{
    jobs->stop_intake();

    BOOST_TEST((take(keyed(1)).error().reason == why::draining));
    BOOST_TEST((take(keyed(1, 8)).error().reason == why::draining));
}

BOOST_AUTO_TEST_CASE(a_key_is_known_after_a_restart_and_whatever_became_of_the_job)
{
    const auto first = take(keyed(1));
    auto l = lease();
    complete(*l);
    restart();

    const auto second = take(keyed(1));
    BOOST_REQUIRE(second);
    BOOST_TEST(second->replayed);
    BOOST_TEST(second->job.key == first->job.key);
    BOOST_TEST((second->job.state == core::job_state::completed));
    BOOST_TEST((take(keyed(1, 8)).error().reason == why::reused));
}

BOOST_AUTO_TEST_CASE(a_key_lives_as_long_as_its_job)
{
    const auto first = take(keyed(1));
    purge();

    const auto second = take(keyed(1, 8));
    BOOST_REQUIRE(second);
    BOOST_TEST(!second->replayed);
    BOOST_TEST(second->job.key != first->job.key);
    restart();
    BOOST_TEST(take(keyed(1, 8))->job.key == second->job.key);
}

BOOST_AUTO_TEST_CASE(an_expired_job_that_still_runs_gives_its_key_back)
{
    auto s = keyed(1);
    s.policy.ttl = 10s;
    const auto first = take(std::move(s));
    auto l = lease();
    net::task_group house(ex());
    house.spawn(jobs->keep_house());
    advance(11s);

    const auto second = take(keyed(1, 8));
    BOOST_REQUIRE(second);
    end(*l, core::outcome::cancelled);
    BOOST_TEST(take(keyed(1, 8))->job.key == second->job.key);
    world::cancel(house);
    run([](net::task_group& g) -> net::task<> { co_await g.join(); }(house));
}

BOOST_AUTO_TEST_CASE(many_jobs_take_one_write_and_keep_their_order)
{
    const auto before = journal->history().size();
    const auto all = take_all({a_job("1"), a_job("2"), a_job("3")});

    BOOST_TEST(journal->history().size() == before + 1);
    BOOST_REQUIRE(all.size() == 3U);
    BOOST_TEST(all[0]->job.key < all[1]->job.key);
    BOOST_TEST(all[1]->job.key < all[2]->job.key);
    BOOST_TEST(lease()->input == R"({"prompt":"1"})");
    BOOST_TEST(jobs->waiting() == 2U);
}

BOOST_AUTO_TEST_CASE(nobody_runs_a_job_of_many_before_its_commit)
{
    journal->hold();
    std::optional<std::vector<answer>> out;
    start(submit_all_into(*jobs, {a_job("1"), a_job("2")}, out));
    settle();

    BOOST_TEST(!lease().has_value());
    BOOST_TEST(!out.has_value());
    journal->release();
    let_commits_pass();
    BOOST_TEST(out.has_value());
}

BOOST_AUTO_TEST_CASE(of_many_jobs_the_good_ones_are_taken)
{
    take(keyed(1));
    const auto all = take_all({keyed(1), keyed(1, 8), keyed(2), keyed(2), keyed(2, 8), a_job()});

    BOOST_REQUIRE(all.size() == 6U);
    BOOST_TEST(all[0]->replayed);
    BOOST_TEST((all[1].error().reason == why::reused));
    BOOST_TEST(!all[2]->replayed);
    BOOST_TEST(all[3]->job.key == all[2]->job.key); // its key came earlier in the same write
    BOOST_TEST((all[4].error().reason == why::reused));
    BOOST_TEST(all[5].has_value());
    BOOST_TEST(jobs->waiting() == 3U);
}

BOOST_AUTO_TEST_CASE(many_jobs_stop_at_the_limit_of_the_queue)
{
    limits.queue.jobs = 2;
    restart();
    const auto all = take_all({a_job(), a_job(), a_job()});

    BOOST_TEST(all[1].has_value());
    BOOST_TEST((all[2].error().reason == why::queue_full));
    BOOST_TEST(purge() == 2U);
    BOOST_TEST(take(a_job()).has_value());
}

BOOST_AUTO_TEST_CASE(when_the_write_of_many_fails_none_is_taken)
{
    journal->fail_next(journal_errc::full);
    const auto all = take_all({keyed(1), a_job(), keyed(1)});

    BOOST_TEST((all[0].error().reason == why::storage));
    BOOST_TEST((all[1].error().reason == why::storage));
    BOOST_TEST(all[2].has_value()); // tried by itself, after the first had failed
    BOOST_TEST(jobs->waiting() == 1U);
    BOOST_TEST(jobs->waiting_bytes() == a_job().input.size());
}

BOOST_AUTO_TEST_SUITE_END()
