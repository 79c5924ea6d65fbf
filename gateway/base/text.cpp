#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

namespace gateway {

namespace {

constexpr std::string_view base64_letters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view hex_digits = "0123456789abcdef";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

unsigned char byte_at(std::string_view text, std::size_t at)
{
    return static_cast<unsigned char>(text[at]);
}

// A number with one digit after the point, or none when that digit is 0: "1.5", "12".
std::string one_decimal(double number)
{
    std::array<char, 32> text{};
    const int size = std::snprintf(text.data(), text.size(), "%.1f", number);
    std::string out(text.data(), static_cast<std::size_t>(size));
    if (out.ends_with(".0"))
        out.resize(out.size() - 2);
    return out;
}

// How many bytes the well-formed UTF-8 sequence at `at` has; 0 when there is none (RFC 3629).
std::size_t utf8_length(std::string_view text, std::size_t at)
{
    const unsigned char first = byte_at(text, at);
    if (first < 0x80)
        return 1;
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || at + length > text.size())
        return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte_at(text, at + i) & 0xc0) != 0x80)
            return 0;
    }
    const unsigned char second = byte_at(text, at + 1);
    const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool surrogate = first == 0xed && second > 0x9f;
    const bool too_large = first == 0xf4 && second > 0x8f;
    return overlong || surrogate || too_large ? 0 : length;
}

void append_escaped(std::string& out, char c)
{
    switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
    }
    const auto code = static_cast<unsigned char>(c);
    if (code >= 0x20 && code != 0x7f) {
        out += c;
        return;
    }
    out += "\\u00";
    out += hex_digits[code >> 4];
    out += hex_digits[code & 15];
}

int base64_digit(char c)
{
    const auto at = base64_letters.find(c);
    return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

} // namespace

std::string shortest_decimal(double number)
{
    std::array<char, 400> text{}; // 1e308 has 309 digits when written without an exponent
    const auto [end, failed] =
        std::to_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    std::string out(text.data(), failed == std::errc{} ? end : text.data());
    if (out.find_first_not_of("-0123456789") == std::string::npos)
        out += ".0";
    return out;
}

std::string format_bytes(std::uint64_t bytes)
{
    constexpr std::array<std::string_view, 5> units{"KiB", "MiB", "GiB", "TiB", "PiB"};
    if (bytes < 1024)
        return std::to_string(bytes) + " B";
    double number = static_cast<double>(bytes) / 1024;
    std::size_t unit = 0;
    // 1023.95 would print as 1024.0.
    while (number >= 1023.95 && unit + 1 < units.size()) {
        number /= 1024;
        ++unit;
    }
    return one_decimal(number) + ' ' + std::string(units[unit]);
}

std::string format_duration(duration d)
{
    using namespace std::chrono;
    if (d < duration::zero())
        return '-' + format_duration(-d);
    if (d < seconds(1))
        return std::to_string(duration_cast<milliseconds>(d).count()) + " ms";
    if (d < seconds(10))
        return one_decimal(static_cast<double>(duration_cast<milliseconds>(d).count()) / 1000) +
               " s";
    const auto total = duration_cast<seconds>(d).count();
    const auto both = [](std::int64_t big, const char* big_unit, std::int64_t small,
                         const char* small_unit) {
        std::string out = std::to_string(big) + ' ' + big_unit;
        if (small != 0)
            out += ' ' + std::to_string(small) + ' ' + small_unit;
        return out;
    };
    if (total < 60)
        return std::to_string(total) + " s";
    if (total < 3600)
        return both(total / 60, "m", total % 60, "s");
    if (total < 48 * 3600)
        return both(total / 3600, "h", total % 3600 / 60, "m");
    return both(total / 86400, "d", total % 86400 / 3600, "h");
}

std::string format_time(wall_time when)
{
    using namespace std::chrono;
    const auto day = floor<days>(when);
    const year_month_day date(day);
    const hh_mm_ss time(when - day);
    std::array<char, 64> text{};
    const int size = std::snprintf(
        text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", int(date.year()),
        unsigned(date.month()), unsigned(date.day()), static_cast<int>(time.hours().count()),
        static_cast<int>(time.minutes().count()), static_cast<int>(time.seconds().count()),
        static_cast<int>(time.subseconds().count()));
    return {text.data(), static_cast<std::size_t>(size)};
}

std::string to_lower(std::string_view ascii)
{
    std::string out(ascii);
    std::transform(out.begin(), out.end(), out.begin(), lower);
    return out;
}

std::string_view trim(std::string_view text)
{
    constexpr std::string_view blank = " \t\r\n";
    const auto first = text.find_first_not_of(blank);
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

bool iequals(std::string_view a, std::string_view b)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

std::string hex(std::string_view bytes)
{
    std::string out;
    out.reserve(bytes.size() * 2);
    for (const char c : bytes) {
        const auto code = static_cast<unsigned char>(c);
        out += hex_digits[code >> 4];
        out += hex_digits[code & 15];
    }
    return out;
}

std::string base64_encode(std::string_view bytes)
{
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const std::size_t given = std::min<std::size_t>(3, bytes.size() - at);
        std::uint32_t group = 0;
        for (std::size_t i = 0; i < 3; ++i)
            group = group << 8 | (i < given ? byte_at(bytes, at + i) : 0u);
        for (std::size_t i = 0; i < 4; ++i)
            out += i <= given ? base64_letters[group >> (18 - 6 * i) & 63] : '=';
    }
    return out;
}

std::optional<std::string> base64_decode(std::string_view text)
{
    while (text.ends_with('=') && text.size() % 4 == 0 && !text.ends_with("==="))
        text.remove_suffix(text.ends_with("==") ? 2 : 1);
    if (text.size() % 4 == 1)
        return std::nullopt;
    std::string out;
    out.reserve(text.size() / 4 * 3 + 2);
    std::uint32_t bits = 0;
    int held = 0;
    for (const char c : text) {
        const int digit = base64_digit(c);
        if (digit < 0)
            return std::nullopt;
        bits = bits << 6 | static_cast<std::uint32_t>(digit);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out += static_cast<char>(bits >> held & 0xff);
        }
    }
    return out;
}

std::string json_quoted(std::string_view text)
{
    std::string out = "\"";
    out.reserve(text.size() + 2);
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = utf8_length(text, at);
        if (length == 1)
            append_escaped(out, text[at]);
        else if (length == 0)
            out += "\xef\xbf\xbd"; // U+FFFD
        else
            out += text.substr(at, length);
        at += std::max<std::size_t>(length, 1);
    }
    out += '"';
    return out;
}

} // namespace gateway
