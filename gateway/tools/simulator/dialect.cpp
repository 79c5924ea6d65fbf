#include "tools/simulator/dialect.hpp"

#include <algorithm>
#include <array>

namespace gateway::tools::simulator {

namespace {

constexpr std::array dialects{
    dialect{.kind = kind::a1111_1_10, .name = "a1111-1.10", .version = "v1.10.1"},
    dialect{.kind = kind::a1111_1_9,
            .name = "a1111-1.9",
            .version = "v1.9.4",
            .splits_scheduler = false},
    dialect{.kind = kind::reforge,
            .name = "reforge",
            .version = "v1.10.1-reforge",
            .reload_works = false,
            .race = race_outcome::never_has_api},
    dialect{.kind = kind::forge,
            .name = "forge",
            .version = "f2.0.1v1.10.1-previous",
            .pydantic_v2 = true,
            .four_key_errors = false,
            .unknown_lora_drops_all = true,
            .lazy_options = true,
            .has_vae_list = false,
            .lists_gguf = true,
            .race = race_outcome::immune},
};

// webui.md §2.3, in the order in which GET samplers lists them.
std::vector<sampler> sampler_table()
{
    return {
        {"DPM++ 2M", {"k_dpmpp_2m"}, "karras"},
        {"DPM++ SDE", {"k_dpmpp_sde"}, "karras"},
        {"DPM++ 2M SDE", {"k_dpmpp_2m_sde"}, "exponential"},
        {"DPM++ 2M SDE Heun", {"k_dpmpp_2m_sde_heun"}, "exponential"},
        {"DPM++ 2S a", {"k_dpmpp_2s_a"}, "karras"},
        {"DPM++ 3M SDE", {"k_dpmpp_3m_sde"}, "exponential"},
        {"Euler a", {"k_euler_a", "k_euler_ancestral"}, ""},
        {"Euler", {"k_euler"}, ""},
        {"LMS", {"k_lms"}, ""},
        {"Heun", {"k_heun"}, ""},
        {"DPM2", {"k_dpm_2"}, "karras"},
        {"DPM2 a", {"k_dpm_2_a"}, "karras"},
        {"DPM fast", {"k_dpm_fast"}, ""},
        {"DPM adaptive", {"k_dpm_ad"}, ""},
        {"Restart", {"restart"}, "karras"},
        {"DDIM", {"ddim"}, ""},
        {"DDIM CFG++", {"ddim_cfgpp"}, ""},
        {"PLMS", {"plms"}, ""},
        {"UniPC", {"unipc"}, ""},
        {"LCM", {"k_lcm"}, ""},
    };
}

std::vector<scheduler> scheduler_table()
{
    return {
        {"automatic", "Automatic", {}},
        {"uniform", "Uniform", {}, -1, true},
        {"karras", "Karras", {}, 7.0},
        {"exponential", "Exponential", {}},
        {"polyexponential", "Polyexponential", {}, 1.0},
        {"sgm_uniform", "SGM Uniform", {"SGMUniform"}, -1, true},
        {"kl_optimal", "KL Optimal", {}},
        {"align_your_steps", "Align Your Steps", {}},
        {"simple", "Simple", {}, -1, true},
        {"normal", "Normal", {}, -1, true},
        {"ddim", "DDIM", {}, -1, true},
        {"beta", "Beta", {}, -1, true},
    };
}

// 1.9 had the first six schedulers and no "DDIM CFG++".
constexpr std::size_t schedulers_in_1_9 = 6;

const scheduler& find_scheduler(const dialect& d, std::string_view name)
{
    const auto& all = schedulers(d);
    const auto it = std::find_if(all.begin(), all.end(), [&](const scheduler& s) {
        return s.name == name || s.label == name;
    });
    return it == all.end() ? all.front() : *it;
}

// The scheduler that `name` ends with, and the name without it.
const scheduler* split_suffix(const dialect& d, std::string_view& name)
{
    for (const auto& candidate : schedulers(d)) {
        auto options = candidate.aliases;
        options.insert(options.begin(), {candidate.label, candidate.name});
        for (const auto option : options) {
            if (name.size() > option.size() && name.ends_with(option) &&
                name[name.size() - option.size() - 1] == ' ') {
                name.remove_suffix(option.size() + 1);
                return &candidate;
            }
        }
    }
    return nullptr;
}

} // namespace

const dialect& dialect_of(kind which)
{
    return *std::find_if(dialects.begin(), dialects.end(),
                         [&](const dialect& d) { return d.kind == which; });
}

std::optional<kind> kind_from(std::string_view name)
{
    for (const auto& d : dialects) {
        if (d.name == name)
            return d.kind;
    }
    return std::nullopt;
}

std::string_view dialect_names() { return "a1111-1.10, a1111-1.9, reforge, forge"; }

const std::vector<sampler>& samplers(const dialect& d)
{
    static const auto all = sampler_table();
    static const auto in_1_9 = [] {
        auto out = sampler_table();
        std::erase_if(out, [](const sampler& s) { return s.name == "DDIM CFG++"; });
        return out;
    }();
    return d.kind == kind::a1111_1_9 ? in_1_9 : all;
}

const std::vector<scheduler>& schedulers(const dialect& d)
{
    static const auto all = scheduler_table();
    static const auto in_1_9 = [] {
        auto out = scheduler_table();
        out.resize(schedulers_in_1_9);
        return out;
    }();
    return d.kind == kind::a1111_1_9 ? in_1_9 : all;
}

std::optional<resolved_sampler> resolve_sampler(const dialect& d, std::string_view sampler_name,
                                                std::string_view scheduler_name)
{
    const auto* chosen = &find_scheduler(d, scheduler_name);
    auto name = sampler_name;
    if (d.splits_scheduler) {
        if (const auto* suffix = split_suffix(d, name))
            chosen = suffix;
    }
    const auto& all = samplers(d);
    const auto it =
        std::find_if(all.begin(), all.end(), [&](const sampler& s) { return s.name == name; });
    if (it != all.end())
        return resolved_sampler{it->name, chosen->label};
    if (d.splits_scheduler)
        return resolved_sampler{all.front().name, chosen->label};
    return std::nullopt;
}

} // namespace gateway::tools::simulator
