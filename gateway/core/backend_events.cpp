// What each event does to the machine; the ways between its states are in backend.cpp.

#include "core/backend.hpp"
#include "core/texts.hpp"

#include <algorithm>

namespace gateway::core {

// --- answers of the port -------------------------------------------------------------------------

void backend::handle(const port_open&, steady_time now)
{
    next_watch_ = now + watch_gap();
    switch (state_) {
    case backend_state::down:
        if (mode_ == webui_mode::nowebui) {
            begin_requests("The port is open.", now);
        } else {
            enter(backend_state::settling,
                  "The port is open; no request for " + in_seconds(limits_.settle) +
                      ", it could keep the API from being registered.",
                  now);
            next_at_ = now + limits_.settle;
        }
        break;
    case backend_state::occupied:
        if (part_ != part::port)
            break;
        part_ = part::route;
        next_at_ = mode_ == webui_mode::nowebui ? now : now + limits_.settle;
        next_watch_ = now + watch_gap();
        break;
    case backend_state::broken:
        if (now >= next_at_)
            begin_requests("Trying again: " + reason_, now);
        break;
    case backend_state::settling:
    case backend_state::routes:
    case backend_state::extensions:
    case backend_state::models:
    case backend_state::warming:
    case backend_state::ready:
    case backend_state::unregistered:
    case backend_state::unauthorized: break;
    }
}

void backend::handle(const port_refused& e, steady_time now)
{
    if (limits_.original_gates && !serving_) {
        handle(no_answer{e.why}, now);
        return;
    }
    if (state_ != backend_state::down) {
        go_down(e.why, now);
        next_at_ = std::max(next_at_, now + limits_.port_interval);
        return;
    }
    ++tries_;
    next_at_ = now + limits_.port_interval;
    reason_ = "Nobody listens: " + e.why + ".";
    if (tries_ >= limits_.service_gate_tries)
        reason_ += " Tried for " + in_seconds(now - since_) + "." + four_causes;
}

// --- answers of the routes -----------------------------------------------------------------------

void backend::handle(const route_exists&, steady_time now)
{
    if (state_ == backend_state::routes || state_ == backend_state::unregistered) {
        enter_extensions(now);
    } else if (state_ == backend_state::occupied && part_ == part::route) {
        missing_ = false;
        part_ = part::progress;
        next_at_ = now;
        occupied_until_ = now + limits_.interrupt_limit;
    }
}

void backend::handle(const route_missing&, steady_time now)
{
    if (limits_.original_gates && !serving_) {
        handle(no_answer{"404, no such route"}, now);
        return;
    }
    switch (state_) {
    case backend_state::down:
    case backend_state::settling: break; // an answer from before
    case backend_state::routes:
    case backend_state::unregistered: missing_again(now); break;
    case backend_state::extensions:
    case backend_state::models:
    case backend_state::warming:
    case backend_state::ready:
    case backend_state::occupied:
    case backend_state::unauthorized:
    case backend_state::broken: recover("its API is not there any more (404)", now); break;
    }
}

void backend::handle(const denied&, steady_time now)
{
    if (state_ == backend_state::down || state_ == backend_state::settling)
        return;
    if (state_ != backend_state::unauthorized)
        enter(backend_state::unauthorized, unauthorized_advice, now);
    next_at_ = now + limits_.unauthorized_interval;
}

void backend::handle(const no_answer& e, steady_time now)
{
    const int service_tries =
        recovering_ ? limits_.recovery_service_tries : limits_.service_gate_tries;
    switch (state_) {
    case backend_state::down: break;
    case backend_state::settling: handle(caches_cleaned{}, now); break;
    case backend_state::routes:
        ++tries_;
        reason_ =
            "The port is open, but GET /sdapi/v1/txt2img gives nothing of use: " + e.why + ".";
        next_at_ = now + request_gap();
        if (now - since_ >= limits_.unregistered_after)
            break_down(reason_ + four_causes, now);
        break;
    case backend_state::extensions: handle(extensions_missing{}, now); break;
    case backend_state::models:
        if (part_ == part::options) // no more than a warning (handler.md §1)
            part_ = part::progress;
        else if (part_ == part::progress)
            handle(progress_unknown{}, now);
        else if (!gate_gave_up("service gate", service_tries, e.why, now))
            next_at_ = now + limits_.service_gate_interval;
        break;
    case backend_state::warming: handle(warm_up_failed{outcome::server_error, e.why}, now); break;
    case backend_state::ready:
        next_at_ = now + limits_.health_interval;
        if (++strikes_ >= limits_.health_strikes)
            break_down("It has not answered " + std::to_string(strikes_) +
                           " times in a row, the last time: " + e.why + ".",
                       now);
        break;
    case backend_state::occupied:
        if (part_ == part::interrupt)
            next_interrupt_ = now + limits_.interrupt_interval;
        if (part_ == part::route)
            next_at_ = now + request_gap();
        else
            still_occupied(now);
        break;
    case backend_state::unregistered: next_at_ = now + limits_.unregistered_interval; break;
    case backend_state::unauthorized: next_at_ = now + limits_.unauthorized_interval; break;
    case backend_state::broken: next_at_ = std::max(next_at_, now + limits_.watch_interval); break;
    }
}

void backend::handle(const extensions_read&, steady_time now)
{
    if (state_ == backend_state::extensions)
        enter_models(now);
}

void backend::handle(const extensions_missing&, steady_time now)
{
    if (state_ != backend_state::extensions)
        return;
    ++tries_;
    next_at_ = now + limits_.extensions_interval;
    if (now - since_ >= limits_.extensions_wait)
        enter_models(now);
}

void backend::handle(const mode_seen& e, steady_time)
{
    if (limits_.mode == webui_mode::unknown)
        mode_ = e.nowebui ? webui_mode::nowebui : webui_mode::full_ui;
}

// --- answers of the lists ------------------------------------------------------------------------

void backend::handle(const models_read& e, steady_time now)
{
    if (state_ == backend_state::ready) {
        strikes_ = 0;
        next_at_ = now + limits_.health_interval;
        return;
    }
    if (state_ == backend_state::unauthorized)
        enter_models(now);
    if (state_ != backend_state::models || part_ != part::list)
        return;
    if (e.checkpoints == 0 && !limits_.original_gates) {
        ++tries_;
        reason_ = "The WebUI lists no checkpoint: put one into its models folder, or send a job "
                  "that names one with a URL.";
        next_at_ = now + limits_.empty_interval;
        return;
    }
    part_ = part::options;
    reason_ = "Reading its options.";
    next_at_ = now;
}

void backend::handle(const options_read& e, steady_time now)
{
    checkpoint_ = e.checkpoint;
    if (state_ != backend_state::models || part_ != part::options)
        return;
    part_ = part::progress;
    reason_ = "Looking whether it is busy.";
    next_at_ = now;
}

void backend::handle(const progress_read& e, steady_time now)
{
    // Once a job has begun in a process, the warm-up at least, its progress never says "none has".
    const bool had_jobs = (serving_ && limits_.warm_up) ||
                          (!mark_.job_timestamp.empty() && mark_.job_timestamp != "0");
    const bool other_process = had_jobs && e.reading.never_began();
    const bool idle = e.reading.idle();
    const progress_mark seen = mark_of(e.reading);
    if (other_process)
        lose();
    if (other_process && (state_ == backend_state::ready || state_ == backend_state::occupied)) {
        enter_extensions(now);
        reason_ = "The WebUI has been restarted: its progress begins anew.";
    }
    mark_ = seen;
    if (state_ == backend_state::models && part_ == part::progress) {
        if (idle)
            enter_warming("Making one small picture.", now);
        else
            occupy("It is busy with a job (" + e.reading.job + ") that is not ours.",
                   part::interrupt, backend_state::warming, now);
    } else if (state_ == backend_state::occupied && idle) {
        idle_readings_ = idle_stamp_ == seen.job_timestamp ? idle_readings_ + 1 : 1;
        idle_stamp_ = seen.job_timestamp;
        next_at_ = now + limits_.progress_interval / 2;
        if (idle_readings_ >= 2)
            go_on(now);
    } else if (state_ == backend_state::occupied) {
        idle_readings_ = 0;
        still_occupied(now);
    }
}

void backend::handle(const progress_unknown&, steady_time now)
{
    if (state_ == backend_state::models && part_ == part::progress) {
        enter_warming("Making one small picture.", now);
    } else if (state_ == backend_state::occupied) {
        stuck_ = true;
        enter_warming("It cannot say whether it is idle; a small picture will show it.", now);
    }
}

void backend::handle(const interrupt_sent&, steady_time now)
{
    if (state_ != backend_state::occupied)
        return;
    part_ = part::progress;
    next_interrupt_ = now + limits_.interrupt_interval;
    next_at_ = now + limits_.progress_interval / 2;
}

void backend::handle(const caches_cleaned&, steady_time now)
{
    if (state_ != backend_state::settling || !clean_pending_)
        return;
    clean_pending_ = false;
    reason_ = "Recovering: settling for " + in_seconds(limits_.recovery_settle) + ".";
    next_at_ = now + limits_.recovery_settle;
}

// --- answers of the warm-up ----------------------------------------------------------------------

void backend::handle(const warm_up_done&, steady_time now)
{
    if (state_ == backend_state::warming)
        enter_ready(now);
}

void backend::handle(const warm_up_failed& e, steady_time now)
{
    if (state_ != backend_state::warming)
        return;
    if (limits_.original_gates) {
        if (e.what == outcome::rejected) // 400 and 422 show that it works (handler.md §1)
            enter_ready(now);
        else if (!gate_gave_up("txt2img gate",
                               recovering_ ? limits_.recovery_endpoint_tries
                                           : limits_.endpoint_gate_tries,
                               e.why, now))
            next_at_ = now + limits_.endpoint_gate_interval;
        return;
    }
    if (e.what == outcome::unreachable || e.what == outcome::reset_unsent ||
        e.what == outcome::lost_restarted || e.what == outcome::lost_running)
        go_down(e.why, now);
    else if (e.what == outcome::route_missing)
        handle(route_missing{}, now);
    else if (e.what == outcome::unauthorized)
        handle(denied{}, now);
    else
        break_down("The warm-up failed: " + e.why + "." + four_causes, now);
}

// --- jobs ----------------------------------------------------------------------------------------

void backend::handle(const job_began&, steady_time)
{
    busy_ = true;
    strikes_ = 0;
}

void backend::handle(const job_ended& e, steady_time now)
{
    busy_ = false;
    if (e.epoch != epoch_)
        return;
    if (!e.mark.job_timestamp.empty())
        mark_ = e.mark;
    if (state_ != backend_state::ready)
        return;
    after_job(e, now);
    if (state_ == backend_state::ready && !e.idle)
        occupy("A job of ours may still run: " + e.why + ".", e.lost ? part::port : part::interrupt,
               backend_state::ready, now);
}

void backend::handle(const reply_lost& e, steady_time now)
{
    if (e.epoch != epoch_ || state_ != backend_state::ready)
        return;
    if (!e.mark.job_timestamp.empty())
        mark_ = e.mark;
    occupy("The reply of a job was lost: " + e.why + ".", part::port, backend_state::ready, now);
}

// --- news from elsewhere -------------------------------------------------------------------------

void backend::handle(const lists_changed&, steady_time now)
{
    if (state_ == backend_state::ready || (state_ == backend_state::models && part_ == part::list))
        next_at_ = now;
    else
        reread_ = true;
}

void backend::handle(const restart_announced&, steady_time now)
{
    go_down("the WebUI is being restarted", now);
}

void backend::handle(const clock_jumped&, steady_time now)
{
    next_watch_ = now;
    missing_since_ = recovering_since_ = out_since_ = now;
    occupied_until_ = now + limits_.interrupt_limit;
    strikes_ = 0;
    if (state_ == backend_state::ready || state_ == backend_state::down)
        next_at_ = now;
}

} // namespace gateway::core
