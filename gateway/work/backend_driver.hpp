#pragma once

// Drives one WebUI's readiness machine (core/backend): does the probe it asks for, tells what came
// of it, keeps the WebUI's lists, and says what this WebUI can run now.

#include "core/backend.hpp"
#include "core/catalog.hpp"
#include "core/ports.hpp"
#include "net/async.hpp"
#include "proto/webui.hpp"
#include "work/webui.hpp"

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace gateway::work {

// What core makes of a reply of GET /progress.
core::progress_reading reading_of(const proto::progress_report& r);

class backend_driver {
public:
    struct options {
        webui::options calls;
        core::backend_limits limits;
        int log_each = 15; // repeated waits are told the first time, then each n-th
        std::vector<std::string> cache_paths; // cleaned on the ladder, when limits.clean_caches
    };
    struct parts {
        net::client& http;
        net::dialer& dialer;
        net::time_source& time;
        net::lane& disk;
        const core::model_sets& sets;
        std::function<void()> offers_changed; // jobs may be leased now that could not before
        // Jobs go without this file (models.policy = "lenient").
        std::function<bool(const core::model_ref&)> waived;
        // Jobs wait although this file is listed: its content may be the wrong one.
        std::function<bool(const core::model_ref&)> doubtful;
    };

    backend_driver(net::executor ex, parts uses, options chosen);

    // Until it is cancelled.
    net::task<> run();

    // --- for the runner ---
    const std::string& name() const { return calls_.name(); }
    webui& calls() { return calls_; }
    bool can_run(core::set_id files);
    bool is_waived(const core::model_ref& file) const { return waived_ && waived_(file); }
    std::uint64_t epoch() const { return machine_.epoch(); }
    const core::progress_mark& mark() const { return machine_.mark(); }
    const core::catalog& offers() const { return catalog_; }
    proto::dialect dialect() const { return dialect_; }
    const std::vector<proto::sampler_entry>& samplers() const { return samplers_; }
    const std::vector<proto::scheduler_entry>& schedulers() const { return schedulers_; }
    // An event for the machine; it takes effect at once.
    void tell(const core::backend::event& e);
    // Moves on with every event.
    net::versions& changes() { return changes_; }
    core::backend_view view() const { return machine_.describe(time_.now()); }
    // Whether this checkpoint, as listed, is the one in memory, as far as known.
    bool has_loaded(std::string_view listed_name) const;
    void job_began(core::job_key job);
    void job_over(duration took, std::string checkpoint_used);

    // New files lie in the model folders: this WebUI must be made to see them.
    void files_arrived(bool checkpoints, bool loras);
    // How often its lists have been read with nothing left to refresh.
    std::uint64_t looks() const { return looks_; }
    core::backend_status status() const;

private:
    net::task<core::backend::event> perform(core::backend_step step);
    net::task<core::backend::event> probe_port();
    net::task<core::backend::event> probe_route(duration limit);
    net::task<core::backend::event> probe_extension(duration limit);
    net::task<core::backend::event> read_models(duration limit);
    net::task<core::backend::event> read_options(duration limit);
    net::task<core::backend::event> probe_progress(duration limit);
    net::task<core::backend::event> warm_up(duration limit);
    net::task<core::backend::event> interrupt(duration limit);
    net::task<core::backend::event> clean_caches();
    net::task<> detect(duration limit);
    net::task<bool> refresh(duration limit);
    net::task<> read_side_lists(duration limit);
    void after_event();
    void tell_state(const core::backend_view& now);

    net::time_source& time_;
    net::lane& disk_;
    const core::model_sets& sets_;
    std::function<void()> offers_changed_;
    std::function<bool(const core::model_ref&)> waived_;
    std::function<bool(const core::model_ref&)> doubtful_;
    std::vector<std::string> cache_paths_;
    webui calls_;
    core::backend machine_;
    core::backend_step step_;
    core::catalog catalog_;
    net::versions changes_;
    proto::dialect dialect_ = proto::dialect::unknown;
    std::uint64_t detected_in_ = 0; // epoch
    std::vector<proto::sampler_entry> samplers_;
    std::vector<proto::scheduler_entry> schedulers_;
    bool refresh_checkpoints_ = false;
    bool refresh_loras_ = false;
    std::uint64_t looks_ = 0;
    // what was said last, so that the log tells changes and not repetitions
    core::backend_state told_state_ = core::backend_state::down;
    std::string told_reason_;
    int told_tries_ = 0;
    int log_each_;
    steady_time told_at_;
    std::uint64_t told_epoch_ = 0;
    std::uint64_t told_catalog_ = 0;
    std::string loaded_;
    core::job_key running_ = 0;
    std::uint64_t jobs_ = 0;
    std::uint64_t swaps_ = 0;
    duration busy_{};
};

} // namespace gateway::work
