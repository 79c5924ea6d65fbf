// How FastAPI reads a body and pydantic reads a value, in both major versions. The rules and words
// are those of FastAPI 0.92 with pydantic 1.10 (held to the real thing by tests/e2e/simulator) and,
// for Forge, of pydantic 2 (webui.md §6).

#include "tools/simulator/request_model.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>

namespace gateway::tools::simulator {

namespace {

// Why one value was refused. `where` is what follows the field's name in `loc`.
struct refusal {
    std::string type;
    std::string message;
    std::optional<std::size_t> where;
    json::value input; // pydantic 2 shows it
};

using converted = std::variant<json::value, refusal>;

refusal refused(std::string type, std::string message)
{
    return {std::move(type), std::move(message), std::nullopt, nullptr};
}

std::string_view view(const json::string& s) { return {s.data(), s.size()}; }

std::string_view stripped(std::string_view text)
{
    constexpr std::string_view space = " \t\n\r\f\v";
    const auto first = text.find_first_not_of(space);
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(space) - first + 1);
}

// int("…"): a sign, digits, single underscores between digits.
std::optional<std::int64_t> python_int(std::string_view given)
{
    auto text = stripped(given);
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+'))
        text.remove_prefix(1);
    std::string digits = negative ? "-" : "";
    bool after_digit = false;
    for (const char c : text) {
        if (c == '_' && after_digit) {
            after_digit = false;
            continue;
        }
        if (c < '0' || c > '9')
            return std::nullopt;
        digits += c;
        after_digit = true;
    }
    std::int64_t out = 0;
    const auto end = digits.data() + digits.size();
    if (!after_digit || std::from_chars(digits.data(), end, out).ec != std::errc{})
        return std::nullopt;
    return out;
}

// float("…"), with "inf", "nan" and their friends.
std::optional<double> python_float(std::string_view given)
{
    std::string text(stripped(given));
    if (text.starts_with('+'))
        text.erase(0, 1);
    double out = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, ec] = std::from_chars(text.data(), end, out);
    if (text.empty() || ec != std::errc{} || stop != end)
        return std::nullopt;
    return out;
}

std::optional<double> as_double(const json::value& value)
{
    if (const auto* integer = value.if_int64())
        return static_cast<double>(*integer);
    if (const auto* natural = value.if_uint64())
        return static_cast<double>(*natural);
    if (const auto* number = value.if_double())
        return *number;
    return std::nullopt;
}

bool is_whole(const json::value& value) { return value.is_int64() || value.is_uint64(); }

std::optional<bool> word_as_flag(std::string_view word)
{
    std::string lower(word);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    for (const auto yes : {"1", "on", "t", "true", "y", "yes"}) {
        if (lower == yes)
            return true;
    }
    for (const auto no : {"0", "off", "f", "false", "n", "no"}) {
        if (lower == no)
            return false;
    }
    return std::nullopt;
}

// dict(value) of a JSON value that is not an object: an empty sequence, or a sequence of pairs.
std::optional<json::object> python_dict(const json::value& value)
{
    if (const auto* object = value.if_object())
        return *object;
    if (const auto* text = value.if_string())
        return text->empty() ? std::optional<json::object>(json::object{}) : std::nullopt;
    const auto* pairs = value.if_array();
    if (pairs == nullptr)
        return std::nullopt;
    json::object out;
    for (const auto& pair : *pairs) {
        const auto* two = pair.if_array();
        if (two == nullptr || two->size() != 2 || !two->front().is_string())
            return std::nullopt;
        out[two->front().get_string()] = two->back();
    }
    return out;
}

// --- pydantic 1 ---

namespace v1 {

refusal null_refused()
{
    return refused("type_error.none.not_allowed", "none is not an allowed value");
}

converted text(const json::value& value)
{
    if (value.is_string())
        return value;
    if (const auto* flag = value.if_bool())
        return json::value(*flag ? "True" : "False");
    if (const auto* number = value.if_double())
        return json::value(repr(*number));
    if (is_whole(value))
        return json::value(dump_compact(value));
    return refused("type_error.str", "str type expected");
}

converted integer(const json::value& value)
{
    if (is_whole(value))
        return value;
    if (const auto* flag = value.if_bool())
        return json::value(*flag ? 1 : 0);
    if (const auto* number = value.if_double(); number != nullptr && std::fabs(*number) < 9.2e18)
        return json::value(static_cast<std::int64_t>(*number));
    if (const auto* word = value.if_string()) {
        if (const auto parsed = python_int(view(*word)))
            return json::value(*parsed);
    }
    return refused("type_error.integer", "value is not a valid integer");
}

converted number(const json::value& value)
{
    if (const auto direct = as_double(value))
        return json::value(*direct);
    if (const auto* flag = value.if_bool())
        return json::value(*flag ? 1.0 : 0.0);
    if (const auto* word = value.if_string()) {
        if (const auto parsed = python_float(view(*word)))
            return json::value(*parsed);
    }
    return refused("type_error.float", "value is not a valid float");
}

converted flag(const json::value& value)
{
    if (value.is_bool())
        return value;
    if (const auto direct = as_double(value); direct == 0.0 || direct == 1.0)
        return json::value(*direct == 1.0);
    if (const auto* word = value.if_string()) {
        if (const auto parsed = word_as_flag(view(*word)))
            return json::value(*parsed);
    }
    return refused("type_error.bool", "value could not be parsed to a boolean");
}

converted list(const json::value& value)
{
    if (value.is_array())
        return value;
    return refused("type_error.list", "value is not a valid list");
}

converted dict(const json::value& value)
{
    if (auto object = python_dict(value))
        return json::value(std::move(*object));
    return refused("type_error.dict", "value is not a valid dict");
}

} // namespace v1

// --- pydantic 2 ---

namespace v2 {

converted text(const json::value& value)
{
    if (value.is_string())
        return value;
    return refused("string_type", "Input should be a valid string");
}

converted integer(const json::value& value)
{
    if (is_whole(value))
        return value;
    if (const auto* flag = value.if_bool())
        return json::value(*flag ? 1 : 0);
    if (const auto* number = value.if_double()) {
        if (!std::isfinite(*number))
            return refused("finite_number", "Input should be a finite number");
        if (*number != std::trunc(*number))
            return refused("int_from_float", "Input should be a valid integer, got a number with "
                                             "a fractional part");
        return json::value(static_cast<std::int64_t>(*number));
    }
    if (const auto* word = value.if_string()) {
        if (const auto parsed = python_int(view(*word)))
            return json::value(*parsed);
        return refused("int_parsing",
                       "Input should be a valid integer, unable to parse string as an integer");
    }
    return refused("int_type", "Input should be a valid integer");
}

converted number(const json::value& value)
{
    if (const auto direct = as_double(value))
        return json::value(*direct);
    if (const auto* flag = value.if_bool())
        return json::value(*flag ? 1.0 : 0.0);
    if (const auto* word = value.if_string()) {
        if (const auto parsed = python_float(view(*word)))
            return json::value(*parsed);
        return refused("float_parsing",
                       "Input should be a valid number, unable to parse string as a number");
    }
    return refused("float_type", "Input should be a valid number");
}

converted flag(const json::value& value)
{
    if (value.is_bool())
        return value;
    const auto direct = as_double(value);
    if (direct == 0.0 || direct == 1.0)
        return json::value(*direct == 1.0);
    const auto* word = value.if_string();
    if (word != nullptr) {
        if (const auto parsed = word_as_flag(view(*word)))
            return json::value(*parsed);
    }
    if (word != nullptr || direct)
        return refused("bool_parsing",
                       "Input should be a valid boolean, unable to interpret input");
    return refused("bool_type", "Input should be a valid boolean");
}

converted list(const json::value& value)
{
    if (value.is_array())
        return value;
    return refused("list_type", "Input should be a valid list");
}

converted dict(const json::value& value)
{
    if (value.is_object())
        return value;
    return refused("dict_type", "Input should be a valid dictionary");
}

} // namespace v2

converted scalar(const field& f, const json::value& value, bool v2_words)
{
    switch (f.type) {
    case field_type::text: return v2_words ? v2::text(value) : v1::text(value);
    case field_type::integer: return v2_words ? v2::integer(value) : v1::integer(value);
    case field_type::number: return v2_words ? v2::number(value) : v1::number(value);
    case field_type::flag: return v2_words ? v2::flag(value) : v1::flag(value);
    case field_type::text_list:
    case field_type::list: return v2_words ? v2::list(value) : v1::list(value);
    case field_type::dict: return v2_words ? v2::dict(value) : v1::dict(value);
    }
    return value;
}

// Every item that is no string is refused on its own.
std::vector<refusal> convert_items(json::array& items, bool v2_words)
{
    std::vector<refusal> out;
    for (std::size_t i = 0; i < items.size(); ++i) {
        auto item = v2_words             ? v2::text(items[i])
                    : items[i].is_null() ? converted(v1::null_refused())
                                         : v1::text(items[i]);
        if (auto* bad = std::get_if<refusal>(&item)) {
            bad->where = i;
            bad->input = items[i];
            out.push_back(std::move(*bad));
        } else {
            items[i] = std::get<json::value>(item);
        }
    }
    return out;
}

// Replaces the value by what pydantic makes of it; what it refuses is returned.
std::vector<refusal> convert(const field& f, json::value& value, bool v2_words)
{
    if (value.is_null() && f.nullable)
        return {};
    auto result =
        value.is_null() && !v2_words ? converted(v1::null_refused()) : scalar(f, value, v2_words);
    if (auto* bad = std::get_if<refusal>(&result)) {
        bad->input = value;
        return {std::move(*bad)};
    }
    value = std::move(std::get<json::value>(result));
    if (f.type == field_type::text_list)
        return convert_items(value.get_array(), v2_words);
    return {};
}

// --- the 422 body ---

json::object error_item(json::array loc, const refusal& why, bool v2_shape)
{
    if (!v2_shape)
        return {{"loc", std::move(loc)}, {"msg", why.message}, {"type", why.type}};
    return {{"type", why.type},
            {"loc", std::move(loc)},
            {"msg", why.message},
            {"input", why.input},
            {"url", "https://errors.pydantic.dev/2.8/v/" + why.type}};
}

invalid one_error(json::object item) { return {{{"detail", json::array{std::move(item)}}}}; }

invalid missing(json::array loc, bool v2_shape)
{
    const auto why = v2_shape ? refused("missing", "Field required")
                              : refused("value_error.missing", "field required");
    return one_error(error_item(std::move(loc), why, v2_shape));
}

invalid not_an_object(const json::value& input, bool v2_shape)
{
    auto why = v2_shape ? refused("model_attributes_type", "Input should be a valid dictionary or "
                                                           "object to extract fields from")
                        : refused("type_error.dict", "value is not a valid dict");
    why.input = input;
    return one_error(error_item({"body"}, why, v2_shape));
}

invalid bad_json(const json_decode_error& e, std::string_view doc, bool v2_shape)
{
    json::array loc{"body", e.position};
    if (v2_shape)
        return one_error({{"type", "json_invalid"},
                          {"loc", std::move(loc)},
                          {"msg", "JSON decode error"},
                          {"input", json::object{}},
                          {"ctx", {{"error", e.message}}}});
    const auto place = ": line " + std::to_string(e.line) + " column " + std::to_string(e.column) +
                       " (char " + std::to_string(e.position) + ")";
    return one_error({{"loc", std::move(loc)},
                      {"msg", e.message + place},
                      {"type", "value_error.jsondecode"},
                      {"ctx",
                       {{"msg", e.message},
                        {"doc", doc},
                        {"pos", e.position},
                        {"lineno", e.line},
                        {"colno", e.column}}}});
}

// Python's email parser: type/subtype in lower case, anything else is text/plain.
bool is_json_type(std::string_view content_type)
{
    if (content_type.empty())
        return true; // FastAPI takes a missing type as JSON
    std::string type(stripped(content_type.substr(0, content_type.find(';'))));
    std::transform(type.begin(), type.end(), type.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (!type.starts_with("application/") || std::count(type.begin(), type.end(), '/') != 1)
        return false;
    return type == "application/json" || type.ends_with("+json");
}

// The body as a dict, before any field is looked at.
validated read_dict(std::string_view content_type, std::string_view body, bool v2_shape)
{
    if (body.empty())
        return missing({"body"}, v2_shape);
    if (!is_json_type(content_type))
        return not_an_object(json::value(body), v2_shape);
    auto parsed = parse_json(body);
    if (const auto* bad = std::get_if<json_decode_error>(&parsed))
        return bad_json(*bad, body, v2_shape);
    if (std::holds_alternative<unreadable_body>(parsed))
        return unparsable{};
    auto& value = std::get<json::value>(parsed);
    if (value.is_null())
        return missing({"body"}, v2_shape);
    if (v2_shape && !value.is_object())
        return not_an_object(value, v2_shape);
    auto object = python_dict(value);
    if (!object)
        return not_an_object(value, v2_shape);
    return std::move(*object);
}

} // namespace

validated read_any_object(std::string_view content_type, std::string_view body, bool pydantic_v2)
{
    return read_dict(content_type, body, pydantic_v2);
}

validated read_body(const request_model& fields, std::string_view content_type,
                    std::string_view body, bool pydantic_v2)
{
    auto read = read_dict(content_type, body, pydantic_v2);
    auto* given = std::get_if<json::object>(&read);
    if (given == nullptr)
        return read;

    json::object out;
    json::array errors;
    for (const auto& f : fields) {
        auto* value = given->if_contains(f.name);
        if (value == nullptr && !f.required) {
            out[f.name] = f.default_value;
            continue;
        }
        json::array loc{"body", f.name};
        if (value == nullptr) {
            auto why = pydantic_v2 ? refused("missing", "Field required")
                                   : refused("value_error.missing", "field required");
            why.input = *given;
            errors.push_back(error_item(std::move(loc), why, pydantic_v2));
            continue;
        }
        const auto refusals = convert(f, *value, pydantic_v2);
        for (const auto& bad : refusals) {
            auto place = loc;
            if (bad.where)
                place.emplace_back(*bad.where);
            errors.push_back(error_item(std::move(place), bad, pydantic_v2));
        }
        if (refusals.empty())
            out[f.name] = std::move(*value);
    }
    if (!errors.empty())
        return invalid{{{"detail", std::move(errors)}}};
    return out;
}

std::variant<bool, invalid>
read_query_flag(std::string_view name, const std::optional<std::string>& text, bool pydantic_v2)
{
    if (!text)
        return false;
    const field f{name, field_type::flag, false, false};
    json::value value(*text);
    const auto refusals = convert(f, value, pydantic_v2);
    if (!refusals.empty())
        return one_error(error_item({"query", name}, refusals.front(), pydantic_v2));
    return value.get_bool();
}

} // namespace gateway::tools::simulator
