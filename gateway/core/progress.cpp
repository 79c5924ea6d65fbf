#include "core/progress.hpp"

#include <algorithm>
#include <cmath>

namespace gateway::core {

namespace {

progress_phase phase_of(const progress_reading& r)
{
    if (r.job_count <= 0)
        return progress_phase::loading;
    const bool last_picture = r.job_no == r.job_count - 1;
    const bool last_step = r.sampling_steps > 0 && r.sampling_step >= r.sampling_steps;
    return r.job_no >= r.job_count || (last_picture && last_step) ? progress_phase::decoding
                                                                  : progress_phase::sampling;
}

} // namespace

std::string_view to_text(progress_phase phase)
{
    switch (phase) {
    case progress_phase::queued: return "queued";
    case progress_phase::loading: return "loading";
    case progress_phase::sampling: return "sampling";
    case progress_phase::decoding: return "decoding";
    }
    return "queued";
}

progress_mark mark_of(const progress_reading& r)
{
    return {r.never_began() ? "0" : r.job_timestamp, r.idle()};
}

// A stamp counts seconds: a job that begins in the same second as the one before has the same. When
// nothing ran at the time of the mark, what runs now has begun since.
bool progress_tracker::is_ours(const progress_reading& r) const
{
    if (r.job.empty() || r.job == "extras")
        return false;
    if (begun_)
        return r.job_timestamp == last_.job_timestamp;
    return before_.job_timestamp.empty() || before_.idle ||
           mark_of(r).job_timestamp != before_.job_timestamp;
}

bool progress_tracker::on(const progress_reading& r)
{
    mark_ = mark_of(r);
    if (!is_ours(r)) {
        gone_ = begun_;
        return false;
    }
    const progress_view before = view_;
    view_.phase = phase_of(r);
    view_.fraction = std::max(view_.fraction, std::clamp(r.progress, 0.0, 1.0));
    view_.eta_seconds.reset();
    if (view_.phase == progress_phase::sampling && std::isfinite(r.eta_seconds) &&
        r.eta_seconds > 0)
        view_.eta_seconds = r.eta_seconds;

    const bool moved = !begun_ || view_.phase != before.phase || view_.fraction > before.fraction ||
                       r.job_count != last_.job_count || r.job_no != last_.job_no ||
                       r.sampling_step != last_.sampling_step || r.job != last_.job;
    begun_ = true;
    gone_ = false;
    last_ = r;
    return moved;
}

} // namespace gateway::core
