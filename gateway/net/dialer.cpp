#include "net/client.hpp"
#include "net/error.hpp"
#include "net/stream_limit.hpp"
#include "net/tcp.hpp"
#include "net/tls.hpp"
#include "net/tunnel.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace gateway::net {

namespace {

using asio::ip::tcp;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

// A socket that is being connected, and that running out of time closes.
struct attempt {
    explicit attempt(executor ex) : socket(std::move(ex)) {}
    tcp::socket socket;
    std::optional<deadline> limit;
};

class socket_dialer final : public dialer {
public:
    socket_dialer(resolver& names, time_source& time, deadline_wheel& wheel,
                  const tls_settings& settings)
        : names_(names), time_(time), wheel_(wheel), tls_(settings.ca_file)
    {
    }

    task<outcome<std::shared_ptr<stream>>> dial(const url& to, const address_policy& peers,
                                                duration limit) override;

private:
    task<result<tcp::socket>> connect(address at, duration limit);
    task<outcome<std::shared_ptr<stream>>> secure(tcp::socket socket, const url& to,
                                                  steady_time end);

    resolver& names_;
    time_source& time_;
    deadline_wheel& wheel_;
    tls_context tls_;
};

failure cannot(phase where, const std::string& what, error_code code, const std::string& detail)
{
    failure f;
    f.phase = where;
    f.code = code;
    f.what = what + ": " + (detail.empty() ? code.message() : detail);
    f.timed_out = code == asio::error::timed_out;
    return f;
}

std::string text_of(const address& at)
{
    const auto ip = at.ip.find(':') == std::string::npos ? at.ip : '[' + at.ip + ']';
    return ip + ':' + std::to_string(at.port);
}

task<result<tcp::socket>> socket_dialer::connect(address at, duration limit)
{
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
        co_return error_code(asio::error::operation_aborted);
    error_code ec;
    const auto ip = asio::ip::make_address(at.ip, ec);
    if (ec)
        co_return ec;
    const auto ex = co_await asio::this_coro::executor;
    const auto pending = std::make_shared<attempt>(ex);
    pending->limit.emplace(wheel_, [weak = std::weak_ptr(pending)] {
        if (const auto late = weak.lock()) {
            error_code ignored;
            late->socket.close(ignored);
        }
    });
    pending->limit->set(limit);
    const tcp::endpoint peer(ip, at.port);
    auto [failed] = co_await pending->socket.async_connect(peer, as_result);
    const bool late = pending->limit->expired();
    pending->limit->clear();
    if (late)
        co_return error_code(asio::error::timed_out);
    if (failed)
        co_return failed;
    co_return std::move(pending->socket);
}

task<outcome<std::shared_ptr<stream>>> socket_dialer::secure(tcp::socket socket, const url& to,
                                                             steady_time end)
{
    const auto secured = make_tls_stream(tls_, std::move(socket), to.host);
    stream_limit limit(wheel_, secured);
    limit.set(duration::max(), time_.now(), end);
    const auto ec = co_await secured->handshake();
    if (limit.expired()) {
        co_return cannot(phase::connecting, "no TLS session with " + to.origin(),
                         asio::error::timed_out, {});
    }
    if (ec) {
        co_return cannot(phase::connecting, "no TLS session with " + to.origin(), ec,
                         secured->distrust());
    }
    co_return secured;
}

task<outcome<std::shared_ptr<stream>>>
socket_dialer::dial(const url& to, const address_policy& peers, duration limit)
{
    const auto end = limit == duration::max() ? steady_time::max() : time_.now() + limit;
    const auto by = to.tls ? parse_proxy(peers.proxy) : std::nullopt;
    const auto policy = by ? address_policy{} : peers;
    const auto host = by ? by->host : to.host;
    const auto port = by ? by->port : to.port;
    const auto addresses = co_await names_.resolve(host, port, policy);
    if (!addresses)
        co_return cannot(phase::resolving, "no address for " + host, addresses.error(), {});

    failure last =
        cannot(phase::connecting, "cannot connect to " + to.origin(), asio::error::timed_out, {});
    std::size_t left = addresses->size();
    for (const auto& at : *addresses) {
        const auto remaining =
            end == steady_time::max() ? std::chrono::minutes(2) : end - time_.now();
        if (remaining <= duration::zero())
            break;
        // Shares of what is left: an address that swallows everything leaves time for the others.
        const auto share = remaining / static_cast<int>(left--);
        auto socket = co_await connect(at, share);
        if (!socket) {
            last =
                cannot(phase::connecting, "cannot connect to " + to.origin() + " at " + text_of(at),
                       socket.error(), {});
            if (last.code == asio::error::operation_aborted)
                break;
            continue;
        }
        if (by) {
            const auto patience = end == steady_time::max() ? remaining : end - time_.now();
            auto through = co_await open_tunnel(std::move(*socket), to, *by, wheel_, patience);
            if (!through)
                co_return through.error();
            co_return co_await secure(std::move(*through), to, end);
        }
        if (to.tls)
            co_return co_await secure(std::move(*socket), to, end);
        co_return make_tcp_stream(std::move(*socket));
    }
    co_return last;
}

} // namespace

std::unique_ptr<dialer> make_dialer(resolver& names, time_source& time, deadline_wheel& wheel,
                                    const tls_settings& tls)
{
    return std::make_unique<socket_dialer>(names, time, wheel, tls);
}

} // namespace gateway::net
