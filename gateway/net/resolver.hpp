#pragma once

// Names to addresses on a lane of their own, cached, with deadlines; and which addresses may be
// connected to (downloads.md §5.1): the address that was judged is the one that is dialled.

#include "net/async.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::net {

struct address {
    std::string ip; // numeric, without brackets
    std::uint16_t port = 0;
    bool operator==(const address&) const = default;
};

// Globally routable by downloads.md §5.1; v4-mapped and 6to4 forms are judged by what is inside.
bool is_public_address(std::string_view ip);

// Which peers a connection may have.
struct address_policy {
    bool allow_private = true;          // false: every resolved address must be public
    std::set<std::string> exempt_hosts; // "host" or "host:port" that may be private all the same
    // "http://[user:password@]host:port" that TLS connections are made through; then its address
    // is the only one that is known, and it may be private (decisions.md 21).
    std::string proxy;
};

// Whether the name alone shows, without looking it up, that the policy forbids it: an address that
// is not public, an odd spelling of one (0x7f.1), localhost. `host` without brackets.
bool refused_unseen(std::string_view host, std::uint16_t port, const address_policy& policy);

// The system's lookup: blocks, and returns numeric addresses in the order to try.
result<std::vector<std::string>> look_up_with_system(const std::string& host);

class resolver {
public:
    using lookup = std::function<result<std::vector<std::string>>(const std::string& host)>;

    // `ask` runs on the lane.
    resolver(lane& dns, time_source& time, duration limit = std::chrono::seconds(5),
             duration keep = std::chrono::seconds(30), lookup ask = look_up_with_system);
    ~resolver();
    resolver(const resolver&) = delete;
    resolver& operator=(const resolver&) = delete;

    // Fixed answers, "host:port" or "host" → ip[:port] (decisions.md 22). Such a host is exempt
    // from every policy. False when the address is not a numeric one.
    bool map(std::string host_and_port, std::string_view to);
    // Addresses in the order to try; an error when the name is unknown, the lookup too slow
    // (timed_out), or any address is refused by the policy (error::address_refused).
    task<result<std::vector<address>>> resolve(std::string host, std::uint16_t port,
                                               const address_policy& policy);

private:
    struct impl;
    std::shared_ptr<impl> impl_;
};

} // namespace gateway::net
