#pragma once

// From a job's input to the request that a WebUI gets: validation, allow-lists, LoRA tags,
// overrides (handler.md §3, webui.md §2.1, §2.2, §4). What needs a backend's lists is left open
// until the body is built.

#include "core/model.hpp"
#include "proto/problem.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

// What the operator allows. The defaults are safe for strangers.
struct input_rules {
    // Fields refused otherwise: alwayson_scripts, script_name, script_args, save_images,
    // force_task_id, firstpass_image, infotext, comments.
    std::vector<std::string> allowed_fields;
    // Titles of scripts that may be named in alwayson_scripts and script_name, in any case.
    std::vector<std::string> allowed_scripts;
    // Routes that an input may name: "POST sdapi/v1/img2img".
    std::vector<std::string> allowed_endpoints;
    // Keys of override_settings beside the built-in ones.
    std::vector<std::string> allowed_overrides;
    bool names_in_other_scripts = false; // model names outside ASCII
    double max_lora_scale = 5;
    std::size_t max_loras = 32;
    std::size_t max_prompt_bytes = 64 * 1024;
    int max_steps = 1000;
    int max_side = 8192;
    int max_images = 64; // batch_size × n_iter
    std::optional<core::model_ref> default_checkpoint;
};

struct lora_use {
    core::model_ref file;
    double scale = 1.0;
};

// One member of the request body that is ready to send.
struct body_field {
    std::string name;
    std::string value; // JSON
};

enum class request_kind : std::uint8_t {
    txt2img,
    img2img,
    other, // its payload is passed on as it came, and its answer is the result, whatever it is
};

struct webui_route {
    std::string method = "POST";
    std::string path = "/sdapi/v1/txt2img";
};

struct job_request {
    webui_route route;
    request_kind kind = request_kind::txt2img;
    std::string payload;                       // of other routes: JSON; empty for GET
    std::optional<core::model_ref> checkpoint; // url empty: named only, must be there already
    std::vector<lora_use> loras;               // in the order of the tags
    std::string prompt;                        // without our tags
    std::string sampler;                       // as asked for; empty: the backend's default
    std::string scheduler;
    std::vector<body_field> fields;    // everything else, in the order of webui.md §2.1
    std::vector<body_field> overrides; // override_settings without sd_model_checkpoint
    std::vector<std::string> warnings; // what was ignored or filled in, for logs and the job

    // For estimates and progress; the WebUI's defaults where the input says nothing.
    int steps = 50;
    int width = 512;
    int height = 512;
    int images = 1;
    bool hires = false;
    bool wants_images = true; // send_images

    core::model_set models() const; // all the files of the job, checkpoint first
};

// `input` is the text of a JSON object: parameters of txt2img, or the form that names its route
// (webui_route.hpp). Paths in complaints start with `input`.
parsed<job_request> parse_job_input(std::string_view input, const input_rules& rules = {});

// What the chosen backend calls things.
struct backend_names {
    std::string checkpoint;         // as listed; empty: no override
    std::vector<std::string> loras; // a stem per job_request::loras; empty leaves that one out
    std::string sampler;            // resolved; empty: not sent
    std::string scheduler;
};
// The body of the POST to job.route; empty for GET.
std::string request_body(const job_request& job, const backend_names& names);

// `<lora:landscape:0.8> beautiful landscape`
std::string lora_prompt(const job_request& job, const std::vector<std::string>& stems);

// 64×64, one step: the warm-up and the original's gate probe (handler.md §1).
std::string_view warm_up_body();

// --- Names and hashes ----------------------------------------------------------------------------

// The name without a known extension, or why it cannot name a model file (downloads.md §5.3).
parsed<std::string> parse_model_name(std::string_view raw, core::model_kind kind,
                                     bool other_scripts = false);
// Lower-case hex without `sha256:`, whole or its first 10–12 digits (downloads.md §4.3).
parsed<std::string> parse_model_hash(std::string_view raw);

} // namespace gateway::proto
