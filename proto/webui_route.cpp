#include "proto/webui_route.hpp"

#include "base/text.hpp"
#include "proto/image.hpp"

#include <algorithm>
#include <array>

namespace gateway::proto {

namespace {

constexpr std::string_view base64_letters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n";

bool is_base64(std::string_view text)
{
    static const auto known = [] {
        std::array<bool, 256> letters{};
        for (const char c : base64_letters)
            letters[static_cast<unsigned char>(c)] = true;
        return letters;
    }();
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return known[static_cast<unsigned char>(c)]; });
}

bool is_url(std::string_view text)
{
    constexpr std::size_t longest_scheme = 8; // "https://"
    const std::string start = to_lower(text.substr(0, longest_scheme));
    return start.starts_with("http://") || start.starts_with("https://") ||
           start.starts_with("file:") || start.starts_with("ftp:");
}

// What the routes of webui.md §2.2 and §2.5 and ControlNet's units call a picture.
bool holds_a_picture(std::string_view key)
{
    constexpr std::array<std::string_view, 6> keys{"image",      "mask", "input_image",
                                                   "mask_image", "data", "init_images"};
    return std::find(keys.begin(), keys.end(), key) != keys.end();
}

void check_text(std::string_view text, bool picture, const std::string& path, complaints& into)
{
    constexpr std::string_view no_picture = "none"; // how a unit says that it has none
    if (is_url(text))
        into.add(path + ": is a URL, and the WebUI is not to fetch anything for a job; send the "
                        "picture itself, in base64");
    else if (picture && !text.empty() && to_lower(text) != no_picture)
        if (const std::string wrong = why_no_picture(text); !wrong.empty())
            into.add(path + ": " + wrong);
}

void check_value(const json::value& value, bool picture, const std::string& path, complaints& into)
{
    if (const json::string* text = value.if_string()) {
        check_text(*text, picture, path, into);
    } else if (const json::array* list = value.if_array()) {
        for (std::size_t i = 0; i < list->size(); ++i)
            check_value((*list)[i], picture, path + "[" + std::to_string(i) + "]", into);
    } else if (const json::object* object = value.if_object()) {
        for (const auto& [key, member] : *object) {
            const std::string_view name(key.data(), key.size());
            check_value(member, holds_a_picture(name), path + "." + std::string(name), into);
        }
    }
}

std::string without_slash(std::string_view endpoint)
{
    return std::string(endpoint.starts_with('/') ? endpoint.substr(1) : endpoint);
}

std::string known_method(std::string_view given)
{
    for (const std::string_view method : {"GET", "POST"})
        if (iequals(given, method))
            return std::string(method);
    return std::string(given);
}

problem not_allowed(const std::string& asked, const std::string& endpoint)
{
    std::string why = "input.api: " + quoted(asked) +
                      " is not among the routes that the operator allows (webui.allow_endpoints)";
    if (endpoint == "v1/download" || endpoint == "v1/sync")
        why = "input.api: " + quoted(asked) +
              " is no route of the WebUI; models are named with their URL in input.checkpoint and "
              "input.loras, and fetched by themselves";
    return make_problem(problem_code::invalid_request, std::move(why));
}

} // namespace

bool names_a_route(const json::object& input)
{
    const json::value* api = input.if_contains("api");
    return api != nullptr && api->is_object();
}

parsed<webui_route> read_route(const json::object& input, std::span<const std::string> allowed)
{
    complaints wrong;
    reader from(input.at("api").get_object(), "input.api", wrong);
    const std::string method = known_method(from.text("method").value_or("POST"));
    const auto endpoint = from.required_text("endpoint");
    if (!wrong.none())
        return wrong.as_problem();
    const std::string path = without_slash(*endpoint);
    const std::string asked = method + " " + path;
    if (std::find(allowed.begin(), allowed.end(), asked) == allowed.end())
        return not_allowed(asked, path);
    return webui_route{method, "/" + path};
}

std::string why_no_picture(std::string_view text)
{
    if (is_url(text))
        return "is a URL, and the WebUI is not to fetch anything for a job; send the picture "
               "itself, in base64";
    if (text.starts_with("data:")) {
        const std::size_t comma = text.find(',');
        if (comma == std::string_view::npos)
            return "is a data URL without data";
        text.remove_prefix(comma + 1);
    }
    if (text.empty())
        return "is empty; a picture in base64 is wanted";
    if (sniff_base64_image(text) == image_format::unknown)
        return "does not begin as a PNG, JPEG or WebP picture in base64 does";
    if (!is_base64(text))
        return "is not base64 to its end";
    return {};
}

void check_pictures(const json::value& value, const std::string& path, complaints& into)
{
    check_value(value, false, path, into);
}

} // namespace gateway::proto
