#include "core/retry.hpp"

#include <boost/test/unit_test.hpp>

#include <vector>

using namespace gateway;
using namespace gateway::core;
using namespace std::chrono_literals;

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::next_step)

namespace {

using outcomes = std::vector<outcome>;

constexpr int outcome_count = static_cast<int>(outcome::preparation) + 1;

std::string name(const outcomes& attempts)
{
    std::string text;
    for (const outcome o : attempts)
        text += std::string(to_text(o)) + " ";
    return text;
}

outcomes times(std::size_t n, outcome o) { return outcomes(n, o); }

} // namespace

BOOST_AUTO_TEST_SUITE(retry_)

// One row per outcome: what a first such end leads to, and from which number of equal ends on the
// job fails (0: it never does).
BOOST_AUTO_TEST_CASE(each_outcome_has_its_row_in_the_matrix)
{
    struct row {
        outcome ended;
        next_step first;
        std::size_t fails_at;
        bool same_backend_ok = true;
    };
    const row rows[] = {
        {outcome::done, next_step::complete, 0},
        {outcome::rejected, next_step::fail, 1},
        {outcome::unreachable, next_step::requeue, 21},
        {outcome::reset_unsent, next_step::requeue, 21},
        {outcome::route_missing, next_step::requeue, 21},
        {outcome::lost_restarted, next_step::requeue, 21},
        {outcome::lost_running, next_step::fail, 1},
        {outcome::out_of_memory, next_step::requeue_later, 2, false},
        {outcome::nan, next_step::requeue_later, 2},
        {outcome::no_model, next_step::requeue_later, 3, false},
        {outcome::cache_broken, next_step::requeue_later, 3, false},
        {outcome::server_error, next_step::fail, 1},
        {outcome::unauthorized, next_step::requeue, 21, false},
        {outcome::rate_limited, next_step::fail, 1},
        {outcome::busy, next_step::requeue_later, 21, false},
        {outcome::bad_reply, next_step::fail, 1},
        {outcome::proxy_error, next_step::fail, 1},
        {outcome::wrong_model, next_step::requeue_later, 2, false},
        {outcome::execution_timeout, next_step::fail, 1},
        {outcome::stalled, next_step::fail, 1},
        {outcome::cancelled, next_step::cancel, 0},
        {outcome::shutdown, next_step::requeue, 0},
        {outcome::crashed, next_step::requeue, 3},
        {outcome::storage_failed, next_step::requeue_later, 3},
        {outcome::preparation, next_step::requeue_later, 2, false},
    };
    BOOST_REQUIRE(std::size(rows) == std::size_t{outcome_count});
    const retry_limits limits;
    for (const row& r : rows)
        for (std::size_t n = 1; n <= 50; ++n) {
            const retry_decision d = decide(limits, times(n, r.ended));
            const bool fails = r.fails_at != 0 && n >= r.fails_at;
            BOOST_TEST_INFO(to_text(r.ended) << " × " << n);
            BOOST_TEST(d.step == (fails ? next_step::fail : r.first));
            BOOST_TEST_INFO(to_text(r.ended) << " × " << n);
            BOOST_TEST((d.pause == (d.step == next_step::requeue_later ? duration(5s) : 0s)));
            BOOST_TEST_INFO(to_text(r.ended) << " × " << n);
            BOOST_TEST((fails || d.same_backend_ok == r.same_backend_ok));
        }
}

// Every outcome after every pair of earlier ones.
BOOST_AUTO_TEST_CASE(only_the_past_that_counts_changes_the_decision)
{
    const retry_limits limits;
    const auto counts = [](outcome o) {
        return o == outcome::out_of_memory || o == outcome::nan || o == outcome::no_model ||
               o == outcome::cache_broken || o == outcome::storage_failed ||
               o == outcome::wrong_model || o == outcome::preparation;
    };
    const auto chance = [](outcome o) {
        return o == outcome::out_of_memory || o == outcome::nan         ? 1
               : o == outcome::wrong_model || o == outcome::preparation ? 2
                                                                        : 0;
    };
    for (int a = 0; a < outcome_count; ++a)
        for (int b = 0; b < outcome_count; ++b)
            for (int c = 0; c < outcome_count; ++c) {
                const outcomes past{outcome(a), outcome(b), outcome(c)};
                const outcome last = past[2];
                const bool chance_gone = chance(last) != 0 && (chance(past[0]) == chance(last) ||
                                                               chance(past[1]) == chance(last));
                const bool all_counted = counts(past[0]) && counts(past[1]) && counts(last);
                const next_step alone = decide(limits, times(1, last)).step;
                const bool all_crashed = past == times(3, outcome::crashed);
                const next_step expected =
                    chance_gone || all_counted || all_crashed ? next_step::fail : alone;
                if (decide(limits, past).step != expected)
                    BOOST_ERROR(name(past));
            }
}

BOOST_AUTO_TEST_CASE(restarts_of_every_kind_share_one_limit)
{
    const retry_limits limits{.max_restarts = 3};
    outcomes past{outcome::unreachable, outcome::route_missing, outcome::lost_restarted};
    BOOST_TEST(decide(limits, past).step == next_step::requeue);

    past.push_back(outcome::reset_unsent);
    BOOST_TEST(decide(limits, past).step == next_step::fail);
}

BOOST_AUTO_TEST_CASE(restarts_do_not_use_up_attempts_nor_attempts_restarts)
{
    outcomes past = times(20, outcome::route_missing);
    past.push_back(outcome::storage_failed);
    past.push_back(outcome::storage_failed);
    BOOST_TEST(decide({}, past).step == next_step::requeue_later);

    past.push_back(outcome::storage_failed);
    BOOST_TEST(decide({}, past).step == next_step::fail);
}

BOOST_AUTO_TEST_CASE(a_lost_job_is_not_sent_again_where_that_is_switched_off)
{
    const retry_limits limits{.resend_after_restart = false};
    BOOST_TEST(decide(limits, times(1, outcome::lost_restarted)).step == next_step::fail);
    BOOST_TEST(limit_reached(limits, times(1, outcome::lost_restarted))
                   .find("retry.resend_after_restart") != std::string::npos);
    BOOST_TEST(decide(limits, times(1, outcome::route_missing)).step == next_step::requeue);
}

BOOST_AUTO_TEST_CASE(a_job_that_was_never_tried_is_queued)
{
    BOOST_TEST(decide({}, {}).step == next_step::requeue);
    BOOST_TEST(limit_reached({}, {}) == "");
}

BOOST_AUTO_TEST_CASE(a_limit_of_one_attempt_means_no_second_one)
{
    const retry_limits limits{.attempts = 1};
    for (const outcome o : {outcome::no_model, outcome::out_of_memory, outcome::wrong_model})
        BOOST_TEST(decide(limits, times(1, o)).step == next_step::fail);
}

BOOST_AUTO_TEST_CASE(whoever_gives_up_says_at_which_limit)
{
    struct row {
        outcomes past;
        const char* says;
    };
    const row rows[] = {
        {times(3, outcome::no_model), "after 3 attempts (retry.attempts = 3)"},
        {times(21, outcome::unreachable), "21 times"},
        {times(21, outcome::unreachable), "retry.max_restarts = 20"},
        {times(3, outcome::crashed), "Quarantined: the gateway died 3 times"},
        {times(2, outcome::out_of_memory), "same way when it was tried a second time"},
        {{outcome::nan, outcome::out_of_memory}, "second time for a fault of the same kind"},
    };
    for (const row& r : rows)
        BOOST_TEST(limit_reached({}, r.past).find(r.says) != std::string::npos,
                   limit_reached({}, r.past));
}

BOOST_AUTO_TEST_CASE(no_limit_is_named_where_none_was_reached)
{
    for (int o = 0; o < outcome_count; ++o)
        BOOST_TEST(limit_reached({}, times(1, outcome(o))) == "", to_text(outcome(o)));
}

BOOST_AUTO_TEST_CASE(outcomes_have_distinct_names_for_the_journal)
{
    for (int a = 0; a < outcome_count; ++a) {
        BOOST_TEST(to_text(outcome(a)) != "unknown");
        for (int b = 0; b < a; ++b)
            BOOST_TEST(to_text(outcome(a)) != to_text(outcome(b)));
    }
}

BOOST_AUTO_TEST_SUITE_END()
