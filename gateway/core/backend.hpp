#pragma once

// One WebUI as data: whether it is ready, what to probe next and when, and why it is not ready yet
// (webui.md §7.2, handler.md §4, decisions.md 1–2). It sends nothing itself.
//
//   down ─port open─► settling ─time─► routes ─405─► extensions ─► models ─► warming ─► ready
//    ▲                   ▲               │ 404 for 120 s                        │          │
//    │ refused, from     │ 404, from     ▼                                      ▼          ▼
//    └ every state       └ behind here   unregistered             broken ◄─ 3 failures, no model
//                                                                    └─ after a pause: routes …
//   ready or models ─ somebody else's job, a lost reply, an unconfirmed interrupt ─► occupied
//   occupied ─ interrupt until idle ─► back;  ─ too long ─► warming, whose reply is the proof
//   any ─ 401 ─► unauthorized ─ reading the models works again ─► models
//
// The epoch names one life of the WebUI's process: it grows when READY is lost to a refused port, a
// missing route or another proof of a restart. Attempts of an older epoch are lost, and everything
// read in it (models, options) is void.
//
// A driver does what step says when its time has come and answers with an event; events from
// elsewhere (a job began, ended, lost its reply) may come at any time and make a new plan.
//     probe_port       bare TCP connect: port_open, port_refused
//     probe_route      GET txt2img: route_exists (405), route_missing; where the dialect has no
//                      405, GET sd-models 200 counts as route_exists
//     probe_extension  GET loras: extensions_read or extensions_missing
//     read_models      all the lists; models_read with the number of checkpoints
//     read_options     options_read with the loaded checkpoint
//     probe_progress   progress_read; progress_unknown where the dialect has none
//     warm_up          POST the smallest picture: warm_up_done, warm_up_failed
//     interrupt        interrupt_sent
//     clean_caches     caches_cleaned
//     wait             nothing to do before `at`: tick
// Every request over HTTP may also be answered by port_refused, route_missing (the 404 of a missing
// route only, never of one the dialect lacks), denied (401) or no_answer (anything else).

#include "base/time.hpp"
#include "core/backoff.hpp"
#include "core/progress.hpp"
#include "core/retry.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace gateway::core {

// How the WebUI is started, which decides how carefully it must be probed (webui.md §1).
enum class webui_mode : std::uint8_t {
    unknown, // treated as full_ui
    full_ui, // the port opens before the API exists; a request at the wrong moment kills the API
    nowebui, // the port opens last
};

struct backend_limits {
    webui_mode mode = webui_mode::unknown;
    duration port_interval = std::chrono::milliseconds(200);  // between connects while down
    duration watch_interval = std::chrono::milliseconds(500); // between connects otherwise
    duration settle = std::chrono::seconds(5);                // between open port and first request
    duration careful_interval = std::chrono::seconds(3); // between requests until a route exists
    duration route_interval = std::chrono::milliseconds(500); // the same with nowebui
    duration route_timeout = std::chrono::seconds(30);
    duration unregistered_after = std::chrono::seconds(120);
    duration unregistered_interval = std::chrono::seconds(30);
    duration extensions_wait = std::chrono::seconds(10);
    duration extensions_interval = std::chrono::seconds(1);
    duration models_timeout = std::chrono::seconds(120);
    duration empty_interval = std::chrono::seconds(2); // while the list of models is empty
    duration status_timeout = std::chrono::seconds(30);
    bool warm_up = true;
    duration warm_up_timeout = std::chrono::minutes(10);
    duration give_up_after = std::chrono::minutes(10); // not ready for so long: gave_up
    // The gates of handler.md §1 and the bounds of the ladder of §4.
    bool original_gates = false;
    duration service_gate_interval = std::chrono::milliseconds(200);
    int service_gate_tries = 300;
    duration endpoint_gate_interval = std::chrono::milliseconds(500);
    duration endpoint_gate_timeout = std::chrono::seconds(30);
    int endpoint_gate_tries = 240;
    duration recovery_wait = std::chrono::seconds(5);
    bool clean_caches = false;
    duration recovery_settle = std::chrono::seconds(3);
    int recovery_service_tries = 60;
    int recovery_endpoint_tries = 120;
    duration recovery_limit = std::chrono::minutes(10);
    // Ready.
    duration health_interval = std::chrono::seconds(10);
    duration health_timeout = std::chrono::seconds(30);
    int health_strikes = 3;
    int breaker_failures = 3; // in a row
    backoff_limits breaker{.first = std::chrono::seconds(30), .cap = std::chrono::minutes(10)};
    duration unauthorized_interval = std::chrono::seconds(30);
    // Occupied.
    duration progress_interval = std::chrono::seconds(1);
    duration interrupt_interval = std::chrono::seconds(2);
    duration interrupt_limit = std::chrono::seconds(60);
};

enum class backend_state : std::uint8_t {
    down,         // nobody listens
    settling,     // the port is open; no request yet, it might do harm
    routes,       // does POST txt2img exist?
    extensions,   // routes of extensions (loras) may come a little later
    models,       // lists, options, and whether it is idle
    warming,      // one small picture
    ready,        // may be given a job
    occupied,     // something runs on it that must end first
    unregistered, // the port is open and the API is missing for good
    unauthorized, // 401: our credentials are wrong
    broken,       // out of service for a while
};
std::string_view to_text(backend_state state);

enum class backend_action : std::uint8_t {
    wait,
    probe_port,
    probe_route,
    probe_extension,
    read_models,
    read_options,
    probe_progress,
    warm_up,
    interrupt,
    clean_caches,
};
std::string_view to_text(backend_action what);

struct backend_step {
    backend_action what = backend_action::wait;
    steady_time at{};   // in the past: at once
    duration timeout{}; // of the request; zero: the connection's own
};

// For /health, /metrics and logs.
struct backend_view {
    backend_state state = backend_state::down;
    steady_time since{};
    std::string reason; // why it is in that state, and what to do about it
    int tries = 0;      // of the probe it is at
    std::uint64_t epoch = 0;
    bool initializing = false; // on its way up
    bool gave_up = false;      // needs a person, or has not been ready for too long
    bool stuck = false;        // an interrupt has not helped
};

class backend {
public:
    struct tick {};
    struct port_open {};
    struct port_refused {
        std::string why;
    };
    struct route_exists {};
    struct route_missing {};
    struct denied {};
    struct no_answer { // a timeout, a reset, a 5xx, something that is no WebUI
        std::string why;
    };
    struct extensions_read {};
    struct extensions_missing {};
    struct mode_seen { // learnt on the way, e.g. from cmd-flags or /internal/ping
        bool nowebui = false;
    };
    struct models_read {
        std::size_t checkpoints = 0;
    };
    struct options_read {
        std::string checkpoint; // the selected one; empty: unknown
    };
    struct progress_read {
        progress_reading reading;
    };
    struct progress_unknown {};
    struct warm_up_done {};
    struct warm_up_failed {
        outcome what = outcome::server_error;
        std::string why;
    };
    struct interrupt_sent {};
    struct caches_cleaned {};
    struct job_began {};
    struct job_ended {
        outcome what = outcome::done;
        std::uint64_t epoch = 0; // in which it was sent
        bool idle = true;        // attempt_end
        bool lost = false;
        std::string why;
        progress_mark mark; // attempt::mark()
    };
    struct reply_lost { // an attempt wants to know whether this is still the same process
        std::uint64_t epoch = 0;
        std::string why;
        progress_mark mark;
    };
    struct lists_changed {};     // files arrived or a refresh was asked for: read the lists again
    struct restart_announced {}; // by the supervisor or an operator
    struct clock_jumped {};      // the host was suspended: what was known may be old
    using event =
        std::variant<tick, port_open, port_refused, route_exists, route_missing, denied, no_answer,
                     extensions_read, extensions_missing, mode_seen, models_read, options_read,
                     progress_read, progress_unknown, warm_up_done, warm_up_failed, interrupt_sent,
                     caches_cleaned, job_began, job_ended, reply_lost, lists_changed,
                     restart_announced, clock_jumped>;

    backend(backend_limits limits, steady_time now);

    backend_step on(const event& e, steady_time now);

    backend_state state() const { return state_; }
    bool ready() const { return state_ == backend_state::ready; }
    bool stuck() const { return stuck_; }
    std::uint64_t epoch() const { return epoch_; }
    webui_mode mode() const { return mode_; }
    // Its routes exist, so that requests do no harm: lists may be refreshed.
    bool may_ask() const;
    // What its progress said last, for the next attempt.
    const progress_mark& mark() const { return mark_; }
    const std::string& checkpoint() const { return checkpoint_; } // selected, when last read
    backend_view describe(steady_time now) const;

private:
    // Where state `models` and `occupied` are on their way.
    enum class part : std::uint8_t { list, options, progress, port, route, interrupt };

    void handle(const tick&, steady_time) {}
    void handle(const port_open&, steady_time now);
    void handle(const port_refused& e, steady_time now);
    void handle(const route_exists&, steady_time now);
    void handle(const route_missing&, steady_time now);
    void handle(const denied&, steady_time now);
    void handle(const no_answer& e, steady_time now);
    void handle(const extensions_read&, steady_time now);
    void handle(const extensions_missing&, steady_time now);
    void handle(const mode_seen& e, steady_time now);
    void handle(const models_read& e, steady_time now);
    void handle(const options_read& e, steady_time now);
    void handle(const progress_read& e, steady_time now);
    void handle(const progress_unknown&, steady_time now);
    void handle(const warm_up_done&, steady_time now);
    void handle(const warm_up_failed& e, steady_time now);
    void handle(const interrupt_sent&, steady_time now);
    void handle(const caches_cleaned&, steady_time now);
    void handle(const job_began&, steady_time now);
    void handle(const job_ended& e, steady_time now);
    void handle(const reply_lost& e, steady_time now);
    void handle(const lists_changed&, steady_time now);
    void handle(const restart_announced&, steady_time now);
    void handle(const clock_jumped&, steady_time now);

    void pass_time(steady_time now);
    backend_step plan() const;
    backend_step own_step() const;
    duration watch_gap() const;
    duration request_gap() const;
    void enter(backend_state next, std::string reason, steady_time now);
    void begin_requests(std::string reason, steady_time now);
    void lose();
    void go_down(const std::string& why, steady_time now);
    void recover(const std::string& why, steady_time now);
    void missing_again(steady_time now);
    void enter_extensions(steady_time now);
    void enter_models(steady_time now);
    void enter_warming(std::string why, steady_time now);
    void enter_ready(steady_time now);
    void occupy(std::string why, part first, backend_state back, steady_time now);
    void still_occupied(steady_time now);
    void go_on(steady_time now);
    void break_down(const std::string& why, steady_time now);
    void count_failure(const std::string& why, steady_time now);
    bool gate_gave_up(const char* gate, int limit, const std::string& why, steady_time now);
    void after_job(const job_ended& e, steady_time now);

    backend_limits limits_;
    webui_mode mode_;
    backend_state state_ = backend_state::down;
    part part_ = part::list;
    steady_time since_;
    std::string reason_;
    int tries_ = 0;
    steady_time next_at_;    // of the state's own action
    steady_time next_watch_; // of the connect beside it
    steady_time out_since_;  // not ready since
    std::uint64_t epoch_ = 1;
    bool serving_ = false; // has been ready in this epoch
    bool busy_ = false;    // a job of ours runs
    bool stuck_ = false;
    bool reread_ = false; // lists_changed came while something else was on
    int strikes_ = 0;
    int failures_ = 0; // of jobs, in a row
    backoff breaker_;
    // The ladder of handler.md §4, and how long the route has been missing.
    bool recovering_ = false;
    bool clean_pending_ = false;
    bool missing_ = false;
    steady_time recovering_since_;
    steady_time missing_since_;
    // Occupied.
    backend_state back_ = backend_state::warming; // where it leads
    int idle_readings_ = 0;                       // in a row, with the same stamp
    std::string idle_stamp_;
    steady_time next_interrupt_;
    steady_time occupied_until_;
    progress_mark mark_;
    std::string checkpoint_;
};

} // namespace gateway::core
