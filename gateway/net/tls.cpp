#include "net/tls.hpp"

#include "net/tcp.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <stdexcept>

namespace gateway::net {

namespace ssl = asio::ssl;

struct tls_context::impl {
    ssl::context context{ssl::context::tls_client};
};

tls_context::tls_context(const std::string& ca_file) : impl_(std::make_unique<impl>())
{
    auto& context = impl_->context;
    SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
    error_code ec;
    context.set_default_verify_paths(ec); // honours SSL_CERT_FILE and SSL_CERT_DIR
    if (ec) {
        throw std::runtime_error("cannot use the system's certificates: " + ec.message() +
                                 " (install ca-certificates, or set SSL_CERT_FILE)");
    }
    if (!ca_file.empty())
        context.load_verify_file(ca_file, ec);
    if (ec) {
        throw std::runtime_error("cannot read certificates from net.ca_file " + ca_file + ": " +
                                 ec.message() + " (it must hold PEM certificates)");
    }
}

tls_context::~tls_context() = default;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

class stream_over_tls final : public tls_stream {
public:
    stream_over_tls(ssl::context& context, asio::ip::tcp::socket socket, const std::string& host)
        : tls_(std::move(socket), context)
    {
        error_code ignored;
        tls_.next_layer().set_option(asio::ip::tcp::no_delay(true), ignored);
        tls_.set_verify_mode(ssl::verify_peer, ignored);
        tls_.set_verify_callback(ssl::host_name_verification(host), ignored);
        asio::ip::make_address(host, ignored);
        if (ignored) // a name: addresses are not announced (RFC 6066 §3)
            SSL_set_tlsext_host_name(tls_.native_handle(), host.c_str());
    }

    task<error_code> handshake() override
    {
        auto [ec] = co_await tls_.async_handshake(ssl::stream_base::client, as_result);
        co_return ec;
    }

    std::string distrust() const override
    {
        const auto code = SSL_get_verify_result(const_cast<tls&>(tls_).native_handle());
        if (code == X509_V_OK)
            return {};
        std::string why = X509_verify_cert_error_string(code);
        if (code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY)
            why += " (are ca-certificates installed?)";
        return why;
    }

    task<result<std::size_t>> read_some(std::span<char> into) override
    {
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none)
            co_return error_code(asio::error::operation_aborted);
        const auto room = asio::buffer(into.data(), into.size());
        auto [ec, n] = co_await tls_.async_read_some(room, as_result);
        if (ec)
            co_return ec;
        co_return n;
    }

    task<error_code> write(std::string_view bytes) override
    {
        // A record that was begun may have arrived, whatever the write says afterwards.
        sent_ += bytes.size();
        while (!bytes.empty()) {
            const auto state = co_await asio::this_coro::cancellation_state;
            if (state.cancelled() != asio::cancellation_type::none)
                co_return asio::error::operation_aborted;
            const auto rest = asio::buffer(bytes.data(), bytes.size());
            auto [ec, n] = co_await tls_.async_write_some(rest, as_result);
            if (ec)
                co_return ec;
            bytes.remove_prefix(n);
        }
        co_return error_code{};
    }

    void close() noexcept override
    {
        error_code ignored;
        tls_.next_layer().close(ignored);
    }

    void finish() noexcept override
    {
        error_code ignored;
        tls_.next_layer().shutdown(asio::socket_base::shutdown_send, ignored);
    }

    task<error_code> wait_readable() override
    {
        if (SSL_pending(tls_.native_handle()) > 0)
            co_return error_code{};
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none)
            co_return asio::error::operation_aborted;
        auto& socket = tls_.next_layer();
        auto [ec] = co_await socket.async_wait(asio::socket_base::wait_read, as_result);
        co_return ec;
    }

    bool peer_closed() noexcept override
    {
        return look_at(tls_.next_layer()) == socket_state::ended;
    }

    bool pending() noexcept override
    {
        return SSL_pending(tls_.native_handle()) > 0 ||
               look_at(tls_.next_layer()) != socket_state::quiet;
    }

    std::uint64_t sent() const noexcept override { return sent_; }

private:
    using tls = ssl::stream<asio::ip::tcp::socket>;
    tls tls_;
    std::uint64_t sent_ = 0;
};

} // namespace

std::shared_ptr<tls_stream> make_tls_stream(tls_context& context, asio::ip::tcp::socket socket,
                                            const std::string& host)
{
    return std::make_shared<stream_over_tls>(context.get().context, std::move(socket), host);
}

} // namespace gateway::net
