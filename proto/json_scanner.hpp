#pragma once

// A strict JSON checker that is fed bytes in pieces of any size, keeps no text, and tells its
// listener where values begin and end. It knows grammar, UTF-8 and depth, and nothing about
// meaning.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

enum class json_kind : std::uint8_t {
    object,
    array,
    string,
    number,
    boolean,
    null,
};

// What a listener implements. `depth` is the number of containers around the value: 0 for the root,
// 1 for members of a root object. Texts come unescaped, in runs; an offset counts from the first
// byte fed. For strings, begin is the offset of the first character, end that of the closing quote.
class json_listener {
public:
    void key_begin(std::size_t /*depth*/) {}
    void key_text(std::string_view /*run*/, std::size_t /*depth*/) {}
    void key_end(std::size_t /*depth*/) {}
    void value_begin(json_kind /*kind*/, std::size_t /*depth*/, std::uint64_t /*offset*/) {}
    void value_text(std::string_view /*run*/, std::size_t /*depth*/, bool /*was_escaped*/) {}
    // `offset` is one past the value (a string's closing quote, for strings).
    void value_end(json_kind /*kind*/, std::size_t /*depth*/, std::uint64_t /*offset*/) {}
};

// The machine itself, without its loop over bytes.
class json_scanner_base {
public:
    static constexpr std::size_t max_depth = 64;

    std::uint64_t offset() const { return offset_; } // bytes taken
    bool failed() const { return !error_.empty(); }
    const std::string& error() const { return error_; } // "unexpected '}' at byte 17"

protected:
    enum class state : std::uint8_t {
        value,         // a value must begin
        first_element, // a value, or ']'
        first_key,     // a key, or '}'
        next_key,      // a key, after a comma
        colon,
        after_value, // ',' or the end of the container
        text,        // inside a string
        escape,      // after a backslash
        hex,         // inside \uXXXX
        minus,       // numbers, by what came last
        zero,
        digits,
        dot,
        fraction,
        exponent_mark,
        exponent_sign,
        exponent,
        word, // true, false, null
        done, // white space only
    };

    bool in_object() const { return depth_ != 0 && ((stack_ >> (depth_ - 1)) & 1U) != 0; }
    bool push(bool object);
    void pop() { --depth_; }
    void after_value() { state_ = depth_ == 0 ? state::done : state::after_value; }
    bool fail(std::string_view what, std::uint64_t at);
    bool unexpected(unsigned char found, std::uint64_t at);
    void cut_short();
    // Checks one byte from 0x80 on against what UTF-8 allows here.
    bool utf8_byte(unsigned char byte);
    bool utf8_complete() const { return utf8_left_ == 0; }
    // One more hex digit of \uXXXX; true with `unit_` complete after the fourth.
    bool hex_digit(unsigned char byte, bool& complete);
    // Moves a number on by one byte: still in it, over before this byte, or wrong.
    enum class number_step : std::uint8_t { more, over, wrong };
    number_step number_byte(unsigned char byte);
    bool number_may_end() const;

    // The first byte of [from, to) that is not plain string text: quote, backslash, control, or
    // beyond ASCII.
    static const char* plain_end(const char* from, const char* to);
    // UTF-8 of a code point, into a buffer of 4.
    static std::string_view encode(std::uint32_t point, char* buffer);

    std::uint64_t offset_ = 0;
    std::uint64_t stack_ = 0; // one bit per container, 1 for objects
    std::size_t depth_ = 0;
    std::string error_;
    const char* word_ = nullptr; // what is left of true, false or null
    std::uint32_t unit_ = 0;     // \uXXXX so far
    std::uint32_t high_ = 0;     // a high surrogate that waits for its other half
    state state_ = state::value;
    json_kind kind_ = json_kind::null; // of the scalar at hand
    std::uint8_t hex_digits_ = 0;
    std::uint8_t utf8_left_ = 0;
    std::uint8_t utf8_low_ = 0x80;
    std::uint8_t utf8_high_ = 0xbf;
    bool is_key_ = false;
};

template <class Listener> class json_scanner final : public json_scanner_base {
public:
    // Takes the next bytes; false for ever once the text cannot become JSON.
    bool feed(std::string_view chunk, Listener& to)
    {
        const char* at = chunk.data();
        const char* const end = at + chunk.size();
        while (at != end && !failed()) {
            const char* const before = at;
            at = state_ == state::text ? text_run(at, end, to) : one_byte(at, to);
            offset_ += static_cast<std::uint64_t>(at - before);
        }
        return !failed();
    }

    // The text has ended; false when it is cut short.
    bool finish(Listener& to)
    {
        if (!failed() && number_may_end())
            end_scalar(to, offset_);
        if (!failed() && state_ != state::done)
            cut_short();
        return !failed();
    }

private:
    using base = json_scanner_base;

    // Takes string bytes up to and including the first that ends the run.
    const char* text_run(const char* at, const char* end, Listener& to)
    {
        const char* run = at;
        for (;;) {
            if (utf8_complete())
                at = plain_end(at, end);
            if (at == end)
                break;
            const auto byte = static_cast<unsigned char>(*at);
            if (byte >= 0x80 || !utf8_complete()) {
                if (!utf8_byte(byte)) {
                    fail("bytes that are not UTF-8",
                         offset_ + static_cast<std::uint64_t>(at - run));
                    return at;
                }
                ++at;
                continue;
            }
            break;
        }
        const std::string_view text(run, static_cast<std::size_t>(at - run));
        if (!text.empty()) {
            flush_surrogate(to);
            give(text, false, to);
        }
        if (at == end)
            return at;
        const std::uint64_t here = offset_ + text.size();
        const auto byte = static_cast<unsigned char>(*at);
        if (byte == '"')
            end_string(to, here);
        else if (byte == '\\')
            state_ = state::escape;
        else
            fail("a control character inside a string", here);
        return at + 1;
    }

    const char* one_byte(const char* at, Listener& to)
    {
        const auto byte = static_cast<unsigned char>(*at);
        switch (state_) {
        case state::value:
        case state::first_element:
        case state::first_key:
        case state::next_key:
        case state::colon:
        case state::after_value:
        case state::done: structure(byte, to); return at + 1;
        case state::escape: escape(byte, to); return at + 1;
        case state::hex: hex(byte, to); return at + 1;
        case state::word: word(byte, to); return at + 1;
        case state::text: return at;
        case state::minus:
        case state::zero:
        case state::digits:
        case state::dot:
        case state::fraction:
        case state::exponent_mark:
        case state::exponent_sign:
        case state::exponent: break;
        }
        switch (number_byte(byte)) {
        case number_step::more: return at + 1;
        case number_step::over:
            end_scalar(to, offset_);
            return at; // the byte belongs to what follows
        case number_step::wrong: unexpected(byte, offset_); return at + 1;
        }
        return at + 1;
    }

    void structure(unsigned char byte, Listener& to)
    {
        if (byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t')
            return;
        if (state_ == state::value || (state_ == state::first_element && byte != ']'))
            begin_value(byte, to);
        else if (state_ == state::first_element ||
                 (state_ == state::after_value && byte == ']' && !in_object()))
            end_container(json_kind::array, to);
        else if (state_ == state::colon && byte == ':')
            state_ = state::value;
        else if ((state_ == state::first_key || state_ == state::next_key) && byte == '"')
            begin_key(to);
        else if ((state_ == state::first_key || state_ == state::after_value) && byte == '}' &&
                 in_object())
            end_container(json_kind::object, to);
        else if (state_ == state::after_value && byte == ',')
            state_ = in_object() ? state::next_key : state::value;
        else
            unexpected(byte, offset_);
    }

    void begin_value(unsigned char byte, Listener& to)
    {
        switch (byte) {
        case '{': begin_container(json_kind::object, to); return;
        case '[': begin_container(json_kind::array, to); return;
        case '"':
            is_key_ = false;
            state_ = state::text;
            to.value_begin(json_kind::string, depth_, offset_ + 1);
            return;
        case 't': begin_scalar(json_kind::boolean, state::word, to), word_ = "rue"; return;
        case 'f': begin_scalar(json_kind::boolean, state::word, to), word_ = "alse"; return;
        case 'n': begin_scalar(json_kind::null, state::word, to), word_ = "ull"; return;
        case '-': begin_scalar(json_kind::number, state::minus, to); return;
        case '0': begin_scalar(json_kind::number, state::zero, to); return;
        default: break;
        }
        if (byte >= '1' && byte <= '9')
            begin_scalar(json_kind::number, state::digits, to);
        else
            unexpected(byte, offset_);
    }

    void begin_container(json_kind kind, Listener& to)
    {
        to.value_begin(kind, depth_, offset_);
        if (push(kind == json_kind::object))
            state_ = kind == json_kind::object ? state::first_key : state::first_element;
    }

    void end_container(json_kind kind, Listener& to)
    {
        pop();
        after_value();
        to.value_end(kind, depth_, offset_ + 1);
    }

    void begin_scalar(json_kind kind, state next, Listener& to)
    {
        kind_ = kind;
        state_ = next;
        to.value_begin(kind, depth_, offset_);
    }

    void end_scalar(Listener& to, std::uint64_t at)
    {
        after_value();
        to.value_end(kind_, depth_, at);
    }

    void word(unsigned char byte, Listener& to)
    {
        if (byte != static_cast<unsigned char>(*word_)) {
            unexpected(byte, offset_);
            return;
        }
        if (*++word_ == '\0')
            end_scalar(to, offset_ + 1);
    }

    void begin_key(Listener& to)
    {
        is_key_ = true;
        state_ = state::text;
        to.key_begin(depth_);
    }

    void end_string(Listener& to, std::uint64_t at)
    {
        flush_surrogate(to);
        if (is_key_) {
            state_ = state::colon;
            to.key_end(depth_);
        } else {
            after_value();
            to.value_end(json_kind::string, depth_, at);
        }
    }

    void escape(unsigned char byte, Listener& to)
    {
        static constexpr std::string_view from = "\"\\/bfnrt";
        static constexpr char meant[] = "\"\\/\b\f\n\r\t";
        if (byte == 'u') {
            unit_ = 0;
            hex_digits_ = 0;
            state_ = state::hex;
            return;
        }
        const std::size_t index = from.find(static_cast<char>(byte));
        if (index == std::string_view::npos) {
            unexpected(byte, offset_);
            return;
        }
        flush_surrogate(to);
        give({meant + index, 1}, true, to);
        state_ = state::text;
    }

    void hex(unsigned char byte, Listener& to)
    {
        bool complete = false;
        if (!hex_digit(byte, complete)) {
            unexpected(byte, offset_);
            return;
        }
        if (!complete)
            return;
        state_ = state::text;
        const bool low_half = unit_ >= 0xdc00 && unit_ <= 0xdfff;
        if (low_half && high_ != 0) {
            const std::uint32_t point = 0x10000 + ((high_ - 0xd800) << 10) + (unit_ - 0xdc00);
            high_ = 0;
            give_point(point, to);
            return;
        }
        flush_surrogate(to);
        if (unit_ >= 0xd800 && unit_ <= 0xdbff)
            high_ = unit_;
        else
            give_point(low_half ? 0xfffd : unit_, to);
    }

    // Half of a surrogate pair means nothing: the text gets U+FFFD in its place.
    void flush_surrogate(Listener& to)
    {
        if (high_ == 0)
            return;
        high_ = 0;
        give_point(0xfffd, to);
    }

    void give_point(std::uint32_t point, Listener& to)
    {
        char buffer[4];
        give(encode(point, buffer), true, to);
    }

    void give(std::string_view run, bool was_escaped, Listener& to)
    {
        if (is_key_)
            to.key_text(run, depth_);
        else
            to.value_text(run, depth_, was_escaped);
    }
};

// One member of a root object, as text.
struct member_span {
    std::string key;
    std::string_view text; // of the value: `{"prompt":"x"}`, `"abc"` with its quotes
    json_kind kind = json_kind::null;
};

// The members of an object in the order of the text; of a key that comes twice only the last one.
// `error` is empty when all is well. Keys over 256 bytes are cut.
struct member_list {
    std::vector<member_span> members;
    std::string error;
    bool is_object = false;

    const member_span* find(std::string_view key) const;
};
member_list split_members(std::string_view text);

} // namespace gateway::proto
