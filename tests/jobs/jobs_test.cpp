#include "jobs/jobs.hpp"

#include "support/jobs_world.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::test;
using namespace std::chrono_literals;
using core::job_state;
using core::outcome;

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::job_state)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::verdict)

BOOST_FIXTURE_TEST_SUITE(jobs_, jobs_world)

namespace {

net::task<> submit_into(jobs::jobs& jobs, std::optional<core::job>& out)
{
    auto s = a_job();
    auto answer = co_await jobs.submit(std::move(s));
    if (answer)
        out = answer->job;
}

net::task<> run_forever(jobs::jobs& jobs, bool& accepts, std::vector<jobs::lease>& got)
{
    const core::scheduler::runnable when_asked = [&accepts](core::set_id) { return accepts; };
    for (;;) {
        auto l = co_await jobs.next_lease("webui-0", when_asked);
        if (!l)
            co_return;
        got.push_back(std::move(*l));
    }
}

net::task<> cancel_later(jobs::jobs& jobs, core::job_key key, steady_time until, bool& done)
{
    const auto ec = co_await jobs.cancel(key, until);
    done = !ec;
}

net::task<> wait_for_change(jobs::jobs& jobs, core::job_key key, std::uint64_t seen,
                            steady_time until, int& out)
{
    const bool moved = co_await jobs.changed(key, seen, until);
    out = moved ? 1 : 0;
}

net::task<> fail_waiting(jobs::jobs& jobs, core::job_key key)
{
    const auto ec = co_await jobs.fail_waiting(key, "gone.safetensors: 404");
    (void)ec;
}

net::task<> end_rejected(jobs::jobs& jobs, core::fence by)
{
    const auto ec = co_await jobs.end_attempt(by, outcome::rejected, "because");
    (void)ec;
}

bool is_insert(const store::operation& op) { return std::holds_alternative<store::insert_job>(op); }

bool is_finish(const store::operation& op) { return std::holds_alternative<store::finish_job>(op); }

} // namespace

BOOST_AUTO_TEST_CASE(nobody_is_answered_and_nothing_leased_before_the_commit)
{
    std::optional<core::job> accepted;
    bool accepts = true;
    std::vector<jobs::lease> got;
    start(run_forever(*jobs, accepts, got));
    journal->hold();
    start(submit_into(*jobs, accepted));
    settle();
    BOOST_TEST(!accepted);
    BOOST_TEST(got.empty());
    BOOST_TEST(jobs->numbers().submitted[0] == 0u);

    journal->release();
    let_commits_pass();
    BOOST_TEST(accepted.has_value());
    BOOST_TEST(got.size() == 1u);
}

BOOST_AUTO_TEST_CASE(an_idle_backend_gets_a_new_job_in_the_same_commit)
{
    bool accepts = true;
    std::vector<jobs::lease> got;
    start(run_forever(*jobs, accepts, got));
    settle();
    const auto job = submit();
    BOOST_TEST(got.size() == 1u);
    BOOST_TEST(journal->history().size() == 1u);
    BOOST_TEST(state(job) == job_state::in_progress);
    BOOST_TEST(got.front().input == R"({"prompt":"a cat"})");
}

BOOST_AUTO_TEST_CASE(a_new_job_never_overtakes_one_that_waits)
{
    bool accepts = false;
    std::vector<jobs::lease> got;
    start(run_forever(*jobs, accepts, got));
    const auto first = submit();
    accepts = true; // but nobody has told the runner yet
    submit();
    BOOST_TEST(got.size() == 2u);
    BOOST_TEST(got.front().fence.job == first.key);
}

BOOST_AUTO_TEST_CASE(a_job_that_cannot_be_written_down_is_refused_and_leaves_nothing)
{
    journal->fail_when(is_insert);
    const auto why = refused();
    BOOST_TEST((why.reason == jobs::refusal::why::storage));
    BOOST_TEST(why.text.find("journal") != std::string::npos);
    BOOST_TEST(jobs->waiting() == 0u);
    BOOST_TEST(jobs->waiting_bytes() == 0u);

    journal->fail_when({});
    submit();
    BOOST_TEST(jobs->waiting() == 1u);
}

BOOST_AUTO_TEST_CASE(a_failed_direct_hand_over_leaves_the_runner_waiting_for_the_next_job)
{
    bool accepts = true;
    std::vector<jobs::lease> got;
    start(run_forever(*jobs, accepts, got));
    settle();
    journal->fail_when(is_insert);
    refused();
    BOOST_TEST(got.empty());
    journal->fail_when({});
    submit();
    BOOST_TEST(got.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_full_queue_refuses_with_a_time_to_come_back)
{
    limits.queue.jobs = 1;
    restart();
    submit();
    const auto why = refused();
    BOOST_TEST((why.reason == jobs::refusal::why::queue_full));
    BOOST_TEST(why.retry_after.count() > 0);
}

BOOST_AUTO_TEST_CASE(a_stopping_gateway_takes_nothing_more)
{
    jobs->stop_intake();
    const auto why = refused();
    BOOST_TEST((why.reason == jobs::refusal::why::draining));
}

BOOST_AUTO_TEST_CASE(a_wrong_secret_finds_nothing)
{
    const auto job = submit();
    BOOST_TEST(jobs->find(job.key, job.secret).has_value());
    BOOST_TEST(!jobs->find(job.key, job.secret + 1).has_value());
    BOOST_TEST(!jobs->find(job.key + 1, job.secret).has_value());
}

BOOST_AUTO_TEST_CASE(the_attempt_is_durable_before_the_runner_has_it)
{
    const auto job = submit();
    const auto l = lease();
    BOOST_REQUIRE(l.has_value());
    const auto& row = journal->rows().at(job.key);
    BOOST_TEST(row.record.job.state == job_state::in_progress);
    BOOST_TEST(row.record.attempts.size() == 1u);
    BOOST_TEST(l->fence.attempt == 1u);
}

BOOST_AUTO_TEST_CASE(an_attempt_that_cannot_be_written_down_is_not_begun)
{
    const auto job = submit();
    journal->fail_when([](const store::operation& op) {
        return std::holds_alternative<store::begin_attempt>(op);
    });
    BOOST_TEST(!lease().has_value());
    BOOST_TEST(state(job) == job_state::in_queue);
    journal->fail_when({});
    advance(1s);
    BOOST_TEST(lease().has_value());
}

BOOST_AUTO_TEST_CASE(an_input_that_cannot_be_read_is_tried_again)
{
    submit();
    journal->fail_next_read(store::journal_errc::io);
    const auto l = lease(); // the first try fails, the pause is a second
    BOOST_TEST(!l.has_value());
    advance(1s);
    BOOST_TEST(lease().has_value());
}

BOOST_AUTO_TEST_CASE(a_completed_job_has_its_result_and_times)
{
    const auto job = submit();
    const auto l = lease();
    advance(2s);
    BOOST_TEST(complete(*l) == core::verdict::done);
    const auto v = jobs->find(job.key, job.secret);
    BOOST_REQUIRE(v.has_value());
    BOOST_TEST(v->job->state == job_state::completed);
    BOOST_REQUIRE(v->result != nullptr);
    BOOST_TEST(v->result->file.size() == 13u);
    BOOST_TEST((v->job->execution(time.wall()) >= 2s));
    BOOST_TEST(v->worker == "webui-0");
}

BOOST_AUTO_TEST_CASE(what_an_old_attempt_says_changes_nothing)
{
    const auto job = submit();
    const auto old = lease();
    end(*old, outcome::unreachable);
    const auto now = lease();
    BOOST_REQUIRE(now.has_value());
    BOOST_TEST(now->fence.attempt == 2u);

    jobs->report(old->fence, {core::progress_phase::sampling, 0.9, std::nullopt});
    BOOST_TEST(jobs->find(job.key, job.secret)->last_progress == nullptr);
    BOOST_TEST(complete(*old) == core::verdict::stale);
    end(*old, outcome::rejected);
    BOOST_TEST(state(job) == job_state::in_progress);
    BOOST_TEST(complete(*now) == core::verdict::done);
    jobs->report(now->fence, {core::progress_phase::sampling, 0.5, std::nullopt});
    BOOST_TEST(state(job) == job_state::completed);
}

BOOST_AUTO_TEST_CASE(a_failure_ends_the_job_with_its_reason)
{
    const auto job = submit();
    end(*lease(), outcome::rejected, "the sampler is unknown");
    const auto v = jobs->find(job.key, job.secret);
    BOOST_TEST(v->job->state == job_state::failed);
    BOOST_REQUIRE(v->error != nullptr);
    BOOST_TEST(*v->error == "the sampler is unknown");
}

BOOST_AUTO_TEST_CASE(counted_attempts_run_out_and_the_error_says_so)
{
    const auto job = submit();
    for (int i = 0; i < 3; ++i) {
        advance(5s);
        const auto l = lease();
        BOOST_REQUIRE(l.has_value());
        end(*l, outcome::storage_failed, "the disk is full");
    }
    const auto v = jobs->find(job.key, job.secret);
    BOOST_TEST(v->job->state == job_state::failed);
    BOOST_TEST(v->error->find("the disk is full") == 0u);
    BOOST_TEST(v->error->find("3 attempts") != std::string::npos);
    BOOST_TEST(v->job->retries == 2u);
}

BOOST_AUTO_TEST_CASE(a_pause_between_attempts_is_kept)
{
    submit();
    end(*lease(), outcome::storage_failed);
    BOOST_TEST(!lease().has_value()); // half a second on
    advance(5s);
    BOOST_TEST(lease().has_value());
}

BOOST_AUTO_TEST_CASE(the_end_of_an_attempt_is_written_however_long_the_journal_fails)
{
    const auto job = submit();
    const auto l = lease();
    journal->fail_when(is_finish);
    start(end_rejected(*jobs, l->fence));
    let_commits_pass();
    BOOST_TEST(state(job) == job_state::in_progress);
    journal->fail_when({});
    advance(1s);
    let_commits_pass();
    BOOST_TEST(state(job) == job_state::failed);
}

BOOST_AUTO_TEST_CASE(a_waiting_job_is_cancelled_at_once)
{
    const auto job = submit();
    cancel(job);
    BOOST_TEST(state(job) == job_state::cancelled);
    BOOST_TEST(!lease().has_value());
    BOOST_TEST(jobs->waiting() == 0u);
}

BOOST_AUTO_TEST_CASE(a_running_job_is_asked_to_stop_and_ends_cancelled)
{
    const auto job = submit();
    const auto l = lease();
    bool answered = false;
    start(cancel_later(*jobs, job.key, time.now() + 10s, answered));
    settle();
    BOOST_TEST(l->stop->is_open());
    BOOST_TEST(!answered);
    end(*l, outcome::cancelled);
    BOOST_TEST(answered);
    BOOST_TEST(state(job) == job_state::cancelled);
}

BOOST_AUTO_TEST_CASE(a_result_that_wins_against_the_cancel_is_kept)
{
    const auto job = submit();
    const auto l = lease();
    bool answered = false;
    start(cancel_later(*jobs, job.key, time.now() + 10s, answered));
    settle();
    BOOST_TEST(complete(*l) == core::verdict::done);
    BOOST_TEST(answered);
    BOOST_TEST(state(job) == job_state::completed);
}

BOOST_AUTO_TEST_CASE(cancelling_one_job_leaves_the_running_one_alone)
{
    const auto running = submit();
    const auto waiting = submit();
    const auto l = lease();
    cancel(waiting);
    BOOST_TEST(!l->stop->is_open());
    BOOST_TEST(complete(*l) == core::verdict::done);
    BOOST_TEST(state(running) == job_state::completed);
    BOOST_TEST(state(waiting) == job_state::cancelled);
}

BOOST_AUTO_TEST_CASE(a_cancel_that_cannot_be_written_down_leaves_the_job_waiting)
{
    const auto job = submit();
    journal->fail_when(is_finish);
    cancel(job);
    BOOST_TEST(state(job) == job_state::in_queue);
    BOOST_TEST(lease().has_value());
}

BOOST_AUTO_TEST_CASE(only_failed_jobs_can_be_retried)
{
    const auto job = submit();
    BOOST_TEST(retry(job) == core::verdict::wrong_state);
    end(*lease(), outcome::rejected);
    BOOST_TEST(retry(job) == core::verdict::done);
    BOOST_TEST(state(job) == job_state::in_queue);
    const auto l = lease();
    BOOST_REQUIRE(l.has_value());
    BOOST_TEST(l->earlier.empty());
    BOOST_TEST(complete(*l) == core::verdict::done);
    BOOST_TEST(retry(job) == core::verdict::wrong_state);
}

BOOST_AUTO_TEST_CASE(jobs_are_listed_by_key_in_both_directions)
{
    std::vector<core::job> all;
    for (int i = 0; i < 5; ++i)
        all.push_back(submit());
    const auto keys = [](const std::vector<jobs::view>& views) {
        std::vector<core::job_key> found;
        for (const auto& v : views)
            found.push_back(v.job->key);
        return found;
    };
    const auto key = [&](std::size_t i) { return all[i].key; };
    BOOST_TEST(keys(jobs->above(0, 2)) == (std::vector{key(0), key(1)}));
    BOOST_TEST(keys(jobs->above(key(1), 9)) == (std::vector{key(2), key(3), key(4)}));
    BOOST_TEST(keys(jobs->below(~core::job_key{0}, 2)) == (std::vector{key(4), key(3)}));
    BOOST_TEST(keys(jobs->below(key(1), 9)) == (std::vector{key(0)}));
    BOOST_TEST(keys(jobs->below(key(0), 9)).empty());
}

BOOST_AUTO_TEST_CASE(a_purge_leaves_what_came_after_it)
{
    limits.slice = 2;
    restart();
    for (int i = 0; i < 5; ++i)
        submit();
    std::size_t removed = 0;
    const auto purging = [](jobs::jobs& all, std::size_t& count) -> net::task<> {
        count = co_await all.purge();
    };
    start(purging(*jobs, removed));
    const auto late = submit();
    let_commits_pass();
    BOOST_TEST(removed == 5u);
    BOOST_TEST(state(late) == job_state::in_queue);
}

BOOST_AUTO_TEST_CASE(a_purge_removes_what_waits_and_nothing_else)
{
    limits.slice = 3;
    restart();
    const auto running = submit();
    const auto l = lease();
    std::vector<core::job> waiting;
    for (int i = 0; i < 10; ++i)
        waiting.push_back(submit());
    BOOST_TEST(purge() == 10u);
    BOOST_TEST(jobs->waiting() == 0u);
    BOOST_TEST(!shown(waiting.front()).has_value());
    BOOST_TEST(state(running) == job_state::in_progress);
    BOOST_TEST(journal->rows().size() == 1u);
}

BOOST_AUTO_TEST_CASE(waiting_for_a_change_ends_with_the_change_or_the_time)
{
    const auto job = submit();
    const auto seen = jobs->find(job.key, job.secret)->version;
    int moved = -1, late = -1;
    start(wait_for_change(*jobs, job.key, seen, time.now() + 1h, moved));
    start(wait_for_change(*jobs, job.key, seen + 5, time.now() + 1s, late));
    settle();
    BOOST_TEST(moved == -1);
    lease();
    BOOST_TEST(moved == 1);
    advance(1s);
    BOOST_TEST(late == 0);
}

BOOST_AUTO_TEST_CASE(stream_items_wait_until_they_are_acknowledged_and_never_pile_up)
{
    limits.events_per_job = 4;
    restart();
    const auto job = submit();
    const auto l = lease();
    for (int i = 1; i <= 6; ++i)
        jobs->report(l->fence, {core::progress_phase::sampling, i / 10.0, std::nullopt});
    auto first = jobs->drain(job.key);
    BOOST_TEST(first.items.size() <= 4u);
    BOOST_TEST(first.items.back().progress.fraction == 0.6);
    BOOST_TEST(jobs->drain(job.key).items.size() == first.items.size());
    jobs->acknowledge(job.key, first.cursor);
    BOOST_TEST(jobs->drain(job.key).items.empty());
    jobs->report(l->fence, {core::progress_phase::decoding, 0.9, std::nullopt});
    BOOST_TEST(jobs->drain(job.key).items.size() == 1u);
}

BOOST_AUTO_TEST_CASE(the_models_of_running_jobs_are_known_until_the_last_of_them_has_ended)
{
    const core::model_ref lora{core::model_kind::lora, "style", "http://host/style", ""};
    submit(a_job_with({lora}));
    submit(a_job_with({lora}));
    const auto set = jobs->wanted_models().front();
    BOOST_TEST(jobs->running_models().empty());
    const auto first = lease("webui-0");
    const auto second = lease("webui-1");
    BOOST_TEST(jobs->running_models() == std::vector{set}, boost::test_tools::per_element());
    BOOST_TEST(jobs->wanted_models().empty());

    complete(*first);
    BOOST_TEST(jobs->running_models().size() == 1u);
    end(*second, outcome::rejected);
    BOOST_TEST(jobs->running_models().empty());
}

BOOST_AUTO_TEST_CASE(a_job_that_can_never_run_fails_while_it_waits)
{
    const core::model_ref lora{core::model_kind::lora, "gone", "http://host/gone", ""};
    const auto job = submit(a_job_with({lora}));
    const auto sets = jobs->wanted_models();
    BOOST_TEST(sets.size() == 1u);
    for (const auto key : jobs->waiting_for(sets.front())) {
        start(fail_waiting(*jobs, key));
    }
    let_commits_pass();
    BOOST_TEST(state(job) == job_state::failed);
    BOOST_TEST(*jobs->find(job.key, job.secret)->error == "gone.safetensors: 404");
}

BOOST_AUTO_TEST_SUITE_END()
