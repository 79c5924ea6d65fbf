#include "proto/json_scanner.hpp"

#include <algorithm>

namespace gateway::proto {

namespace {

constexpr std::uint64_t ones = 0x0101010101010101;
constexpr std::uint64_t tops = 0x8080808080808080;

// A top bit for each byte that is zero (and, above the lowest such byte, perhaps for others).
constexpr std::uint64_t zero_bytes(std::uint64_t word) { return (word - ones) & ~word & tops; }

constexpr std::uint64_t special_bytes(std::uint64_t word)
{
    const std::uint64_t beyond_ascii = word & tops;
    const std::uint64_t control = (word - ones * 0x20) & ~word & tops;
    return beyond_ascii | control | zero_bytes(word ^ (ones * '"')) |
           zero_bytes(word ^ (ones * '\\'));
}

bool is_special(unsigned char byte)
{
    return byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\';
}

bool is_digit(unsigned char byte) { return byte >= '0' && byte <= '9'; }

std::string name_of_byte(unsigned char byte)
{
    static constexpr char hex[] = "0123456789abcdef";
    if (byte > 0x20 && byte < 0x7f)
        return {'\'', static_cast<char>(byte), '\''};
    return {'b', 'y', 't', 'e', ' ', '0', 'x', hex[byte >> 4], hex[byte & 15]};
}

// Collects the members of a root object.
class member_listener final : public json_listener {
public:
    explicit member_listener(std::string_view text) : text_(text) {}

    void key_begin(std::size_t depth)
    {
        if (depth == 1)
            key_.clear();
    }
    void key_text(std::string_view run, std::size_t depth)
    {
        constexpr std::size_t longest = 256;
        if (depth == 1)
            key_.append(run.substr(0, longest - std::min(longest, key_.size())));
    }
    void value_begin(json_kind kind, std::size_t depth, std::uint64_t offset)
    {
        if (depth == 0)
            found.is_object = kind == json_kind::object;
        begin_ = depth == 1 ? offset - (kind == json_kind::string ? 1 : 0) : begin_;
    }
    void value_end(json_kind kind, std::size_t depth, std::uint64_t offset)
    {
        if (depth != 1 || !found.is_object)
            return;
        const std::uint64_t end = offset + (kind == json_kind::string ? 1 : 0);
        const auto same = [&](const member_span& m) { return m.key == key_; };
        const auto old = std::find_if(found.members.begin(), found.members.end(), same);
        if (old != found.members.end())
            found.members.erase(old);
        found.members.push_back({key_, text_.substr(begin_, end - begin_), kind});
    }

    member_list found;

private:
    std::string_view text_;
    std::string key_;
    std::uint64_t begin_ = 0;
};

} // namespace

bool json_scanner_base::push(bool object)
{
    if (depth_ == max_depth)
        return fail("nested deeper than " + std::to_string(max_depth), offset_);
    const std::uint64_t bit = std::uint64_t{1} << depth_;
    stack_ = object ? stack_ | bit : stack_ & ~bit;
    ++depth_;
    return true;
}

bool json_scanner_base::fail(std::string_view what, std::uint64_t at)
{
    error_.assign(what).append(" at byte ").append(std::to_string(at));
    return false;
}

bool json_scanner_base::unexpected(unsigned char found, std::uint64_t at)
{
    return fail("unexpected " + name_of_byte(found), at);
}

void json_scanner_base::cut_short()
{
    if (offset_ == 0)
        error_ = "the text is empty";
    else
        fail("cut short", offset_);
}

bool json_scanner_base::utf8_byte(unsigned char byte)
{
    if (utf8_left_ != 0) {
        const bool right = byte >= utf8_low_ && byte <= utf8_high_;
        utf8_low_ = 0x80;
        utf8_high_ = 0xbf;
        --utf8_left_;
        return right;
    }
    if (byte >= 0xc2 && byte <= 0xdf) {
        utf8_left_ = 1;
    } else if (byte >= 0xe0 && byte <= 0xef) {
        utf8_left_ = 2;
        utf8_low_ = byte == 0xe0 ? 0xa0 : 0x80;  // no overlong forms
        utf8_high_ = byte == 0xed ? 0x9f : 0xbf; // no surrogates
    } else if (byte >= 0xf0 && byte <= 0xf4) {
        utf8_left_ = 3;
        utf8_low_ = byte == 0xf0 ? 0x90 : 0x80;
        utf8_high_ = byte == 0xf4 ? 0x8f : 0xbf;
    }
    return utf8_left_ != 0;
}

bool json_scanner_base::hex_digit(unsigned char byte, bool& complete)
{
    std::uint32_t value = 0;
    if (is_digit(byte))
        value = byte - std::uint32_t{'0'};
    else if (byte >= 'a' && byte <= 'f')
        value = byte - std::uint32_t{'a'} + 10;
    else if (byte >= 'A' && byte <= 'F')
        value = byte - std::uint32_t{'A'} + 10;
    else
        return false;
    unit_ = unit_ << 4 | value;
    complete = ++hex_digits_ == 4;
    return true;
}

json_scanner_base::number_step json_scanner_base::number_byte(unsigned char byte)
{
    const bool digit = is_digit(byte);
    const auto go = [&](state next) { return state_ = next, number_step::more; };
    const bool mark = byte == 'e' || byte == 'E';
    if (state_ == state::minus && digit)
        return go(byte == '0' ? state::zero : state::digits);
    if (state_ == state::digits && digit)
        return number_step::more;
    if ((state_ == state::zero || state_ == state::digits) && byte == '.')
        return go(state::dot);
    if ((state_ == state::dot || state_ == state::fraction) && digit)
        return go(state::fraction);
    if ((state_ == state::zero || state_ == state::digits || state_ == state::fraction) && mark)
        return go(state::exponent_mark);
    if (state_ == state::exponent_mark && (byte == '+' || byte == '-'))
        return go(state::exponent_sign);
    if (digit && (state_ == state::exponent_mark || state_ == state::exponent_sign ||
                  state_ == state::exponent))
        return go(state::exponent);
    return number_may_end() && !(state_ == state::zero && digit) ? number_step::over
                                                                 : number_step::wrong;
}

bool json_scanner_base::number_may_end() const
{
    return state_ == state::zero || state_ == state::digits || state_ == state::fraction ||
           state_ == state::exponent;
}

const char* json_scanner_base::plain_end(const char* from, const char* to)
{
    while (to - from >= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, from, sizeof word);
        if (special_bytes(word) != 0)
            break;
        from += 8;
    }
    while (from != to && !is_special(static_cast<unsigned char>(*from)))
        ++from;
    return from;
}

std::string_view json_scanner_base::encode(std::uint32_t point, char* buffer)
{
    const auto tail = [&](unsigned shift) {
        return static_cast<char>(0x80 | ((point >> shift) & 0x3f));
    };
    if (point < 0x80) {
        buffer[0] = static_cast<char>(point);
        return {buffer, 1};
    }
    if (point < 0x800) {
        buffer[0] = static_cast<char>(0xc0 | (point >> 6));
        buffer[1] = tail(0);
        return {buffer, 2};
    }
    if (point < 0x10000) {
        buffer[0] = static_cast<char>(0xe0 | (point >> 12));
        buffer[1] = tail(6);
        buffer[2] = tail(0);
        return {buffer, 3};
    }
    buffer[0] = static_cast<char>(0xf0 | (point >> 18));
    buffer[1] = tail(12);
    buffer[2] = tail(6);
    buffer[3] = tail(0);
    return {buffer, 4};
}

const member_span* member_list::find(std::string_view key) const
{
    for (const auto& member : members)
        if (member.key == key)
            return &member;
    return nullptr;
}

member_list split_members(std::string_view text)
{
    member_listener listener(text);
    json_scanner<member_listener> scanner;
    if (!scanner.feed(text, listener) || !scanner.finish(listener))
        listener.found.error = "not JSON: " + scanner.error();
    return std::move(listener.found);
}

} // namespace gateway::proto
