#include "net/tunnel.hpp"

#include "base/text.hpp"
#include "net/error.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <array>

namespace gateway::net {

namespace {

using asio::ip::tcp;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t head_limit = 8 * 1024;

// The socket under a time limit that closes it.
struct limited {
    limited(tcp::socket s, deadline_wheel& wheel) : socket(std::move(s)), wheel_(wheel) {}
    tcp::socket socket;
    std::optional<deadline> limit;
    deadline_wheel& wheel_;
};

failure refused(const url& to, const proxy_address& by, error_code code, const std::string& why)
{
    failure f;
    f.phase = phase::connecting;
    f.code = code;
    f.what = "the proxy " + by.host + ':' + std::to_string(by.port) + " does not connect to " +
             to.origin() + ": " + (why.empty() ? code.message() : why);
    f.timed_out = code == asio::error::timed_out;
    return f;
}

std::string connect_request(const url& to, const proxy_address& by)
{
    const auto host = to.host.find(':') == std::string::npos ? to.host : '[' + to.host + ']';
    const auto target = host + ':' + std::to_string(to.port);
    auto text = "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n";
    if (!by.authorization.empty())
        text += "Proxy-Authorization: " + by.authorization + "\r\n";
    return text + "\r\n";
}

// The head of its answer. The server does not speak first in TLS, so nothing comes after it.
task<result<std::string>> read_answer(tcp::socket& socket)
{
    std::string head;
    std::array<char, 1024> piece{};
    while (head.find("\r\n\r\n") == std::string::npos) {
        if (head.size() > head_limit)
            co_return error_code(error::too_large);
        const auto into = asio::buffer(piece);
        auto [ec, n] = co_await socket.async_read_some(into, as_result);
        if (ec)
            co_return ec;
        head.append(piece.data(), n);
    }
    co_return head;
}

} // namespace

std::optional<proxy_address> parse_proxy(std::string_view text)
{
    constexpr std::string_view scheme = "http://";
    if (!text.starts_with(scheme))
        return std::nullopt;
    text.remove_prefix(scheme.size());
    proxy_address by;
    if (const auto at = text.rfind('@'); at != std::string_view::npos) {
        by.authorization = "Basic " + base64_encode(text.substr(0, at));
        text.remove_prefix(at + 1);
    }
    const auto where = url::parse(std::string(scheme) + std::string(text));
    if (!where)
        return std::nullopt;
    by.host = where->host;
    by.port = where->port;
    return by;
}

task<outcome<tcp::socket>> open_tunnel(tcp::socket socket, url to, proxy_address by,
                                       deadline_wheel& wheel, duration limit)
{
    const auto pending = std::make_shared<limited>(std::move(socket), wheel);
    pending->limit.emplace(wheel, [weak = std::weak_ptr(pending)] {
        if (const auto late = weak.lock()) {
            error_code ignored;
            late->socket.close(ignored);
        }
    });
    pending->limit->set(limit);
    const auto request = connect_request(to, by);
    const auto bytes = asio::buffer(request);
    auto [ec, sent] = co_await asio::async_write(pending->socket, bytes, as_result);
    (void)sent;
    result<std::string> head = ec;
    if (!ec)
        head = co_await read_answer(pending->socket);
    const bool late = pending->limit->expired();
    pending->limit->clear();
    if (late)
        co_return refused(to, by, asio::error::timed_out, {});
    if (!head)
        co_return refused(to, by, head.error(), {});
    const auto status = head->size() > 12 ? head->substr(9, 3) : std::string();
    if (!head->starts_with("HTTP/1.") || !status.starts_with('2'))
        co_return refused(to, by, error::malformed,
                          "it answered " + head->substr(0, head->find('\r')));
    co_return std::move(pending->socket);
}

} // namespace gateway::net
