#include "net/client.hpp"

#include "net/exchange.hpp"

#include <boost/asio/error.hpp>

#include <algorithm>
#include <map>
#include <stdexcept>

namespace gateway::net {

namespace {

constexpr std::size_t read_step = 64 * 1024;

bool may_be_repeated(const client_request& r)
{
    return !r.source && (r.method == "GET" || r.method == "HEAD");
}

// Connections that may end at a private address are never used for a request that must not.
std::string pool_key(const client_request& r)
{
    const auto with_port = r.to.host + ':' + std::to_string(r.to.port);
    const bool any = r.peers.allow_private || r.peers.exempt_hosts.contains(r.to.host) ||
                     r.peers.exempt_hosts.contains(with_port);
    const auto by = r.to.tls && !r.peers.proxy.empty() ? " by " + r.peers.proxy : std::string();
    return r.to.origin() + (any ? "" : " public") + by;
}

} // namespace

void throw_exception_from_error(const failure& f, const boost::source_location&)
{
    throw std::logic_error("an outcome was not looked at: " + f.what);
}

std::string_view reply_head::header(std::string_view lower_case_name) const
{
    for (const auto& [name, value] : headers) {
        if (name == lower_case_name)
            return value;
    }
    return {};
}

// --- the pool ---

struct client::impl : std::enable_shared_from_this<client::impl> {
    struct idle_connection {
        std::shared_ptr<net::stream> peer;
        steady_time since;
    };

    dialer& connections;
    time_source& time;
    deadline_wheel& wheel;
    std::size_t idle_per_host;
    duration keep_idle;
    std::map<std::string, std::deque<idle_connection>> idle;
    std::optional<deadline> sweep;
    bool sweeping = false;
    bool closed = false;

    impl(dialer& d, time_source& t, deadline_wheel& w, std::size_t per_host, duration keep)
        : connections(d), time(t), wheel(w), idle_per_host(per_host), keep_idle(keep)
    {
    }

    void start()
    {
        sweep.emplace(wheel, [weak = weak_from_this()] {
            if (const auto self = weak.lock())
                self->close_old();
        });
    }

    std::shared_ptr<net::stream> take(const std::string& key)
    {
        const auto place = idle.find(key);
        if (place == idle.end())
            return nullptr;
        auto& waiting = place->second;
        std::shared_ptr<net::stream> found;
        while (!found && !waiting.empty()) {
            auto [peer, since] = std::move(waiting.back());
            waiting.pop_back();
            // The end, or an answer to nothing that we asked: not to be used again.
            if (time.now() - since < keep_idle && !peer->pending())
                found = std::move(peer);
            else
                peer->close();
        }
        if (waiting.empty())
            idle.erase(place);
        return found;
    }

    void put(const std::string& key, std::shared_ptr<net::stream> peer)
    {
        if (idle_per_host == 0 || closed)
            return peer->close();
        auto& waiting = idle[key];
        if (waiting.size() >= idle_per_host) {
            waiting.front().peer->close();
            waiting.pop_front();
        }
        waiting.push_back({std::move(peer), time.now()});
        if (!std::exchange(sweeping, true))
            sweep->set(keep_idle);
    }

    void close_old()
    {
        const auto now = time.now();
        for (auto& [key, waiting] : idle) {
            while (!waiting.empty() && now - waiting.front().since >= keep_idle) {
                waiting.front().peer->close();
                waiting.pop_front();
            }
        }
        std::erase_if(idle, [](const auto& item) { return item.second.empty(); });
        sweeping = !idle.empty();
        if (sweeping)
            sweep->set(keep_idle);
    }

    void close_all()
    {
        for (auto& [key, waiting] : idle) {
            for (auto& connection : waiting)
                connection.peer->close();
        }
        idle.clear();
        sweep->clear();
    }
};

// --- the client ---

namespace {

failure refused(const client_request& r)
{
    failure f;
    f.code = error::malformed;
    f.what = "a request to " + r.to.origin() +
             " was not sent: its method, target or a header holds characters that HTTP forbids";
    return f;
}

template <class Impl>
task<outcome<std::unique_ptr<exchange>>> start_exchange(std::shared_ptr<Impl> self,
                                                        client_request request)
{
    if (!can_be_sent(request))
        co_return refused(request);
    const auto end = request.total_timeout == duration::max()
                         ? steady_time::max()
                         : self->time.now() + request.total_timeout;
    const auto key = pool_key(request);
    const auto head = head_of(request);
    const connection_return give_back = [weak = std::weak_ptr(self),
                                         key](std::shared_ptr<stream> peer) {
        if (const auto owner = weak.lock())
            owner->put(key, std::move(peer));
        else
            peer->close();
    };
    bool nothing_sent = true;
    if (auto kept = request.fresh_connection ? nullptr : self->take(key)) {
        auto mine = std::make_unique<exchange>(std::move(kept), request, self->time, self->wheel,
                                               end, give_back);
        const auto failed = co_await mine->run(head, request);
        if (!failed)
            co_return std::move(mine);
        const bool stale = !failed->timed_out && failed->phase != phase::reading &&
                           failed->code != asio::error::operation_aborted;
        if (!stale || !may_be_repeated(request))
            co_return *failed;
        nothing_sent = failed->nothing_sent;
    }
    const auto patience = end == steady_time::max()
                              ? request.connect_timeout
                              : std::min(request.connect_timeout, end - self->time.now());
    auto dialled = co_await self->connections.dial(request.to, request.peers, patience);
    if (!dialled.has_value()) {
        auto f = dialled.error();
        f.nothing_sent = nothing_sent;
        co_return f;
    }
    auto mine = std::make_unique<exchange>(std::move(*dialled), request, self->time, self->wheel,
                                           end, give_back);
    auto failed = co_await mine->run(head, request);
    if (failed) {
        failed->nothing_sent = failed->nothing_sent && nothing_sent;
        co_return std::move(*failed);
    }
    co_return std::move(mine);
}

failure too_large(const client_request& r)
{
    failure f;
    f.phase = phase::reading;
    f.code = error::too_large;
    f.nothing_sent = false;
    f.what = r.to.origin() + " sent a reply of more than " + std::to_string(r.body_limit) +
             " bytes, the limit for this request";
    return f;
}

} // namespace

client::client(dialer& connections, time_source& time, deadline_wheel& wheel,
               std::size_t idle_per_host, duration keep_idle)
    : impl_(std::make_shared<impl>(connections, time, wheel, idle_per_host, keep_idle))
{
    impl_->start();
}

client::~client() { impl_->close_all(); }

void client::close_idle()
{
    impl_->closed = true;
    impl_->close_all();
}

task<outcome<std::unique_ptr<reply_stream>>> client::stream(client_request request)
{
    const auto self = impl_;
    auto started = co_await start_exchange(self, std::move(request));
    if (!started.has_value())
        co_return started.error();
    std::unique_ptr<reply_stream> rest = std::move(*started);
    co_return std::move(rest);
}

task<outcome<reply>> client::fetch(client_request request)
{
    const auto self = impl_;
    const auto limit = request.body_limit;
    const auto too_much = too_large(request);
    auto started = co_await start_exchange(self, std::move(request));
    if (!started.has_value())
        co_return started.error();
    const auto rest = std::move(*started);
    reply whole;
    whole.head = rest->head();
    if (whole.head.content_length.value_or(0) > limit)
        co_return too_much;
    const auto expected = whole.head.content_length.value_or(read_step);
    // Grows with what arrives, not with what is announced.
    for (;;) {
        const auto have = whole.body.size();
        const auto step = std::clamp<std::uint64_t>(
            expected - std::min<std::uint64_t>(expected, have), 1, read_step);
        whole.body.resize(have + step);
        const std::span<char> into(whole.body.data() + have, step);
        const auto n = co_await rest->read(into);
        if (!n.has_value())
            co_return n.error();
        whole.body.resize(have + *n);
        if (*n == 0)
            co_return std::move(whole);
        if (whole.body.size() > limit)
            co_return too_much;
    }
}

} // namespace gateway::net
