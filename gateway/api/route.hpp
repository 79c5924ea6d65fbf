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
    std::string_view id;       // of …/{id}; empty where the pattern has none
    std::string_view request_id;
};

struct route {
    std::string_view method;    // a GET answers HEAD too
    std::string_view pattern;   // "/run", "/status/{id}"
    std::string_view operation; // operationId in openapi.yaml; the bare form's ends in "Bare"
    bool in_endpoint = false;   // also below /v2/{endpoint_id}
    bool open = false;          // needs no key
    std::uint64_t body_limit = 0;
    // Answers at once, or leaves it to `later`. At least one of the two is there.
    std::function<std::optional<net::response>(const call&)> now;
    std::function<net::task<net::response>(call)> later;
};

} // namespace gateway::api
