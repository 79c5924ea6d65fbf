#pragma once

// The request models of txt2img and img2img (webui.md §2.1, §2.2) as tables, in the order of their
// echo.

#include <cstdint>
#include <span>
#include <string_view>

namespace gateway::proto {

enum class field_type : std::uint8_t {
    text,
    texts, // a list
    integer,
    number,
    boolean,
    anything,   // passed on as it came, when the operator allows it
    picture,    // in base64
    pictures,   // a list of them, not empty
    scripts,    // an object with a member for each script
    script,     // the title of one
    from_lists, // sampler and scheduler: settled when the backend is known
    ours,       // the gateway writes it
};

// Which of the operator's limits holds for a number.
enum class field_limit : std::uint8_t {
    none,
    steps,      // 1…max_steps
    more_steps, // 0…max_steps
    side,       // 8…max_side
    more_side,  // 0…max_side
    pictures,   // 1…max_images
    unit,       // 0…1
    factor,     // 0…8
};

struct field_rule {
    std::string_view name;
    field_type type;
    field_limit limit = field_limit::none;
    bool gated = false; // only with the operator's leave (webui.md rule 12)
};

using field_rules = std::span<const field_rule>;

field_rules txt2img_fields();
field_rules img2img_fields();

// Null for a name that is no field of the model.
const field_rule* find_field(field_rules model, std::string_view name);
// The field that an unknown name most likely means (num_inference_steps → steps); may be empty.
std::string_view meant_field(field_rules model, std::string_view unknown);

} // namespace gateway::proto
