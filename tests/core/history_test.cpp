#include "core/history.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::core;
using namespace std::chrono_literals;

namespace {

wall_time at(int seconds) { return wall_time(std::chrono::seconds(1'700'000'000 + seconds)); }

job a_job(job_state state = job_state::in_queue, int ended = 0)
{
    job j;
    j.submitted = at(0);
    j.state = state;
    j.ended = ended == 0 ? wall_time{} : at(ended);
    j.started = at(1); // unset in jobs that ended while they waited
    return j;
}

attempt_record open_attempt(std::uint32_t n, int started)
{
    return {n, "webui-0", at(started), std::nullopt, {}, {}};
}

attempt_record attempt(std::uint32_t n, int started, outcome how, int ended, std::string why = {})
{
    return {n, "webui-0", at(started), how, at(ended), std::move(why)};
}

// "0 queued", "1 started 1", "5 waiting 1 unreachable: refused"
std::string told(const job& j, const job_history& past, std::string_view error = {})
{
    std::string text;
    for (const auto& e : events_of(j, past, error)) {
        text += text.empty() ? "" : ", ";
        text += std::to_string((e.at - at(0)) / 1s) + " " + std::string(to_text(e.what));
        if (e.attempt != 0)
            text += " " + std::to_string(e.attempt);
        if (e.ended)
            text += " " + std::string(to_text(*e.ended));
        if (!e.reason.empty())
            text += ": " + e.reason;
    }
    return text;
}

} // namespace

BOOST_AUTO_TEST_SUITE(history_)

BOOST_AUTO_TEST_CASE(a_job_is_queued_started_and_ends)
{
    BOOST_TEST(told(a_job(), {}) == "0 queued");
    BOOST_TEST(told(a_job(job_state::in_progress), {{open_attempt(1, 2)}, {}}) ==
               "0 queued, 2 started 1");
    BOOST_TEST(told(a_job(job_state::completed, 5), {{attempt(1, 2, outcome::done, 5)}, {}}) ==
               "0 queued, 2 started 1, 5 completed 1 done");
    BOOST_TEST(told(a_job(job_state::failed, 5),
                    {{attempt(1, 2, outcome::rejected, 5, "no such sampler")}, {}},
                    "no such sampler. Tried once") ==
               "0 queued, 2 started 1, 5 failed 1 rejected: no such sampler. Tried once");
}

BOOST_AUTO_TEST_CASE(an_attempt_that_ends_and_a_job_that_waits_on_are_two_things)
{
    const job_history past{{attempt(1, 2, outcome::unreachable, 3, "refused"), open_attempt(2, 8)},
                           {}};

    BOOST_TEST(told(a_job(job_state::in_progress), past) ==
               "0 queued, 2 started 1, 3 waiting 1 unreachable: refused, 8 started 2");
}

BOOST_AUTO_TEST_CASE(a_job_may_end_while_it_waits)
{
    BOOST_TEST(told(a_job(job_state::cancelled, 1), {}) == "0 queued, 1 cancelled");
    BOOST_TEST(told(a_job(job_state::failed, 9),
                    {{attempt(1, 2, outcome::unreachable, 3, "refused")}, {}}, "no model") ==
               "0 queued, 2 started 1, 3 waiting 1 unreachable: refused, 9 failed: no model");
}

BOOST_AUTO_TEST_CASE(a_retry_goes_on_with_the_log)
{
    const job_history past{{attempt(1, 2, outcome::rejected, 3, "no"), open_attempt(2, 21)},
                           {{1, job_state::failed, at(3), "no", at(20)}}};

    BOOST_TEST(told(a_job(job_state::in_progress), past) ==
               "0 queued, 2 started 1, 3 failed 1 rejected: no, 20 queued, 21 started 2");
}

BOOST_AUTO_TEST_CASE(several_retries_may_follow_one_another_without_an_attempt)
{
    const job_history past{{},
                           {{0, job_state::failed, at(1), "no file", at(2)},
                            {0, job_state::failed, at(3), "", at(4)}}};

    BOOST_TEST(told(a_job(job_state::cancelled, 5), past) ==
               "0 queued, 1 failed: no file, 2 queued, 3 failed, 4 queued, 5 cancelled");
}

BOOST_AUTO_TEST_CASE(rows_of_an_older_version_have_no_times_of_ends)
{
    const job_history past{{{1, "webui-0", at(2), outcome::unreachable, {}, {}},
                            {2, "webui-0", at(4), outcome::done, {}, {}}},
                           {}};

    BOOST_TEST(told(a_job(job_state::completed, 9), past) ==
               "0 queued, 2 started 1, 2 waiting 1 unreachable, 4 started 2, 9 completed 2 done");
}

BOOST_AUTO_TEST_CASE(rows_and_memory_may_be_of_different_moments)
{
    const job_history runs{{open_attempt(1, 2)}, {}};
    const job_history over{{attempt(1, 2, outcome::done, 5)}, {}};
    const job_history again{{attempt(1, 2, outcome::rejected, 5)},
                            {{1, job_state::failed, at(5), "", at(9)}}};
    auto j = a_job();
    j.queued = j.submitted;
    BOOST_TEST(agrees({}, j));
    BOOST_TEST(!agrees(runs, j));
    j.attempt = 1;
    j.state = job_state::in_progress;
    BOOST_TEST(agrees(runs, j));
    BOOST_TEST(!agrees({}, j));
    BOOST_TEST(!agrees(over, j));
    j.state = job_state::completed;
    BOOST_TEST(agrees(over, j));
    BOOST_TEST(!agrees(runs, j));
    j.state = job_state::in_queue;
    j.queued = at(9);
    BOOST_TEST(agrees(again, j));
    BOOST_TEST(!agrees(over, j));
}

BOOST_AUTO_TEST_CASE(every_kind_has_a_name)
{
    for (auto k = 0; k <= static_cast<int>(job_event::kind::timed_out); ++k)
        BOOST_TEST(!to_text(static_cast<job_event::kind>(k)).empty());
    BOOST_TEST(is_final(job_event::kind::cancelled));
    BOOST_TEST(!is_final(job_event::kind::waiting));
}

BOOST_AUTO_TEST_SUITE_END()
