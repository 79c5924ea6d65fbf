#pragma once

// Streams over TCP sockets, for the parts of net that open sockets themselves.

#include "net/stream.hpp"

#include <boost/asio/ip/tcp.hpp>

namespace gateway::net {

// Takes over a connected socket.
std::shared_ptr<stream> make_tcp_stream(asio::ip::tcp::socket socket);

// What a socket says without being read from.
enum class socket_state {
    quiet, // open, nothing to read
    ready, // bytes wait
    ended, // the peer has closed or reset it
};
socket_state look_at(asio::ip::tcp::socket& socket) noexcept;

} // namespace gateway::net
