#include "tools/simulator/python.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>

namespace gateway::tools::simulator {

namespace {

constexpr std::size_t deepest = 990; // nesting at which CPython 3.10 gives up with RecursionError

void append_hex_escape(std::string& out, unsigned unit)
{
    constexpr std::string_view digits = "0123456789abcdef";
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4)
        out += digits[(unit >> shift) & 0xf];
}

// One character of UTF-8 (or of the three-byte form of a lone surrogate); moves `at` past it.
char32_t next_character(std::string_view text, std::size_t& at)
{
    const auto byte = [&](std::size_t i) {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    const unsigned first = byte(at);
    if (first < 0x80) {
        ++at;
        return first;
    }
    const std::size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    char32_t code = first & (0x7fU >> length);
    for (std::size_t i = 1; i < length; ++i)
        code = (code << 6) | (byte(at + i) & 0x3fU);
    at += length;
    return code;
}

void append_utf8(std::string& out, char32_t code)
{
    const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((code >> shift) & 0x3f)); };
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xc0 | (code >> 6));
        tail(0);
    } else if (code < 0x10000) {
        out += static_cast<char>(0xe0 | (code >> 12));
        tail(6);
        tail(0);
    } else {
        out += static_cast<char>(0xf0 | (code >> 18));
        tail(12);
        tail(6);
        tail(0);
    }
}

void append_string(std::string& out, std::string_view text, bool ascii_only)
{
    out += '"';
    for (std::size_t at = 0; at < text.size();) {
        const auto byte = static_cast<unsigned char>(text[at]);
        const bool plain =
            byte >= 0x20 && byte != '"' && byte != '\\' && (!ascii_only || byte < 0x7f);
        if (plain) {
            out += text[at++];
            continue;
        }
        const char32_t code = next_character(text, at);
        switch (code) {
        case '"': out += "\\\""; break;
        case '\\': out += "\\\\"; break;
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\t': out += "\\t"; break;
        case '\f': out += "\\f"; break;
        case '\b': out += "\\b"; break;
        default:
            if (code >= 0x10000) {
                append_hex_escape(out, 0xd800 + ((code - 0x10000) >> 10));
                append_hex_escape(out, 0xdc00 + ((code - 0x10000) & 0x3ff));
            } else {
                append_hex_escape(out, static_cast<unsigned>(code));
            }
        }
    }
    out += '"';
}

struct dump_style {
    std::string_view comma;
    std::string_view colon;
    bool ascii_only;
    bool allow_nan;
};

void append_number(std::string& out, double number, const dump_style& style)
{
    if (std::isfinite(number)) {
        out += repr(number);
        return;
    }
    if (!style.allow_nan)
        throw python_error("ValueError", "Out of range float values are not JSON compliant");
    out += std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
}

void append(std::string& out, const json::value& value, const dump_style& style)
{
    if (const auto* text = value.if_string()) {
        append_string(out, std::string_view(text->data(), text->size()), style.ascii_only);
    } else if (const auto* array = value.if_array()) {
        out += '[';
        std::string_view between;
        for (const auto& item : *array) {
            out += between;
            append(out, item, style);
            between = style.comma;
        }
        out += ']';
    } else if (const auto* object = value.if_object()) {
        out += '{';
        std::string_view between;
        for (const auto& [key, item] : *object) {
            out += between;
            append_string(out, std::string_view(key.data(), key.size()), style.ascii_only);
            out += style.colon;
            append(out, item, style);
            between = style.comma;
        }
        out += '}';
    } else if (const auto* flag = value.if_bool()) {
        out += *flag ? "true" : "false";
    } else if (const auto* integer = value.if_int64()) {
        out += std::to_string(*integer);
    } else if (const auto* natural = value.if_uint64()) {
        out += std::to_string(*natural);
    } else if (const auto* number = value.if_double()) {
        append_number(out, *number, style);
    } else {
        out += "null";
    }
}

// Reads as CPython's C scanner does, so that what it says about bad input is what Python says.
class reader {
public:
    explicit reader(std::string_view text) : text_(text) {}

    json::value whole()
    {
        skip_space();
        auto value = read_value(0);
        skip_space();
        if (at_ < text_.size())
            fail("Extra data", at_);
        return value;
    }

    struct failed {
        std::string_view message;
        std::size_t byte;
    };
    struct too_deep {};

private:
    [[noreturn]] static void fail(std::string_view message, std::size_t byte)
    {
        throw failed{message, byte};
    }

    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool at_end() const { return at_ >= text_.size(); }
    void skip_space() { at_ = std::min(text_.find_first_not_of(" \t\n\r", at_), text_.size()); }

    bool take(std::string_view word)
    {
        if (text_.substr(at_, word.size()) != word)
            return false;
        at_ += word.size();
        return true;
    }

    json::value read_value(std::size_t depth)
    {
        if (depth > deepest)
            throw too_deep{};
        switch (peek()) {
        case '"': return json::value(read_string());
        case '{': return read_object(depth);
        case '[': return read_array(depth);
        default: break;
        }
        if (take("null"))
            return nullptr;
        if (take("true"))
            return true;
        if (take("false"))
            return false;
        if (take("NaN"))
            return std::numeric_limits<double>::quiet_NaN();
        if (take("Infinity"))
            return std::numeric_limits<double>::infinity();
        if (take("-Infinity"))
            return -std::numeric_limits<double>::infinity();
        return read_number();
    }

    json::value read_object(std::size_t depth)
    {
        json::object out;
        ++at_;
        skip_space();
        if (peek() == '}' && !at_end()) {
            ++at_;
            return out;
        }
        for (;;) {
            if (peek() != '"')
                fail("Expecting property name enclosed in double quotes", at_);
            const auto key = read_string();
            skip_space();
            if (peek() != ':')
                fail("Expecting ':' delimiter", at_);
            ++at_;
            skip_space();
            out[key] = read_value(depth + 1);
            skip_space();
            if (peek() == '}') {
                ++at_;
                return out;
            }
            if (peek() != ',')
                fail("Expecting ',' delimiter", at_);
            ++at_;
            skip_space();
        }
    }

    json::value read_array(std::size_t depth)
    {
        json::array out;
        ++at_;
        skip_space();
        if (peek() == ']') {
            ++at_;
            return out;
        }
        for (;;) {
            out.push_back(read_value(depth + 1));
            skip_space();
            if (peek() == ']') {
                ++at_;
                return out;
            }
            if (peek() != ',')
                fail("Expecting ',' delimiter", at_);
            ++at_;
            skip_space();
        }
    }

    std::string read_string()
    {
        const std::size_t begin = at_++;
        std::string out;
        for (;;) {
            if (at_end())
                fail("Unterminated string starting at", begin);
            const auto byte = static_cast<unsigned char>(text_[at_]);
            if (byte == '"') {
                ++at_;
                return out;
            }
            if (byte < 0x20)
                fail("Invalid control character at", at_);
            if (byte == '\\')
                read_escape(out, begin);
            else
                out += text_[at_++];
        }
    }

    void read_escape(std::string& out, std::size_t begin)
    {
        const std::size_t slash = at_++;
        if (at_end())
            fail("Unterminated string starting at", begin);
        const char kind = text_[at_++];
        constexpr std::string_view names = "\"\\/bfnrt";
        constexpr std::string_view values = "\"\\/\b\f\n\r\t";
        if (const auto which = names.find(kind); which != std::string_view::npos) {
            out += values[which];
            return;
        }
        if (kind != 'u')
            fail("Invalid \\escape", slash);
        char32_t code = read_unit(slash + 1);
        if (code >= 0xd800 && code < 0xdc00 && text_.substr(at_, 2) == "\\u") {
            const auto before = at_;
            at_ += 2;
            const char32_t low = read_unit(before + 1);
            if (low >= 0xdc00 && low < 0xe000)
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            else
                at_ = before;
        }
        append_utf8(out, code);
    }

    // The four hex digits of an escape; Python blames the character after the backslash.
    char32_t read_unit(std::size_t blame)
    {
        unsigned code = 0;
        const auto digits = text_.substr(at_, 4);
        const auto [end, ec] =
            std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
        if (digits.size() < 4 || ec != std::errc{} || end != digits.data() + 4)
            fail("Invalid \\uXXXX escape", blame);
        at_ += 4;
        return code;
    }

    json::value read_number()
    {
        const auto is_digit = [this](std::size_t i) {
            return i < text_.size() && text_[i] >= '0' && text_[i] <= '9';
        };
        const std::size_t begin = at_;
        std::size_t end = at_ + (peek() == '-' ? 1 : 0);
        if (!is_digit(end))
            fail("Expecting value", begin);
        if (text_[end] == '0')
            ++end;
        else
            while (is_digit(end))
                ++end;
        bool whole = true;
        if (end < text_.size() && text_[end] == '.' && is_digit(end + 1)) {
            whole = false;
            for (++end; is_digit(end);)
                ++end;
        }
        if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
            std::size_t digits = end + 1;
            if (digits < text_.size() && (text_[digits] == '+' || text_[digits] == '-'))
                ++digits;
            if (is_digit(digits)) {
                whole = false;
                for (end = digits; is_digit(end);)
                    ++end;
            }
        }
        at_ = end;
        return number(text_.substr(begin, end - begin), whole);
    }

    static json::value number(std::string_view text, bool whole)
    {
        const char* const last = text.data() + text.size();
        if (whole) {
            std::int64_t integer = 0;
            if (std::from_chars(text.data(), last, integer).ec == std::errc{})
                return integer;
            std::uint64_t natural = 0;
            if (std::from_chars(text.data(), last, natural).ec == std::errc{})
                return natural;
        }
        double out = 0;
        if (std::from_chars(text.data(), last, out).ec == std::errc::result_out_of_range)
            out = text.find("e-") != std::string_view::npos
                      ? 0.0
                      : std::numeric_limits<double>::infinity();
        return out;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

json_decode_error located(std::string_view text, const reader::failed& what)
{
    json_decode_error out;
    out.message = what.message;
    for (std::size_t at = 0; at < what.byte && at < text.size();) {
        const bool newline = text[at] == '\n';
        next_character(text, at);
        ++out.position;
        out.line += newline ? 1 : 0;
        out.column = newline ? 1 : out.column + 1;
    }
    return out;
}

} // namespace

std::string repr(double number)
{
    if (std::isnan(number))
        return "nan";
    if (std::isinf(number))
        return number > 0 ? "inf" : "-inf";
    std::array<char, 40> buffer;
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number,
                                   std::chars_format::scientific);
    const std::string_view text(buffer.data(), static_cast<std::size_t>(end.ptr - buffer.data()));
    const auto e = text.find('e');
    const int exponent = std::stoi(std::string(text.substr(e + 1)));
    if (exponent < -4 || exponent >= 16)
        return std::string(text);
    const auto fixed = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number,
                                     std::chars_format::fixed);
    std::string out(buffer.data(), fixed.ptr);
    if (out.find('.') == std::string::npos)
        out += ".0";
    return out;
}

std::string repr(std::string_view text)
{
    const bool single =
        text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
    const char quote = single ? '\'' : '"';
    std::string out(1, quote);
    for (const char c : text) {
        if (c == quote || c == '\\')
            out += '\\';
        if (c == '\n')
            out += "\\n";
        else
            out += c;
    }
    return out + quote;
}

std::string dump_compact(const json::value& value)
{
    std::string out;
    append(out, value, {.comma = ",", .colon = ":", .ascii_only = false, .allow_nan = false});
    return out;
}

std::string dump_spaced(const json::value& value)
{
    std::string out;
    append(out, value, {.comma = ", ", .colon = ": ", .ascii_only = true, .allow_nan = true});
    return out;
}

std::string dump_text(std::string_view text)
{
    std::string out;
    append_string(out, text, false);
    return out;
}

bool is_utf8(std::string_view bytes)
{
    for (std::size_t at = 0; at < bytes.size();) {
        const auto first = static_cast<unsigned char>(bytes[at]);
        const std::size_t length = first < 0x80                    ? 1
                                   : first >= 0xc2 && first < 0xe0 ? 2
                                   : first >= 0xe0 && first < 0xf0 ? 3
                                   : first >= 0xf0 && first < 0xf5 ? 4
                                                                   : 0;
        if (length == 0 || at + length > bytes.size())
            return false;
        for (std::size_t i = 1; i < length; ++i) {
            if ((static_cast<unsigned char>(bytes[at + i]) & 0xc0) != 0x80)
                return false;
        }
        at += length;
    }
    return true;
}

std::variant<json::value, json_decode_error, unreadable_body> parse_json(std::string_view text)
{
    if (!is_utf8(text))
        return unreadable_body{};
    if (text.starts_with("\xef\xbb\xbf"))
        text.remove_prefix(3);
    try {
        return reader(text).whole();
    } catch (const reader::failed& what) {
        return located(text, what);
    } catch (const reader::too_deep&) {
        return unreadable_body{};
    }
}

} // namespace gateway::tools::simulator
