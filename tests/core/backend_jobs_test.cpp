#include "core/backend_fixture.hpp"

using namespace gateway;
using namespace gateway::core;
using namespace gateway::test;
using namespace std::chrono_literals;

BOOST_FIXTURE_TEST_SUITE(backend_jobs_, played_webui)

// --- the ends of jobs ---

BOOST_AUTO_TEST_CASE(each_end_of_a_job_says_something_about_the_webui)
{
    const std::pair<outcome, state> rows[] = {
        {outcome::done, state::ready},
        {outcome::rejected, state::ready},
        {outcome::unreachable, state::down},
        {outcome::reset_unsent, state::down},
        {outcome::route_missing, state::settling},
        {outcome::lost_restarted, state::down},
        {outcome::lost_running, state::ready},
        {outcome::out_of_memory, state::ready},
        {outcome::nan, state::ready},
        {outcome::no_model, state::broken},
        {outcome::cache_broken, state::broken},
        {outcome::server_error, state::ready},
        {outcome::unauthorized, state::unauthorized},
        {outcome::rate_limited, state::ready},
        {outcome::busy, state::ready},
        {outcome::bad_reply, state::ready},
        {outcome::proxy_error, state::ready},
        {outcome::wrong_model, state::ready},
        {outcome::execution_timeout, state::ready},
        {outcome::stalled, state::ready},
        {outcome::cancelled, state::ready},
        {outcome::shutdown, state::ready},
        {outcome::crashed, state::ready},
        {outcome::storage_failed, state::ready},
        {outcome::preparation, state::ready},
    };
    for (const auto& [what, leads_to] : rows) {
        make(state::ready);
        ended(what);
        BOOST_TEST_INFO(to_text(what));
        BOOST_TEST(b->state() == leads_to);
    }
}

BOOST_AUTO_TEST_CASE(three_failures_in_a_row_open_the_breaker_and_one_more_opens_it_again)
{
    reach(state::ready);
    ended(outcome::server_error);
    ended(outcome::out_of_memory);
    ended(outcome::done);
    ended(outcome::server_error);
    ended(outcome::rejected); // says nothing about the WebUI
    ended(outcome::nan);
    BOOST_TEST(b->ready());
    ended(outcome::server_error);
    BOOST_TEST(b->state() == state::broken);
    BOOST_TEST(says("3 failures in a row"));
    BOOST_TEST(says("30 s"));

    reach(state::ready); // by way of a warm-up
    ended(outcome::server_error);
    BOOST_TEST(b->state() == state::broken);
    BOOST_TEST(says("60 s"));

    reach(state::ready);
    ended(outcome::done);
    ended(outcome::server_error);
    BOOST_TEST(b->ready());
}

BOOST_AUTO_TEST_CASE(one_recovery_runs_however_many_jobs_saw_the_404)
{
    reach(state::ready);
    const std::uint64_t epoch = b->epoch();
    for (int i = 0; i < 5; ++i)
        tell_after(1s,
                   backend::job_ended{
                       .what = outcome::route_missing, .epoch = epoch, .why = "404", .mark = {}});
    BOOST_TEST(b->epoch() == epoch + 1);
    BOOST_TEST(b->state() == state::settling);
    BOOST_TEST((b->describe(now).since == now - 4s));
}

BOOST_AUTO_TEST_CASE(the_end_of_a_job_of_an_old_epoch_says_nothing)
{
    reach(state::ready);
    tell(backend::port_refused{"refused"});
    reach(state::ready);
    tell(backend::job_ended{
        .what = outcome::no_model, .epoch = 1, .idle = false, .why = "late", .mark = {}});
    BOOST_TEST(b->ready());
    tell(backend::reply_lost{1, "late", {}});
    BOOST_TEST(b->ready());
}

BOOST_AUTO_TEST_CASE(a_progress_without_any_job_behind_it_is_another_process_than_the_warmed_one)
{
    reach(state::ready);
    const std::uint64_t epoch = b->epoch();
    tell(backend::job_began{});
    tell(backend::reply_lost{epoch, "end of file", {}});
    BOOST_TEST(b->epoch() == epoch);
    tell(backend::progress_read{});
    BOOST_TEST(b->epoch() == epoch + 1);
}

// --- the ladder ---

BOOST_AUTO_TEST_CASE(recovery_waits_cleans_settles_and_climbs)
{
    limits.clean_caches = true;
    reach(state::ready);
    const steady_time lost = now;
    ended(outcome::route_missing);
    BOOST_TEST(says("waiting 5 s"));
    next();
    BOOST_TEST(step.what == action::clean_caches);
    BOOST_TEST((now - lost == 5s));
    tell(backend::caches_cleaned{});
    BOOST_TEST(says("settling for 3 s"));
    next();
    BOOST_TEST(step.what == action::probe_route);
    BOOST_TEST((now - lost == 8s));
    reach(state::ready);
    BOOST_TEST(b->epoch() == 2u);
}

BOOST_AUTO_TEST_CASE(recovery_does_not_clean_unless_told_to_and_goes_on_when_cleaning_fails)
{
    reach(state::ready);
    const steady_time lost = now;
    ended(outcome::route_missing);
    next();
    BOOST_TEST(step.what == action::probe_route);
    BOOST_TEST((now - lost == 8s));

    limits.clean_caches = true;
    make(state::ready);
    ended(outcome::route_missing);
    next();
    BOOST_TEST(step.what == action::clean_caches);
    tell(backend::no_answer{"permission denied"});
    next();
    BOOST_TEST(step.what == action::probe_route);
}

BOOST_AUTO_TEST_CASE(recovery_has_60_tries_of_the_service_gate)
{
    reach(state::ready);
    ended(outcome::route_missing);
    reach(state::models);
    int tries = 0;
    for (; b->state() == state::models; ++tries) {
        next();
        tell(backend::no_answer{"500"});
    }
    BOOST_TEST(tries == 60);
    BOOST_TEST(b->state() == state::broken);
    BOOST_TEST(b->describe(now).gave_up);
}

BOOST_AUTO_TEST_CASE(recovery_has_an_end)
{
    reach(state::ready);
    const steady_time lost = now;
    ended(outcome::route_missing);
    reach(state::models);
    while (b->state() == state::models) {
        next();
        tell(backend::models_read{0});
    }
    BOOST_TEST(b->state() == state::broken);
    BOOST_TEST((now - lost >= 10min));
    BOOST_TEST((now - lost < 11min));
    BOOST_TEST(says("recovery was not over"));
}

// --- occupied ---

BOOST_AUTO_TEST_CASE(a_webui_found_busy_is_interrupted_until_it_is_idle)
{
    reach(state::models);
    next();
    tell(backend::models_read{1});
    tell(backend::options_read{"Foo"});
    tell(busy());
    BOOST_TEST(b->state() == state::occupied);
    BOOST_TEST(says("not ours"));
    BOOST_TEST(step.what == action::interrupt);
    tell(backend::interrupt_sent{});
    int interrupts = 1;
    for (int i = 0; i < 8; ++i) {
        next();
        if (step.what == action::interrupt) {
            ++interrupts;
            tell(backend::interrupt_sent{});
        } else if (step.what == action::probe_progress) {
            tell(busy());
        } else {
            tell(backend::port_open{});
        }
    }
    BOOST_TEST(interrupts >= 2); // sent again until it helps

    reach(state::warming);
    reach(state::ready);
}

BOOST_AUTO_TEST_CASE(idle_is_believed_when_it_was_seen_twice_with_the_same_stamp)
{
    reach(state::ready);
    ended(outcome::cancelled, false);
    BOOST_TEST(b->state() == state::occupied);
    BOOST_TEST(step.what == action::interrupt);
    tell(backend::interrupt_sent{});
    tell_after(1s, idle("20240101120001"));
    tell_after(1s, idle("20240101120002")); // another job has run in between
    BOOST_TEST(b->state() == state::occupied);
    tell_after(1s, busy("20240101120003"));
    tell_after(1s, idle("20240101120003"));
    BOOST_TEST(b->state() == state::occupied);
    tell_after(1s, idle("20240101120003"));
    BOOST_TEST(b->ready());
    BOOST_TEST(b->epoch() == 1u);
}

BOOST_AUTO_TEST_CASE(a_lost_reply_of_a_dead_process_starts_a_new_epoch)
{
    reach(state::ready);
    lose_reply();
    BOOST_TEST(b->state() == state::occupied);
    BOOST_TEST(step.what == action::probe_port);
    BOOST_TEST((step.at <= now));
    tell(backend::port_refused{"refused"});
    BOOST_TEST(b->epoch() == 2u);

    make(state::ready);
    lose_reply();
    tell(backend::port_open{});
    next();
    now = step.at;
    while (step.what == action::probe_port) {
        tell(backend::port_open{});
        now = std::max(now, step.at);
    }
    BOOST_TEST(step.what == action::probe_route);
    BOOST_TEST((now - b->describe(now).since == 5s)); // it might be starting: no haste
    tell(backend::route_missing{});
    BOOST_TEST(b->epoch() == 2u);
    BOOST_TEST(b->state() == state::settling);
}

BOOST_AUTO_TEST_CASE(a_lost_reply_of_the_same_process_waits_until_it_is_idle)
{
    limits.mode = webui_mode::nowebui;
    reach(state::ready);
    lose_reply();
    tell(backend::port_open{});
    BOOST_TEST(step.what == action::probe_route);
    tell(backend::route_exists{});
    BOOST_TEST(step.what == action::probe_progress);
    tell(busy());
    BOOST_TEST(step.what == action::interrupt);
    tell(backend::interrupt_sent{});
    tell_after(1s, idle());
    tell_after(1s, idle());
    BOOST_TEST(b->ready());
    BOOST_TEST(b->epoch() == 1u);
}

BOOST_AUTO_TEST_CASE(progress_that_begins_anew_gives_a_quick_restart_away)
{
    limits.mode = webui_mode::nowebui;
    reach(state::ready);
    lose_reply();
    tell(backend::port_open{});
    tell(backend::route_exists{});
    tell(idle("0"));
    BOOST_TEST(b->epoch() == 2u);
    BOOST_TEST(b->state() == state::extensions);
    BOOST_TEST(says("restarted"));
    reach(state::ready);
    BOOST_TEST(b->epoch() == 2u);
}

BOOST_AUTO_TEST_CASE(what_does_not_become_idle_is_stuck_and_has_to_show_that_it_works)
{
    reach(state::ready);
    ended(outcome::execution_timeout, false);
    const steady_time since = now;
    while (b->state() == state::occupied) {
        now = std::max(now, step.at);
        if (step.what == action::interrupt)
            tell(backend::interrupt_sent{});
        else if (step.what == action::probe_progress)
            tell(busy());
        else
            tell(backend::port_open{});
    }
    BOOST_TEST((now - since >= 60s));
    BOOST_TEST((now - since <= 65s));
    BOOST_TEST(b->stuck());
    BOOST_TEST(b->describe(now).stuck);
    BOOST_TEST(b->state() == state::warming);
    BOOST_TEST(says("did not become idle"));

    tell(backend::warm_up_done{});
    BOOST_TEST(b->ready());
    BOOST_TEST(!b->stuck());
    BOOST_TEST(b->epoch() == 1u);
}

BOOST_AUTO_TEST_CASE(a_webui_without_progress_shows_with_a_picture_that_it_is_free)
{
    limits.warm_up = false;
    reach(state::ready);
    ended(outcome::cancelled, false);
    tell(backend::interrupt_sent{});
    tell(backend::progress_unknown{});
    BOOST_TEST(b->state() == state::warming);
    BOOST_TEST(step.what == action::warm_up);
}

BOOST_AUTO_TEST_CASE(credentials_that_work_again_lead_back)
{
    reach(state::ready);
    ended(outcome::unauthorized);
    BOOST_TEST(says("webui.api_auth"));
    BOOST_TEST(b->describe(now).gave_up);
    const steady_time since = now;
    next();
    BOOST_TEST(step.what == action::read_models);
    BOOST_TEST((now - since == 30s));
    tell(backend::denied{});
    next();
    tell(backend::models_read{1});
    BOOST_TEST(b->state() == state::models);
    BOOST_TEST(step.what == action::read_options);
    reach(state::ready);
}

BOOST_AUTO_TEST_SUITE_END()
