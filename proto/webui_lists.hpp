#pragma once

// What a WebUI says about itself: its models, samplers, options, folders, memory and progress, and
// which of its samplers a name means (webui.md §2.3, §2.5, §3.3).

#include "proto/problem.hpp"
#include "proto/webui_dialect.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

struct checkpoint_entry {
    std::string title;      // "sub/Foo.safetensors [0123456789]"
    std::string model_name; // "sub_Foo"
    std::string hash;       // 10 hex, or 8 of the old kind; empty when unknown
    std::string sha256;     // empty when unknown
    std::string filename;   // absolute, on the WebUI's machine
};
parsed<std::vector<checkpoint_entry>> parse_checkpoints(std::string_view body);
// The name relative to the checkpoint folder, which is what override_settings should say: the title
// without its hash.
std::string_view listed_name(const checkpoint_entry& entry);

struct lora_entry {
    std::string name; // the stem, what a tag says
    std::string alias;
    std::string path;
};
parsed<std::vector<lora_entry>> parse_loras(std::string_view body);

struct sampler_entry {
    std::string name;
    std::vector<std::string> aliases;
};
parsed<std::vector<sampler_entry>> parse_samplers(std::string_view body);

struct scheduler_entry {
    std::string name;  // "karras"
    std::string label; // "Karras"
    std::vector<std::string> aliases;
};
parsed<std::vector<scheduler_entry>> parse_schedulers(std::string_view body);

struct backend_options {
    std::string checkpoint; // sd_model_checkpoint; empty when none is set
    std::string samples_format;
    std::optional<bool> live_previews;
    bool is_reforge = false; // has reforge_* keys
};
parsed<backend_options> parse_options(std::string_view body);

// Never the passwords that the same reply holds.
struct backend_flags {
    std::string data_dir, models_dir, ckpt_dir, lora_dir, vae_dir, embeddings_dir;
    bool no_hashing = false;
    bool freeze_settings = false;
    bool nowebui = false;
};
parsed<backend_flags> parse_cmd_flags(std::string_view body);

struct backend_memory {
    std::optional<std::uint64_t> ram_used, ram_total;   // bytes
    std::optional<std::uint64_t> cuda_used, cuda_total; // bytes
    std::optional<std::uint64_t> cuda_oom;              // times
};
parsed<backend_memory> parse_memory(std::string_view body);

enum class progress_phase : std::uint8_t {
    queued,   // idle, or waiting behind something that progress does not show
    loading,  // begun: model, prompt
    sampling, // steps
    decoding, // the last picture is being turned into pixels
};
std::string_view to_text(progress_phase phase);

struct progress_report {
    double progress = 0;    // 0…1; back to 0 at the end
    double eta_seconds = 0; // the WebUI's own guess
    progress_phase phase = progress_phase::queued;
    std::string job;           // "" when idle
    std::string job_timestamp; // "YYYYMMDDHHMMSS", set when a job begins
    int job_count = 0;
    int job_no = 0;
    int step = 0;
    int steps = 0;
    bool interrupted = false;
    bool skipped = false;

    bool idle() const { return job.empty() && job_count == 0; }
};
parsed<progress_report> parse_progress(std::string_view body);

// --- Which one is meant --------------------------------------------------------------------------

struct sampler_choice {
    std::string sampler;
    std::string scheduler; // empty: none to send
};
// Splits a scheduler suffix off ("DPM++ 2M Karras"), finds both in the lists by name, label or
// alias in any case. Empty lists check nothing. A problem names the nearest ones.
parsed<sampler_choice> resolve_sampler(std::string_view sampler, std::string_view scheduler,
                                       std::span<const sampler_entry> samplers,
                                       std::span<const scheduler_entry> schedulers);

} // namespace gateway::proto
