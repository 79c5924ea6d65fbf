#include "net/client.hpp"

#include "net/http_codec.hpp"
#include "net/stream_limit.hpp"

#include <boost/asio/error.hpp>

#include <algorithm>
#include <stdexcept>

namespace gateway::net {

namespace {

constexpr std::size_t head_limit = 32 * 1024;  // signed redirects are long (downloads.md §5.4)
constexpr std::size_t copied_body = 16 * 1024; // up to here it is sent with the header in one piece
constexpr std::size_t send_step = 256 * 1024;  // the unit of progress in sending
constexpr auto last_word =
    std::chrono::seconds(1); // for the answer of a peer that stopped listening
constexpr std::size_t head_step = 8 * 1024;
constexpr std::size_t read_step = 64 * 1024;
constexpr std::size_t chunk_overhead = 16 * 1024;

// --- the request as text ---

bool is_token(std::string_view text)
{
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return c > ' ' && c < 0x7f &&
               std::string_view("\"(),/:;<=>?@[\\]{}").find(c) == std::string_view::npos;
    });
}

bool is_one_line(std::string_view text)
{
    return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

// Nothing that a caller passes on may end a line and start another one.
bool can_be_sent(const client_request& r)
{
    const bool target_ok = r.to.target.starts_with('/') &&
                           std::all_of(r.to.target.begin(), r.to.target.end(), [](char c) {
                               return static_cast<unsigned char>(c) > ' ' && c != 0x7f;
                           });
    return is_token(r.method) && target_ok && is_one_line(r.to.host) &&
           std::all_of(r.headers.begin(), r.headers.end(), [](const auto& field) {
               return is_token(field.first) && is_one_line(field.second);
           });
}

bool has_header(const client_request& r, std::string_view name)
{
    return std::any_of(r.headers.begin(), r.headers.end(),
                       [name](const auto& field) { return same_name(field.first, name); });
}

void append_field(std::string& out, std::string_view name, std::string_view value)
{
    out += name;
    out += ": ";
    out += value;
    out += "\r\n";
}

std::string head_of(const client_request& r)
{
    std::string out = r.method + ' ' + r.to.target + " HTTP/1.1\r\n";
    append_field(out, "Host", r.to.host_header());
    for (const auto& [name, value] : r.headers) {
        if (!same_name(name, "host") && !same_name(name, "content-length"))
            append_field(out, name, value);
    }
    if (!has_header(r, "accept-encoding"))
        append_field(out, "Accept-Encoding", "identity");
    if (!has_header(r, "connection"))
        append_field(out, "Connection", "keep-alive");
    const bool usually_has_body = r.method == "POST" || r.method == "PUT" || r.method == "PATCH";
    if (!r.body.empty() || usually_has_body)
        append_field(out, "Content-Length", std::to_string(r.body.size()));
    out += "\r\n";
    return out;
}

bool may_be_repeated(const client_request& r) { return r.method == "GET" || r.method == "HEAD"; }

// Connections that may end at a private address are never used for a request that must not.
std::string pool_key(const client_request& r)
{
    const auto with_port = r.to.host + ':' + std::to_string(r.to.port);
    const bool any = r.peers.allow_private || r.peers.exempt_hosts.contains(r.to.host) ||
                     r.peers.exempt_hosts.contains(with_port);
    return r.to.origin() + (any ? "" : " public");
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
        if (idle_per_host == 0)
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
    }
};

// --- one exchange ---

namespace {

using pool = std::function<void(std::shared_ptr<stream>)>;

// One request and its reply on one connection; as a reply_stream, what is left of it.
class exchange final : public reply_stream {
public:
    exchange(std::shared_ptr<stream> peer, const client_request& r, time_source& time,
             deadline_wheel& wheel, steady_time end, pool give_back)
        : peer_(std::move(peer)),
          time_(time),
          limit_(wheel, peer_),
          end_(end),
          header_timeout_(r.header_timeout),
          idle_timeout_(r.idle_timeout),
          origin_(r.to.origin()),
          is_head_(r.method == "HEAD"),
          sent_before_(peer_->sent()),
          give_back_(std::move(give_back))
    {
    }
    exchange(const exchange&) = delete;
    exchange& operator=(const exchange&) = delete;
    ~exchange() override
    {
        if (!complete_)
            peer_->close();
    }

    task<std::optional<failure>> run(const std::string& head, const std::string& body);

    const reply_head& head() const override { return head_; }
    task<outcome<std::size_t>> read(std::span<char> into) override;

private:
    enum class body_end {
        length,  // after left_ bytes
        chunks,  // at the last chunk
        closing, // with the connection
    };

    task<error_code> send(std::string_view bytes);
    task<error_code> read_head();
    error_code take_head();
    task<result<std::size_t>> read_plain(std::span<char> into);
    task<result<std::size_t>> read_chunks(std::span<char> into);
    task<error_code> fill(std::size_t room);
    failure failed(phase where, error_code code);
    void finish();

    std::shared_ptr<stream> peer_;
    time_source& time_;
    stream_limit limit_;
    steady_time end_;
    duration header_timeout_;
    duration idle_timeout_;
    std::string origin_;
    bool is_head_;
    std::uint64_t sent_before_;
    pool give_back_;

    byte_buffer in_;
    field_views fields_;
    std::string raw_head_;
    std::optional<response_parser> message_;
    reply_head head_;
    body_end ends_ = body_end::length;
    std::uint64_t left_ = 0;
    std::uint64_t received_ = 0;
    bool replying_ = false; // a byte of the reply itself has come
    bool broken_ = false;   // the request was not taken whole: never to be used again
    bool complete_ = false;
};

task<error_code> exchange::send(std::string_view bytes)
{
    while (!bytes.empty()) {
        limit_.set(idle_timeout_, time_.now(), end_);
        const auto part = bytes.substr(0, send_step);
        const auto ec = co_await peer_->write(part);
        if (ec)
            co_return ec;
        bytes.remove_prefix(part.size());
    }
    co_return error_code{};
}

// Sends the request and waits for the reply's head.
task<std::optional<failure>> exchange::run(const std::string& head, const std::string& body)
{
    const std::string_view rest = body;
    const auto with_head = std::min(rest.size(), copied_body);
    std::string first = head;
    first += rest.substr(0, with_head);
    auto sent = co_await send(first);
    const auto remaining = rest.substr(with_head);
    if (!sent)
        sent = co_await send(remaining);
    if (sent && (limit_.expired() || sent == asio::error::operation_aborted))
        co_return failed(phase::sending, sent);
    // A server may refuse an upload without reading it: its answer is worth more than our error.
    broken_ = sent.failed();
    limit_.set(broken_ ? last_word : header_timeout_, time_.now(), end_);
    const auto read = co_await read_head();
    if (read && sent)
        co_return failed(phase::sending, sent);
    if (read)
        co_return failed(replying_ ? phase::reading : phase::waiting, read);
    limit_.clear();
    co_return std::nullopt;
}

task<error_code> exchange::fill(std::size_t room)
{
    const auto into = in_.prepare(room);
    const auto n = co_await peer_->read_some(into);
    if (!n && n.error() == asio::error::eof && replying_)
        co_return error::cut_short;
    if (!n)
        co_return n.error();
    in_.commit(*n);
    co_return error_code{};
}

task<error_code> exchange::read_head()
{
    head_finder finder;
    for (;;) {
        using state = head_finder::state;
        const auto found = finder.look(in_.data(), head_limit);
        if (found == state::too_large)
            co_return error::too_large;
        if (found == state::bad)
            co_return error::malformed;
        if (found == state::more) {
            const auto ec = co_await fill(head_step);
            if (ec)
                co_return ec;
            replying_ = true;
            continue;
        }
        raw_head_.assign(in_.data().substr(0, finder.size()));
        in_.consume(finder.size());
        message_.emplace(fields_, is_head_);
        const auto ec = message_->parse_head(raw_head_);
        if (ec)
            co_return ec;
        const int status = message_->status();
        if (status == 101)
            co_return error::malformed; // we never ask for another protocol
        if (status >= 200)
            co_return take_head();
        finder.reset(); // "100 Continue" and its like announce the reply, they are not it
        replying_ = !in_.empty();
    }
}

error_code exchange::take_head()
{
    replying_ = true;
    head_.status = message_->status();
    for (const auto& [name, value] : fields_) {
        std::string key(name);
        for (auto& c : key)
            c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
        head_.headers.emplace_back(std::move(key), std::string(value));
    }
    const bool bodyless = message_->is_done();
    const auto length = message_->length();
    if (!bodyless && length)
        head_.content_length = length;
    left_ = length.value_or(0);
    ends_ = length                   ? body_end::length
            : message_->is_chunked() ? body_end::chunks
                                     : body_end::closing;
    if (ends_ == body_end::length && left_ == 0)
        finish();
    return {};
}

task<outcome<std::size_t>> exchange::read(std::span<char> into)
{
    if (complete_)
        co_return std::size_t{0};
    if (into.empty())
        throw std::logic_error("a reply cannot be read into nothing");
    result<std::size_t> n = std::size_t{0};
    if (ends_ == body_end::chunks)
        n = co_await read_chunks(into);
    else
        n = co_await read_plain(into);
    if (!n)
        co_return failed(phase::reading, n.error());
    limit_.clear();
    received_ += *n;
    co_return *n;
}

// Bytes as they are, straight into the caller's memory once the buffer is empty.
task<result<std::size_t>> exchange::read_plain(std::span<char> into)
{
    if (ends_ == body_end::length && left_ < into.size())
        into = into.first(left_);
    std::size_t got = std::min(in_.data().size(), into.size());
    if (got > 0) {
        std::copy_n(in_.data().data(), got, into.data());
        in_.consume(got);
    } else {
        limit_.set(idle_timeout_, time_.now(), end_);
        const auto n = co_await peer_->read_some(into);
        if (!n && n.error() == asio::error::eof && ends_ == body_end::closing) {
            finish();
            co_return std::size_t{0};
        }
        if (!n && n.error() == asio::error::eof)
            co_return error_code(error::cut_short);
        if (!n)
            co_return n.error();
        got = *n;
    }
    if (ends_ == body_end::length) {
        left_ -= got;
        if (left_ == 0)
            finish();
    }
    co_return got;
}

task<result<std::size_t>> exchange::read_chunks(std::span<char> into)
{
    for (;;) {
        error_code ec;
        const auto done = message_->decode(in_.data(), into, ec);
        in_.consume(done.used);
        if (ec || in_.data().size() > chunk_overhead + 2 * read_step)
            co_return error_code(error::malformed);
        if (message_->is_done())
            finish();
        if (done.decoded > 0 || complete_)
            co_return done.decoded;
        limit_.set(idle_timeout_, time_.now(), end_);
        const auto failed_read = co_await fill(read_step);
        if (failed_read)
            co_return failed_read;
    }
}

void exchange::finish()
{
    complete_ = true;
    limit_.clear();
    const bool reusable =
        !broken_ && ends_ != body_end::closing && in_.empty() && message_->keep_alive();
    if (reusable)
        give_back_(peer_);
    else
        peer_->close();
}

std::string_view what_happened(phase where, bool timed_out)
{
    switch (where) {
    case phase::resolving: return "has no address";
    case phase::connecting: return "cannot be connected to";
    case phase::sending:
        return timed_out ? "did not take the request in time" : "did not take the request";
    case phase::waiting: return timed_out ? "did not reply in time" : "gave no reply";
    case phase::reading:
        return timed_out ? "stopped in the middle of its reply" : "did not complete its reply";
    }
    return "failed";
}

failure exchange::failed(phase where, error_code code)
{
    failure f;
    f.phase = where;
    f.timed_out = limit_.expired();
    f.code = f.timed_out ? error_code(asio::error::timed_out) : code;
    f.nothing_sent = peer_->sent() == sent_before_;
    f.what = origin_ + ' ' + std::string(what_happened(where, f.timed_out));
    if (received_ > 0)
        f.what += " after " + std::to_string(received_) + " bytes";
    f.what += ": " + f.code.message();
    limit_.clear();
    peer_->close();
    return f;
}

} // namespace

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
    const pool give_back = [weak = std::weak_ptr(self), key](std::shared_ptr<stream> peer) {
        if (const auto owner = weak.lock())
            owner->put(key, std::move(peer));
        else
            peer->close();
    };
    bool nothing_sent = true;
    if (auto kept = request.fresh_connection ? nullptr : self->take(key)) {
        auto mine = std::make_unique<exchange>(std::move(kept), request, self->time, self->wheel,
                                               end, give_back);
        const auto failed = co_await mine->run(head, request.body);
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
    auto failed = co_await mine->run(head, request.body);
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
