// Names and hashes of model files: the last part of webui_job.hpp.

#include "proto/json.hpp"
#include "proto/text.hpp"
#include "proto/webui_job.hpp"

#include <algorithm>
#include <array>

namespace gateway::proto {

namespace {

problem refused(std::string_view raw, std::string_view why)
{
    return make_problem(problem_code::invalid_request,
                        quoted(raw.substr(0, 200)) +
                            " cannot name a model file: " + std::string(why));
}

bool is_letter_or_digit(char c)
{
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
}

std::uint32_t code_point(std::string_view utf8)
{
    std::uint32_t point = static_cast<unsigned char>(utf8[0]);
    point &= utf8.size() == 2 ? 0x1fU : utf8.size() == 3 ? 0x0fU : 0x07U;
    for (std::size_t i = 1; i < utf8.size(); ++i)
        point = point << 6 | (static_cast<unsigned char>(utf8[i]) & 0x3fU);
    return point;
}

// Whether a character beyond ASCII may be taken for a letter or digit: not Latin-1's signs, general
// punctuation and symbols, ideographic space and brackets, private use, or specials.
bool may_be_letter(std::uint32_t point)
{
    constexpr std::array<std::pair<std::uint32_t, std::uint32_t>, 7> others{{{0x80, 0xbf},
                                                                             {0xd7, 0xd7},
                                                                             {0xf7, 0xf7},
                                                                             {0x2000, 0x2bff},
                                                                             {0x3000, 0x303f},
                                                                             {0xe000, 0xf8ff},
                                                                             {0xfe00, 0xffff}}};
    return point < 0xe0000 && std::none_of(
                                  others.begin(), others.end(),
                                  [point](const auto& range) {
                                      return point >= range.first && point <= range.second;
                                  });
}

// The first character that may not be in a name; empty when all may.
std::string_view first_forbidden(std::string_view name, bool other_scripts)
{
    constexpr std::string_view signs = " ._()+-";
    for (std::size_t at = 0; at < name.size();) {
        const std::size_t length = utf8_length(name.substr(at));
        if (length == 0)
            return name.substr(at, 1);
        const std::string_view one = name.substr(at, length);
        const bool fine = length == 1
                              ? is_letter_or_digit(one[0]) || signs.find(one[0]) != signs.npos
                              : other_scripts && may_be_letter(code_point(one));
        if (!fine)
            return one;
        at += length;
    }
    return {};
}

std::size_t characters(std::string_view name)
{
    return static_cast<std::size_t>(std::count_if(name.begin(), name.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    }));
}

// CON, NUL, COM1 … with or without an extension: devices on Windows and on its network shares.
bool is_windows_device(std::string_view name)
{
    const std::string stem = to_lower(name.substr(0, name.find('.')));
    constexpr std::array<std::string_view, 4> devices{"con", "prn", "aux", "nul"};
    if (std::find(devices.begin(), devices.end(), stem) != devices.end())
        return true;
    return stem.size() == 4 && (stem.starts_with("com") || stem.starts_with("lpt")) &&
           stem[3] >= '1' && stem[3] <= '9';
}

bool ends_like_a_partial_file(std::string_view name)
{
    const std::string low = to_lower(name);
    return low.ends_with(".part") || low.ends_with(".meta") || low.ends_with(".tmp");
}

// Why a name cannot be used; empty when it can (downloads.md §5.3).
std::string name_fault(std::string_view name, core::model_kind kind, bool other_scripts)
{
    if (name.empty())
        return "it is empty";
    if (characters(name) > 120 || name.size() > 200)
        return "it is longer than 120 characters or 200 bytes";
    if (const auto bad = first_forbidden(name, other_scripts); !bad.empty())
        return quoted(bad) + " is not allowed; letters, digits, spaces and ._()+- are";
    if (name.front() == '.' || (name.front() >= 0 && !is_letter_or_digit(name.front())))
        return "it must begin with a letter or digit";
    if (name.back() == '.' || name.back() == ' ')
        return "it must not end with a dot or a space";
    if (name.find("..") != std::string_view::npos)
        return "it must not hold two dots in a row";
    if (is_windows_device(name))
        return "it is the name of a device";
    if (ends_like_a_partial_file(name))
        return "names ending in .part, .meta or .tmp are kept for downloads";
    if (kind == core::model_kind::lora && (name == "none" || name == "Addams"))
        return "the WebUI keeps this name for itself";
    return {};
}

} // namespace

parsed<std::string> parse_model_name(std::string_view raw, core::model_kind kind,
                                     bool other_scripts)
{
    const std::string_view name = without_model_extension(raw);
    if (const std::string fault = name_fault(name, kind, other_scripts); !fault.empty())
        return refused(raw, fault);
    return std::string(name);
}

parsed<std::string> parse_model_hash(std::string_view raw)
{
    std::string digits = to_lower(raw);
    if (digits.starts_with("sha256:"))
        digits.erase(0, 7);
    const bool hex = std::all_of(digits.begin(), digits.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    });
    if (hex && (digits.size() == 64 || (digits.size() >= 10 && digits.size() <= 12)))
        return digits;
    std::string why = "a sha256 is wanted, whole (64 hex digits) or its first 10 to 12";
    if (hex && digits.size() == 8)
        why += "; 8 digits are the old AutoV1 form, which says nothing about the whole file";
    if (digits.starts_with("autov3:"))
        why += "; AutoV3 leaves the header out and cannot be compared with the file";
    return make_problem(problem_code::invalid_request,
                        "found " + quoted(raw.substr(0, 80)) + "; " + why);
}

} // namespace gateway::proto
