#include "proto/webui_values.hpp"

#include "base/text.hpp"
#include "proto/webui_route.hpp"

#include <algorithm>
#include <limits>

namespace gateway::proto {

namespace {

using enum field_type;

std::optional<std::string> boolean_value(reader& from, const field_rule& rule)
{
    const auto value = from.boolean(rule.name);
    return value ? std::optional<std::string>(*value ? "true" : "false") : std::nullopt;
}

std::optional<std::string> number_value(reader& from, const field_rule& rule)
{
    const auto value = rule.limit == field_limit::unit     ? from.number(rule.name, 0, 1)
                       : rule.limit == field_limit::factor ? from.number(rule.name, 0, 8)
                                                           : from.number(rule.name);
    if (!value)
        return std::nullopt;
    const json::value& given = *from.find(rule.name);
    if (given.is_number())
        return to_json(given);
    std::string out;
    append_number(out, *value);
    return out;
}

std::optional<std::string> any_value(reader& from, const field_rule& rule)
{
    const json::value* value = from.find(rule.name);
    if (value == nullptr)
        return std::nullopt;
    check_pictures(*value, from.path_of(rule.name), from.into());
    return to_json(*value);
}

std::optional<std::string> picture_value(reader& from, const field_rule& rule)
{
    const auto value = from.text(rule.name);
    if (!value)
        return std::nullopt;
    if (const std::string wrong = why_no_picture(*value); !wrong.empty()) {
        from.complain(rule.name, wrong);
        return std::nullopt;
    }
    return quoted(*value);
}

std::optional<std::string> pictures_value(reader& from, const field_rule& rule)
{
    const json::array* list = from.array(rule.name);
    if (list == nullptr || list->empty()) {
        from.complain_wanted(rule.name, "a list of pictures in base64");
        return std::nullopt;
    }
    for (std::size_t i = 0; i < list->size(); ++i) {
        const std::string place = std::string(rule.name) + "[" + std::to_string(i) + "]";
        const json::string* picture = (*list)[i].if_string();
        if (picture == nullptr)
            from.complain(place, "a picture in base64 is wanted");
        else if (const std::string wrong = why_no_picture(*picture); !wrong.empty())
            from.complain(place, wrong);
    }
    return to_json(*from.find(rule.name));
}

void complain_script(reader& from, const field_rule& rule, std::string_view title)
{
    from.complain(rule.name, "the operator has not allowed the script " +
                                 quoted(title.substr(0, 80)) + " (webui.allow_scripts)");
}

} // namespace

std::optional<std::string> value_reader::read(reader& from, const field_rule& rule) const
{
    switch (rule.type) {
    case text: {
        const auto value = from.text(rule.name);
        if (!value || too_long(from, rule.name, *value))
            return std::nullopt;
        return quoted(*value);
    }
    case boolean: return boolean_value(from, rule);
    case integer: return integer_value(from, rule);
    case number: return number_value(from, rule);
    case texts: return texts_value(from, rule);
    case anything: return any_value(from, rule);
    case picture: return picture_value(from, rule);
    case pictures: return pictures_value(from, rule);
    case scripts: return scripts_value(from, rule);
    case script: return script_value(from, rule);
    case from_lists:
    case ours: break;
    }
    return std::nullopt;
}

bool value_reader::too_long(reader& from, std::string_view key, std::string_view value) const
{
    if (value.size() <= rules_.max_prompt_bytes)
        return false;
    from.complain(key, "is " + std::to_string(value.size()) + " bytes long; at most " +
                           std::to_string(rules_.max_prompt_bytes) + " are allowed");
    return true;
}

bool value_reader::allows_field(std::string_view name) const
{
    const auto& all = rules_.allowed_fields;
    return std::find(all.begin(), all.end(), name) != all.end();
}

bool value_reader::allows_script(std::string_view title) const
{
    const auto& all = rules_.allowed_scripts;
    return std::any_of(all.begin(), all.end(),
                       [&](const std::string& one) { return iequals(one, title); });
}

std::optional<std::string> value_reader::integer_value(reader& from, const field_rule& rule) const
{
    using bounds = std::numeric_limits<std::int64_t>;
    std::int64_t least = bounds::min();
    std::int64_t most = bounds::max();
    switch (rule.limit) {
    case field_limit::steps: least = 1, most = rules_.max_steps; break;
    case field_limit::more_steps: least = 0, most = rules_.max_steps; break;
    case field_limit::side: least = 8, most = rules_.max_side; break;
    case field_limit::more_side: least = 0, most = rules_.max_side; break;
    case field_limit::pictures: least = 1, most = rules_.max_images; break;
    case field_limit::unit:
    case field_limit::factor:
    case field_limit::none: break;
    }
    const auto value = from.integer(rule.name, least, most);
    return value ? std::optional(std::to_string(*value)) : std::nullopt;
}

std::optional<std::string> value_reader::texts_value(reader& from, const field_rule& rule) const
{
    const json::array* list = from.array(rule.name);
    if (list == nullptr)
        return std::nullopt;
    const bool all_texts = std::all_of(list->begin(), list->end(), [&](const json::value& v) {
        return v.is_string() && v.get_string().size() <= rules_.max_prompt_bytes;
    });
    if (!all_texts) {
        from.complain(rule.name, "a list of texts is wanted");
        return std::nullopt;
    }
    return to_json(*from.find(rule.name));
}

// Extensions, such as ControlNet, each by its title.
std::optional<std::string> value_reader::scripts_value(reader& from, const field_rule& rule) const
{
    const json::object* all = from.object(rule.name);
    if (all == nullptr)
        return std::nullopt;
    for (const auto& [title, arguments] : *all) {
        const std::string_view name(title.data(), title.size());
        if (!allows_field(rule.name) && !allows_script(name))
            complain_script(from, rule, name);
    }
    return any_value(from, rule);
}

std::optional<std::string> value_reader::script_value(reader& from, const field_rule& rule) const
{
    const auto title = from.text(rule.name);
    if (!title || title->empty())
        return std::nullopt;
    if (!allows_field(rule.name) && !allows_script(*title)) {
        complain_script(from, rule, *title);
        return std::nullopt;
    }
    return quoted(*title);
}

} // namespace gateway::proto
