#include "core/attempt.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::core;
using namespace std::chrono_literals;

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::attempt_action)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::outcome)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::progress_phase)

namespace {

using action = attempt_action;

constexpr steady_time start{std::chrono::hours(1)};
const std::string stamp_before = "20240101120000";

// An attempt and its clock.
struct fixture {
    attempt_limits limits;
    attempt_order order{.before = {stamp_before, true}};
    std::optional<attempt> a;
    steady_time now = start;
    attempt_step step;

    void begin()
    {
        a.emplace(limits, order, now);
        tell(attempt::tick{});
    }
    void run()
    {
        begin();
        tell(attempt::sent{});
    }
    void tell(const attempt::event& e) { step = a->on(e, now); }
    void tell_after(duration d, const attempt::event& e)
    {
        now += d;
        tell(e);
    }
    // Goes to the time of the next action.
    void wait() { now = std::max(now, step.at); }

    static attempt::progress_read reading(int step_no, int job_count = 1)
    {
        return {{.job = "scripts_txt2img",
                 .job_timestamp = "20240101120005",
                 .job_count = job_count,
                 .job_no = 0,
                 .sampling_step = step_no,
                 .sampling_steps = 20,
                 .progress = job_count < 0 ? 0.01 : 0.01 + step_no / 20.0,
                 .eta_seconds = 3}};
    }
    static attempt::progress_read idle()
    {
        return {{.job = "", .job_timestamp = "20240101120005"}};
    }
    void ended(outcome what, bool is_idle, bool lost = false)
    {
        BOOST_TEST(a->finished());
        BOOST_TEST(step.what == action::finish);
        BOOST_TEST_INFO(to_text(a->end().what) << ": " << a->end().reason);
        BOOST_TEST(a->end().what == what);
        BOOST_TEST(a->end().idle == is_idle);
        BOOST_TEST(a->end().lost == lost);
        BOOST_TEST((what == outcome::done) == a->end().reason.empty());
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(attempt_, fixture)

BOOST_AUTO_TEST_CASE(a_job_is_sent_watched_and_done)
{
    begin();
    BOOST_TEST(step.what == action::send);
    BOOST_TEST((step.at <= now));

    tell(attempt::sent{});
    BOOST_TEST(step.what == action::poll_progress);
    BOOST_TEST((step.at == start + 1s));

    tell_after(1s, reading(5));
    BOOST_TEST(a->progress_changed());
    BOOST_TEST(a->progress().phase == progress_phase::sampling);
    BOOST_TEST((step.at == start + 2s));
    tell_after(1s, reading(5));
    BOOST_TEST(!a->progress_changed());

    tell_after(1s, attempt::reply{outcome::done, ""});
    ended(outcome::done, true);
}

BOOST_AUTO_TEST_CASE(every_classified_reply_ends_the_attempt_with_its_outcome)
{
    for (const outcome what :
         {outcome::rejected, outcome::route_missing, outcome::out_of_memory, outcome::nan,
          outcome::no_model, outcome::cache_broken, outcome::server_error, outcome::unauthorized,
          outcome::rate_limited, outcome::busy, outcome::bad_reply, outcome::wrong_model}) {
        run();
        tell(attempt::reply{what, "as the WebUI said"});
        ended(what, true);
        BOOST_TEST(a->end().reason == "as the WebUI said");
    }
}

BOOST_AUTO_TEST_CASE(what_was_never_sent_is_told_from_what_was_lost)
{
    run();
    tell(attempt::connection_failed{.nothing_sent = true, .refused = true, .why = "refused"});
    ended(outcome::unreachable, true);

    run();
    tell(attempt::connection_failed{.nothing_sent = true, .refused = false, .why = "reset"});
    ended(outcome::reset_unsent, true);
}

BOOST_AUTO_TEST_CASE(a_lost_reply_is_probed_and_a_restart_loses_the_job)
{
    run();
    tell_after(3s, attempt::connection_failed{.why = "connection reset"});
    BOOST_TEST(step.what == action::probe);
    BOOST_TEST((step.at <= now));
    tell(attempt::probe_asked{});
    BOOST_TEST(step.what == action::wait);

    tell_after(1s, attempt::backend_restarted{"the port was closed"});
    ended(outcome::lost_restarted, true);
    BOOST_TEST(a->end().reason == "connection reset; the port was closed");
}

BOOST_AUTO_TEST_CASE(a_lost_reply_of_a_living_webui_fails_when_it_is_idle)
{
    run();
    tell(attempt::connection_failed{.why = "connection reset"});
    tell(attempt::probe_asked{});
    tell_after(10s, attempt::backend_idle{});
    ended(outcome::lost_running, true);
}

BOOST_AUTO_TEST_CASE(a_proxys_answer_is_as_good_as_none)
{
    run();
    tell(attempt::reply{outcome::proxy_error, "504 from a proxy"});
    BOOST_TEST(step.what == action::probe);
    tell(attempt::backend_idle{});
    ended(outcome::proxy_error, true);

    run();
    tell(attempt::reply{outcome::proxy_error, "502 from a proxy"});
    tell(attempt::backend_restarted{"restarted"});
    ended(outcome::lost_restarted, true);
}

BOOST_AUTO_TEST_CASE(probing_ends_when_the_backend_is_stuck_or_nobody_knows)
{
    run();
    tell(attempt::connection_failed{.why = "reset"});
    tell(attempt::backend_stuck{"it does not become idle"});
    ended(outcome::lost_running, false);

    run();
    tell(attempt::connection_failed{.why = "reset"});
    tell(attempt::probe_asked{});
    wait();
    BOOST_TEST((now - start == 300s));
    tell(attempt::tick{});
    ended(outcome::lost_running, false, true);
}

BOOST_AUTO_TEST_CASE(whoever_is_asked_to_stop_while_probing_does_not_wait)
{
    run();
    tell(attempt::connection_failed{.why = "reset"});
    tell(attempt::cancel_asked{});
    ended(outcome::cancelled, false, true);

    run();
    tell(attempt::connection_failed{.why = "reset"});
    tell(attempt::shutdown_asked{});
    ended(outcome::shutdown, false, true);
}

BOOST_AUTO_TEST_CASE(nothing_is_sent_after_a_cancel)
{
    begin();
    tell(attempt::cancel_asked{});
    ended(outcome::cancelled, true);

    begin();
    tell(attempt::shutdown_asked{});
    ended(outcome::shutdown, true);

    begin();
    tell(attempt::backend_restarted{"gone"});
    ended(outcome::unreachable, true);
}

BOOST_AUTO_TEST_CASE(a_cancel_interrupts_until_the_reply_comes)
{
    run();
    tell_after(1s, reading(5));
    tell(attempt::cancel_asked{});
    BOOST_TEST(step.what == action::interrupt);
    BOOST_TEST((step.at <= now));

    tell(attempt::interrupt_sent{});
    BOOST_TEST(step.what == action::poll_progress);
    tell_after(1s, reading(6));
    BOOST_TEST(!a->progress_changed()); // nobody wants to hear of it any more
    wait();
    tell(attempt::tick{});
    BOOST_TEST(step.what == action::interrupt); // the first one came too early

    tell(attempt::interrupt_sent{});
    tell_after(1s, attempt::reply{outcome::done, ""}); // a 200 with half a picture
    ended(outcome::cancelled, true);
}

BOOST_AUTO_TEST_CASE(a_result_that_came_before_the_interrupt_is_a_result)
{
    run();
    tell(attempt::cancel_asked{});
    tell(attempt::reply{outcome::done, ""});
    ended(outcome::done, true);
}

BOOST_AUTO_TEST_CASE(progress_confirms_idle_only_for_a_job_that_had_begun)
{
    run();
    tell(attempt::cancel_asked{});
    tell(attempt::interrupt_sent{});
    for (int i = 0; i < 5; ++i)
        tell_after(1s, idle()); // the job waits for the WebUI's lock
    BOOST_TEST(!a->finished());

    tell_after(1s, reading(1));
    tell_after(1s, idle());
    BOOST_TEST(!a->finished());
    tell_after(1s, idle());
    ended(outcome::cancelled, true);
}

BOOST_AUTO_TEST_CASE(an_interrupt_that_does_not_help_has_an_end)
{
    run();
    tell(attempt::cancel_asked{});
    int interrupts = 0;
    while (!a->finished() && now - start < 1h) {
        wait();
        if (step.what == action::interrupt) {
            ++interrupts;
            if (interrupts % 2 == 1)
                tell(attempt::interrupt_sent{});
            else
                tell(attempt::interrupt_failed{});
        } else if (step.what == action::poll_progress) {
            tell(reading(5));
        } else {
            tell(attempt::tick{});
        }
    }
    BOOST_TEST((now - start == 60s));
    BOOST_TEST(interrupts == 30);
    ended(outcome::cancelled, false);
}

BOOST_AUTO_TEST_CASE(a_connection_lost_while_stopping_leaves_the_webui_unknown)
{
    run();
    tell(attempt::cancel_asked{});
    tell(attempt::interrupt_sent{});
    tell(attempt::connection_failed{.why = "reset"});
    ended(outcome::cancelled, false, true);

    run();
    tell(attempt::cancel_asked{});
    tell(attempt::interrupt_sent{});
    tell(attempt::reply{outcome::proxy_error, "504"});
    ended(outcome::cancelled, false, true);

    run();
    tell(attempt::cancel_asked{});
    tell(attempt::connection_failed{.nothing_sent = true, .refused = true, .why = "refused"});
    ended(outcome::cancelled, true);

    run();
    tell(attempt::cancel_asked{});
    tell(attempt::backend_restarted{"gone"});
    ended(outcome::cancelled, true);
}

BOOST_AUTO_TEST_CASE(the_execution_timeout_is_the_jobs_and_counts_from_the_start)
{
    order.execution_timeout = 5s;
    begin();
    tell_after(1s, attempt::sent{});
    for (int i = 0; i < 3; ++i)
        tell_after(1s, reading(i));
    BOOST_TEST(step.what == action::wait); // the next poll would come too late
    BOOST_TEST((step.at == start + 5s));

    wait();
    tell(attempt::tick{});
    BOOST_TEST(step.what == action::interrupt);
    tell(attempt::interrupt_sent{});
    tell_after(1s, attempt::reply{outcome::done, ""});
    ended(outcome::execution_timeout, true);
    BOOST_TEST(a->end().reason == "executionTimeout exceeded");
}

BOOST_AUTO_TEST_CASE(a_reply_may_take_600_s_and_900_s_more_with_a_model_to_load)
{
    for (const bool loaded : {true, false}) {
        now = start;
        order.execution_timeout = 24h;
        order.has_progress = false;
        order.model_loaded = loaded;
        run();
        BOOST_TEST(step.what == action::wait);
        BOOST_TEST((step.at == start + (loaded ? 600s : 1500s)));
        wait();
        tell(attempt::tick{});
        tell(attempt::interrupt_sent{});
        tell(attempt::reply{outcome::done, ""});
        ended(outcome::stalled, true);
        BOOST_TEST(a->end().reason.find(loaded ? "within 600 s (webui.inference_timeout)"
                                               : "within 1500 s") != std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(a_job_that_stands_still_is_stopped)
{
    run();
    tell_after(1s, reading(5));
    while (step.what == action::poll_progress && now - start < 1h) {
        wait();
        tell(reading(5));
    }
    wait();
    tell(attempt::tick{});
    BOOST_TEST(step.what == action::interrupt);
    BOOST_TEST((now - start == 121s));
    tell(attempt::interrupt_sent{});
    tell(attempt::reply{outcome::done, ""});
    ended(outcome::stalled, true);
    BOOST_TEST(a->end().reason == "no progress for 120 s while sampling (webui.stall_timeout)");
}

BOOST_AUTO_TEST_CASE(a_job_that_moves_slowly_is_left_alone)
{
    order.execution_timeout = 24h;
    limits.reply = 24h;
    run();
    for (int i = 0; i < 19; ++i)
        tell_after(119s, reading(i));
    BOOST_TEST(!a->finished());
    BOOST_TEST(step.what == action::poll_progress);
}

BOOST_AUTO_TEST_CASE(loading_a_model_may_take_longer_than_a_step)
{
    order.execution_timeout = 24h;
    order.model_loaded = false;
    run();
    tell_after(1s, reading(0, -1));
    tell_after(900s, reading(0, -1));
    BOOST_TEST(step.what == action::poll_progress);
    tell_after(121s, reading(0, -1));
    BOOST_TEST(step.what == action::interrupt);

    run();
    tell_after(1s, reading(0, -1));
    tell_after(800s, reading(1));
    tell_after(121s, reading(1)); // it is loaded by now
    BOOST_TEST(step.what == action::interrupt);
}

BOOST_AUTO_TEST_CASE(where_progress_cannot_be_read_nothing_stalls)
{
    run();
    for (int i = 0; i < 500; ++i)
        tell_after(1s, attempt::progress_failed{});
    BOOST_TEST(step.what == action::poll_progress);
    BOOST_TEST(!a->finished());
}

BOOST_AUTO_TEST_CASE(progress_that_does_not_come_keeps_no_interrupt_waiting)
{
    run();
    wait();
    BOOST_TEST(step.what == action::poll_progress);
    tell(attempt::progress_asked{});
    BOOST_TEST((step.at == now + limits.poll));

    tell_after(500ms, attempt::cancel_asked{});
    BOOST_TEST(step.what == action::interrupt);
    BOOST_TEST((step.at == now));
}

BOOST_AUTO_TEST_CASE(a_webui_without_interrupt_is_waited_for)
{
    order.has_progress = order.has_interrupt = false;
    run();
    tell(attempt::cancel_asked{});
    BOOST_TEST(step.what == action::wait);
    BOOST_TEST((step.at == start + 60s));
    wait();
    tell(attempt::tick{});
    ended(outcome::cancelled, false);
}

BOOST_AUTO_TEST_CASE(the_first_cause_to_stop_stays_but_a_drain_gives_way_to_a_cancel)
{
    order.execution_timeout = 5s;
    run();
    tell_after(5s, attempt::tick{});
    tell(attempt::cancel_asked{});
    tell(attempt::interrupt_sent{});
    tell(attempt::reply{outcome::done, ""});
    ended(outcome::execution_timeout, true);

    now = start;
    order.execution_timeout = 600s;
    run();
    tell(attempt::shutdown_asked{});
    tell(attempt::cancel_asked{});
    tell(attempt::interrupt_sent{});
    tell(attempt::reply{outcome::done, ""});
    ended(outcome::cancelled, true);
}

BOOST_AUTO_TEST_CASE(a_restart_that_others_noticed_ends_the_attempt)
{
    run();
    tell(attempt::backend_restarted{"its port was closed"});
    ended(outcome::lost_restarted, true);
}

BOOST_AUTO_TEST_CASE(what_comes_after_the_end_changes_nothing)
{
    run();
    tell(attempt::reply{outcome::done, ""});
    const attempt::event late[] = {attempt::tick{},
                                   attempt::sent{},
                                   attempt::reply{outcome::rejected, "late"},
                                   attempt::connection_failed{.why = "late"},
                                   attempt::progress_asked{},
                                   reading(3),
                                   attempt::progress_failed{},
                                   attempt::cancel_asked{},
                                   attempt::shutdown_asked{},
                                   attempt::interrupt_sent{},
                                   attempt::interrupt_failed{},
                                   attempt::probe_asked{},
                                   attempt::backend_restarted{"late"},
                                   attempt::backend_idle{},
                                   attempt::backend_stuck{"late"}};
    for (const auto& e : late) {
        tell_after(1h, e);
        ended(outcome::done, true);
    }
}

BOOST_AUTO_TEST_CASE(its_state_can_be_read)
{
    run();
    tell_after(1s, reading(5));
    BOOST_TEST(a->describe(now) == "running for 1 s, sampling 26 %");
    tell(attempt::cancel_asked{});
    tell(attempt::interrupt_sent{});
    BOOST_TEST(a->describe(now) ==
               "stopping for 1 s, sampling 26 %, 1 interrupts because cancelled by the client");
    tell(attempt::reply{outcome::done, ""});
    BOOST_TEST(a->describe(now) == "over for 1 s, sampling 26 %: cancelled");
    BOOST_TEST(a->mark().job_timestamp == "20240101120005");
}

BOOST_AUTO_TEST_SUITE_END()
