#pragma once

// HTTP requests to others: pooled keep-alive connections, fresh ones on demand, streamed replies.
// Every failure says how far the exchange had come, because that decides whether it may be
// repeated.

#include "net/http.hpp"
#include "net/resolver.hpp"

#include <cstdint>

namespace gateway::net {

// scheme://host:port/target, taken apart. Only http and https.
struct url {
    bool tls = false;
    std::string host; // lower case, without brackets
    std::uint16_t port = 0;
    std::string target = "/"; // path and query, byte-exact as given

    static result<url> parse(std::string_view text);
    // Resolves a Location header against this URL (RFC 3986).
    result<url> join(std::string_view location) const;
    std::string origin() const; // "https://host:port", port only when not the default
    std::string text() const;   // the whole URL
    std::string host_header() const;
};

// How far an exchange had come when it failed.
enum class phase {
    resolving,  // no address
    connecting, // no connection: nothing was sent
    sending,    // some of the request may have arrived
    waiting,    // the request is sent, no byte of the reply has come
    reading,    // in the middle of the reply
};

struct failure {
    net::phase phase = phase::connecting;
    error_code code;
    std::string what;         // a sentence naming the peer
    bool nothing_sent = true; // no byte of the request left this process
    bool timed_out = false;
};
// boost::system::result asks for this; use has_value() and error() instead of provoking it.
[[noreturn]] void throw_exception_from_error(const failure& f, const boost::source_location& where);

template <class T> using outcome = boost::system::result<T, failure>;

struct client_request {
    std::string method = "GET";
    url to;
    header_list headers; // Host, Content-Length, Connection and Accept-Encoding: identity are added
    std::string body;
    // Instead of body: read while it is sent, and once only. Its size must be known.
    std::shared_ptr<body_source> source;
    bool fresh_connection = false; // never a pooled one: an ambiguous reset must not happen
    address_policy peers;
    duration connect_timeout = std::chrono::seconds(15); // DNS, TCP and TLS together
    duration header_timeout = std::chrono::seconds(60);  // from the last byte sent to the header
    duration idle_timeout = std::chrono::seconds(30);    // without a byte of the body
    duration total_timeout = duration::max();
    std::uint64_t body_limit = 16 * 1024 * 1024; // for fetch(); stream() leaves it to the reader
};

struct reply_head {
    int status = 0;
    header_list headers; // names in lower case, in order
    std::optional<std::uint64_t> content_length;
    std::string_view header(std::string_view lower_case_name) const; // first one, empty when absent
};

struct reply {
    reply_head head;
    std::string body;
};

// A reply whose body is read piece by piece. Destroying it early closes the connection; reading to
// the end returns the connection to the pool.
class reply_stream {
public:
    virtual ~reply_stream() = default;
    virtual const reply_head& head() const = 0;
    // Fills `into` from the front; 0 is the complete end. A body cut short is a failure.
    virtual task<outcome<std::size_t>> read(std::span<char> into) = 0;
};

// Makes a connection; tests put scripted streams here.
class dialer {
public:
    virtual ~dialer() = default;
    virtual task<outcome<std::shared_ptr<stream>>> dial(const url& to, const address_policy& peers,
                                                        duration limit) = 0;
};

struct tls_settings {
    std::string ca_file; // in addition to the system store
};

// Dials real sockets: resolver → policy → TCP (each address in turn) → TLS with host verification.
std::unique_ptr<dialer> make_dialer(resolver& names, time_source& time, deadline_wheel& wheel,
                                    const tls_settings& tls = {});

class client {
public:
    client(dialer& connections, time_source& time, deadline_wheel& wheel,
           std::size_t idle_per_host = 4, duration keep_idle = std::chrono::seconds(4));
    ~client();
    client(const client&) = delete;
    client& operator=(const client&) = delete;

    // The whole reply. A GET over a pooled connection that turns out to be dead is tried once more
    // on a fresh one; nothing else is ever repeated here.
    task<outcome<reply>> fetch(client_request request);
    // The reply's head; the body is for the caller to read.
    task<outcome<std::unique_ptr<reply_stream>>> stream(client_request request);
    // The end of keeping connections: idle ones are closed now, others after their reply. Without
    // it the loop has something to wait for until the last one is too old.
    void close_idle();

private:
    struct impl;
    std::shared_ptr<impl> impl_;
};

} // namespace gateway::net
