#include "proto/base64_stream.hpp"

#include <array>

namespace gateway::proto {

namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t no_sign = 0xff;

constexpr auto values = [] {
    std::array<std::uint8_t, 256> all{};
    all.fill(no_sign);
    for (std::size_t i = 0; i < alphabet.size(); ++i)
        all[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
    return all;
}();

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

} // namespace

bool base64_stream::feed(std::string_view text, std::string& into)
{
    into.reserve(into.size() + text.size() / 4 * 3 + 3);
    for (const char c : text) {
        if (escape_ ? !take_escaped(c, into) : !take(c, into))
            return false;
    }
    return true;
}

bool base64_stream::take(char c, std::string& into)
{
    const auto value = values[static_cast<unsigned char>(c)];
    if (value != no_sign && padding_ == 0) {
        bits_ = bits_ << 6 | value;
        if (++held_ == 4) {
            into += static_cast<char>(bits_ >> 16);
            into += static_cast<char>(bits_ >> 8);
            into += static_cast<char>(bits_);
            held_ = 0;
        }
        return true;
    }
    if (c == '\\') {
        escape_ = true;
        return true;
    }
    if (c == '=')
        return held_ + ++padding_ <= 4 && padding_ <= 2;
    return c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

bool base64_stream::take_escaped(char c, std::string& into)
{
    if (hex_left_ == 0 && c == 'u') {
        hex_left_ = 4;
        code_ = 0;
        return true;
    }
    if (hex_left_ > 0) {
        const int digit = hex_digit(c);
        code_ = code_ << 4 | static_cast<unsigned>(digit);
        if (digit < 0 || --hex_left_ > 0)
            return digit >= 0;
        c = code_ < 0x80 ? static_cast<char>(code_) : '\0';
    } else if (c == 'n' || c == 'r' || c == 't') {
        c = ' ';
    } else if (c != '/') {
        return false;
    }
    escape_ = false;
    return c != '\\' && take(c, into);
}

bool base64_stream::finish(std::string& into)
{
    if (escape_ || held_ == 1 || (padding_ > 0 && held_ + padding_ != 4))
        return false;
    if (held_ >= 2)
        into += static_cast<char>(bits_ >> (held_ == 2 ? 4 : 10));
    if (held_ == 3)
        into += static_cast<char>(bits_ >> 2);
    held_ = 0;
    return true;
}

} // namespace gateway::proto
