// The writing half of json.hpp.

#include "proto/json.hpp"
#include "proto/json_scanner.hpp"

#include <charconv>
#include <cmath>

namespace gateway::proto {

namespace {

bool is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

void append_escaped(std::string& out, unsigned char byte)
{
    static constexpr char hex[] = "0123456789abcdef";
    switch (byte) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
    }
    out += "\\u00";
    out += hex[byte >> 4];
    out += hex[byte & 15];
}

void append_members(std::string& out, const json::object& object)
{
    object_writer members(out);
    for (const auto& [key, value] : object) {
        members.key({key.data(), key.size()});
        append_json(out, value);
    }
    members.close();
}

void append_elements(std::string& out, const json::array& array)
{
    out += '[';
    bool first = true;
    for (const auto& value : array) {
        if (!first)
            out += ',';
        first = false;
        append_json(out, value);
    }
    out += ']';
}

template <class Integer> void append_integer(std::string& out, Integer number)
{
    char buffer[24];
    const auto done = std::to_chars(buffer, buffer + sizeof buffer, number);
    out.append(buffer, done.ptr);
}

} // namespace

std::size_t utf8_length(std::string_view at)
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(at[i]); };
    const auto follows = [&](std::size_t i, unsigned char low, unsigned char high) {
        return i < at.size() && byte(i) >= low && byte(i) <= high;
    };
    if (at.empty())
        return 0;
    const unsigned char first = byte(0);
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return follows(1, 0x80, 0xbf) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        const unsigned char low = first == 0xe0 ? 0xa0 : 0x80;  // no overlong forms
        const unsigned char high = first == 0xed ? 0x9f : 0xbf; // no surrogates
        return follows(1, low, high) && follows(2, 0x80, 0xbf) ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const unsigned char low = first == 0xf0 ? 0x90 : 0x80;
        const unsigned char high = first == 0xf4 ? 0x8f : 0xbf;
        return follows(1, low, high) && follows(2, 0x80, 0xbf) && follows(3, 0x80, 0xbf) ? 4 : 0;
    }
    return 0;
}

void append_quoted(std::string& out, std::string_view text)
{
    out += '"';
    std::size_t at = 0;
    while (at < text.size()) {
        const std::size_t run = at;
        while (at < text.size() && is_plain(static_cast<unsigned char>(text[at])))
            ++at;
        out.append(text, run, at - run);
        if (at == text.size())
            break;
        const auto byte = static_cast<unsigned char>(text[at]);
        if (byte < 0x80) {
            append_escaped(out, byte);
            ++at;
        } else if (const std::size_t length = utf8_length(text.substr(at)); length != 0) {
            out.append(text, at, length);
            at += length;
        } else {
            out += "\xef\xbf\xbd";
            ++at;
        }
    }
    out += '"';
}

void append_number(std::string& out, double number)
{
    if (!std::isfinite(number)) {
        out += "null";
        return;
    }
    char buffer[40];
    const auto done = std::to_chars(buffer, buffer + sizeof buffer, number);
    const std::string_view text(buffer, static_cast<std::size_t>(done.ptr - buffer));
    out += text;
    if (text.find_first_of(".e") == std::string_view::npos)
        out += ".0";
}

void append_number(std::string& out, std::int64_t number) { append_integer(out, number); }
void append_number(std::string& out, std::uint64_t number) { append_integer(out, number); }

void append_json(std::string& out, const json::value& value)
{
    if (const auto* text = value.if_string())
        append_quoted(out, {text->data(), text->size()});
    else if (const auto* object = value.if_object())
        append_members(out, *object);
    else if (const auto* array = value.if_array())
        append_elements(out, *array);
    else if (const auto* number = value.if_int64())
        append_number(out, *number);
    else if (const auto* large = value.if_uint64())
        append_number(out, *large);
    else if (const auto* real = value.if_double())
        append_number(out, *real);
    else if (const auto* yes = value.if_bool())
        out += *yes ? "true" : "false";
    else
        out += "null";
}

std::string to_json(const json::value& value)
{
    std::string out;
    append_json(out, value);
    return out;
}

std::string to_json(const json::object& object)
{
    std::string out;
    append_members(out, object);
    return out;
}

std::string quoted(std::string_view text)
{
    std::string out;
    append_quoted(out, text);
    return out;
}

object_writer& object_writer::key(std::string_view key)
{
    if (!first_)
        out_ += ',';
    first_ = false;
    append_quoted(out_, key);
    out_ += ':';
    return *this;
}

object_writer& object_writer::text(std::string_view key, std::string_view value)
{
    this->key(key);
    append_quoted(out_, value);
    return *this;
}

object_writer& object_writer::integer(std::string_view key, std::int64_t value)
{
    this->key(key);
    append_number(out_, value);
    return *this;
}

object_writer& object_writer::number(std::string_view key, double value)
{
    this->key(key);
    append_number(out_, value);
    return *this;
}

object_writer& object_writer::boolean(std::string_view key, bool value)
{
    this->key(key);
    out_ += value ? "true" : "false";
    return *this;
}

object_writer& object_writer::raw(std::string_view key, std::string_view value)
{
    this->key(key);
    out_ += value;
    return *this;
}

} // namespace gateway::proto
