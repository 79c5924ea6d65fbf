#pragma once

// Keep-alive HTTP sessions over a listener: read a message, ask the service, write one string (or
// stream a body), again. Pipelined requests are answered in order.

#include "net/http.hpp"

#include <cstdint>

namespace gateway::net {

// Who answers. Called on the loop; references to the request are good until handle() is done.
class service {
public:
    virtual ~service() = default;

    struct verdict {
        std::uint64_t body_limit = 0;    // bytes this request may bring
        std::optional<response> refusal; // answered instead, without reading the body
        // The body is left to the handler, or to the source of its response, to read while it
        // arrives (request::incoming); body_limit does not apply then.
        bool streams = false;
    };
    // After the header, before the body and before any 100-continue.
    virtual verdict admit(const request& head) = 0;
    // Exceptions are answered with internal_error(), which may log them.
    virtual task<response> handle(request& req) = 0;
    // The body of an answer to something that never became a request.
    virtual response refuse(protocol_error what, const request* head) = 0;
    virtual response internal_error(const request& req, std::string_view what) = 0;
};

struct server_limits {
    std::size_t header_bytes = 16 * 1024;
    std::size_t connections = 10'000;                   // further ones wait in the kernel's backlog
    duration header_timeout = std::chrono::seconds(30); // from the first byte of a message
    duration idle_timeout = std::chrono::seconds(75);   // between messages
    duration body_timeout = std::chrono::seconds(60);   // without a byte of the body
    duration write_timeout = std::chrono::seconds(60);  // without progress in sending
    // After an answer that leaves an upload unread, the rest is read and dropped, so that the
    // client sees the answer and not a reset: all of it if its length is known and at most
    // linger_known, else linger_bytes; never longer than linger_time, nor linger_gap without a
    // byte.
    std::uint64_t linger_bytes = 1024 * 1024;
    std::uint64_t linger_known = 32 * 1024 * 1024;
    duration linger_time = std::chrono::seconds(30);
    duration linger_gap = std::chrono::seconds(5);
};

class server {
public:
    struct stats {
        std::uint64_t accepted = 0;
        std::uint64_t open = 0;
        std::uint64_t requests = 0;
        std::uint64_t active = 0; // requests being handled now
        std::uint64_t protocol_errors = 0;
    };
    // Told of every request once its answer has been sent (or could not be): the status and the
    // time since the request had arrived.
    using observer = std::function<void(const request&, int status, duration elapsed)>;

    server(executor ex, time_source& time, deadline_wheel& wheel, service& answers,
           server_limits limits = {});
    ~server();
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    // "127.0.0.1:8000", "[::1]:0", ":8000" (all addresses). Returns the port really bound.
    result<std::uint16_t> listen(std::string_view host_and_port);
    // Serves one stream that is already connected (tests, and sockets handed over).
    task<> serve(std::shared_ptr<stream> peer, std::string peer_name);
    // No new connections, idle ones closed, answers carry "Connection: close" from now on.
    void stop_accepting();
    void observe(observer told);
    // Waits until every request has been answered, at most `grace`; then closes what is left.
    task<> drain(duration grace);
    const stats& counters() const;

private:
    struct impl;
    std::shared_ptr<impl> impl_;
};

} // namespace gateway::net
