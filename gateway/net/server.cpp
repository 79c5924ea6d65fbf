#include "net/server.hpp"

#include "net/session.hpp"
#include "net/tcp.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <charconv>
#include <list>

namespace gateway::net {

namespace {

using asio::ip::tcp;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

} // namespace

struct server::impl : std::enable_shared_from_this<server::impl> {
    using sessions_list = std::list<std::shared_ptr<session>>;

    std::shared_ptr<session_shared> shared;
    std::vector<std::shared_ptr<tcp::acceptor>> doors;
    sessions_list sessions;
    versions changed; // a session has ended, or the server is closing

    explicit impl(std::shared_ptr<session_shared> s) : shared(std::move(s)), changed(shared->ex) {}

    static task<> accept_all(std::shared_ptr<impl> self, std::shared_ptr<tcp::acceptor> door);
    std::shared_ptr<session> open(std::shared_ptr<stream> peer, std::string name);
    static task<> run(std::shared_ptr<impl> self, sessions_list::iterator place);

    // Counts a session out, even when its frame is destroyed with the loop.
    class presence {
    public:
        presence(std::shared_ptr<impl> owner, sessions_list::iterator place)
            : owner_(std::move(owner)), place_(place)
        {
        }
        presence(const presence&) = delete;
        presence& operator=(const presence&) = delete;
        ~presence()
        {
            (*place_)->end();
            owner_->sessions.erase(place_);
            --owner_->shared->counts.open;
            owner_->changed.bump();
        }

    private:
        std::shared_ptr<impl> owner_;
        sessions_list::iterator place_;
    };
};

// --- sessions come and go ---

std::shared_ptr<session> server::impl::open(std::shared_ptr<stream> peer, std::string name)
{
    const auto s = std::make_shared<session>(shared, std::move(peer), std::move(name));
    const auto place = sessions.insert(sessions.end(), s);
    ++shared->counts.accepted;
    ++shared->counts.open;
    auto done = [](std::exception_ptr) {}; // serve() has dealt with it
    asio::co_spawn(shared->ex, run(shared_from_this(), place),
                   asio::bind_cancellation_slot(s->slot(), std::move(done)));
    return s;
}

task<> server::impl::run(std::shared_ptr<impl> self, sessions_list::iterator place)
{
    const presence here(self, place);
    const auto mine = *place;
    co_await mine->serve();
}

task<> server::impl::accept_all(std::shared_ptr<impl> self, std::shared_ptr<tcp::acceptor> door)
{
    while (!self->shared->closing) {
        if (self->sessions.size() >= self->shared->limits.connections) {
            co_await self->changed.past(self->changed.current());
            continue;
        }
        auto [ec, socket] = co_await door->async_accept(as_result);
        if (ec == asio::error::operation_aborted || self->shared->closing)
            co_return;
        if (ec) {
            // Out of descriptors or memory: the backlog keeps the client until there are some
            // again.
            co_await self->shared->time.sleep_for(std::chrono::milliseconds(100));
            continue;
        }
        error_code gone;
        const auto from = socket.remote_endpoint(gone);
        if (gone)
            continue;
        std::string name = from.address().to_string();
        if (from.address().is_v6())
            name = '[' + name + ']';
        name += ':' + std::to_string(from.port());
        self->open(make_tcp_stream(std::move(socket)), std::move(name));
    }
}

// --- the server ---

server::server(executor ex, time_source& time, deadline_wheel& wheel, service& answers,
               server_limits limits)
    : impl_(std::make_shared<impl>(
          std::make_shared<session_shared>(std::move(ex), time, wheel, answers, limits)))
{
}

server::~server()
{
    stop_accepting();
    const auto left = impl_->sessions;
    for (const auto& s : left)
        s->abandon();
}

namespace {

// "host:port" with a numeric host, "localhost", or none for all addresses.
result<std::vector<tcp::endpoint>> endpoints_of(std::string_view text)
{
    const error_code bad = asio::error::invalid_argument;
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos)
        return bad;
    auto host = text.substr(0, colon);
    const auto digits = text.substr(colon + 1);
    std::uint16_t port = 0;
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (ec != std::errc{} || end != digits.data() + digits.size())
        return bad;
    if (host.empty() || host == "*") {
        return std::vector<tcp::endpoint>{{asio::ip::address_v6::any(), port},
                                          {asio::ip::address_v4::any(), port}};
    }
    if (host.size() > 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    if (host == "localhost")
        host = "127.0.0.1";
    error_code not_numeric;
    const auto ip = asio::ip::make_address(host, not_numeric);
    if (not_numeric)
        return bad;
    return std::vector<tcp::endpoint>{{ip, port}};
}

error_code open_door(tcp::acceptor& door, const tcp::endpoint& at)
{
    error_code ec;
    door.open(at.protocol(), ec);
    if (!ec)
        door.set_option(asio::socket_base::reuse_address(true), ec);
    if (!ec && at.address().is_v6() && at.address().is_unspecified())
        door.set_option(asio::ip::v6_only(false), ec);
    if (!ec)
        door.bind(at, ec);
    if (!ec)
        door.listen(asio::socket_base::max_listen_connections, ec);
    return ec;
}

} // namespace

result<std::uint16_t> server::listen(std::string_view host_and_port)
{
    const auto candidates = endpoints_of(host_and_port);
    if (!candidates)
        return candidates.error();
    error_code ec;
    // "All addresses" is IPv6's any, which takes IPv4 too; where there is no IPv6, IPv4's.
    for (const auto& at : *candidates) {
        auto door = std::make_shared<tcp::acceptor>(impl_->shared->ex);
        ec = open_door(*door, at);
        if (ec)
            continue;
        impl_->doors.push_back(door);
        auto done = [](std::exception_ptr) {};
        asio::co_spawn(impl_->shared->ex, impl::accept_all(impl_, door), done);
        return door->local_endpoint().port();
    }
    return ec;
}

task<> server::serve(std::shared_ptr<stream> peer, std::string peer_name)
{
    const auto self = impl_;
    const auto s = self->open(std::move(peer), std::move(peer_name));
    while (!s->has_ended()) {
        const auto ec = co_await self->changed.past(self->changed.current());
        if (ec)
            co_return;
    }
}

void server::stop_accepting()
{
    impl_->shared->closing = true;
    for (const auto& door : impl_->doors) {
        error_code ignored;
        door->close(ignored);
    }
    for (const auto& s : impl_->sessions)
        s->close_if_idle();
    impl_->changed.bump();
}

task<> server::drain(duration grace)
{
    const auto self = impl_;
    stop_accepting();
    const auto end = self->shared->time.now() + grace;
    bool in_time = true;
    while (in_time && !self->sessions.empty())
        in_time = co_await self->changed.past(self->changed.current(), self->shared->time, end);
    const auto left = self->sessions;
    for (const auto& s : left)
        s->abandon();
    while (!self->sessions.empty()) {
        const auto ec = co_await self->changed.past(self->changed.current());
        if (ec)
            co_return;
    }
}

void server::observe(observer told) { impl_->shared->told = std::move(told); }

const server::stats& server::counters() const { return impl_->shared->counts; }

} // namespace gateway::net
