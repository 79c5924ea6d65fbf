#pragma once

// What sets the WebUI's relatives apart, as a table of switches (webui.md §6). Everything else in
// the simulator asks these switches, never the name.

#include <optional>
#include <string_view>
#include <vector>

namespace gateway::tools::simulator {

enum class kind {
    a1111_1_10, // AUTOMATIC1111 v1.10.1
    a1111_1_9,  // AUTOMATIC1111 v1.9.4: samplers must match exactly
    reforge,    // Panchovix' reForge
    forge,      // lllyasviel's Forge: pydantic v2, lazy options
};

// What an HTTP request inside the middleware window does to the API (webui.md §1.3).
enum class race_outcome {
    exits,         // the main thread raises and the process ends
    never_has_api, // the worker thread dies; the UI lives on, /sdapi is 404 until a restart
    immune,        // nothing happens
};

struct dialect {
    simulator::kind kind;
    std::string_view name;
    std::string_view version;     // as info.version and the infotext say it
    bool pydantic_v2 = false;     // shape of 422 bodies; 20.7 is no integer
    bool four_key_errors = true;  // {"error","detail","body","errors"}; else {"detail"}
    bool splits_scheduler = true; // "DPM++ 2M Karras" is two things; unknown becomes DPM++ 2M
    bool unknown_lora_drops_all = false; // one unknown LoRA and none is applied
    bool lazy_options = false;           // POST options records the model's name and loads nothing
    bool reload_works = true;            // reload-checkpoint undoes unload-checkpoint
    bool has_vae_list = true;            // /sd-vae; else /sd-modules
    bool lists_gguf = false;
    race_outcome race = race_outcome::exits;
};

const dialect& dialect_of(kind which);
std::optional<kind> kind_from(std::string_view name);
// "a1111-1.10, a1111-1.9, reforge, forge"
std::string_view dialect_names();

struct sampler {
    std::string_view name;
    std::vector<std::string_view> aliases;
    std::string_view scheduler; // its own default, empty for none
};

struct scheduler {
    std::string_view name;
    std::string_view label;
    std::vector<std::string_view> aliases;
    double default_rho = -1;
    bool need_inner_model = false;
};

const std::vector<sampler>& samplers(const dialect& d);
const std::vector<scheduler>& schedulers(const dialect& d);

struct resolved_sampler {
    std::string_view sampler;
    std::string_view scheduler; // label
};

// Which sampler and scheduler really run; nothing means "Sampler not found" (webui.md §2.3).
std::optional<resolved_sampler> resolve_sampler(const dialect& d, std::string_view sampler_name,
                                                std::string_view scheduler_name);

} // namespace gateway::tools::simulator
