#include "net/server.hpp"

#include "net/http_codec.hpp"
#include "net/tcp.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <charconv>

namespace gateway::net {

namespace {

using asio::ip::tcp;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

constexpr std::size_t read_size = 4 * 1024;
constexpr std::size_t keep_buffer = 16 * 1024; // what an idle connection may hold on to
// Up to here a body is copied behind its header, so that one send carries both.
constexpr std::size_t copied_body = 16 * 1024;
constexpr std::size_t body_step = 64 * 1024;      // read and sent at once, and the unit of progress
constexpr std::size_t chunk_overhead = 16 * 1024; // a chunk's size line, or all trailers
constexpr int burst = 16; // pipelined requests served before others get their turn

// What a session is doing, which decides what running out of time means.
enum class activity {
    idle,      // between messages: closed without a word
    reading,   // in the middle of a message: answered with 408
    handling,  // no limit of ours
    sending,   // closed
    lingering, // closed
};

// How reading a message ended.
enum class reading {
    complete,
    gone, // closed by either side, or by a deadline that has answered already
    malformed,
    too_large,
};

struct session : std::enable_shared_from_this<session> {
    session(std::shared_ptr<stream> s, std::string name)
        : peer(std::move(s)), peer_name(std::move(name))
    {
    }

    std::shared_ptr<stream> peer;
    std::string peer_name;
    byte_buffer in;
    std::string head; // the current message's, which the request's views point into
    std::string out;  // the answer's head and the start of its body
    field_views fields;
    head_finder finder;
    std::optional<deadline> limit;
    asio::cancellation_signal stop;
    std::list<std::shared_ptr<session>>::iterator place; // among the server's sessions
    activity doing = activity::idle;
    bool stopped = false;   // by drain(): nothing is answered any more
    bool timed_out = false; // a 408 is on its way
    bool ended = false;
};

// Calls the response's `written` hook exactly once, whatever happens.
class written_call {
public:
    explicit written_call(std::function<void(bool)> hook) : hook_(std::move(hook)) {}
    written_call(const written_call&) = delete;
    written_call& operator=(const written_call&) = delete;
    ~written_call() { (*this)(false); }
    void operator()(bool complete)
    {
        if (auto hook = std::exchange(hook_, nullptr))
            hook(complete);
    }

private:
    std::function<void(bool)> hook_;
};

void fill(request& req, const request_parser& message, session& s)
{
    req.method = message.method();
    req.target = message.target();
    auto local = req.target;
    // A proxy's form, "http://host/path": the path is what counts.
    if (const auto scheme = local.find("://");
        !local.empty() && local[0] != '/' && scheme != std::string_view::npos) {
        const auto slash = local.find('/', scheme + 3);
        local = slash == std::string_view::npos ? std::string_view("/") : local.substr(slash);
    }
    const auto mark = std::min(local.find('?'), local.size());
    req.path = local.substr(0, mark);
    req.query = local.substr(std::min(mark + 1, local.size()));
    req.peer = s.peer_name;
    req.connection = s.peer.get();
    req.fields = &s.fields;
}

std::string_view as_view(std::span<char> bytes) { return {bytes.data(), bytes.size()}; }

} // namespace

struct server::impl : std::enable_shared_from_this<server::impl> {
    executor ex;
    time_source& time;
    deadline_wheel& wheel;
    service& answers;
    server_limits limits;
    stats counts;
    observer told;
    std::vector<std::shared_ptr<tcp::acceptor>> doors;
    std::list<std::shared_ptr<session>> sessions;
    versions changed; // the number of sessions, or `closing`
    bool closing = false;
    std::string date;
    std::chrono::seconds date_of{-1};

    impl(executor e, time_source& t, deadline_wheel& w, service& a, server_limits l)
        : ex(e), time(t), wheel(w), answers(a), limits(l), changed(e)
    {
    }

    std::string_view now_as_date()
    {
        const auto now = time.wall();
        const auto second = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch());
        if (second != date_of) {
            date_of = second;
            date = http_date(now);
        }
        return date;
    }

    // --- sessions come and go ---

    static task<> accept_all(std::shared_ptr<impl> self, std::shared_ptr<tcp::acceptor> door);
    std::shared_ptr<session> open(std::shared_ptr<stream> peer, std::string name);
    void out_of_time(session& s);
    static task<> hang_up_late(std::shared_ptr<session> s, std::string answer);
    static task<> run(std::shared_ptr<impl> self, std::shared_ptr<session> s);
    void close_idle();

    // --- one message in, one message out ---

    task<bool> exchange(session& s);
    task<reading> read_head(session& s);
    task<reading> read_body(session& s, request_parser& message, std::string& body,
                            std::uint64_t limit);
    task<reading> read_length(session& s, std::string& body, std::uint64_t length);
    task<reading> read_chunks(session& s, request_parser& message, std::string& body,
                              std::uint64_t limit);
    task<error_code> send(session& s, std::string_view bytes);
    task<bool> respond(session& s, const request* req, bool http_11, bool keep_alive,
                       response answer);
    task<bool> send_source(session& s, body_source& source, framing body, std::uint64_t length);
    task<bool> refuse(session& s, protocol_error what, const request* req,
                      std::optional<std::uint64_t> unread);
    task<> linger(session& s, std::optional<std::uint64_t> unread);
    task<response> ask(session& s, request& req);
};

// --- sessions come and go ---

namespace {

// Counts a session in and out, even when its frame is destroyed with the loop.
template <class Impl> class presence {
public:
    presence(std::shared_ptr<Impl> owner, std::shared_ptr<session> s)
        : owner_(std::move(owner)), session_(std::move(s))
    {
    }
    presence(const presence&) = delete;
    presence& operator=(const presence&) = delete;
    ~presence()
    {
        session_->limit.reset();
        session_->peer->close();
        session_->ended = true;
        owner_->sessions.erase(session_->place);
        --owner_->counts.open;
        owner_->changed.bump();
    }

private:
    std::shared_ptr<Impl> owner_;
    std::shared_ptr<session> session_;
};

} // namespace

std::shared_ptr<session> server::impl::open(std::shared_ptr<stream> peer, std::string name)
{
    auto s = std::make_shared<session>(std::move(peer), std::move(name));
    s->limit.emplace(wheel, [weak = s->weak_from_this(), owner = weak_from_this()] {
        const auto late = weak.lock();
        const auto self = owner.lock();
        if (late && self && !late->ended)
            self->out_of_time(*late);
    });
    s->place = sessions.insert(sessions.end(), s);
    ++counts.accepted;
    ++counts.open;
    auto done = [](std::exception_ptr) {}; // run() has dealt with it
    asio::co_spawn(ex, run(shared_from_this(), s),
                   asio::bind_cancellation_slot(s->stop.slot(), std::move(done)));
    return s;
}

task<> server::impl::run(std::shared_ptr<impl> self, std::shared_ptr<session> s)
{
    const presence here(self, s);
    // As for the children of a task_group: waits tell of a cancellation, they do not throw.
    const auto quiet = asio::this_coro::throw_if_cancelled(false);
    co_await quiet;
    try {
        for (int served = 1;; ++served) {
            const bool again = co_await self->exchange(*s);
            if (!again)
                break;
            if (served % burst == 0 && !s->in.empty()) {
                auto let_others_run = asio::use_awaitable;
                co_await asio::post(let_others_run);
            }
        }
    } catch (const std::exception&) {
        // The service could not even say that it had failed: what is left to do is to hang up.
    }
}

void server::impl::out_of_time(session& s)
{
    if (!s.limit->expired() || s.doing == activity::handling)
        return; // set anew, or not needed any more, in the very turn in which it expired
    if (s.doing != activity::reading || s.timed_out) {
        s.peer->close();
        return;
    }
    s.timed_out = true;
    ++counts.protocol_errors;
    const auto answer = answers.refuse(protocol_error::timeout, nullptr);
    std::string text;
    const head_facts facts{framing::length, answer.body.size(), false, true};
    append_head(text, answer, facts, now_as_date());
    text += answer.body;
    s.limit->set(limits.linger_gap);
    auto done = [](std::exception_ptr) {};
    asio::co_spawn(ex, hang_up_late(s.shared_from_this(), std::move(text)), done);
}

// The session is still reading; nobody else writes.
task<> server::impl::hang_up_late(std::shared_ptr<session> s, std::string answer)
{
    co_await s->peer->write(answer);
    s->peer->finish();
    s->peer->close();
}

void server::impl::close_idle()
{
    for (const auto& s : sessions) {
        if (s->doing == activity::idle)
            s->peer->close();
    }
}

task<> server::impl::accept_all(std::shared_ptr<impl> self, std::shared_ptr<tcp::acceptor> door)
{
    while (!self->closing) {
        if (self->sessions.size() >= self->limits.connections) {
            co_await self->changed.past(self->changed.current());
            continue;
        }
        auto [ec, socket] = co_await door->async_accept(as_result);
        if (ec == asio::error::operation_aborted || self->closing)
            co_return;
        if (ec) {
            // Out of descriptors or memory: the backlog keeps the client until there are some
            // again.
            co_await self->time.sleep_for(std::chrono::milliseconds(100));
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

// --- reading ---

task<reading> server::impl::read_head(session& s)
{
    using state = head_finder::state;
    s.doing = activity::idle;
    s.finder.reset();
    bool armed = false;
    for (;;) {
        // An empty line before a message is forgiven (RFC 9112 §2.2).
        while (s.in.data().substr(0, 2) == "\r\n" && s.finder.size() == 0)
            s.in.consume(2);
        const auto found = s.finder.look(s.in.data(), limits.header_bytes);
        if (found == state::complete)
            co_return reading::complete;
        if (found == state::bad)
            co_return reading::malformed;
        if (found == state::too_large)
            co_return reading::too_large;
        if (s.in.empty()) {
            s.in.shrink(keep_buffer);
            if (closing)
                co_return reading::gone;
            s.limit->set(limits.idle_timeout);
        } else if (!armed) {
            s.doing = activity::reading;
            s.limit->set(limits.header_timeout);
            armed = true;
        }
        const auto room = s.in.prepare(read_size);
        const auto n = co_await s.peer->read_some(room);
        if (!n)
            co_return reading::gone;
        s.in.commit(*n);
    }
}

task<reading> server::impl::read_body(session& s, request_parser& message, std::string& body,
                                      std::uint64_t limit)
{
    if (message.expects_continue() && s.in.empty()) {
        const std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        const auto ec = co_await send(s, go_on);
        if (ec)
            co_return reading::gone;
    }
    s.doing = activity::reading;
    if (message.is_chunked())
        co_return co_await read_chunks(s, message, body, limit);
    co_return co_await read_length(s, body, message.length().value_or(0));
}

// Straight into the body, which grows with what arrives and not with what is announced.
task<reading> server::impl::read_length(session& s, std::string& body, std::uint64_t length)
{
    const auto early = s.in.data().substr(0, length);
    body.assign(early);
    s.in.consume(early.size());
    while (body.size() < length) {
        const auto have = body.size();
        body.resize(have + std::min<std::uint64_t>(body_step, length - have));
        const std::span<char> into(body.data() + have, body.size() - have);
        s.limit->set(limits.body_timeout);
        const auto n = co_await s.peer->read_some(into);
        if (!n)
            co_return reading::gone;
        body.resize(have + *n);
    }
    co_return reading::complete;
}

task<reading> server::impl::read_chunks(session& s, request_parser& message, std::string& body,
                                        std::uint64_t limit)
{
    while (!message.is_done()) {
        const auto have = body.size();
        body.resize(have + body_step);
        error_code ec;
        const std::span<char> into(body.data() + have, body_step);
        const auto done = message.decode(s.in.data(), into, ec);
        body.resize(have + done.decoded);
        s.in.consume(done.used);
        if (body.size() > limit)
            co_return reading::too_large;
        if (ec || s.in.data().size() > chunk_overhead + body_step)
            co_return reading::malformed;
        if (message.is_done() || done.used > 0)
            continue;
        s.limit->set(limits.body_timeout);
        const auto room = s.in.prepare(body_step);
        const auto n = co_await s.peer->read_some(room);
        if (!n)
            co_return reading::gone;
        s.in.commit(*n);
    }
    co_return reading::complete;
}

// --- answering ---

// Slice by slice, so that the time limit is one without progress.
task<error_code> server::impl::send(session& s, std::string_view bytes)
{
    constexpr std::size_t slice = 256 * 1024;
    s.doing = activity::sending;
    while (!bytes.empty()) {
        s.limit->set(limits.write_timeout);
        const auto part = bytes.substr(0, slice);
        const auto ec = co_await s.peer->write(part);
        if (ec)
            co_return ec;
        bytes.remove_prefix(part.size());
    }
    co_return error_code{};
}

// True when the connection can be used further.
task<bool> server::impl::respond(session& s, const request* req, bool http_11, bool keep_alive,
                                 response answer)
{
    written_call written(std::move(answer.written));
    const bool bodyless = answer.status == 204 || answer.status == 304;
    const bool head_only = bodyless || (req != nullptr && req->method == "HEAD");
    head_facts facts{framing::length, answer.body.size(), keep_alive && !answer.close && !closing,
                     http_11};
    if (bodyless) {
        facts.body = framing::none;
    } else if (answer.source) {
        const auto size = answer.source->size();
        facts.body = size ? framing::length : http_11 ? framing::chunked : framing::closing;
        facts.length = size.value_or(0);
        facts.keep_alive = facts.keep_alive && facts.body != framing::closing;
    }
    s.out.clear();
    append_head(s.out, answer, facts, now_as_date());
    bool complete = false;
    if (answer.source && !head_only) {
        complete = co_await send_source(s, *answer.source, facts.body, facts.length);
    } else {
        const std::string_view body = head_only ? std::string_view() : answer.body;
        const auto with_head = std::min(body.size(), copied_body);
        s.out += body.substr(0, with_head);
        auto ec = co_await send(s, s.out);
        const auto rest = body.substr(with_head);
        if (!ec)
            ec = co_await send(s, rest);
        complete = !ec;
    }
    written(complete);
    co_return complete&& facts.keep_alive;
}

// A chunk is read behind room for its size line, so that it leaves in one piece.
task<bool> server::impl::send_source(session& s, body_source& source, framing body,
                                     std::uint64_t length)
{
    constexpr std::size_t size_line = 18; // 16 hexadecimal digits at most, and the line's end
    std::vector<char> block(size_line + body_step + 2);
    const std::span<char> payload(block.data() + size_line, body_step);
    auto ec = co_await send(s, s.out);
    std::uint64_t left = length;
    while (!ec) {
        s.limit->clear();
        s.doing = activity::handling;
        const auto n = co_await source.read(payload);
        if (!n)
            co_return false;
        if (body == framing::length && *n > left)
            co_return false; // more than was promised
        left -= body == framing::length ? *n : 0;
        if (*n == 0)
            break;
        std::span<char> part = payload.first(*n);
        if (body == framing::chunked) {
            std::array<char, 16> hex;
            const auto end = std::to_chars(hex.data(), hex.data() + hex.size(), *n, 16).ptr;
            const auto digits = static_cast<std::size_t>(end - hex.data());
            const auto start = size_line - 2 - digits;
            std::copy(hex.data(), end, block.data() + start);
            block[size_line - 2] = block[size_line + *n] = '\r';
            block[size_line - 1] = block[size_line + *n + 1] = '\n';
            part = std::span<char>(block.data() + start, digits + 2 + *n + 2);
        }
        ec = co_await send(s, as_view(part));
    }
    if (!ec && body == framing::chunked) {
        const std::string_view last = "0\r\n\r\n";
        ec = co_await send(s, last);
    }
    co_return !ec && left == 0;
}

task<bool> server::impl::refuse(session& s, protocol_error what, const request* req,
                                std::optional<std::uint64_t> unread)
{
    ++counts.protocol_errors;
    auto answer = answers.refuse(what, req);
    co_await respond(s, req, true, false, std::move(answer));
    co_await linger(s, unread);
    co_return false;
}

// Reads what the client is still sending, so that closing does not reset the connection under the
// answer that is on its way.
task<> server::impl::linger(session& s, std::optional<std::uint64_t> unread)
{
    s.peer->finish();
    std::uint64_t left = limits.linger_bytes;
    if (unread && *unread <= limits.linger_known)
        left = *unread;
    left -= std::min<std::uint64_t>(left, s.in.data().size());
    s.in.consume(s.in.data().size());
    s.doing = activity::lingering;
    const auto end = time.now() + limits.linger_time;
    while (left > 0 && time.now() < end) {
        s.limit->set(limits.linger_gap);
        const auto room = s.in.prepare(body_step);
        const auto n = co_await s.peer->read_some(room);
        if (!n)
            co_return;
        left -= std::min<std::uint64_t>(left, *n);
    }
}

// --- one message in, one message out ---

task<response> server::impl::ask(session& s, request& req)
{
    std::optional<std::string> failure;
    s.limit->clear();
    s.doing = activity::handling;
    try {
        co_return co_await answers.handle(req);
    } catch (const std::exception& e) {
        failure = e.what();
    } catch (...) {
        failure = "something that is no exception was thrown";
    }
    co_return answers.internal_error(req, *failure);
}

namespace {

class active_count {
public:
    explicit active_count(std::uint64_t& n) : n_(n) { ++n_; }
    active_count(const active_count&) = delete;
    active_count& operator=(const active_count&) = delete;
    ~active_count() { --n_; }

private:
    std::uint64_t& n_;
};

} // namespace

// True when another message may follow on this connection.
task<bool> server::impl::exchange(session& s)
{
    const auto got_head = co_await read_head(s);
    if (got_head == reading::gone || s.timed_out)
        co_return false;
    if (got_head == reading::malformed)
        co_return co_await refuse(s, protocol_error::malformed, nullptr, std::nullopt);
    if (got_head == reading::too_large)
        co_return co_await refuse(s, protocol_error::header_too_large, nullptr, std::nullopt);

    s.head.assign(s.in.data().substr(0, s.finder.size()));
    s.in.consume(s.finder.size());
    request_parser message(s.fields);
    const auto bad_head = message.parse_head(s.head);
    if (bad_head)
        co_return co_await refuse(s, protocol_error::malformed, nullptr, std::nullopt);
    const auto started = time.now();
    request req;
    fill(req, message, s);
    const auto length = message.length(); // 0 without a body, nothing when it is chunked
    const bool has_body = length != 0U;
    bool keep_alive = message.keep_alive();

    auto verdict = answers.admit(req);
    if (verdict.refusal) {
        keep_alive = keep_alive && !has_body;
        const int status = verdict.refusal->status;
        const bool again = co_await respond(s, &req, message.is_http_11(), keep_alive,
                                            std::move(*verdict.refusal));
        if (told)
            told(req, status, time.now() - started);
        if (has_body)
            co_await linger(s, length);
        co_return again;
    }
    if (length && *length > verdict.body_limit)
        co_return co_await refuse(s, protocol_error::body_too_large, &req, length);
    if (has_body) {
        const auto got_body = co_await read_body(s, message, req.body, verdict.body_limit);
        if (got_body == reading::gone || s.timed_out)
            co_return false;
        if (got_body == reading::malformed)
            co_return co_await refuse(s, protocol_error::malformed, &req, std::nullopt);
        if (got_body == reading::too_large)
            co_return co_await refuse(s, protocol_error::body_too_large, &req, std::nullopt);
    }
    ++counts.requests;
    const active_count active(counts.active);
    auto answer = co_await ask(s, req);
    if (s.stopped)
        co_return false;
    const int status = answer.status;
    const bool again =
        co_await respond(s, &req, message.is_http_11(), keep_alive, std::move(answer));
    if (told)
        told(req, status, time.now() - started);
    if (!again && s.peer->pending())
        co_await linger(s, std::nullopt);
    co_return again;
}

// --- the server ---

server::server(executor ex, time_source& time, deadline_wheel& wheel, service& answers,
               server_limits limits)
    : impl_(std::make_shared<impl>(std::move(ex), time, wheel, answers, limits))
{
}

server::~server()
{
    stop_accepting();
    for (const auto& s : impl_->sessions) {
        s->stopped = true;
        s->peer->close();
    }
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
        auto door = std::make_shared<tcp::acceptor>(impl_->ex);
        ec = open_door(*door, at);
        if (ec)
            continue;
        impl_->doors.push_back(door);
        auto done = [](std::exception_ptr) {};
        asio::co_spawn(impl_->ex, impl::accept_all(impl_, door), done);
        return door->local_endpoint().port();
    }
    return ec;
}

task<> server::serve(std::shared_ptr<stream> peer, std::string peer_name)
{
    const auto self = impl_;
    const auto s = self->open(std::move(peer), std::move(peer_name));
    while (!s->ended) {
        const auto ec = co_await self->changed.past(self->changed.current());
        if (ec)
            co_return;
    }
}

void server::stop_accepting()
{
    impl_->closing = true;
    for (const auto& door : impl_->doors) {
        error_code ignored;
        door->close(ignored);
    }
    impl_->close_idle();
    impl_->changed.bump();
}

task<> server::drain(duration grace)
{
    const auto self = impl_;
    stop_accepting();
    const auto end = self->time.now() + grace;
    bool in_time = true;
    while (in_time && !self->sessions.empty())
        in_time = co_await self->changed.past(self->changed.current(), self->time, end);
    const auto left = self->sessions;
    for (const auto& s : left) {
        s->stopped = true;
        s->peer->close();
        s->stop.emit(asio::cancellation_type::terminal);
    }
    while (!self->sessions.empty()) {
        const auto ec = co_await self->changed.past(self->changed.current());
        if (ec)
            co_return;
    }
}

void server::observe(observer told) { impl_->told = std::move(told); }

const server::stats& server::counters() const { return impl_->counts; }

} // namespace gateway::net
