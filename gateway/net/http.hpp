#pragma once

// One HTTP/1.1 message in, one out, on a stream: limits and strictness (toolchain.md §3.4). Beast
// parses inside http.cpp; nobody outside net sees it.

#include "net/stream.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gateway::net {

using header_list = std::vector<std::pair<std::string, std::string>>;

// A request's body while it arrives, for a service that does not wait for all of it.
class incoming_body {
public:
    virtual ~incoming_body() = default;
    // Fills `into` from the front; 0 is the end. An error when the client has gone, brings nothing
    // for too long, or does not speak HTTP: nothing follows then.
    virtual task<result<std::size_t>> read(std::span<char> into) = 0;
};

// A request as a handler sees it. Views are good until the handler's response has been written.
struct request {
    std::string_view method; // "GET"
    std::string_view target; // as sent: path and query
    std::string_view path;   // target up to '?', not decoded
    std::string_view query;  // what follows '?', not decoded
    std::string body;
    incoming_body* incoming = nullptr; // instead of `body`, when the service has asked for that
    std::string_view peer;             // "127.0.0.1:50012"

    std::string_view header(std::string_view name) const; // empty when absent
    bool has_header(std::string_view name) const;
    // The decoded value of a query parameter; nothing when absent.
    std::optional<std::string> parameter(std::string_view name) const;
    // Whether the client has gone away while its request is being worked on.
    bool abandoned() const { return connection != nullptr && connection->peer_closed(); }

    stream* connection = nullptr;
    const void* fields = nullptr; // http.cpp's own
};

// Percent-decodes a path segment or a query value ('+' is a space only in a query).
std::string percent_decode(std::string_view text, bool plus_is_space = false);

// A body that is read while it is sent: a file, a long list, a stream of events.
class body_source {
public:
    virtual ~body_source() = default;
    // Known length is sent as Content-Length, unknown as chunked.
    virtual std::optional<std::uint64_t> size() const = 0;
    // Fills `into` from the front; 0 is the end. An error cuts the connection.
    virtual task<result<std::size_t>> read(std::span<char> into) = 0;
};

struct response {
    int status = 200;
    std::string content_type = "application/json"; // empty: no body and no header
    std::string body;
    std::shared_ptr<body_source> source; // instead of body
    header_list headers;                 // further ones
    bool close = false;                  // end the connection after this
    // `headers` are all there is, in their order and case; only "Connection: close" is added. For
    // servers that must look like another one; content_type is not sent then.
    bool raw_headers = false;
    // Runs on the loop once the last byte has been handed to the kernel (true), or could not be.
    std::function<void(bool)> written;
};

// What went wrong while a message was read, before any handler could see it.
enum class protocol_error {
    malformed,        // not HTTP, or a header that could smuggle (400)
    header_too_large, // (431)
    body_too_large,   // over what admit() allowed; the status is the service's to choose
    timeout,          // headers or body did not arrive in time (408)
};

std::string_view reason_phrase(int status);

} // namespace gateway::net
