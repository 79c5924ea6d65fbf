#include "support/fake_net.hpp"

#include "base/text.hpp"
#include "net/error.hpp"
#include "support/memory_stream.hpp"

#include <boost/asio/error.hpp>

#include <algorithm>
#include <array>

namespace gateway::test {

namespace {

constexpr const char* public_address = "93.184.216.34";

net::failure cannot(net::phase where, std::string what, error_code code)
{
    net::failure f;
    f.phase = where;
    f.code = code;
    f.what = std::move(what) + ": " + code.message();
    f.timed_out = code == net::asio::error::timed_out;
    return f;
}

// Takes the first request out of `in`; nothing while it is not whole.
std::optional<heard> take_request(std::string& in)
{
    const auto head_end = in.find("\r\n\r\n");
    if (head_end == std::string::npos)
        return std::nullopt;
    heard r;
    std::string_view head(in.data(), head_end);
    std::size_t length = 0;
    for (bool first = true; !head.empty(); first = false) {
        const auto end = std::min(head.find("\r\n"), head.size());
        const auto line = head.substr(0, end);
        head.remove_prefix(std::min(end + 2, head.size()));
        if (first) {
            const auto a = line.find(' '), b = line.rfind(' ');
            r.method = line.substr(0, a);
            r.target = line.substr(a + 1, b - a - 1);
            continue;
        }
        const auto colon = line.find(": ");
        r.headers.emplace_back(to_lower(line.substr(0, colon)), line.substr(colon + 2));
        if (r.headers.back().first == "content-length")
            length = std::stoul(r.headers.back().second);
    }
    if (in.size() < head_end + 4 + length)
        return std::nullopt;
    r.body = in.substr(head_end + 4, length);
    in.erase(0, head_end + 4 + length);
    return r;
}

} // namespace

std::string heard::header(std::string_view lower_case_name) const
{
    for (const auto& [name, value] : headers)
        if (name == lower_case_name)
            return value;
    return {};
}

// --- answers ---

answer answer::redirect(std::string to, int status)
{
    answer a(status, "");
    a.headers.emplace_back("Location", std::move(to));
    return a;
}

answer answer::reset_at(std::size_t part)
{
    answer a;
    a.end = ending::reset;
    a.part = part;
    return a;
}

std::string answer::head_text() const
{
    std::string text = "HTTP/1.1 " + std::to_string(status) + " Whatever\r\nserver: uvicorn\r\n";
    if (end != ending::closed)
        text += "content-length: " + std::to_string(announced.value_or(body.size())) + "\r\n";
    if (!type.empty())
        text += "content-type: " + type + "\r\n";
    for (const auto& [name, value] : headers)
        text += name + ": " + value + "\r\n";
    return text + "\r\n";
}

std::size_t answer::head_size() const { return head_text().size(); }

// --- one server ---

fake_server::fake_server(world& w, net::task_group& serving, std::string origin)
    : world_(w), serving_(serving), origin_(std::move(origin))
{
}

std::vector<heard> fake_server::requests_for(std::string_view path) const
{
    std::vector<heard> some;
    for (const auto& r : requests_)
        if (r.path() == path)
            some.push_back(r);
    return some;
}

std::size_t fake_server::count(std::string_view method, std::string_view path) const
{
    return static_cast<std::size_t>(
        std::count_if(requests_.begin(), requests_.end(),
                      [&](const heard& r) { return r.method == method && r.path() == path; }));
}

std::size_t fake_server::open_connections() const
{
    return static_cast<std::size_t>(
        std::count_if(connections_.begin(), connections_.end(), [](const auto& weak) {
            const auto peer = weak.lock();
            return peer && !peer->is_closed() && !peer->peer_closed();
        }));
}

void fake_server::drop_connections()
{
    for (const auto& weak : connections_) {
        const auto peer = weak.lock();
        if (peer)
            peer->reset(net::asio::error::connection_reset);
    }
    connections_.clear();
}

std::shared_ptr<net::stream> fake_server::accept()
{
    auto [theirs, ours] = memory_stream::make_pair(world_.ex());
    connections_.push_back(ours);
    serving_.spawn(serve(*this, std::move(ours), ++accepted_));
    return theirs;
}

net::task<> fake_server::serve(fake_server& self, std::shared_ptr<memory_stream> peer, int number)
{
    std::string in;
    std::array<char, 64 * 1024> piece{};
    for (;;) {
        auto request = take_request(in);
        if (!request) {
            const std::span<char> into(piece);
            const auto n = co_await peer->read_some(into);
            if (!n)
                co_return;
            in.append(piece.data(), *n);
            continue;
        }
        request->connection = number;
        request->when = self.world_.time.now();
        self.requests_.push_back(*request);
        auto what = self.handler_ ? self.handler_(*request) : answer(404, "");
        const bool go_on = co_await give(self, peer, std::move(what));
        if (!go_on)
            co_return;
    }
}

// Whether the connection can take another request.
net::task<bool> fake_server::give(fake_server& self, std::shared_ptr<memory_stream> peer,
                                  answer what)
{
    error_code ec;
    if (what.after > duration{})
        ec = co_await self.world_.time.sleep_for(what.after);
    if (!ec && what.held)
        ec = co_await what.held->wait();
    if (ec)
        co_return false;
    std::string bytes = what.head_text() + what.body;
    const bool partly = what.end != answer::ending::whole && what.end != answer::ending::closed;
    if (partly)
        bytes.resize(std::min(bytes.size(), what.part));
    ec = co_await peer->write(bytes);
    if (ec)
        co_return false;
    switch (what.end) {
    case answer::ending::whole: co_return true;
    case answer::ending::closed:
    case answer::ending::cut: peer->close(); break;
    case answer::ending::reset: {
        // What was sent before it still arrives.
        const auto arrived = co_await self.world_.time.sleep_for(std::chrono::milliseconds(1));
        if (!arrived)
            peer->reset(net::asio::error::connection_reset);
        break;
    }
    case answer::ending::stalled: {
        std::array<char, 16> nothing{};
        const std::span<char> into(nothing);
        const auto n = co_await peer->read_some(into); // until the client has had enough
        (void)n;
        break;
    }
    }
    co_return false;
}

// --- the network ---

fake_net::~fake_net() { world_.cancel(serving_); }

fake_server& fake_net::at(const std::string& origin)
{
    auto& server = servers_[net::url::parse(origin)->origin()];
    if (!server)
        server = std::make_unique<fake_server>(world_, serving_, origin);
    return *server;
}

std::optional<net::failure> fake_net::why_not(const net::url& to,
                                              const net::address_policy& peers) const
{
    if (!servers_.contains(to.origin()) && !addresses_.contains(to.host))
        return cannot(net::phase::resolving, "no address for " + to.host,
                      net::asio::error::host_not_found);
    const auto with_port = to.host + ":" + std::to_string(to.port);
    const bool exempt =
        peers.exempt_hosts.contains(to.host) || peers.exempt_hosts.contains(with_port);
    const auto known = addresses_.find(to.host);
    const auto ip = known == addresses_.end() ? public_address : known->second;
    if (!peers.allow_private && !exempt && !net::is_public_address(ip))
        return cannot(net::phase::resolving, "no address for " + to.host,
                      net::error::address_refused);
    return std::nullopt;
}

net::task<net::outcome<std::shared_ptr<net::stream>>>
fake_net::dial(const net::url& to, const net::address_policy& peers, duration limit)
{
    auto no = why_not(to, peers);
    if (no)
        co_return std::move(*no);
    const auto at = servers_.find(to.origin());
    auto refused = cannot(net::phase::connecting, "cannot connect to " + to.origin(),
                          net::asio::error::connection_refused);
    if (at == servers_.end())
        co_return refused;
    auto& server = *at->second;
    ++server.connects_;
    switch (server.port_) {
    case fake_server::port::open: co_return server.accept();
    case fake_server::port::closed: co_return refused;
    case fake_server::port::resetting: {
        auto peer = memory_stream::make_pair(world_.ex()).first;
        peer->reset(net::asio::error::connection_reset);
        co_return peer;
    }
    case fake_server::port::swallowing: break;
    }
    const auto stopped = co_await world_.time.sleep_for(limit);
    (void)stopped;
    co_return cannot(net::phase::connecting, "cannot connect to " + to.origin(),
                     net::asio::error::timed_out);
}

} // namespace gateway::test
