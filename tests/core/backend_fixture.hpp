#pragma once

// A WebUI that the tests of the backend machine play: its clock, and what it would answer.

#include "core/backend.hpp"

#include <boost/test/unit_test.hpp>

#include <optional>
#include <string>

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::backend_action)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::backend_state)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::webui_mode)

namespace gateway::test {

using namespace gateway::core;
using namespace std::chrono_literals;

using action = backend_action;
using state = backend_state;

inline constexpr steady_time start{std::chrono::hours(1)};
inline constexpr auto all_states = {state::down,         state::settling, state::routes,
                                    state::extensions,   state::models,   state::warming,
                                    state::ready,        state::occupied, state::unregistered,
                                    state::unauthorized, state::broken};

inline backend::progress_read idle(const std::string& stamp = "20240101120000")
{
    return {{.job = "", .job_timestamp = stamp}};
}
inline backend::progress_read busy(const std::string& stamp = "20240101120000")
{
    return {{.job = "scripts_txt2img", .job_timestamp = stamp, .job_count = 1}};
}

// One WebUI, its clock, and what it would answer.
struct played_webui {
    backend_limits limits;
    std::optional<backend> b;
    steady_time now = start;
    backend_step step;

    void begin()
    {
        b.emplace(limits, now);
        tell(backend::tick{});
    }
    void tell(const backend::event& e) { step = b->on(e, now); }
    void tell_after(duration d, const backend::event& e)
    {
        now += d;
        tell(e);
    }
    // Lets time pass up to the next action that is not a look at the port; the port is open.
    void next()
    {
        for (;;) {
            now = std::max(now, step.at);
            if (step.what == action::probe_port && b->state() != state::down &&
                b->state() != state::occupied)
                tell(backend::port_open{});
            else if (step.what == action::wait)
                tell(backend::tick{});
            else
                return;
        }
    }
    // A WebUI without faults, up to the given state.
    void reach(state target)
    {
        if (!b)
            begin();
        for (int i = 0; i < 50 && b->state() != target; ++i) {
            next();
            if (b->state() == target)
                break;
            switch (step.what) {
            case action::probe_port: tell(backend::port_open{}); break;
            case action::probe_route: tell(backend::route_exists{}); break;
            case action::probe_extension: tell(backend::extensions_read{}); break;
            case action::read_models: tell(backend::models_read{3}); break;
            case action::read_options: tell(backend::options_read{"Foo"}); break;
            case action::probe_progress: tell(idle()); break;
            case action::warm_up: tell(backend::warm_up_done{}); break;
            case action::interrupt: tell(backend::interrupt_sent{}); break;
            case action::clean_caches: tell(backend::caches_cleaned{}); break;
            case action::wait: break;
            }
        }
        BOOST_REQUIRE(b->state() == target);
    }
    // Any state at all, out of READY where there is a way.
    void make(state target)
    {
        b.reset();
        now = start;
        if (target == state::down) {
            begin();
        } else if (target == state::occupied) {
            reach(state::ready);
            lose_reply();
        } else if (target == state::unauthorized) {
            reach(state::ready);
            tell(backend::denied{});
        } else if (target == state::broken) {
            reach(state::ready);
            ended(outcome::no_model);
        } else if (target == state::unregistered) {
            reach(state::routes);
            while (b->state() == state::routes) {
                tell(backend::route_missing{});
                next();
            }
        } else {
            reach(target);
        }
        BOOST_REQUIRE(b->state() == target);
    }
    void ended(outcome what, bool is_idle = true, bool lost = false)
    {
        tell(backend::job_ended{.what = what,
                                .epoch = b->epoch(),
                                .idle = is_idle,
                                .lost = lost,
                                .why = "why it ended",
                                .mark = {}});
    }
    void lose_reply()
    {
        tell(backend::reply_lost{b->epoch(), "connection reset", {"20240101120000", false}});
    }
    std::string reason() const { return b->describe(now).reason; }
    bool says(const std::string& text) const { return reason().find(text) != std::string::npos; }
};

} // namespace gateway::test
