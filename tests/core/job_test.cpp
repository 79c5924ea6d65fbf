#include "core/job.hpp"

#include <boost/test/unit_test.hpp>

#include <functional>

using namespace gateway;
using namespace gateway::core;
using namespace std::chrono_literals;

namespace {

constexpr wall_time base{1'700'000'000'000ms};
constexpr auto all_states = {job_state::in_queue, job_state::in_progress, job_state::completed,
                             job_state::failed,   job_state::cancelled,   job_state::timed_out};
enum class by { nobody, the_current_attempt, the_attempt_before, another_job };
constexpr auto all_askers = {by::nobody, by::the_current_attempt, by::the_attempt_before,
                             by::another_job};

// A job in its second attempt, or after it, that took the state in a legal way.
job job_in(job_state state)
{
    job j;
    j.key = 7;
    j.submitted = j.queued = base;
    j.begin(0, base + 1s);
    j.requeue(j.current());
    if (state == job_state::in_queue)
        return j;
    j.begin(1, base + 3s);
    if (is_final(state))
        j.finish(j.current(), state, base + 8s);
    return j;
}

fence fence_of(const job& j, by asker)
{
    switch (asker) {
    case by::nobody: return {j.key, 0};
    case by::the_current_attempt: return j.current();
    case by::the_attempt_before: return {j.key, j.attempt - 1};
    case by::another_job: return {j.key + 1, j.attempt};
    }
    return {};
}

bool same(const job& a, const job& b)
{
    return a.key == b.key && a.queued == b.queued && a.started == b.started && a.ended == b.ended &&
           a.attempt == b.attempt && a.backend == b.backend && a.retries == b.retries &&
           a.state == b.state && a.cancel_asked == b.cancel_asked;
}

} // namespace

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::job_state)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::verdict)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::fence)

BOOST_AUTO_TEST_SUITE(job_)

// Every pair of a state and a transition, and for fenced ones every kind of fence.
BOOST_AUTO_TEST_CASE(a_refused_transition_says_why_and_changes_nothing)
{
    struct transition {
        const char* name;
        std::function<verdict(job&, fence)> ask;
        bool fenced;
        job_state legal_from;
        job_state leads_to;
    };
    std::vector<transition> transitions = {
        {"begin", [](job& j, fence) { return j.begin(2, base + 9s); }, false, job_state::in_queue,
         job_state::in_progress},
        {"requeue", [](job& j, fence f) { return j.requeue(f); }, true, job_state::in_progress,
         job_state::in_queue},
    };
    for (const job_state end : all_states) {
        if (!is_final(end))
            continue;
        transitions.push_back({"finish",
                               [end](job& j, fence f) { return j.finish(f, end, base + 9s); }, true,
                               job_state::in_progress, end});
        transitions.push_back({"end_queued",
                               [end](job& j, fence) { return j.end_queued(end, base + 9s); }, false,
                               job_state::in_queue, end});
    }

    for (const job_state state : all_states)
        for (const transition& t : transitions)
            for (const by asker : all_askers) {
                job j = job_in(state);
                const job before = j;
                const bool right_fence = !t.fenced || asker == by::the_current_attempt;
                const verdict expected = is_final(state) ? verdict::already_final
                                         : state == t.legal_from && right_fence ? verdict::done
                                         : t.fenced                             ? verdict::stale
                                                    : verdict::wrong_state;

                const verdict got = t.ask(j, fence_of(j, asker));

                BOOST_TEST_INFO(t.name << " in " << to_text(state) << " fence " << int(asker));
                BOOST_TEST(got == expected);
                BOOST_TEST_INFO(t.name << " in " << to_text(state) << " fence " << int(asker));
                BOOST_TEST((got == verdict::done ? j.state == t.leads_to : same(j, before)));
            }
}

BOOST_AUTO_TEST_CASE(only_what_failed_or_timed_out_can_be_retried)
{
    for (const job_state state : all_states) {
        job j = job_in(state);
        const job before = j;
        const bool legal = state == job_state::failed || state == job_state::timed_out;

        const verdict got = j.retry(base + 20s);

        BOOST_TEST_INFO(to_text(state));
        BOOST_TEST(got == (legal ? verdict::done : verdict::wrong_state));
        BOOST_TEST((legal ? j.state == job_state::in_queue : same(j, before)));
    }
}

BOOST_AUTO_TEST_CASE(each_attempt_has_a_fence_of_its_own_even_after_a_retry)
{
    job j = job_in(job_state::failed);
    const fence old = j.current();

    j.retry(base + 20s);
    j.begin(0, base + 25s);

    BOOST_TEST(!(j.current() == old));
    BOOST_TEST(j.finish(old, job_state::completed, base + 26s) == verdict::stale);
    BOOST_TEST(j.finish(j.current(), job_state::completed, base + 27s) == verdict::done);
}

BOOST_AUTO_TEST_CASE(the_delay_is_the_wait_for_the_last_attempt)
{
    job j;
    j.submitted = j.queued = base;
    BOOST_TEST(j.delay().count() == 0);

    j.begin(0, base + 61s);
    BOOST_TEST(j.delay().count() == 61'000);
    j.requeue(j.current());
    j.begin(0, base + 101s);
    BOOST_TEST(j.delay().count() == 101'000);
}

BOOST_AUTO_TEST_CASE(the_execution_time_is_that_of_the_last_attempt_alone)
{
    job j;
    j.submitted = j.queued = base;
    BOOST_TEST(j.execution(base + 5s).count() == 0);

    j.begin(0, base + 10s);
    BOOST_TEST(j.execution(base + 12s).count() == 2'000);
    j.requeue(j.current());
    BOOST_TEST(j.execution(base + 20s).count() == 0);
    j.begin(0, base + 30s);
    j.finish(j.current(), job_state::failed, base + 34s);
    BOOST_TEST(j.execution(base + 99s).count() == 4'000);
}

BOOST_AUTO_TEST_CASE(a_job_that_ends_while_waiting_has_waited_and_not_run)
{
    job j = job_in(job_state::in_queue); // its first attempt was lost

    j.end_queued(job_state::failed, base + 40s);

    BOOST_TEST(j.delay().count() == 40'000);
    BOOST_TEST(j.execution(base + 99s).count() == 0);
}

BOOST_AUTO_TEST_CASE(a_clock_that_is_set_back_makes_no_negative_times)
{
    job j;
    j.submitted = j.queued = base;
    j.begin(0, base - 1h);
    BOOST_TEST(j.delay().count() == 0);

    j.finish(j.current(), job_state::completed, base - 2h);
    BOOST_TEST(j.execution(base).count() == 0);
}

BOOST_AUTO_TEST_CASE(retries_count_dispatches_after_the_first_and_not_the_clients_retry)
{
    job j = job_in(job_state::in_progress);
    BOOST_TEST(j.retries == 1);

    j.finish(j.current(), job_state::failed, base + 8s);
    j.retry(base + 20s);
    j.begin(0, base + 21s);
    BOOST_TEST(j.retries == 1);
    BOOST_TEST(j.attempt == 3u);

    j.retries = 0xffff;
    j.requeue(j.current());
    j.begin(0, base + 22s);
    BOOST_TEST(j.retries == 0xffff);
}

BOOST_AUTO_TEST_CASE(a_retry_starts_the_wait_anew_but_not_the_time_to_live)
{
    job j = job_in(job_state::failed);
    j.cancel_asked = true;
    const wall_time expires = j.expires();

    j.retry(base + 20s);

    BOOST_TEST((j.queued == base + 20s));
    BOOST_TEST((j.expires() == expires));
    BOOST_TEST(j.delay().count() == 0);
    BOOST_TEST(!j.cancel_asked);
    BOOST_TEST(j.backend == no_backend);
}

BOOST_AUTO_TEST_CASE(states_have_the_names_of_the_wire)
{
    std::string all;
    for (const job_state state : all_states)
        all += std::string(to_text(state)) + " ";
    BOOST_TEST(all == "IN_QUEUE IN_PROGRESS COMPLETED FAILED CANCELLED TIMED_OUT ");
}

BOOST_AUTO_TEST_SUITE_END()
