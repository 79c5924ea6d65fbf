#pragma once

// A way through an HTTP proxy: CONNECT (RFC 9110 §9.3.6). What follows on the connection is between
// us and the server.

#include "net/client.hpp"

#include <boost/asio/ip/tcp.hpp>

namespace gateway::net {

struct proxy_address {
    std::string host;
    std::uint16_t port = 0;
    std::string authorization; // "Basic …"; empty: none
};

// "http://[user:password@]host:port"; nothing when it is anything else.
std::optional<proxy_address> parse_proxy(std::string_view text);

// Asks the proxy at the other end of `socket` to connect to `to`, and gives the socket back.
task<outcome<asio::ip::tcp::socket>> open_tunnel(asio::ip::tcp::socket socket, url to,
                                                 proxy_address by, deadline_wheel& wheel,
                                                 duration limit);

} // namespace gateway::net
