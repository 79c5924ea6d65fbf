#pragma once

// Which relative of AUTOMATIC1111's WebUI answers, and what that changes (webui.md §6).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

enum class dialect : std::uint8_t {
    a1111_1_10,
    a1111_1_9, // and older: an unknown sampler is a 404
    reforge,
    forge,
    sdnext,
    sdcpp,
    koboldcpp,
    unknown,
};

std::string_view to_text(dialect which); // "a1111-1.10", "reforge", …
std::optional<dialect> parse_dialect(std::string_view text);

struct dialect_traits {
    bool route_probe;          // GET txt2img answers 405 once the route exists
    bool has_progress;         // GET progress
    bool has_interrupt;        // POST interrupt
    bool has_refresh;          // POST refresh-checkpoints
    bool has_refresh_loras;    // POST refresh-loras
    bool has_loras;            // GET loras
    bool has_schedulers;       // GET schedulers
    bool has_models;           // several checkpoints, chosen by override_settings
    bool has_lora_tags;        // <lora:…> in the prompt works
    bool one_lora_drops_all;   // an unknown LoRA drops all of them
    bool checks_samplers;      // an unknown sampler is an error, not silently another one
    bool names_without_suffix; // sd-models titles have no file extension
    int default_steps;         // when the request names none
    int default_side;
};
const dialect_traits& traits_of(dialect which);

// GET these in order, one at a time. A step with `means` ends the search when it answers 200; the
// others only gather evidence.
struct detection_step {
    std::string_view path;
    dialect means; // unknown: evidence for detect()
};
std::span<const detection_step> detection_steps();

// What those GETs gave.
struct probe_result {
    std::string path;
    int status = 0;
    std::string body; // of options, schedulers and samplers; may be empty
};
// Pure: from what is known so far. `version` is info.version of a picture ("v1.10.1"), when one has
// been made; it settles what the lists leave open.
dialect detect_dialect(std::span<const probe_result> results, std::string_view version = {});

} // namespace gateway::proto
