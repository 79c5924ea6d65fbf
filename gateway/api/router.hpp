#pragma once

// Leads each request to its handler: key, origin, path, method, body limit, request id. Knows two
// forms of a path, /v2/{endpoint_id}/… and bare, and nothing of what the handlers do.

#include "api/http_times.hpp"
#include "api/keys.hpp"
#include "api/origins.hpp"
#include "api/route.hpp"
#include "base/ids.hpp"
#include "net/server.hpp"
#include "proto/problem.hpp"

#include <array>
#include <vector>

namespace gateway::api {

class router final : public net::service {
public:
    // `other_body_limit` is for paths that lead nowhere. Throws std::logic_error when two routes
    // are the same.
    router(std::vector<route> routes, keys allowed, random_source& random,
           std::uint64_t other_body_limit, origins pages = {});

    // 401, 403 and what a browser asks before it sends a request (CORS) are answered here, before
    // the body is read.
    verdict admit(const net::request& head) override;
    net::task<net::response> handle(net::request& req) override;
    net::response refuse(net::protocol_error what, const net::request* head) override;
    net::response internal_error(const net::request& req, std::string_view what) override;

    // For net::server::observe().
    void observe(const net::request& req, int status, duration elapsed);

    const std::vector<route>& routes() const { return routes_; }
    const http_times& times() const { return times_; }

private:
    // A path, cut at its slashes.
    struct segments {
        static constexpr std::size_t most = 8; // of any pattern
        std::array<std::string_view, most> at;
        std::size_t count = 0; // most + 1: there are more
    };
    // All routes of one pattern.
    struct resource {
        segments pattern;
        bool in_endpoint = false;
        std::vector<std::size_t> routes;
        std::string allow; // of the methods, for 405
    };
    struct match {
        const route* to = nullptr;
        const resource* on = nullptr; // also when only the method is wrong
        std::string_view endpoint;
        std::string_view id;
        std::string_view part;
        proto::problem_code why = proto::problem_code::route_not_found; // when `to` is null
    };
    static segments cut(std::string_view path);
    static bool fits(const resource& r, const segments& path);
    static void capture(match& m, const segments& path);
    match find(std::string_view method, std::string_view path) const;
    std::optional<net::response> objection(const net::request& head, const match& m) const;
    net::response no_route(const match& m, std::string_view path) const;
    std::string request_id(const net::request* head);

    std::vector<route> routes_;
    std::vector<resource> resources_;
    keys keys_;
    origins origins_;
    random_source& random_;
    std::uint64_t other_body_limit_;
    http_times times_;
};

} // namespace gateway::api
