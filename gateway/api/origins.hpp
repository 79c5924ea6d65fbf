#pragma once

// Web pages and this gateway. A page can make its visitor's browser send requests to loopback
// addresses; where no key is asked for, that would let any page on the web submit jobs. So without
// keys only requests come in that name this machine (else a page could rename itself to it: DNS
// rebinding), and only pages of our own, or of origins that the operator has named, may change
// anything. Other pages may read answers only when their origin is named (CORS).

#include "config/settings.hpp"
#include "net/http.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace gateway::api {

class origins {
public:
    origins() = default; // no rules at all
    explicit origins(const config::settings& from);

    // Why this request must not come in, for people; nothing when it may.
    std::optional<std::string> objection(const net::request& head) const;
    // The answer to a browser that asks whether a page of a named origin may send something.
    std::optional<net::response> preflight(const net::request& head,
                                           std::string_view methods) const;
    // Lets pages of named origins read this answer.
    void mark(const net::request& head, net::response& answer) const;

private:
    bool is_named(std::string_view origin) const;

    bool no_keys_ = false;
    config::names hosts_;
    config::names origins_;
};

} // namespace gateway::api
