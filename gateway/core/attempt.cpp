#include "core/attempt.hpp"

#include "core/texts.hpp"

#include <algorithm>
#include <utility>

namespace gateway::core {

std::string_view to_text(attempt_action what)
{
    switch (what) {
    case attempt_action::send: return "send";
    case attempt_action::poll_progress: return "poll_progress";
    case attempt_action::interrupt: return "interrupt";
    case attempt_action::probe: return "probe";
    case attempt_action::wait: return "wait";
    case attempt_action::finish: return "finish";
    }
    return "wait";
}

attempt::attempt(attempt_limits limits, attempt_order order, steady_time now)
    : limits_(limits), order_(std::move(order)), tracker_(order_.before), started_(now)
{
}

attempt_step attempt::on(const event& e, steady_time now)
{
    progress_changed_ = false;
    if (phase_ != phase::over)
        std::visit([&](const auto& what) { handle(what, now); }, e);
    check_time(now);
    return plan();
}

// --- what happened -------------------------------------------------------------------------------

void attempt::handle(const sent&, steady_time now)
{
    if (phase_ != phase::fresh)
        return;
    phase_ = phase::running;
    sent_at_ = moved_at_ = now;
    next_poll_ = now + limits_.poll;
}

void attempt::handle(const reply& e, steady_time now)
{
    // A proxy has answered: what became of the job is as unknown as with no reply.
    if (e.what == outcome::proxy_error && phase_ == phase::stopping) {
        finish_stopped(false, true);
    } else if (e.what == outcome::proxy_error) {
        probe(outcome::proxy_error, e.why, now);
    } else if (phase_ == phase::stopping && interrupts_ > 0) {
        // Cut short or just done: the reply does not say. Either way the WebUI is done with it.
        finish_stopped(true, false);
    } else {
        finish(e.what, e.why, true);
    }
}

void attempt::handle(const connection_failed& e, steady_time now)
{
    if (phase_ == phase::stopping && e.nothing_sent)
        finish_stopped(true, false);
    else if (phase_ == phase::stopping)
        finish_stopped(false, true);
    else if (e.nothing_sent)
        finish(e.refused ? outcome::unreachable : outcome::reset_unsent, e.why, true);
    else if (phase_ != phase::probing)
        probe(outcome::lost_running, e.why, now);
}

void attempt::handle(const progress_asked&, steady_time now) { next_poll_ = now + limits_.poll; }

void attempt::handle(const progress_read& e, steady_time now)
{
    next_poll_ = now + limits_.poll;
    readable_ = true;
    if (tracker_.on(e.reading)) {
        moved_at_ = now;
        progress_changed_ = phase_ == phase::running;
    }
    // Idle means that it is over only if it had begun: a job that waits for the WebUI's lock does
    // not show in progress.
    idle_readings_ = tracker_.over() ? idle_readings_ + 1 : 0;
    if (phase_ == phase::stopping && idle_readings_ >= 2)
        finish_stopped(true, false);
}

void attempt::handle(const progress_failed&, steady_time now) { next_poll_ = now + limits_.poll; }

void attempt::handle(const cancel_asked&, steady_time now)
{
    stop(outcome::cancelled, "cancelled by the client", now);
}

void attempt::handle(const shutdown_asked&, steady_time now)
{
    stop(outcome::shutdown, "the gateway is stopping", now);
}

void attempt::handle(const interrupt_sent&, steady_time now)
{
    ++interrupts_;
    next_interrupt_ = now + limits_.interrupt_every;
    next_poll_ = now + std::min(limits_.poll, limits_.interrupt_every / 2);
}

void attempt::handle(const interrupt_failed&, steady_time now)
{
    next_interrupt_ = now + limits_.interrupt_every;
}

void attempt::handle(const probe_asked&, steady_time) { probe_asked_ = true; }

void attempt::handle(const backend_restarted& e, steady_time)
{
    switch (phase_) {
    case phase::fresh: finish(outcome::unreachable, e.why, true); break;
    case phase::running: finish(outcome::lost_restarted, e.why, true); break;
    case phase::probing: finish(outcome::lost_restarted, lost_why_ + "; " + e.why, true); break;
    case phase::stopping: finish_stopped(true, false); break;
    case phase::over: break;
    }
}

void attempt::handle(const backend_idle&, steady_time)
{
    if (phase_ == phase::probing)
        finish(if_idle_,
               lost_why_ + "; the WebUI still runs, so the job may have been done: it is not sent "
                           "again",
               true);
}

void attempt::handle(const backend_stuck& e, steady_time)
{
    if (phase_ == phase::probing)
        finish(if_idle_, lost_why_ + "; " + e.why, false);
}

// --- time ----------------------------------------------------------------------------------------

// A model that has to be loaded, and perhaps hashed, takes its time without a sign of progress.
duration attempt::load_allowance() const
{
    return order_.model_loaded ? duration::zero() : limits_.model_load;
}

duration attempt::stall_limit() const
{
    const progress_phase p = tracker_.view().phase;
    const bool before_steps = p == progress_phase::queued || p == progress_phase::loading;
    return limits_.stall + (before_steps ? load_allowance() : duration::zero());
}

attempt::deadline attempt::first_deadline() const
{
    deadline first{started_ + order_.execution_timeout, outcome::execution_timeout,
                   "executionTimeout exceeded"};
    const duration patience = limits_.reply + load_allowance();
    if (sent_at_ + patience < first.at)
        first = {sent_at_ + patience, outcome::stalled,
                 "no reply from the WebUI within " + in_seconds(patience) +
                     " (webui.inference_timeout" +
                     (order_.model_loaded ? ")" : " + webui.model_load_timeout)")};
    // Where progress cannot be read, standing still cannot be told from going on.
    if (readable_ && moved_at_ + stall_limit() < first.at)
        first = {moved_at_ + stall_limit(), outcome::stalled,
                 "no progress for " + in_seconds(stall_limit()) + " while " +
                     std::string(to_text(tracker_.view().phase)) + " (webui.stall_timeout)"};
    return first;
}

void attempt::check_time(steady_time now)
{
    if (phase_ == phase::running) {
        const deadline first = first_deadline();
        if (now >= first.at)
            stop(first.cause, first.reason, now);
    }
    if (phase_ == phase::stopping && now >= stop_limit_)
        finish_stopped(false, false);
    if (phase_ == phase::probing && now >= probe_limit_)
        finish(if_idle_,
               lost_why_ + "; whether the WebUI still runs it could not be found out within " +
                   in_seconds(limits_.probe_limit),
               false, true);
}

// --- what follows --------------------------------------------------------------------------------

void attempt::stop(outcome cause, std::string reason, steady_time now)
{
    switch (phase_) {
    case phase::fresh: finish(cause, std::move(reason), true); return;
    case phase::probing: finish(cause, std::move(reason), false, true); return;
    case phase::over: return;
    case phase::stopping:
        // The first cause stays, but a drain gives way to any other.
        if (cause_ == outcome::shutdown) {
            cause_ = cause;
            cause_reason_ = std::move(reason);
        }
        return;
    case phase::running: break;
    }
    phase_ = phase::stopping;
    cause_ = cause;
    cause_reason_ = std::move(reason);
    stop_limit_ = now + limits_.interrupt_limit;
    next_interrupt_ = now;
    idle_readings_ = 0;
}

void attempt::probe(outcome if_idle, std::string why, steady_time now)
{
    phase_ = phase::probing;
    if_idle_ = if_idle;
    lost_why_ = std::move(why);
    probe_asked_ = false;
    probe_limit_ = now + limits_.probe_limit;
}

void attempt::finish(outcome what, std::string reason, bool idle, bool lost)
{
    phase_ = phase::over;
    end_ = {what, what == outcome::done ? std::string() : std::move(reason), idle, lost};
}

void attempt::finish_stopped(bool idle, bool lost)
{
    finish(cause_, std::move(cause_reason_), idle, lost);
}

attempt_step attempt::plan() const
{
    switch (phase_) {
    case phase::fresh: return {attempt_action::send, started_};
    case phase::probing:
        return probe_asked_ ? attempt_step{attempt_action::wait, probe_limit_}
                            : attempt_step{attempt_action::probe, started_};
    case phase::over: return {attempt_action::finish, started_};
    case phase::running: {
        const steady_time end = first_deadline().at;
        if (order_.has_progress && next_poll_ < end)
            return {attempt_action::poll_progress, next_poll_};
        return {attempt_action::wait, end};
    }
    case phase::stopping: {
        attempt_step next{attempt_action::wait, stop_limit_};
        if (order_.has_progress && next_poll_ < next.at)
            next = {attempt_action::poll_progress, next_poll_};
        if (order_.has_interrupt && next_interrupt_ <= next.at && next_interrupt_ < stop_limit_)
            next = {attempt_action::interrupt, next_interrupt_};
        return next;
    }
    }
    return {};
}

std::string attempt::describe(steady_time now) const
{
    static constexpr const char* names[] = {"fresh", "running", "stopping", "probing", "over"};
    std::string text = names[static_cast<int>(phase_)];
    text += " for " + in_seconds(now - started_) + ", " + std::string(to_text(progress().phase)) +
            " " + std::to_string(static_cast<int>(progress().fraction * 100)) + " %";
    if (phase_ == phase::stopping)
        text += ", " + std::to_string(interrupts_) + " interrupts because " + cause_reason_;
    if (phase_ == phase::probing)
        text += " because " + lost_why_;
    if (phase_ == phase::over)
        text += ": " + std::string(to_text(end_.what));
    return text;
}

} // namespace gateway::core
