#pragma once

// One attempt of one job on one WebUI: when to send, how long to wait, when to interrupt, and how
// it ended. The driver does what step says, tells what came of it, and never decides anything.
//
//   fresh ─ send, sent ─► running ─ reply ─► finish(its outcome)
//     │                     │ │ └─ nothing was sent ─► finish(unreachable | reset_unsent)
//     │ cancel, shutdown    │ └─ connection lost after sending, a proxy's 5xx ─► probing
//     ▼                     │                backend_restarted ─► finish(lost_restarted)
//   finish (nothing ran)    │                backend_idle ─► finish(lost_running)
//                           │                stuck, cancel, limit ─► finish, not idle
//                           ▼ cancel, executionTimeout, reply limit, no progress, shutdown
//                        stopping ─ interrupt every 2 s, poll progress between
//                           ├─ reply, or progress idle twice ─► finish(the cause), idle
//                           └─ connection lost, or limit ─► finish(the cause), not idle
//
// A driver:
//     step = a.on(attempt::tick{}, now)
//     while step.what != finish
//         wait for an inbox item until step.at     (reply, cancel, … come through the inbox)
//         if an item came:       step = a.on(item, now)
//         else, time has come:   do step.what; its answer is an event, too
// Actions and their answers:
//     send           start the POST in a child; answer `sent`. The child posts `reply` or
//                    `connection_failed` to the inbox when it ends.
//     poll_progress  start a GET of /progress in a child, unless one is under way; answer
//                    `progress_asked`. The child posts `progress_read` or `progress_failed`.
//     interrupt      POST /interrupt on a connection of its own; `interrupt_sent` or `…_failed`
//     probe          tell the backend machine `reply_lost` and answer `probe_asked`. The inbox then
//                    gets `backend_restarted` when its epoch has changed, else `backend_idle` when
//                    it is ready again, or `backend_stuck` when it says so.
//     wait           nothing to do; answer `tick`
//     finish         read end(); drop the POST's connection if it is still open, and tell the
//                    backend machine `job_ended`
// Every on() returns the whole plan anew: an action that was not done yet is asked for again.

#include "base/time.hpp"
#include "core/progress.hpp"
#include "core/retry.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace gateway::core {

struct attempt_limits {
    duration reply = std::chrono::seconds(600);      // webui.inference_timeout
    duration model_load = std::chrono::seconds(900); // more, when the model is not the loaded one
    duration poll = std::chrono::seconds(1);         // between readings of progress
    duration stall = std::chrono::seconds(120);      // without progress; model_load more as above
    duration interrupt_every = std::chrono::seconds(2);
    duration interrupt_limit = std::chrono::seconds(60); // until the WebUI must be idle
    duration probe_limit = std::chrono::seconds(300);    // until the backend machine must know
};

// What is particular to this attempt.
struct attempt_order {
    duration execution_timeout = std::chrono::seconds(600); // policy.executionTimeout
    bool model_loaded = true;  // the WebUI has the job's checkpoint loaded, as far as known
    bool has_progress = true;  // of the dialect
    bool has_interrupt = true; // of the dialect
    progress_mark before;      // backend::mark()
};

enum class attempt_action : std::uint8_t { send, poll_progress, interrupt, probe, wait, finish };
std::string_view to_text(attempt_action what);

struct attempt_step {
    attempt_action what = attempt_action::wait;
    steady_time at{}; // when to do it, unless an event comes first; in the past: at once
};

// How it ended, for jobs and for the backend machine.
struct attempt_end {
    outcome what = outcome::done;
    std::string reason; // for people; empty when done
    bool idle = true;   // the WebUI is known to be done with the job
    bool lost = false;  // the connection broke: whether the WebUI lives is not known
};

class attempt {
public:
    struct tick {};
    struct sent {}; // from here on a broken connection is ambiguous
    struct reply {
        outcome what = outcome::done; // as classified and verified
        std::string why;
    };
    struct connection_failed {
        bool nothing_sent = false;
        bool refused = false; // no connection at all: refused, no route, DNS
        std::string why;
    };
    struct progress_asked {};
    struct progress_read {
        progress_reading reading;
    };
    struct progress_failed {};
    struct cancel_asked {};
    struct shutdown_asked {}; // the grace of a drain is over
    struct interrupt_sent {};
    struct interrupt_failed {};
    struct probe_asked {};
    struct backend_restarted {
        std::string why;
    };
    struct backend_idle {};
    struct backend_stuck {
        std::string why;
    };
    using event =
        std::variant<tick, sent, reply, connection_failed, progress_asked, progress_read,
                     progress_failed, cancel_asked, shutdown_asked, interrupt_sent,
                     interrupt_failed, probe_asked, backend_restarted, backend_idle, backend_stuck>;

    attempt(attempt_limits limits, attempt_order order, steady_time now);

    attempt_step on(const event& e, steady_time now);

    bool finished() const { return phase_ == phase::over; }
    const attempt_end& end() const { return end_; } // once finished
    // The last on() changed what progress() says: worth reporting.
    bool progress_changed() const { return progress_changed_; }
    const progress_view& progress() const { return tracker_.view(); }
    const progress_mark& mark() const { return tracker_.mark(); }
    // Its whole state in a line, for logs and tests.
    std::string describe(steady_time now) const;

private:
    enum class phase : std::uint8_t { fresh, running, stopping, probing, over };
    struct deadline {
        steady_time at{};
        outcome cause = outcome::stalled;
        std::string reason;
    };

    void handle(const tick&, steady_time) {}
    void handle(const sent&, steady_time now);
    void handle(const reply& e, steady_time now);
    void handle(const connection_failed& e, steady_time now);
    void handle(const progress_asked& e, steady_time now);
    void handle(const progress_read& e, steady_time now);
    void handle(const progress_failed& e, steady_time now);
    void handle(const cancel_asked&, steady_time now);
    void handle(const shutdown_asked&, steady_time now);
    void handle(const interrupt_sent&, steady_time now);
    void handle(const interrupt_failed&, steady_time now);
    void handle(const probe_asked&, steady_time now);
    void handle(const backend_restarted& e, steady_time now);
    void handle(const backend_idle&, steady_time now);
    void handle(const backend_stuck& e, steady_time now);

    void check_time(steady_time now);
    attempt_step plan() const;
    duration load_allowance() const;
    duration stall_limit() const;
    deadline first_deadline() const;
    void stop(outcome cause, std::string reason, steady_time now);
    void probe(outcome if_idle, std::string why, steady_time now);
    void finish(outcome what, std::string reason, bool idle, bool lost = false);
    void finish_stopped(bool idle, bool lost);

    attempt_limits limits_;
    attempt_order order_;
    progress_tracker tracker_;
    phase phase_ = phase::fresh;
    steady_time started_;
    steady_time sent_at_{};
    steady_time moved_at_{}; // of the last sign of progress
    steady_time next_poll_{};
    bool readable_ = false; // progress has been read at least once
    bool progress_changed_ = false;
    // stopping
    outcome cause_ = outcome::cancelled;
    std::string cause_reason_;
    steady_time stop_limit_{};
    steady_time next_interrupt_{};
    int interrupts_ = 0;
    int idle_readings_ = 0; // in a row
    // probing
    outcome if_idle_ = outcome::lost_running;
    std::string lost_why_;
    bool probe_asked_ = false;
    steady_time probe_limit_{};
    attempt_end end_;
};

} // namespace gateway::core
