#pragma once

// What a door offers the router: a method, a path, who may use it, and what answers it.

#include "net/http.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace gateway::api {

// One request on its way to its handler. Everything in it lives until the answer is written.
struct call {
    net::request& request;
    std::string_view endpoint; // of /v2/{endpoint_id}/…; empty in the bare form
    std::string_view id;       // the pattern's first placeholder; empty where it has none
    std::string_view request_id;
    std::string_view part = {}; // the pattern's second placeholder
};

struct route {
    std::string_view method;    // a GET answers HEAD too
    std::string_view pattern;   // "/run", "/api/v1/jobs/{id}/images/{n}"; {id} is a job's id
    std::string_view operation; // operationId in openapi.yaml; the bare form's ends in "Bare"
    bool in_endpoint = false;   // also below /v2/{endpoint_id}
    bool open = false;          // needs no key
    std::uint64_t body_limit = 0;
    // Answers at once, or leaves it to `later`. At least one of the two is there.
    std::function<std::optional<net::response>(const call&)> now;
    std::function<net::task<net::response>(call)> later;
    bool streams = false; // reads the body itself, while it arrives (net::request::incoming)
};

// What the client brought to be let in. RunPod's load balancer keeps Authorization for itself
// (runpod.md §5).
inline std::string_view credentials_of(const net::request& head)
{
    const auto authorization = head.header("Authorization");
    return authorization.empty() ? head.header("X-Api-Key") : authorization;
}

// The native API has its own way to say what is wrong (peers.md §5.8).
inline bool is_native(std::string_view path) { return path.starts_with("/api/"); }

} // namespace gateway::api
