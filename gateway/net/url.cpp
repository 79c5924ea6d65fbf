#include "net/client.hpp"
#include "net/error.hpp"

#include <algorithm>
#include <charconv>

namespace gateway::net {

namespace {

constexpr std::size_t longest = 8192;

std::string lower_case(std::string_view text)
{
    std::string out(text);
    for (auto& c : out)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return out;
}

bool is_visible(std::string_view text)
{
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) > ' ' && c != 0x7f; });
}

bool is_host(std::string_view text, bool bracketed)
{
    const auto* allowed =
        bracketed ? "0123456789abcdef:." : "0123456789abcdefghijklmnopqrstuvwxyz-._";
    return !text.empty() && text.size() <= 253 &&
           text.find_first_not_of(allowed) == std::string_view::npos;
}

// "host", "host:port", "[::1]:port"; no user information.
bool take_authority(url& into, std::string_view authority)
{
    const bool bracketed = authority.starts_with('[');
    const auto close = bracketed ? authority.find(']') : 0;
    if (close == std::string_view::npos)
        return false;
    const auto colon = authority.find(':', close);
    const auto host = authority.substr(0, colon);
    into.host = lower_case(bracketed ? host.substr(1, close - 1) : host);
    if (bracketed && host.size() != close + 1)
        return false;
    into.port = into.tls ? 443 : 80;
    if (colon != std::string_view::npos && colon + 1 < authority.size()) {
        const auto digits = authority.substr(colon + 1);
        const auto [end, ec] =
            std::from_chars(digits.data(), digits.data() + digits.size(), into.port);
        if (ec != std::errc{} || end != digits.data() + digits.size() || into.port == 0)
            return false;
    }
    return is_host(into.host, bracketed);
}

// "https:" and what follows it; nothing when there is no scheme.
std::string_view scheme_of(std::string_view text)
{
    const auto colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0)
        return {};
    const auto scheme = lower_case(text.substr(0, colon));
    const bool letter = scheme[0] >= 'a' && scheme[0] <= 'z';
    const auto* allowed = "abcdefghijklmnopqrstuvwxyz0123456789+-.";
    if (!letter || scheme.find_first_not_of(allowed) != std::string::npos)
        return {};
    return text.substr(0, colon);
}

// RFC 3986 §5.2.4
std::string without_dot_segments(std::string_view path)
{
    std::string out;
    while (!path.empty()) {
        const auto end = std::min(path.find('/', 1), path.size());
        const auto segment = path.substr(0, end); // with its slash in front
        path.remove_prefix(end);
        const bool last = path.empty();
        if (segment == "/..") {
            out.erase(std::min(out.rfind('/'), out.size()));
            out += last ? "/" : "";
        } else if (segment == "/.") {
            out += last ? "/" : "";
        } else {
            out += segment;
        }
    }
    return out;
}

} // namespace

result<url> url::parse(std::string_view text)
{
    const error_code bad = error::not_a_url;
    if (text.size() > longest || !is_visible(text))
        return bad;
    const auto scheme = lower_case(scheme_of(text));
    if (scheme != "http" && scheme != "https")
        return bad;
    text.remove_prefix(scheme.size() + 1);
    if (!text.starts_with("//"))
        return bad;
    text.remove_prefix(2);
    text = text.substr(0, text.find('#'));

    url parsed;
    parsed.tls = scheme == "https";
    const auto end = std::min(text.find_first_of("/?"), text.size());
    if (!take_authority(parsed, text.substr(0, end)))
        return bad;
    parsed.target = text.substr(end);
    if (!parsed.target.starts_with('/'))
        parsed.target.insert(0, "/");
    return parsed;
}

result<url> url::join(std::string_view location) const
{
    const error_code bad = error::not_a_url;
    if (location.size() > longest || !is_visible(location))
        return bad;
    if (!scheme_of(location).empty())
        return parse(location);
    if (location.starts_with("//"))
        return parse((tls ? "https:" : "http:") + std::string(location));
    location = location.substr(0, location.find('#'));

    url joined = *this;
    if (location.empty())
        return joined;
    const auto base_path = target.substr(0, target.find('?'));
    if (location.starts_with('?')) {
        joined.target = base_path + std::string(location);
        return joined;
    }
    const auto mark = std::min(location.find('?'), location.size());
    std::string path(location.substr(0, mark));
    if (!path.starts_with('/'))
        path.insert(0, base_path, 0, base_path.rfind('/') + 1);
    joined.target = without_dot_segments(path) + std::string(location.substr(mark));
    return joined;
}

std::string url::host_header() const
{
    std::string out = host.find(':') == std::string::npos ? host : '[' + host + ']';
    if (port != (tls ? 443 : 80))
        out += ':' + std::to_string(port);
    return out;
}

std::string url::origin() const { return (tls ? "https://" : "http://") + host_header(); }

std::string url::text() const { return origin() + target; }

} // namespace gateway::net
