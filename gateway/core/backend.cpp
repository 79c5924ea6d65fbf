#include "core/backend.hpp"

#include "core/texts.hpp"

#include <algorithm>
#include <utility>

namespace gateway::core {

backend::backend(backend_limits limits, steady_time now)
    : limits_(limits),
      mode_(limits.mode),
      since_(now),
      next_at_(now),
      next_watch_(now),
      out_since_(now),
      breaker_(limits.breaker),
      recovering_since_(now),
      missing_since_(now),
      next_interrupt_(now),
      occupied_until_(now)
{
    if (limits_.original_gates)
        enter_models(now);
    else
        reason_ = "Not looked at yet.";
}

backend_step backend::on(const event& e, steady_time now)
{
    std::visit([&](const auto& what) { handle(what, now); }, e);
    pass_time(now);
    return plan();
}

void backend::pass_time(steady_time now)
{
    if (state_ == backend_state::settling && !clean_pending_ && now >= next_at_)
        begin_requests("Looking for the txt2img route.", now);
    const bool climbing = state_ == backend_state::routes || state_ == backend_state::extensions ||
                          state_ == backend_state::models;
    if (recovering_ && climbing && now - recovering_since_ >= limits_.recovery_limit)
        break_down("The recovery was not over after " + in_seconds(limits_.recovery_limit) + ". " +
                       reason_,
                   now);
}

// --- what to do next -----------------------------------------------------------------------------

backend_step backend::plan() const
{
    const backend_step own = own_step();
    if (state_ == backend_state::down || limits_.original_gates || own.at <= next_watch_)
        return own;
    return {backend_action::probe_port, next_watch_, {}};
}

backend_step backend::own_step() const
{
    switch (state_) {
    case backend_state::down:
    case backend_state::broken: return {backend_action::probe_port, next_at_, {}};
    case backend_state::settling:
        return {clean_pending_ ? backend_action::clean_caches : backend_action::wait, next_at_, {}};
    case backend_state::routes:
    case backend_state::unregistered:
        return {backend_action::probe_route, next_at_, limits_.route_timeout};
    case backend_state::extensions:
        return {backend_action::probe_extension, next_at_, limits_.status_timeout};
    case backend_state::unauthorized:
        return {backend_action::read_models, next_at_, limits_.models_timeout};
    case backend_state::ready:
        return {backend_action::read_models, next_at_, limits_.health_timeout};
    case backend_state::warming:
        return {backend_action::warm_up, next_at_,
                limits_.original_gates ? limits_.endpoint_gate_timeout : limits_.warm_up_timeout};
    case backend_state::models:
    case backend_state::occupied: break;
    }
    switch (part_) {
    case part::list: return {backend_action::read_models, next_at_, limits_.models_timeout};
    case part::options: return {backend_action::read_options, next_at_, limits_.status_timeout};
    case part::progress: return {backend_action::probe_progress, next_at_, limits_.status_timeout};
    case part::port: return {backend_action::probe_port, next_at_, {}};
    case part::route: return {backend_action::probe_route, next_at_, limits_.route_timeout};
    case part::interrupt: return {backend_action::interrupt, next_at_, limits_.status_timeout};
    }
    return {};
}

// A WebUI that has just come up, or may have, is watched closely: if its port closes again, it is
// not the process that we know.
duration backend::watch_gap() const
{
    const bool closely = state_ == backend_state::settling ||
                         (state_ == backend_state::occupied && part_ == part::route);
    return closely ? limits_.port_interval : limits_.watch_interval;
}

// Between requests while the API may still be about to be registered (webui.md §1.3).
duration backend::request_gap() const
{
    return mode_ == webui_mode::nowebui ? limits_.route_interval : limits_.careful_interval;
}

bool backend::may_ask() const
{
    switch (state_) {
    case backend_state::extensions:
    case backend_state::models:
    case backend_state::warming:
    case backend_state::ready: return true;
    case backend_state::occupied: return part_ != part::port && part_ != part::route;
    case backend_state::down:
    case backend_state::settling:
    case backend_state::routes:
    case backend_state::unregistered:
    case backend_state::unauthorized:
    case backend_state::broken: return false;
    }
    return false;
}

// --- ways between the states ---------------------------------------------------------------------

void backend::enter(backend_state next, std::string reason, steady_time now)
{
    if (state_ == backend_state::ready && next != backend_state::ready)
        out_since_ = now;
    state_ = next;
    since_ = now;
    reason_ = std::move(reason);
    tries_ = 0;
    next_at_ = now;
    next_watch_ = now + watch_gap();
}

// From here on requests over HTTP do no harm, or the risk must be taken.
void backend::begin_requests(std::string reason, steady_time now)
{
    if (limits_.original_gates)
        enter_models(now);
    else
        enter(backend_state::routes, std::move(reason), now);
}

// Whatever listens now is another process: what was known of the old one is void.
void backend::lose()
{
    if (serving_)
        ++epoch_;
    serving_ = false;
    stuck_ = false;
    strikes_ = 0;
    failures_ = 0;
    breaker_.reset();
    mark_ = {};
    checkpoint_.clear();
}

void backend::go_down(const std::string& why, steady_time now)
{
    if (limits_.original_gates) {
        recover(why, now);
        return;
    }
    lose();
    missing_ = false;
    recovering_ = false;
    enter(backend_state::down, "Nobody listens: " + why + ".", now);
}

// The ladder of handler.md §4, however many jobs saw the 404.
void backend::recover(const std::string& why, steady_time now)
{
    lose();
    if (!recovering_)
        recovering_since_ = now;
    recovering_ = true;
    if (!missing_)
        missing_since_ = now;
    missing_ = true;
    clean_pending_ = limits_.clean_caches;
    const duration wait =
        limits_.recovery_wait + (clean_pending_ ? duration::zero() : limits_.recovery_settle);
    enter(backend_state::settling,
          "Recovering, because " + why + ": waiting " + in_seconds(wait) + ".", now);
    next_at_ = now + wait;
}

void backend::enter_extensions(steady_time now)
{
    missing_ = false;
    stuck_ = false;
    enter(backend_state::extensions, "Waiting for the routes of extensions.", now);
}

void backend::enter_models(steady_time now)
{
    part_ = part::list;
    enter(backend_state::models, "Reading the lists of models.", now);
}

void backend::enter_warming(std::string why, steady_time now)
{
    if (!limits_.warm_up && !stuck_ && !limits_.original_gates) {
        enter_ready(now);
        return;
    }
    enter(backend_state::warming, std::move(why), now);
}

void backend::enter_ready(steady_time now)
{
    enter(backend_state::ready, "Ready.", now);
    serving_ = true;
    recovering_ = false;
    missing_ = false;
    stuck_ = false;
    strikes_ = 0;
    if (!reread_)
        next_at_ = now + limits_.health_interval;
    reread_ = false;
}

void backend::occupy(std::string why, part first, backend_state back, steady_time now)
{
    part_ = first;
    back_ = back;
    enter(backend_state::occupied, std::move(why), now);
    idle_readings_ = 0;
    next_interrupt_ = now;
    occupied_until_ = now + limits_.interrupt_limit;
}

// Out of service; after a pause it has to show with a warm-up that it works again.
void backend::break_down(const std::string& why, steady_time now)
{
    const duration pause = breaker_.next();
    recovering_ = false;
    stuck_ = false;
    failures_ = limits_.breaker_failures - 1; // one more failure is enough, until a job is done
    enter(backend_state::broken, why + " Out of service; tried again in " + in_seconds(pause) + ".",
          now);
    next_at_ = now + pause;
}

void backend::count_failure(const std::string& why, steady_time now)
{
    if (++failures_ >= limits_.breaker_failures)
        break_down(std::to_string(failures_) + " failures in a row, the last one: " + why + ".",
                   now);
}

// Counts a try of one of handler.md's gates; true when that was the last one.
bool backend::gate_gave_up(const char* gate, int limit, const std::string& why, steady_time now)
{
    ++tries_;
    reason_ = std::string(gate) + ", try " + std::to_string(tries_) + " of " +
              std::to_string(limit) + ": " + why + ".";
    if (tries_ < limit)
        return false;
    break_down("The " + std::string(gate) + " gave up after " + std::to_string(tries_) +
                   " tries: " + why + "." + four_causes,
               now);
    return true;
}

void backend::missing_again(steady_time now)
{
    if (limits_.mode == webui_mode::unknown)
        mode_ = webui_mode::unknown; // with nowebui an open port has all its routes
    if (!missing_)
        missing_since_ = now;
    missing_ = true;
    ++tries_;
    if (state_ == backend_state::unregistered) {
        next_at_ = now + limits_.unregistered_interval;
        return;
    }
    const duration so_far = now - missing_since_;
    if (so_far >= limits_.unregistered_after) {
        recovering_ = false;
        enter(backend_state::unregistered, unregistered_advice, now);
        next_at_ = now + limits_.unregistered_interval;
        return;
    }
    reason_ = "The port is open and the API is not there yet, for " + in_seconds(so_far) + " of " +
              in_seconds(limits_.unregistered_after) + ".";
    next_at_ = now + request_gap();
}

void backend::go_on(steady_time now)
{
    stuck_ = false;
    if (back_ == backend_state::ready)
        enter_ready(now);
    else
        enter_warming("Making one small picture.", now);
}

void backend::still_occupied(steady_time now)
{
    ++tries_;
    if (now >= occupied_until_) {
        stuck_ = true;
        enter_warming("It did not become idle within " + in_seconds(limits_.interrupt_limit) +
                          " of interrupting: " + reason_ +
                          " A small picture will show when it is free.",
                      now);
        return;
    }
    part_ = now >= next_interrupt_ ? part::interrupt : part::progress;
    next_at_ = part_ == part::interrupt ? now : now + limits_.progress_interval;
}

// What the end of a job says about the WebUI. What becomes of the job is core/retry's question.
void backend::after_job(const job_ended& e, steady_time now)
{
    switch (e.what) {
    case outcome::done:
        failures_ = 0;
        breaker_.reset();
        break;
    case outcome::unreachable:
    case outcome::reset_unsent:
    case outcome::lost_restarted: go_down(e.why, now); break;
    case outcome::route_missing: recover("a job got 404, no such route", now); break;
    case outcome::unauthorized: handle(denied{}, now); break;
    case outcome::no_model:
    case outcome::cache_broken: break_down(e.why + ".", now); break;
    case outcome::out_of_memory:
    case outcome::nan:
    case outcome::server_error:
    case outcome::bad_reply:
    case outcome::proxy_error:
    case outcome::wrong_model:
    case outcome::stalled: count_failure(e.why, now); break;
    case outcome::rejected:
    case outcome::lost_running:
    case outcome::rate_limited:
    case outcome::busy:
    case outcome::execution_timeout:
    case outcome::cancelled:
    case outcome::shutdown:
    case outcome::crashed:
    case outcome::storage_failed:
    case outcome::preparation: break;
    }
}

// --- for people ----------------------------------------------------------------------------------

backend_view backend::describe(steady_time now) const
{
    const bool out_too_long =
        state_ != backend_state::ready && now - out_since_ >= limits_.give_up_after;
    backend_view v{.state = state_,
                   .since = since_,
                   .reason = ready() && busy_ ? "Running a job." : reason_,
                   .tries = tries_,
                   .epoch = epoch_,
                   .initializing = false,
                   .gave_up = out_too_long || state_ == backend_state::unregistered ||
                              state_ == backend_state::unauthorized ||
                              (state_ == backend_state::broken && !serving_),
                   .stuck = stuck_};
    v.initializing = !v.gave_up && state_ != backend_state::ready &&
                     state_ != backend_state::occupied && state_ != backend_state::broken;
    return v;
}

std::string_view to_text(backend_state state)
{
    switch (state) {
    case backend_state::down: return "down";
    case backend_state::settling: return "settling";
    case backend_state::routes: return "routes";
    case backend_state::extensions: return "extensions";
    case backend_state::models: return "models";
    case backend_state::warming: return "warming";
    case backend_state::ready: return "ready";
    case backend_state::occupied: return "occupied";
    case backend_state::unregistered: return "unregistered";
    case backend_state::unauthorized: return "unauthorized";
    case backend_state::broken: return "broken";
    }
    return "down";
}

std::string_view to_text(backend_action what)
{
    switch (what) {
    case backend_action::wait: return "wait";
    case backend_action::probe_port: return "probe_port";
    case backend_action::probe_route: return "probe_route";
    case backend_action::probe_extension: return "probe_extension";
    case backend_action::read_models: return "read_models";
    case backend_action::read_options: return "read_options";
    case backend_action::probe_progress: return "probe_progress";
    case backend_action::warm_up: return "warm_up";
    case backend_action::interrupt: return "interrupt";
    case backend_action::clean_caches: return "clean_caches";
    }
    return "wait";
}

} // namespace gateway::core
