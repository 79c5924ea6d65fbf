#pragma once

// From what was written to a typed value and back: durations and sizes with units, lists, choices.
// A rule knows what is right in words, so that a refusal can say it.

#include "config/settings.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace gateway::config {

// What was found. The environment and flags bring text that has no type yet; a file brings types.
struct plain_text {
    std::string text;
};
struct something_else { // a date, a list of numbers: never right
    std::string text;
};
using mapping = std::map<std::string, std::string>;
using found = std::variant<plain_text, bool, std::int64_t, double, std::string, names, mapping,
                           something_else>;
std::string show(const found& f); // for messages

template <class T> struct rule {
    std::string expected; // completes "must be …"
    std::function<std::optional<T>(const found&)> read;
    std::function<std::string(const T&)> show; // as TOML
};

rule<bool> yes_or_no();
rule<std::int64_t> number(std::int64_t least, std::int64_t most);
rule<double> ratio(double least, double most);
rule<milliseconds> time(milliseconds least, milliseconds most);
rule<bytes> size(bytes least, bytes most);

// Text and lists of text that a check accepts; `expected` says what the check wants.
using text_check = std::function<bool(std::string_view)>;
bool anything(std::string_view);
rule<std::string> text(std::string expected = "text", text_check check = anything);
rule<std::string> needed_text(std::string expected, text_check check); // never empty
rule<names> list(std::string expected_element, text_check check = anything);
rule<std::vector<milliseconds>> times(milliseconds least, milliseconds most); // never empty
rule<mapping> map_of(std::string expected, text_check key, text_check value);

std::optional<milliseconds> parse_time(std::string_view text); // "30s", "500ms", "2m", "1h", "30d"
std::optional<bytes> parse_size(std::string_view text);        // "10GiB", "64KiB", "100MB", "12B"
std::string show_time(milliseconds t);
std::string show_size(bytes b);

std::string quoted(std::string_view text); // as a TOML string

// Whether the found value is a text that says one of the names, in any case.
std::optional<std::string> as_text(const found& f);

template <class Enum> struct named {
    std::string_view name;
    Enum value;
};

// One of a few names. The first name of a value is the one it is shown with.
template <class Enum> rule<Enum> choice(std::vector<named<Enum>> names_of, std::size_t advertised)
{
    std::string expected = "one of ";
    for (std::size_t i = 0; i < advertised; ++i)
        expected += (i == 0 ? "" : ", ") + quoted(names_of[i].name);
    auto read = [names_of](const found& f) -> std::optional<Enum> {
        const auto word = as_text(f);
        for (const auto& known : names_of) {
            if (word == known.name)
                return known.value;
        }
        return std::nullopt;
    };
    auto show = [names_of](const Enum& value) {
        for (const auto& known : names_of) {
            if (known.value == value)
                return quoted(known.name);
        }
        return std::string("\"\"");
    };
    return {std::move(expected), std::move(read), std::move(show)};
}

// Checks of texts.
bool is_listen_address(std::string_view text);  // "127.0.0.1:8000", "[::1]:0", ":8000"
bool is_webui_url(std::string_view text);       // an origin with an optional prefix
bool is_origin(std::string_view text);          // "https://host[:port]"
bool is_host_pattern(std::string_view text);    // "huggingface.co", "*.hf.co"
bool is_host(std::string_view text);            // "host", "host:port", "[::1]:port"
bool is_webhook_secret(std::string_view text);  // "whsec_" and base64 of 24 to 64 bytes
bool is_numeric_address(std::string_view text); // "10.0.0.5", "10.0.0.5:80", "[::1]:80"

// The name nearest to a mistyped one; empty when none is near.
std::string nearest(std::string_view mistyped, const names& known);

} // namespace gateway::config
