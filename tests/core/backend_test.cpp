#include "core/backend_fixture.hpp"

using namespace gateway;
using namespace gateway::core;
using namespace gateway::test;
using namespace std::chrono_literals;

BOOST_FIXTURE_TEST_SUITE(backend_, played_webui)

// --- coming up ---

BOOST_AUTO_TEST_CASE(a_webui_comes_up_step_by_step)
{
    begin();
    BOOST_TEST(step.what == action::probe_port);
    tell(backend::port_refused{"connection refused"});
    BOOST_TEST((step.at == start + 200ms));
    BOOST_TEST(says("connection refused"));

    tell_after(200ms, backend::port_open{});
    BOOST_TEST(b->state() == state::settling);
    next();
    BOOST_TEST(step.what == action::probe_route);
    BOOST_TEST((now - start >= 5s)); // never a request before (webui.md §1.3)
    tell(backend::route_missing{});
    const steady_time first = now;
    next();
    BOOST_TEST((now - first >= 3s));

    tell(backend::route_exists{});
    BOOST_TEST(step.what == action::probe_extension);
    tell(backend::extensions_missing{});
    next();
    tell(backend::extensions_read{});
    BOOST_TEST(step.what == action::read_models);
    tell(backend::models_read{2});
    BOOST_TEST(step.what == action::read_options);
    tell(backend::options_read{"Foo"});
    BOOST_TEST(b->checkpoint() == "Foo");
    BOOST_TEST(step.what == action::probe_progress);
    tell(idle());
    BOOST_TEST(step.what == action::warm_up);
    BOOST_TEST((step.timeout == 10min));
    BOOST_TEST(!b->ready());
    BOOST_TEST(b->describe(now).initializing);

    tell(backend::warm_up_done{});
    BOOST_TEST(b->ready());
    BOOST_TEST(b->epoch() == 1u);
    BOOST_TEST(!b->describe(now).initializing);
    BOOST_TEST(!b->describe(now).gave_up);
}

BOOST_AUTO_TEST_CASE(while_it_settles_only_the_port_is_looked_at)
{
    begin();
    tell(backend::port_open{});
    while (b->state() == state::settling) {
        BOOST_TEST((step.what == action::probe_port || step.what == action::wait));
        now = std::max(now, step.at);
        if (step.what == action::wait)
            tell(backend::tick{});
        else
            tell(backend::port_open{});
    }
    BOOST_TEST((now == start + 5s));

    make(state::settling);
    tell(backend::port_refused{"refused"}); // it died again
    BOOST_TEST(b->state() == state::down);
}

BOOST_AUTO_TEST_CASE(without_a_ui_an_open_port_has_all_its_routes)
{
    limits.mode = webui_mode::nowebui;
    begin();
    tell(backend::port_open{});
    BOOST_TEST(step.what == action::probe_route);
    BOOST_TEST((step.at <= now));
}

BOOST_AUTO_TEST_CASE(the_mode_is_learnt_and_used_after_a_restart)
{
    reach(state::models);
    tell(backend::mode_seen{.nowebui = true});
    BOOST_TEST(b->mode() == webui_mode::nowebui);
    reach(state::ready);
    tell(backend::port_refused{"refused"});
    tell_after(1s, backend::port_open{});
    BOOST_TEST(b->state() == state::routes);

    tell(backend::route_missing{}); // then it was not true, or is not any more
    BOOST_TEST(b->mode() == webui_mode::unknown);

    limits.mode = webui_mode::full_ui;
    b.reset();
    begin();
    tell(backend::mode_seen{.nowebui = true});
    BOOST_TEST(b->mode() == webui_mode::full_ui);
}

BOOST_AUTO_TEST_CASE(extensions_are_waited_for_but_not_needed)
{
    reach(state::extensions);
    const steady_time since = now;
    while (b->state() == state::extensions) {
        tell(backend::extensions_missing{});
        next();
    }
    BOOST_TEST(b->state() == state::models);
    BOOST_TEST((now - since == 10s));
}

BOOST_AUTO_TEST_CASE(options_and_progress_that_cannot_be_read_are_no_obstacle)
{
    reach(state::models);
    next();
    tell(backend::models_read{1});
    tell(backend::no_answer{"500"});
    BOOST_TEST(step.what == action::probe_progress);
    tell(backend::no_answer{"500"});
    BOOST_TEST(b->state() == state::warming);

    make(state::models);
    next();
    tell(backend::models_read{1});
    tell(backend::options_read{""});
    tell(backend::progress_unknown{});
    BOOST_TEST(b->state() == state::warming);
}

BOOST_AUTO_TEST_CASE(the_warm_up_can_be_switched_off)
{
    limits.warm_up = false;
    reach(state::models);
    reach(state::ready);
}

BOOST_AUTO_TEST_CASE(an_empty_list_of_models_waits_for_the_first_one)
{
    reach(state::models);
    for (int i = 0; i < 1000; ++i) {
        next();
        tell(backend::models_read{0});
        BOOST_REQUIRE(b->state() == state::models);
    }
    BOOST_TEST(says("no checkpoint"));
    BOOST_TEST(b->may_ask()); // so that a refresh can be asked for
    BOOST_TEST((step.what == action::probe_port || step.what == action::read_models));

    tell(backend::lists_changed{});
    BOOST_TEST(step.what == action::read_models);
    BOOST_TEST((step.at <= now));
    tell(backend::models_read{1});
    reach(state::ready);
}

// --- not coming up ---

BOOST_AUTO_TEST_CASE(a_port_that_stays_closed_is_explained_and_given_up_but_still_tried)
{
    begin();
    for (int i = 0; i < 300; ++i) {
        tell(backend::port_refused{"connection refused"});
        now = step.at;
    }
    BOOST_TEST(says("Usual causes: the WebUI process crashed"));
    BOOST_TEST(!b->describe(now).gave_up);

    tell_after(10min, backend::port_refused{"connection refused"});
    BOOST_TEST(b->describe(now).gave_up);
    BOOST_TEST(step.what == action::probe_port);
    reach(state::ready);
    BOOST_TEST(!b->describe(now).gave_up);
}

BOOST_AUTO_TEST_CASE(an_api_that_is_missing_for_120_s_is_unregistered)
{
    reach(state::routes);
    const steady_time since = now;
    while (b->state() == state::routes) {
        tell(backend::route_missing{});
        next();
    }
    BOOST_TEST(b->state() == state::unregistered);
    BOOST_TEST((now - since >= 120s));
    BOOST_TEST((now - since < 160s));
    BOOST_TEST(says("--api"));
    BOOST_TEST(says("restart it"));
    BOOST_TEST(b->describe(now).gave_up);

    BOOST_TEST(step.what == action::probe_route);
    const steady_time probed = now;
    tell(backend::route_missing{});
    next();
    BOOST_TEST((now - probed == 30s));
    tell(backend::route_exists{});
    BOOST_TEST(b->state() == state::extensions);
}

BOOST_AUTO_TEST_CASE(a_port_that_answers_nonsense_is_out_of_service_after_120_s)
{
    reach(state::routes);
    while (b->state() == state::routes) {
        next();
        tell(backend::no_answer{"200 with HTML"});
    }
    BOOST_TEST(b->state() == state::broken);
    BOOST_TEST(says("200 with HTML"));
    BOOST_TEST(says("Usual causes"));
    BOOST_TEST(b->describe(now).gave_up);
}

BOOST_AUTO_TEST_CASE(lists_that_cannot_be_read_end_the_service_gate)
{
    reach(state::models);
    int tries = 0;
    while (b->state() == state::models) {
        next();
        tell(backend::no_answer{"500 dictionary changed size"});
        ++tries;
    }
    BOOST_TEST(tries == 300);
    BOOST_TEST(says("service gate gave up after 300 tries: 500 dictionary changed size"));
}

BOOST_AUTO_TEST_CASE(a_warm_up_that_fails_says_why_and_is_tried_again_ever_more_rarely)
{
    reach(state::warming);
    for (const duration pause : {duration(30s), duration(60s), duration(120s)}) {
        tell(backend::warm_up_failed{outcome::no_model, "'NoneType' has no attribute 'lowvram'"});
        BOOST_TEST(b->state() == state::broken);
        BOOST_TEST(says("lowvram"));
        BOOST_TEST(says("not enough memory"));
        const steady_time since = now;
        next();
        while (step.what == action::probe_port) {
            now = std::max(now, step.at);
            tell(backend::port_open{});
        }
        BOOST_TEST((now - since == pause));
        reach(state::warming);
    }
}

BOOST_AUTO_TEST_CASE(a_warm_up_can_fail_in_other_ways_too)
{
    const std::pair<outcome, state> rows[] = {
        {outcome::unreachable, state::down},       {outcome::reset_unsent, state::down},
        {outcome::lost_restarted, state::down},    {outcome::lost_running, state::down},
        {outcome::route_missing, state::settling}, {outcome::unauthorized, state::unauthorized},
        {outcome::out_of_memory, state::broken},   {outcome::rejected, state::broken},
        {outcome::stalled, state::broken},
    };
    for (const auto& [what, leads_to] : rows) {
        make(state::warming);
        tell(backend::warm_up_failed{what, "why"});
        BOOST_TEST_INFO(to_text(what));
        BOOST_TEST(b->state() == leads_to);
    }
}

// --- every state ---

BOOST_AUTO_TEST_CASE(a_refused_port_means_down_from_every_state)
{
    for (const state s : all_states) {
        make(s);
        const bool served = s == state::ready || s == state::occupied || s == state::unauthorized ||
                            s == state::broken;
        tell(backend::port_refused{"refused"});
        BOOST_TEST_INFO(to_text(s));
        BOOST_TEST(b->state() == state::down);
        BOOST_TEST_INFO(to_text(s));
        BOOST_TEST(b->epoch() == (served ? 2u : 1u));
        BOOST_TEST(step.what == action::probe_port);
    }
}

BOOST_AUTO_TEST_CASE(a_missing_route_starts_the_recovery_from_every_state_behind_it)
{
    for (const state s : all_states) {
        make(s);
        tell(backend::route_missing{});
        const bool before = s == state::down || s == state::settling || s == state::routes ||
                            s == state::unregistered;
        BOOST_TEST_INFO(to_text(s));
        BOOST_TEST(b->state() == (before ? s : state::settling));
    }
}

BOOST_AUTO_TEST_CASE(a_401_means_unauthorized_from_every_state_that_asks)
{
    for (const state s : all_states) {
        make(s);
        tell(backend::denied{});
        const bool asks = s != state::down && s != state::settling;
        BOOST_TEST_INFO(to_text(s));
        BOOST_TEST(b->state() == (asks ? state::unauthorized : s));
    }
}

// Whatever comes in whatever state: there is a plan, and it never asks for something at once for
// ever.
BOOST_AUTO_TEST_CASE(no_event_leaves_a_state_without_a_plan)
{
    const backend::event events[] = {
        backend::tick{},
        backend::port_open{},
        backend::port_refused{"refused"},
        backend::route_exists{},
        backend::route_missing{},
        backend::denied{},
        backend::no_answer{"timeout"},
        backend::extensions_read{},
        backend::extensions_missing{},
        backend::mode_seen{true},
        backend::models_read{1},
        backend::models_read{0},
        backend::options_read{"Foo"},
        idle(),
        busy(),
        idle("0"),
        backend::progress_unknown{},
        backend::warm_up_done{},
        backend::warm_up_failed{outcome::server_error, "500"},
        backend::interrupt_sent{},
        backend::caches_cleaned{},
        backend::job_began{},
        backend::job_ended{
            .what = outcome::stalled, .epoch = 1, .idle = false, .why = "stalled", .mark = {}},
        backend::reply_lost{1, "reset", {}},
        backend::lists_changed{},
        backend::restart_announced{},
        backend::clock_jumped{}};
    for (const bool original : {false, true}) {
        limits.original_gates = original;
        for (const state s : all_states)
            for (const auto& e : events) {
                if (original) {
                    b.reset();
                    begin();
                } else {
                    make(s);
                }
                tell(e);
                BOOST_TEST_INFO(to_text(s) << ", event " << e.index());
                BOOST_TEST((step.at - now <= 1h));
                BOOST_TEST(!b->describe(now).reason.empty());
                // Silence to every action: the driver must not spin.
                int acts = 0;
                const steady_time since = now;
                while (now - since < 60s && acts < 2000) {
                    now = std::max(now, step.at);
                    ++acts;
                    if (step.what == action::wait)
                        tell(backend::tick{});
                    else if (step.what == action::probe_port)
                        tell(backend::port_open{});
                    else
                        tell(backend::no_answer{"timeout"});
                }
                BOOST_TEST_INFO(to_text(s) << ", event " << e.index() << ", original " << original);
                BOOST_TEST(acts < 700);
            }
    }
}

// --- ready ---

BOOST_AUTO_TEST_CASE(a_ready_webui_is_watched_by_its_port_and_asked_now_and_then)
{
    reach(state::ready);
    const steady_time since = now;
    int connects = 0;
    while (step.what == action::probe_port) {
        now = std::max(now, step.at);
        ++connects;
        tell(backend::port_open{});
    }
    BOOST_TEST(step.what == action::read_models);
    BOOST_TEST((step.timeout == 30s));
    BOOST_TEST((step.at - since == 10s));
    BOOST_TEST(connects >= 10);
}

BOOST_AUTO_TEST_CASE(one_slow_answer_is_no_failure_but_three_are)
{
    reach(state::ready);
    tell(backend::job_began{});
    BOOST_TEST(reason() == "Running a job.");
    for (int i = 0; i < 10; ++i) {
        tell(backend::no_answer{"timeout"});
        tell(backend::no_answer{"timeout"});
        tell(backend::models_read{3});
        BOOST_REQUIRE(b->ready());
    }
    for (int i = 0; i < 3; ++i)
        tell(backend::no_answer{"timeout after 30 s"});
    BOOST_TEST(b->state() == state::broken);
    BOOST_TEST(says("timeout after 30 s"));
    BOOST_TEST(b->epoch() == 1u); // it may still be the same process
    BOOST_TEST(!b->describe(now).gave_up);
    reach(state::ready);
    BOOST_TEST(b->epoch() == 1u);
}

BOOST_AUTO_TEST_CASE(new_files_make_it_read_its_lists_at_once)
{
    reach(state::ready);
    tell(backend::lists_changed{});
    BOOST_TEST(step.what == action::read_models);
    BOOST_TEST((step.at <= now));

    make(state::warming);
    tell(backend::lists_changed{});
    BOOST_TEST(step.what == action::warm_up);
    tell(backend::warm_up_done{});
    BOOST_TEST(step.what == action::read_models);
    BOOST_TEST((step.at <= now));
}

BOOST_AUTO_TEST_CASE(a_clock_that_jumped_makes_it_look_at_once)
{
    reach(state::ready);
    tell_after(3h, backend::clock_jumped{});
    BOOST_TEST(b->ready());
    BOOST_TEST((step.at <= now));
}

BOOST_AUTO_TEST_CASE(an_announced_restart_takes_it_down)
{
    reach(state::ready);
    tell(backend::restart_announced{});
    BOOST_TEST(b->state() == state::down);
    BOOST_TEST(b->epoch() == 2u);
    BOOST_TEST(says("being restarted"));
}

// --- the original's gates ---

BOOST_AUTO_TEST_CASE(the_original_gates_ask_at_once_and_generate_until_it_works)
{
    limits.original_gates = true;
    begin();
    BOOST_TEST(step.what == action::read_models);
    tell(backend::port_refused{"refused"});
    BOOST_TEST(says("service gate, try 1 of 300: refused"));
    BOOST_TEST((step.at == now + 200ms));
    tell_after(200ms, backend::route_missing{});
    tell_after(200ms, backend::models_read{0});
    BOOST_TEST(step.what == action::read_options);
    tell(backend::no_answer{"500"});
    tell(backend::progress_unknown{});
    BOOST_TEST(step.what == action::warm_up);
    BOOST_TEST((step.timeout == 30s));
    tell(backend::warm_up_failed{outcome::server_error, "500"});
    BOOST_TEST((step.at == now + 500ms));
    tell(backend::warm_up_failed{outcome::rejected, "422"}); // means ready
    BOOST_TEST(b->ready());
}

BOOST_AUTO_TEST_CASE(the_original_gates_give_up_after_their_tries)
{
    limits.original_gates = true;
    const auto fail_until_broken = [this](const backend::event& answer) {
        int tries = 0;
        for (; b->state() != state::broken; ++tries)
            tell_after(1s, answer);
        return tries;
    };
    begin();
    BOOST_TEST(fail_until_broken(backend::no_answer{"503"}) == 300);
    BOOST_TEST(says("service gate gave up after 300 tries"));

    b.reset();
    begin();
    tell(backend::models_read{1});
    tell(backend::options_read{"Foo"});
    tell(idle());
    BOOST_TEST(fail_until_broken(backend::warm_up_failed{outcome::server_error, "500"}) == 240);

    b.reset();
    begin();
    tell(backend::models_read{1});
    tell(backend::options_read{"Foo"});
    tell(idle());
    tell(backend::warm_up_done{});
    ended(outcome::route_missing);
    BOOST_TEST(b->state() == state::settling);
    tell_after(8s, backend::tick{});
    BOOST_TEST(step.what == action::read_models);
    tell(backend::models_read{1});
    tell(backend::options_read{"Foo"});
    tell(idle());
    BOOST_TEST(fail_until_broken(backend::warm_up_failed{outcome::server_error, "500"}) == 120);
}

BOOST_AUTO_TEST_CASE(names_of_states_are_distinct)
{
    for (const state x : all_states)
        for (const state y : all_states)
            BOOST_TEST((to_text(x) == to_text(y)) == (x == y));
}

BOOST_AUTO_TEST_SUITE_END()
