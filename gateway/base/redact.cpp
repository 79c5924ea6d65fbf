#include "base/redact.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>

namespace gateway {

namespace {

constexpr std::string_view mask = "***";

// What ends a URL inside a text.
constexpr std::string_view url_end = " \t\r\n\"'<>`|\\^{}";
constexpr std::string_view scheme_mark = "://";

bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-';
}

// Any of these as part of a query key hides its value (downloads.md §5.5).
bool is_secret_key(std::string_view key)
{
    constexpr std::array<std::string_view, 13> secret{
        "token",   "key",    "sig",      "auth",   "policy", "credential",
        "expires", "x-amz-", "password", "passwd", "access", "b2contentdisposition",
        "secret"};
    const std::string low = to_lower(key);
    return std::any_of(secret.begin(), secret.end(),
                       [&](std::string_view word) { return low.find(word) != low.npos; });
}

// A presigned URL: whoever has its query has the file, so none of it is shown.
bool is_signed(std::string_view query)
{
    const std::string low = '&' + to_lower(query);
    constexpr std::array<std::string_view, 6> marks{
        "&x-amz-", "&x-goog-", "&signature=", "&sig=", "&key-pair-id=", "&b2content"};
    return std::any_of(marks.begin(), marks.end(),
                       [&](std::string_view mark) { return low.find(mark) != low.npos; });
}

void append_query(std::string& out, std::string_view query)
{
    if (is_signed(query)) {
        out += mask;
        return;
    }
    for (std::size_t at = 0; at <= query.size();) {
        const std::size_t end = std::min(query.find('&', at), query.size());
        const std::string_view pair = query.substr(at, end - at);
        const std::size_t equals = pair.find('=');
        if (equals != pair.npos && is_secret_key(pair.substr(0, equals))) {
            out += pair.substr(0, equals + 1);
            out += mask;
        } else {
            out += pair;
        }
        if (end < query.size())
            out += '&';
        at = end + 1;
    }
}

// `rest` is a URL after its "://".
void append_url(std::string& out, std::string_view rest)
{
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
    if (const auto at = authority.rfind('@'); at != authority.npos)
        rest.remove_prefix(at + 1);
    const auto question = rest.find('?');
    if (question == rest.npos) {
        out += rest;
        return;
    }
    out += rest.substr(0, question + 1);
    const auto fragment = std::min(rest.find('#', question), rest.size());
    append_query(out, rest.substr(question + 1, fragment - question - 1));
    out += rest.substr(fragment);
}

// Where a word that gives access begins and ends, from `from` on.
struct secret_word {
    std::size_t begin = std::string_view::npos;
    std::size_t end = std::string_view::npos;
};

// "Bearer xyz", "Basic xyz", "hf_xyz": the xyz.
secret_word find_secret_word(std::string_view text, std::size_t from)
{
    struct prefix {
        std::string_view word;
        std::size_t least; // shorter ones are ordinary words
    };
    constexpr std::array<prefix, 3> prefixes{{{"bearer ", 8}, {"basic ", 8}, {"hf_", 20}}};
    for (std::size_t at = from; at < text.size(); ++at) {
        if (at > 0 && is_word(text[at - 1]))
            continue;
        for (const prefix& known : prefixes) {
            if (!iequals(text.substr(at, known.word.size()), known.word))
                continue;
            const std::size_t begin = at + known.word.size();
            std::size_t end = begin;
            while (end < text.size() && (is_word(text[end]) || text[end] == '.' ||
                                         text[end] == '+' || text[end] == '/' || text[end] == '='))
                ++end;
            if (end - begin >= known.least)
                return {begin, end};
        }
    }
    return {};
}

std::string without_secret_words(std::string text)
{
    for (secret_word found = find_secret_word(text, 0); found.begin != std::string::npos;
         found = find_secret_word(text, found.begin + mask.size()))
        text.replace(found.begin, found.end - found.begin, mask);
    return text;
}

} // namespace

std::string redact(std::string_view text)
{
    std::string out;
    out.reserve(text.size());
    while (true) {
        const auto mark = text.find(scheme_mark);
        if (mark == text.npos)
            break;
        out += text.substr(0, mark + scheme_mark.size());
        text.remove_prefix(mark + scheme_mark.size());
        const auto end = std::min(text.find_first_of(url_end), text.size());
        append_url(out, text.substr(0, end));
        text.remove_prefix(end);
    }
    out += text;
    return without_secret_words(std::move(out));
}

std::string redact_and_cut(std::string_view text, std::size_t limit)
{
    if (text.size() <= limit)
        return redact(text);
    // A word that the cut goes through is left out, for it may be half of a secret that no longer
    // looks like one. A word as long as a picture is cut, but never inside a character.
    constexpr std::size_t longest_word = 512;
    std::size_t end = limit;
    const auto blank = text.find_last_of(" \t\r\n", limit);
    if (blank != text.npos && limit - blank < longest_word)
        end = blank;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
        --end;
    return redact(text.substr(0, end)) + "… (" + std::to_string(text.size()) + " bytes)";
}

} // namespace gateway
