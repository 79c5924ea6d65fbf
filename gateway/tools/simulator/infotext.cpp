#include "tools/simulator/infotext.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

namespace gateway::tools::simulator {

namespace {

// str(value), as an f-string prints it.
std::string printed(const json::value& value)
{
    if (const auto* text = value.if_string())
        return std::string(*text);
    if (const auto* flag = value.if_bool())
        return *flag ? "True" : "False";
    return dump_spaced(value);
}

// Values that would be mistaken for more than one are quoted as JSON.
std::string quoted(const json::value& value)
{
    auto text = printed(value);
    return text.find_first_of(",\n:") == std::string::npos ? text : dump_text(text);
}

std::string_view trimmed(std::string_view text)
{
    const auto first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// A quoted value, backslash escapes undone; moves `at` past it.
std::string read_quoted(std::string_view line, std::size_t& at)
{
    const auto begin = at++;
    while (at < line.size() && line[at] != '"')
        at += line[at] == '\\' ? 2U : 1U;
    at = std::min(at + 1, line.size());
    const auto text = line.substr(begin, at - begin);
    auto parsed = parse_json(text);
    if (const auto* value = std::get_if<json::value>(&parsed); value && value->is_string())
        return std::string(value->get_string());
    return std::string(text);
}

// "Steps: 20, Size: 512x512" into the object, with Size split as the WebUI does.
void read_parameters(std::string_view line, json::object& out)
{
    for (std::size_t at = 0; at < line.size();) {
        const auto colon = line.find(':', at);
        if (colon == std::string_view::npos)
            return;
        const std::string key(trimmed(line.substr(at, colon - at)));
        at = line.find_first_not_of(' ', colon + 1);
        if (at == std::string_view::npos)
            return;
        std::string value;
        if (line[at] == '"') {
            value = read_quoted(line, at);
        } else {
            const auto end = std::min(line.find(',', at), line.size());
            value = trimmed(line.substr(at, end - at));
            at = end;
        }
        at = std::min(line.find(',', at), line.size() - 1) + 1;
        const auto cross = value.find('x');
        if (key.starts_with("Size") && cross != std::string::npos) {
            out[key + "-1"] = value.substr(0, cross);
            out[key + "-2"] = value.substr(cross + 1);
        } else {
            out[key] = value;
        }
    }
}

json::value as_number(std::string_view text, bool whole)
{
    const char* const end = text.data() + text.size();
    std::int64_t integer = 0;
    double number = 0;
    if (whole && std::from_chars(text.data(), end, integer).ptr == end)
        return integer;
    if (!whole && std::from_chars(text.data(), end, number).ptr == end)
        return number;
    return nullptr;
}

} // namespace

std::string write_infotext(const infotext& text)
{
    std::string out = text.prompt;
    if (!text.negative_prompt.empty())
        out += "\nNegative prompt: " + text.negative_prompt;
    out += '\n';
    std::string_view between;
    for (const auto& [key, value] : text.parameters) {
        if (value.is_null())
            continue;
        out += between;
        out += key + ": " + quoted(value);
        between = ", ";
    }
    return std::string(trimmed(out));
}

json::object read_infotext(std::string_view text)
{
    json::object out;
    text = trimmed(text);
    auto last = text.substr(text.rfind('\n') + 1);
    auto rest = text.substr(0, text.size() - last.size());
    if (std::count(last.begin(), last.end(), ':') < 3) {
        rest = text;
        last = {};
    }
    const auto negative = rest.find("Negative prompt:");
    const auto prompt = trimmed(rest.substr(0, negative));
    out["Prompt"] = prompt;
    out["Negative prompt"] = negative == std::string_view::npos
                                 ? std::string_view()
                                 : trimmed(rest.substr(negative + 16));
    read_parameters(last, out);
    return out;
}

json::object fields_from_infotext(std::string_view text)
{
    struct row {
        std::string_view key, field;
        char type; // s, i, f
    };
    constexpr std::array rows{
        row{"Prompt", "prompt", 's'},
        row{"Negative prompt", "negative_prompt", 's'},
        row{"Seed", "seed", 'i'},
        row{"Steps", "steps", 'i'},
        row{"Sampler", "sampler_name", 's'},
        row{"Schedule type", "scheduler", 's'},
        row{"CFG scale", "cfg_scale", 'f'},
        row{"Size-1", "width", 'i'},
        row{"Size-2", "height", 'i'},
        row{"Denoising strength", "denoising_strength", 'f'},
    };
    json::object out;
    const auto found = read_infotext(text);
    for (const auto& [key, name, type] : rows) {
        const auto* value = found.if_contains(key);
        if (value == nullptr || value->get_string().empty())
            continue;
        if (type == 's')
            out[name] = *value;
        else if (auto n = as_number(value->get_string(), type == 'i'); !n.is_null())
            out[name] = std::move(n);
    }
    return out;
}

parsed_prompt parse_tags(std::string_view prompt)
{
    const auto is_word = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_';
    };
    parsed_prompt out;
    for (std::size_t at = 0; at < prompt.size();) {
        auto colon = at + 1;
        while (prompt[at] == '<' && colon < prompt.size() && is_word(prompt[colon]))
            ++colon;
        const bool named = colon > at + 1 && colon < prompt.size() && prompt[colon] == ':';
        const auto close = named ? prompt.find('>', colon) : std::string_view::npos;
        if (close == std::string_view::npos || close == colon + 1) {
            out.text += prompt[at++];
            continue;
        }
        network_tag tag;
        tag.kind = prompt.substr(at + 1, colon - at - 1);
        auto arguments = prompt.substr(colon + 1, close - colon - 1);
        for (;;) {
            const auto end = arguments.find(':');
            const auto argument = arguments.substr(0, end);
            const auto equals = argument.find('=');
            if (std::count(argument.begin(), argument.end(), '=') == 1)
                tag.named.emplace_back(argument.substr(0, equals), argument.substr(equals + 1));
            else
                tag.positional.emplace_back(argument);
            if (end == std::string_view::npos)
                break;
            arguments.remove_prefix(end + 1);
        }
        out.tags.push_back(std::move(tag));
        at = close + 1;
    }
    return out;
}

} // namespace gateway::tools::simulator
