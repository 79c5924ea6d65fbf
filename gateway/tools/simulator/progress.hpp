#pragma once

// What GET progress reports: the WebUI's one global state, and the formula over it (webui.md §3.3).

#include "base/time.hpp"
#include "tools/simulator/python.hpp"

#include <string>

namespace gateway::tools::simulator {

class shared_state {
public:
    // A job has the lock; nothing is known about its length yet.
    void begin(std::string job, steady_time now, std::string timestamp);
    // How many sampling passes there will be.
    void plan(int passes) { job_count_ = passes; }
    void name(std::string job) { job_ = std::move(job); }
    // A pass begins; until then the step count is that of the job before.
    void sample(int steps);
    void step_done(int steps_done);
    void next_job();
    void end();

    void interrupt() { interrupted_ = true; }
    void skip() { skipped_ = true; }
    void clear_skip() { skipped_ = false; }
    bool interrupted() const { return interrupted_; }
    bool skipped() const { return skipped_; }

    bool idle() const { return job_count_ == 0; }
    double progress() const;
    double eta(steady_time now) const;
    json::object dict() const;

    int job_count() const { return job_count_; }
    int job_no() const { return job_no_; }
    int sampling_step() const { return sampling_step_; }
    int sampling_steps() const { return sampling_steps_; }
    const std::string& job_timestamp() const { return job_timestamp_; }
    steady_time started() const { return started_; }
    // Whether a preview is due after `every` steps; true at most once per such stretch.
    bool preview_due(int every);

private:
    bool skipped_ = false;
    bool interrupted_ = false;
    std::string job_;
    int job_count_ = 0;
    std::string job_timestamp_ = "0";
    int job_no_ = 0;
    int sampling_step_ = 0;
    int sampling_steps_ = 0;
    int preview_step_ = 0;
    steady_time started_{};
};

// "YYYYMMDDHHMMSS" in local time.
std::string job_timestamp(wall_time now);

} // namespace gateway::tools::simulator
