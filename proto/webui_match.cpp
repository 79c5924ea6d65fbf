// Which of a WebUI's samplers a name means: the last part of webui_lists.hpp. Which model: see
// core/catalog.

#include "proto/json.hpp"
#include "proto/text.hpp"
#include "proto/webui_lists.hpp"

#include <algorithm>
#include <array>
#include <functional>

namespace gateway::proto {

namespace {

bool is_hex(std::string_view text)
{
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'f');
    });
}

std::string join_names(std::span<const std::string> names, std::size_t limit = 5)
{
    std::string out;
    for (std::size_t i = 0; i < names.size() && i < limit; ++i)
        out.append(i == 0 ? "" : ", ").append(names[i]);
    if (names.size() > limit)
        out += " and " + std::to_string(names.size() - limit) + " more";
    return out;
}

template <class Entry, class Name>
std::string missing_reason(std::string_view kind, std::string_view wanted,
                           std::span<const Entry> list, Name name_of)
{
    std::string reason = "the WebUI lists no " + std::string(kind) + " " + quoted(wanted);
    std::vector<std::string> names;
    for (const auto& entry : list)
        names.push_back(name_of(entry));
    const std::vector<std::string_view> views(names.begin(), names.end());
    const std::string_view close = nearest(wanted, views);
    if (list.empty())
        reason += "; its list is empty";
    else if (!close.empty())
        reason += "; the nearest is " + quoted(close);
    else
        reason += "; it has " + join_names(names);
    return reason;
}

bool goes_by(const std::vector<std::string>& names, std::string_view wanted)
{
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string& name) { return iequals(name, wanted); });
}

std::vector<std::string> names_of(const scheduler_entry& entry)
{
    std::vector<std::string> names{entry.label, entry.name};
    names.insert(names.end(), entry.aliases.begin(), entry.aliases.end());
    std::erase(names, std::string());
    return names;
}

// An exact name before a name in another case before an alias.
const sampler_entry* find_sampler(std::string_view wanted, std::span<const sampler_entry> list)
{
    for (const auto& entry : list)
        if (entry.name == wanted)
            return &entry;
    for (const auto& entry : list)
        if (iequals(entry.name, wanted))
            return &entry;
    for (const auto& entry : list)
        if (goes_by(entry.aliases, wanted))
            return &entry;
    return nullptr;
}

const scheduler_entry* find_scheduler(std::string_view wanted,
                                      std::span<const scheduler_entry> list)
{
    for (const auto& entry : list)
        if (goes_by(names_of(entry), wanted))
            return &entry;
    return nullptr;
}

struct split_name {
    const sampler_entry* sampler = nullptr;
    const scheduler_entry* scheduler = nullptr;
};

// "DPM++ 2M Karras" → DPM++ 2M and karras, when both are in the lists.
split_name split_suffix(std::string_view wanted, std::span<const sampler_entry> samplers,
                        std::span<const scheduler_entry> schedulers)
{
    for (const auto& scheduler : schedulers)
        for (const auto& name : names_of(scheduler)) {
            if (wanted.size() <= name.size() + 1)
                continue;
            const std::size_t head = wanted.size() - name.size() - 1;
            if (wanted[head] != ' ' || !iequals(wanted.substr(head + 1), name))
                continue;
            if (const auto* sampler = find_sampler(wanted.substr(0, head), samplers))
                return {sampler, &scheduler};
        }
    return {};
}

template <class Entry>
problem not_offered(std::string_view kind, std::string_view wanted, std::span<const Entry> list)
{
    return make_problem(
        problem_code::unprocessable,
        missing_reason(kind, wanted, list, [](const Entry& entry) { return entry.name; }));
}

} // namespace

std::string_view listed_name(const checkpoint_entry& entry)
{
    const std::string_view title = entry.title.empty() ? entry.model_name : entry.title;
    const std::size_t bracket = title.rfind(" [");
    if (bracket == std::string_view::npos || !title.ends_with(']'))
        return title;
    const std::string_view hash = title.substr(bracket + 2, title.size() - bracket - 3);
    return is_hex(hash) && (hash.size() == 8 || hash.size() == 10) ? title.substr(0, bracket)
                                                                   : title;
}

parsed<sampler_choice> resolve_sampler(std::string_view sampler, std::string_view scheduler,
                                       std::span<const sampler_entry> samplers,
                                       std::span<const scheduler_entry> schedulers)
{
    sampler_choice choice{std::string(sampler), std::string(scheduler)};
    if (!sampler.empty() && !samplers.empty()) {
        // Lists of older WebUIs hold "DPM++ 2M Karras" whole: then so does the request.
        const std::string whole = choice.sampler + " " + choice.scheduler;
        if (const auto* entry = find_sampler(sampler, samplers)) {
            choice.sampler = entry->name;
        } else if (const auto split = split_suffix(sampler, samplers, schedulers); split.sampler) {
            return sampler_choice{split.sampler->name, split.scheduler->name};
        } else {
            return not_offered("sampler", sampler, samplers);
        }
        if (schedulers.empty() && !scheduler.empty())
            if (const auto* entry = find_sampler(whole, samplers))
                return sampler_choice{entry->name, {}};
    }
    if (!scheduler.empty() && !schedulers.empty()) {
        const auto* entry = find_scheduler(scheduler, schedulers);
        if (entry == nullptr)
            return not_offered("scheduler", scheduler, schedulers);
        choice.scheduler = entry->name;
    }
    return choice;
}

} // namespace gateway::proto
