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

std::string_view name_of(job_change event)
{
    switch (event) {
    case job_change::begin: return "begin";
    case job_change::requeue: return "requeue";
    case job_change::finish: return "finish";
    case job_change::end_queued: return "end_queued";
    case job_change::retry: return "retry";
    }
    return "";
}

// One way to ask for a change of state.
struct request {
    job_change event;
    job_state to;
    std::function<verdict(job&, fence)> ask;
    std::string_view name = name_of(event);
};

std::vector<request> all_requests()
{
    std::vector<request> all = {
        {job_change::begin, job_state::in_progress,
         [](job& j, fence) { return j.begin(2, base + 9s); }},
        {job_change::requeue, job_state::in_queue, [](job& j, fence f) { return j.requeue(f); }},
        {job_change::retry, job_state::in_queue, [](job& j, fence) { return j.retry(base + 9s); }},
    };
    for (const job_state end : all_states) {
        all.push_back({job_change::finish, end,
                       [end](job& j, fence f) { return j.finish(f, end, base + 9s); }});
        all.push_back({job_change::end_queued, end,
                       [end](job& j, fence) { return j.end_queued(end, base + 9s); }});
    }
    return all;
}

verdict expected(job_state state, const request& r, by asker)
{
    if (is_final(state) && r.event != job_change::retry)
        return verdict::already_final;
    const bool by_attempt = state == job_state::in_progress && asker == by::the_current_attempt;
    if (is_fenced(r.event) && !by_attempt)
        return verdict::stale;
    for (const transition& t : lifecycle)
        if (t.event == r.event && t.from == state && t.to == r.to)
            return verdict::done;
    return verdict::wrong_state;
}

} // namespace

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::job_state)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::verdict)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::fence)

BOOST_AUTO_TEST_SUITE(job_)

// Every event in every state to every state, and for fenced ones every kind of fence.
BOOST_AUTO_TEST_CASE(what_is_in_the_table_happens_and_the_rest_is_refused_and_changes_nothing)
{
    for (const job_state state : all_states)
        for (const request& r : all_requests())
            for (const by asker : all_askers) {
                job j = job_in(state);
                const job before = j;

                const verdict got = r.ask(j, fence_of(j, asker));

                const auto name = std::string(r.name) + " in " + std::string(to_text(state)) +
                                  " to " + std::string(to_text(r.to)) + ", fence " +
                                  std::to_string(int(asker));
                BOOST_TEST(got == expected(state, r, asker), name);
                BOOST_TEST((got == verdict::done ? j.state == r.to : same(j, before)), name);
            }
}

BOOST_AUTO_TEST_CASE(the_table_is_this_one)
{
    std::string rows;
    for (const transition& t : lifecycle)
        rows += std::string(name_of(t.event)) + ": " + std::string(to_text(t.from)) + " > " +
                std::string(to_text(t.to)) + "\n";

    BOOST_TEST(rows == "begin: IN_QUEUE > IN_PROGRESS\n"
                       "requeue: IN_PROGRESS > IN_QUEUE\n"
                       "finish: IN_PROGRESS > COMPLETED\n"
                       "finish: IN_PROGRESS > FAILED\n"
                       "finish: IN_PROGRESS > CANCELLED\n"
                       "finish: IN_PROGRESS > TIMED_OUT\n"
                       "end_queued: IN_QUEUE > CANCELLED\n"
                       "end_queued: IN_QUEUE > FAILED\n"
                       "retry: FAILED > IN_QUEUE\n"
                       "retry: TIMED_OUT > IN_QUEUE\n");
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

BOOST_AUTO_TEST_CASE(a_job_past_its_ttl_is_not_retried)
{
    job j = job_in(job_state::failed);
    j.policy.ttl = 20s;
    const job before = j;

    BOOST_TEST(j.retry(base + 20s) == verdict::expired);
    BOOST_TEST(same(j, before));
    BOOST_TEST(j.retry(base + 19s) == verdict::done);
}

BOOST_AUTO_TEST_CASE(states_have_the_names_of_the_wire)
{
    std::string all;
    for (const job_state state : all_states)
        all += std::string(to_text(state)) + " ";
    BOOST_TEST(all == "IN_QUEUE IN_PROGRESS COMPLETED FAILED CANCELLED TIMED_OUT ");
}

BOOST_AUTO_TEST_SUITE_END()
