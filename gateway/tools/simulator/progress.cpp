#include "tools/simulator/progress.hpp"

#include <algorithm>
#include <array>
#include <ctime>

namespace gateway::tools::simulator {

void shared_state::begin(std::string job, steady_time now, std::string timestamp)
{
    skipped_ = false;
    interrupted_ = false;
    job_ = std::move(job);
    job_count_ = -1;
    job_timestamp_ = std::move(timestamp);
    job_no_ = 0;
    sampling_step_ = 0;
    preview_step_ = 0;
    started_ = now;
}

void shared_state::sample(int steps)
{
    sampling_steps_ = steps;
    sampling_step_ = 0;
    preview_step_ = 0;
}

void shared_state::step_done(int steps_done) { sampling_step_ = std::max(0, steps_done - 1); }

void shared_state::next_job()
{
    ++job_no_;
    sampling_step_ = 0;
    preview_step_ = 0;
}

void shared_state::end()
{
    job_.clear();
    job_count_ = 0;
}

double shared_state::progress() const
{
    if (idle())
        return 0;
    double out = 0.01;
    if (job_count_ > 0)
        out += static_cast<double>(job_no_) / job_count_;
    if (sampling_steps_ > 0)
        out += 1.0 / job_count_ * sampling_step_ / sampling_steps_;
    return std::min(out, 1.0);
}

double shared_state::eta(steady_time now) const
{
    if (idle())
        return 0;
    const double elapsed = std::chrono::duration<double>(now - started_).count();
    return elapsed / progress() - elapsed;
}

json::object shared_state::dict() const
{
    return {
        {"skipped", skipped_},
        {"interrupted", interrupted_},
        {"stopping_generation", false},
        {"job", job_},
        {"job_count", job_count_},
        {"job_timestamp", job_timestamp_},
        {"job_no", job_no_},
        {"sampling_step", sampling_step_},
        {"sampling_steps", sampling_steps_},
    };
}

bool shared_state::preview_due(int every)
{
    if (idle() || every <= 0 || sampling_step_ - preview_step_ < every)
        return false;
    preview_step_ = sampling_step_;
    return true;
}

std::string job_timestamp(wall_time now)
{
    const auto seconds = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch());
    const auto when = static_cast<std::time_t>(seconds.count());
    std::tm local{};
    localtime_r(&when, &local);
    std::array<char, 20> text{};
    std::strftime(text.data(), text.size(), "%Y%m%d%H%M%S", &local);
    return text.data();
}

} // namespace gateway::tools::simulator
