#pragma once

// Names to addresses on a lane of their own, cached, with deadlines; and which addresses may be
// connected to (downloads.md §5.1): the address that was judged is the one that is dialled.

#include "net/async.hpp"

#include <map>
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

// Globally routable, after unwrapping v4-mapped, 6to4, Teredo and NAT64 forms.
bool is_public_address(std::string_view ip);

// Which peers a connection may have.
struct address_policy {
    bool allow_private = true;          // false: every resolved address must be public
    std::set<std::string> exempt_hosts; // "host" or "host:port" that may be private all the same
};

class resolver {
public:
    resolver(lane& dns, time_source& time, duration limit = std::chrono::seconds(5),
             duration keep = std::chrono::seconds(30));
    // Fixed answers, "host:port" or "host" → ip[:port] (decisions.md 22).
    void map(std::string host_and_port, std::string address);
    // Addresses in the order to try; an error when the name is unknown, the lookup too slow, or any
    // address is refused by the policy.
    task<result<std::vector<address>>> resolve(std::string host, std::uint16_t port,
                                               const address_policy& policy);

private:
    struct entry {
        std::vector<std::string> ips;
        steady_time until;
    };
    lane& dns_;
    time_source& time_;
    duration limit_;
    duration keep_;
    std::map<std::string, std::string, std::less<>> fixed_;
    std::map<std::string, entry, std::less<>> cache_;
};

} // namespace gateway::net
