#include "core/progress.hpp"

#include <boost/test/unit_test.hpp>

#include <limits>

using namespace gateway::core;

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::progress_phase)

namespace {

const std::string old_stamp = "20240101120000";
const std::string our_stamp = "20240101120005";

progress_reading idle_reading() { return {.job = "", .job_timestamp = old_stamp}; }

progress_reading reading(int job_count, int job_no, int step, int steps, double progress,
                         double eta = 0)
{
    return {.job = "scripts_txt2img",
            .job_timestamp = our_stamp,
            .job_count = job_count,
            .job_no = job_no,
            .sampling_step = step,
            .sampling_steps = steps,
            .progress = progress,
            .eta_seconds = eta};
}

progress_tracker after_idle() { return progress_tracker({old_stamp, true}); }

} // namespace

BOOST_AUTO_TEST_SUITE(progress_)

// The rows of webui.md §3.3, in the order in which a job runs through them.
BOOST_AUTO_TEST_CASE(a_job_runs_through_its_phases)
{
    struct row {
        progress_reading read;
        progress_phase phase;
        double fraction;
        bool moved;
    };
    const row rows[] = {
        {idle_reading(), progress_phase::queued, 0, false},
        {reading(-1, 0, 0, 20, 0.01, 99), progress_phase::loading, 0.01, true},
        {reading(-1, 0, 0, 20, 0.01, 198), progress_phase::loading, 0.01, false},
        {reading(1, 0, 0, 20, 0.01), progress_phase::sampling, 0.01, true},
        {reading(1, 0, 5, 20, 0.26), progress_phase::sampling, 0.26, true},
        {reading(1, 0, 5, 20, 0.26), progress_phase::sampling, 0.26, false},
        {reading(1, 0, 19, 20, 0.96), progress_phase::sampling, 0.96, true},
        {reading(1, 0, 20, 20, 1), progress_phase::decoding, 1, true},
        {reading(1, 1, 0, 20, 1), progress_phase::decoding, 1, true},
        {idle_reading(), progress_phase::decoding, 1, false}, // back to 0: done is the reply's word
    };
    auto t = after_idle();
    int at = 0;
    for (const row& r : rows) {
        const bool moved = t.on(r.read);
        BOOST_TEST_CONTEXT("row " << at++)
        {
            BOOST_TEST(t.view().phase == r.phase);
            BOOST_TEST(t.view().fraction == r.fraction);
            BOOST_TEST(moved == r.moved);
        }
    }
    BOOST_TEST(t.over());
}

BOOST_AUTO_TEST_CASE(the_fraction_never_falls)
{
    auto t = after_idle();
    t.on(reading(1, 0, 10, 20, 0.51));
    t.on(reading(2, 0, 11, 20, 0.28)); // hires has doubled the count
    BOOST_TEST(t.view().fraction == 0.51);
    t.on(reading(2, 0, 12, 20, std::numeric_limits<double>::quiet_NaN()));
    BOOST_TEST(t.view().fraction == 0.51);
    t.on(reading(2, 1, 19, 20, 7));
    BOOST_TEST(t.view().fraction == 1.0);
}

BOOST_AUTO_TEST_CASE(steps_left_over_from_the_job_before_are_no_progress)
{
    auto t = after_idle();
    t.on(reading(-1, 0, 20, 20, 0.01));
    BOOST_TEST(t.view().phase == progress_phase::loading);
}

BOOST_AUTO_TEST_CASE(only_the_last_picture_leads_to_decoding)
{
    auto t = after_idle();
    t.on(reading(2, 0, 20, 20, 0.51));
    BOOST_TEST(t.view().phase == progress_phase::sampling);
    t.on(reading(2, 1, 20, 20, 1));
    BOOST_TEST(t.view().phase == progress_phase::decoding);
}

BOOST_AUTO_TEST_CASE(a_job_that_ran_before_ours_was_sent_is_not_ours)
{
    progress_tracker t({old_stamp, false});
    progress_reading other = reading(1, 0, 10, 20, 0.5);
    other.job_timestamp = old_stamp;

    BOOST_TEST(!t.on(other));
    BOOST_TEST(t.view().phase == progress_phase::queued);
    BOOST_TEST(t.view().fraction == 0);

    BOOST_TEST(t.on(reading(-1, 0, 0, 20, 0.01)));
    BOOST_TEST(t.begun());
}

BOOST_AUTO_TEST_CASE(a_job_that_begins_in_the_same_second_as_the_last_one_is_ours)
{
    auto t = after_idle();
    progress_reading r = reading(1, 0, 1, 20, 0.06);
    r.job_timestamp = old_stamp;
    BOOST_TEST(t.on(r));
}

BOOST_AUTO_TEST_CASE(a_job_that_begins_after_ours_is_not_ours)
{
    auto t = after_idle();
    t.on(reading(1, 0, 10, 20, 0.5));
    progress_reading other = reading(1, 0, 15, 20, 0.8);
    other.job_timestamp = "20240101120099";

    BOOST_TEST(!t.on(other));
    BOOST_TEST(t.view().fraction == 0.5);
    BOOST_TEST(t.over());
}

BOOST_AUTO_TEST_CASE(a_stuck_extras_job_is_never_ours)
{
    auto t = after_idle();
    progress_reading r = reading(0, 0, 0, 0, 0);
    r.job = "extras";
    BOOST_TEST(!t.on(r));
    BOOST_TEST(!t.begun());
}

BOOST_AUTO_TEST_CASE(the_first_job_of_a_process_is_recognised)
{
    const progress_mark fresh = mark_of({.job = "", .job_timestamp = "0"});
    BOOST_TEST(fresh.job_timestamp == "0");
    progress_tracker t(fresh);
    BOOST_TEST(t.on(reading(-1, 0, 0, 0, 0.01)));
}

BOOST_AUTO_TEST_CASE(the_time_left_is_told_while_sampling_only)
{
    auto t = after_idle();
    t.on(reading(-1, 0, 0, 20, 0.01, 99 * 3));
    BOOST_TEST(!t.view().eta_seconds.has_value());
    t.on(reading(1, 0, 5, 20, 0.26, 12.5));
    BOOST_TEST(t.view().eta_seconds.value() == 12.5);
    t.on(reading(1, 0, 6, 20, 0.3, std::numeric_limits<double>::infinity()));
    BOOST_TEST(!t.view().eta_seconds.has_value());
    t.on(reading(1, 0, 20, 20, 1, 1));
    BOOST_TEST(!t.view().eta_seconds.has_value());
}

BOOST_AUTO_TEST_CASE(the_mark_is_what_was_read_last_whosever_it_was)
{
    auto t = after_idle();
    BOOST_TEST(t.mark().job_timestamp == old_stamp);
    t.on(reading(1, 0, 5, 20, 0.26));
    BOOST_TEST(t.mark().job_timestamp == our_stamp);
    BOOST_TEST(!t.mark().idle);
}

BOOST_AUTO_TEST_SUITE_END()
