#include "api/origins.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace gateway::api {

namespace {

// "localhost:8000" → "localhost", "[::1]:8000" → "[::1]".
std::string_view without_port(std::string_view host)
{
    const auto colon = host.rfind(':');
    return colon == std::string_view::npos || host.ends_with(']') ? host : host.substr(0, colon);
}

bool names_this_machine(std::string_view host)
{
    const auto name = to_lower(host);
    return name == "localhost" || name.ends_with(".localhost") || config::is_loopback(name + ":0");
}

bool contains(const config::names& all, std::string_view one)
{
    return std::any_of(all.begin(), all.end(),
                       [one](const std::string& known) { return iequals(known, one); });
}

bool only_reads(std::string_view method)
{
    return method == "GET" || method == "HEAD" || method == "OPTIONS";
}

// The page was served by this gateway, whatever stands between them.
bool is_own(std::string_view origin, std::string_view host)
{
    const auto scheme = origin.find("://");
    return scheme != std::string_view::npos && iequals(origin.substr(scheme + 3), host);
}

constexpr std::string_view advice =
    "; without keys a gateway is open to every page in this browser, so set auth.keys";

} // namespace

origins::origins(const config::settings& from)
    : no_keys_(from.auth.mode == config::auth_mode::none),
      hosts_(from.server.allow_hosts),
      origins_(from.server.allow_origins)
{
}

bool origins::is_named(std::string_view origin) const
{
    return !origin.empty() && contains(origins_, origin);
}

std::optional<std::string> origins::objection(const net::request& head) const
{
    if (!no_keys_)
        return std::nullopt;
    const auto host = head.header("Host");
    const auto name = without_port(host);
    if (!names_this_machine(name) && !contains(hosts_, name))
        return "Host is " + json_quoted(name) + ", which is no name of this machine" +
               std::string(advice) + ", or name the host in server.allow_hosts";
    if (only_reads(head.method))
        return std::nullopt;
    const auto origin = head.header("Origin");
    if (is_named(origin) || is_own(origin, host))
        return std::nullopt;
    const auto site = head.header("Sec-Fetch-Site");
    const bool is_foreign = site == "cross-site" || site == "same-site";
    if (origin.empty() && !is_foreign)
        return std::nullopt;
    return "a page of " + (origin.empty() ? "another site" : std::string(origin)) +
           " may not change anything here" + std::string(advice) +
           ", or name its origin in server.allow_origins";
}

std::optional<net::response> origins::preflight(const net::request& head,
                                                std::string_view methods) const
{
    const bool asks = head.method == "OPTIONS" &&
                      !head.header("Access-Control-Request-Method").empty() &&
                      is_named(head.header("Origin"));
    if (!asks)
        return std::nullopt;
    net::response answer;
    answer.status = 204;
    answer.content_type.clear();
    answer.headers = {{"Access-Control-Allow-Methods", std::string(methods)},
                      {"Access-Control-Allow-Headers",
                       "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Api-Key, "
                       "X-Request-Id"},
                      {"Access-Control-Max-Age", "600"}};
    return answer;
}

void origins::mark(const net::request& head, net::response& answer) const
{
    if (origins_.empty())
        return;
    answer.headers.emplace_back("Vary", "Origin");
    const auto origin = head.header("Origin");
    if (!is_named(origin))
        return;
    answer.headers.emplace_back("Access-Control-Allow-Origin", std::string(origin));
    answer.headers.emplace_back("Access-Control-Expose-Headers",
                                "ETag, Idempotency-Replayed, Location, Retry-After, X-Request-Id");
}

} // namespace gateway::api
