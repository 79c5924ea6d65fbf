#pragma once

// TLS for outgoing connections. Only tls.cpp knows OpenSSL's stream: it takes longer to compile
// than all the rest of net together.

#include "net/stream.hpp"

#include <boost/asio/ip/tcp.hpp>

namespace gateway::net {

// The one SSL_CTX: TLS 1.2 and later, the system's certificates and those of `ca_file`.
class tls_context {
public:
    // Throws when ca_file cannot be used.
    explicit tls_context(const std::string& ca_file);
    ~tls_context();
    tls_context(const tls_context&) = delete;
    tls_context& operator=(const tls_context&) = delete;

    struct impl;
    impl& get() { return *impl_; }

private:
    std::unique_ptr<impl> impl_;
};

class tls_stream : public stream {
public:
    // Agrees on keys and verifies that the peer is `host`, by name or by address.
    virtual task<error_code> handshake() = 0;
    // Why the peer's certificate was not accepted; empty when that was not the trouble.
    virtual std::string distrust() const = 0;
};

std::shared_ptr<tls_stream> make_tls_stream(tls_context& context, asio::ip::tcp::socket socket,
                                            const std::string& host);

} // namespace gateway::net
