#include "proto/webui_dialect.hpp"

#include "proto/json.hpp"
#include "proto/webui_lists.hpp"

#include <algorithm>
#include <array>

namespace gateway::proto {

namespace {

constexpr std::size_t dialect_count = 8;

constexpr std::array<std::string_view, dialect_count> names{
    "a1111-1.10", "a1111-1.9", "reforge", "forge", "sdnext", "sdcpp", "koboldcpp", "unknown"};

// The table of webui.md §6, in the order of the enum. What is unknown is taken for A1111 1.10.
constexpr dialect_traits a1111{.route_probe = true,
                               .has_progress = true,
                               .has_interrupt = true,
                               .has_refresh = true,
                               .has_refresh_loras = true,
                               .has_loras = true,
                               .has_schedulers = true,
                               .has_models = true,
                               .has_lora_tags = true,
                               .one_lora_drops_all = false,
                               .checks_samplers = false,
                               .names_without_suffix = false,
                               .default_steps = 50,
                               .default_side = 512};

constexpr dialect_traits old_a1111()
{
    dialect_traits traits = a1111;
    traits.checks_samplers = true;
    return traits;
}

constexpr dialect_traits forge()
{
    dialect_traits traits = a1111;
    traits.one_lora_drops_all = true;
    return traits;
}

constexpr dialect_traits sdnext()
{
    dialect_traits traits = a1111;
    traits.checks_samplers = true;
    traits.names_without_suffix = true;
    traits.default_steps = 20;
    traits.default_side = 1024;
    return traits;
}

constexpr dialect_traits sdcpp{.route_probe = false,
                               .has_progress = false,
                               .has_interrupt = false,
                               .has_refresh = false,
                               .has_refresh_loras = false,
                               .has_loras = true,
                               .has_schedulers = true,
                               .has_models = false,
                               .has_lora_tags = false,
                               .one_lora_drops_all = false,
                               .checks_samplers = false,
                               .names_without_suffix = false,
                               .default_steps = 20,
                               .default_side = 512};

constexpr dialect_traits koboldcpp()
{
    dialect_traits traits = sdcpp;
    traits.has_loras = false;
    traits.has_schedulers = false;
    return traits;
}

constexpr std::array<dialect_traits, dialect_count> traits{
    a1111, old_a1111(), a1111, forge(), sdnext(), sdcpp, koboldcpp(), a1111};

constexpr std::string_view sd_vae = "/sdapi/v1/sd-vae";
constexpr std::string_view options = "/sdapi/v1/options";
constexpr std::string_view schedulers = "/sdapi/v1/schedulers";
constexpr std::string_view samplers = "/sdapi/v1/samplers";

constexpr std::array<detection_step, 8> steps{{
    {"/sdcpp/v1/capabilities", dialect::sdcpp},
    {"/api/extra/version", dialect::koboldcpp},
    {"/sdapi/v1/version", dialect::sdnext},
    {"/sdapi/v1/sd-modules", dialect::forge},
    {sd_vae, dialect::unknown},
    {options, dialect::unknown},
    {schedulers, dialect::unknown},
    {samplers, dialect::unknown},
}};

const probe_result* answered(std::span<const probe_result> results, std::string_view path)
{
    const auto it = std::find_if(results.begin(), results.end(), [&](const probe_result& r) {
        return r.path == path && r.status == 200;
    });
    return it == results.end() ? nullptr : &*it;
}

bool was_missing(std::span<const probe_result> results, std::string_view path)
{
    return std::any_of(results.begin(), results.end(),
                       [&](const probe_result& r) { return r.path == path && r.status == 404; });
}

// "v1.9.4" → {1, 9}; nothing for a commit hash or another form.
std::optional<std::pair<int, int>> parse_version(std::string_view text)
{
    if (text.starts_with('v'))
        text.remove_prefix(1);
    int number[2] = {0, 0};
    for (int& part : number) {
        if (text.empty() || text.front() < '0' || text.front() > '9')
            return std::nullopt;
        while (!text.empty() && text.front() >= '0' && text.front() <= '9' && part < 100000) {
            part = part * 10 + (text.front() - '0');
            text.remove_prefix(1);
        }
        if (text.starts_with('.'))
            text.remove_prefix(1);
    }
    return std::pair(number[0], number[1]);
}

// 1.10 brought these schedulers and this sampler (webui.md §2.3); a WebUI without /schedulers is
// older than 1.9.
bool lists_look_older_than_1_10(std::span<const probe_result> results)
{
    if (was_missing(results, schedulers))
        return true;
    if (const auto* reply = answered(results, schedulers); reply != nullptr) {
        const auto list = parse_schedulers(reply->body);
        if (list && !list->empty())
            return std::none_of(list->begin(), list->end(), [](const scheduler_entry& s) {
                return s.name == "simple" || s.name == "beta" || s.name == "ddim";
            });
    }
    if (const auto* reply = answered(results, samplers); reply != nullptr) {
        const auto list = parse_samplers(reply->body);
        if (list && !list->empty())
            return std::none_of(list->begin(), list->end(),
                                [](const sampler_entry& s) { return s.name == "DDIM CFG++"; });
    }
    return false;
}

} // namespace

std::string_view to_text(dialect which) { return names[static_cast<std::size_t>(which)]; }

std::optional<dialect> parse_dialect(std::string_view text)
{
    const auto it = std::find(names.begin(), names.end(), text);
    if (it == names.end())
        return std::nullopt;
    return static_cast<dialect>(it - names.begin());
}

const dialect_traits& traits_of(dialect which) { return traits[static_cast<std::size_t>(which)]; }

std::span<const detection_step> detection_steps() { return steps; }

dialect detect_dialect(std::span<const probe_result> results, std::string_view version)
{
    for (const auto& step : steps)
        if (step.means != dialect::unknown && answered(results, step.path) != nullptr)
            return step.means;
    const auto* option_reply = answered(results, options);
    if (option_reply == nullptr && answered(results, sd_vae) == nullptr)
        return dialect::unknown;
    if (option_reply != nullptr) {
        const auto found = parse_options(option_reply->body);
        if (found && found->is_reforge)
            return dialect::reforge;
    }
    if (const auto number = parse_version(version))
        return *number >= std::pair(1, 10) ? dialect::a1111_1_10 : dialect::a1111_1_9;
    return lists_look_older_than_1_10(results) ? dialect::a1111_1_9 : dialect::a1111_1_10;
}

} // namespace gateway::proto
