#pragma once

// What the WebUI's /progress says, made into progress that a client can rely on: of our job only,
// never falling, with a phase (webui.md §3.3). It also tells whether a job still moves.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gateway::core {

// One reply of GET /progress.
struct progress_reading {
    std::string job;           // "" when idle, "scripts_txt2img", "Batch 2 out of 4", "extras"
    std::string job_timestamp; // "YYYYMMDDHHMMSS" of the last begin; "0" or "" before the first
    int job_count = 0;         // −1 while loading, then pictures to make
    int job_no = 0;
    int sampling_step = 0;
    int sampling_steps = 0; // stale from the job before until sampling starts
    double progress = 0;
    double eta_seconds = 0;

    bool idle() const { return job.empty() && job_count == 0; }
    bool never_began() const { return job_timestamp.empty() || job_timestamp == "0"; }
};

// What was known of the WebUI's progress before our job was sent: without it, nobody can say whose
// job a later reading speaks of.
struct progress_mark {
    std::string job_timestamp; // empty: unknown
    bool idle = false;         // nothing ran then
};
progress_mark mark_of(const progress_reading& r);

enum class progress_phase : std::uint8_t {
    queued,   // not begun, as far as can be seen
    loading,  // begun: the model is being loaded or the prompt encoded
    sampling, // steps
    decoding, // the last picture is being decoded and stored
};
std::string_view to_text(progress_phase phase); // "queued", …

struct progress_view {
    progress_phase phase = progress_phase::queued;
    double fraction = 0;               // 0…1, never falls
    std::optional<double> eta_seconds; // while sampling
};

class progress_tracker {
public:
    explicit progress_tracker(progress_mark before) : before_(std::move(before)) {}

    // Whether the job has moved on since the last reading. A reading of somebody else's job, or of
    // none, never moves ours.
    bool on(const progress_reading& r);

    const progress_view& view() const { return view_; }
    bool begun() const { return begun_; }         // our job has been seen
    bool over() const { return begun_ && gone_; } // and is not there any more
    // What is known now, for the next job on this WebUI.
    const progress_mark& mark() const { return mark_; }

private:
    bool is_ours(const progress_reading& r) const;

    progress_mark before_;
    progress_mark mark_ = before_;
    progress_view view_;
    progress_reading last_;
    bool begun_ = false;
    bool gone_ = false;
};

} // namespace gateway::core
