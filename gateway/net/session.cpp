#include "net/session.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <charconv>

namespace gateway::net {

namespace {

constexpr std::size_t read_size = 4 * 1024;
constexpr std::size_t keep_buffer = 16 * 1024; // what an idle connection may hold on to
// Up to here a body is copied behind its header, so that one send carries both.
constexpr std::size_t copied_body = 16 * 1024;
constexpr std::size_t body_step = 64 * 1024;      // read and sent at once, and the unit of progress
constexpr std::size_t chunk_overhead = 16 * 1024; // a chunk's size line, or all trailers
constexpr int burst = 16; // pipelined requests served before others get their turn

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

std::string_view as_view(std::span<char> bytes) { return {bytes.data(), bytes.size()}; }

} // namespace

// --- what all share ---

std::string_view session_shared::date()
{
    const auto now = time.wall();
    const auto second = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch());
    if (second != date_of_) {
        date_of_ = second;
        date_ = http_date(now);
    }
    return date_;
}

// --- from the first message to the last ---

session::session(std::shared_ptr<session_shared> shared, std::shared_ptr<stream> peer,
                 std::string peer_name)
    : shared_(std::move(shared)), peer_(std::move(peer)), peer_name_(std::move(peer_name))
{
}

task<> session::serve()
{
    limit_.emplace(shared_->wheel, [weak = weak_from_this()] {
        if (const auto late = weak.lock(); late && !late->ended_)
            late->out_of_time();
    });
    // As for the children of a task_group: waits tell of a cancellation, they do not throw.
    const auto quiet = asio::this_coro::throw_if_cancelled(false);
    co_await quiet;
    try {
        for (int served = 1;; ++served) {
            const bool again = co_await exchange();
            if (!again)
                break;
            if (served % burst == 0 && !in_.empty()) {
                auto let_others_run = asio::use_awaitable;
                co_await asio::post(let_others_run);
            }
        }
    } catch (const std::exception&) {
        // The service could not even say that it had failed: what is left to do is to hang up.
    }
}

void session::end()
{
    limit_.reset();
    peer_->close();
    ended_ = true;
}

void session::close_if_idle()
{
    if (doing_ == activity::idle)
        peer_->close();
}

void session::abandon()
{
    abandoned_ = true;
    peer_->close();
    // The session may end, and leave its owner, while it is being cancelled.
    const auto self = shared_from_this();
    stop_.emit(asio::cancellation_type::terminal);
}

// The deadline is left where it is when it comes early enough: with one request after another it is
// set once a minute and not three times per request.
void session::limit_to(duration d)
{
    due_ = shared_->time.now() + d;
    if (due_ >= set_for_)
        return;
    set_for_ = due_;
    limit_->set(d);
}

void session::out_of_time()
{
    if (!limit_->expired())
        return; // set anew in the very turn in which it expired
    set_for_ = steady_time::max();
    if (due_ == steady_time::max())
        return;
    const auto now = shared_->time.now();
    if (due_ > now)
        return limit_to(due_ - now);
    if (doing_ != activity::reading || timed_out_) {
        peer_->close();
        return;
    }
    timed_out_ = true;
    ++shared_->counts.protocol_errors;
    const auto answer = shared_->answers.refuse(protocol_error::timeout, nullptr);
    std::string text;
    const head_facts facts{framing::length, answer.body.size(), false, true};
    append_head(text, answer, facts, shared_->date());
    text += answer.body;
    limit_to(shared_->limits.linger_gap);
    auto done = [](std::exception_ptr) {};
    asio::co_spawn(shared_->ex, hang_up_late(shared_from_this(), std::move(text)), done);
}

// The session is still reading; nobody else writes.
task<> session::hang_up_late(std::shared_ptr<session> s, std::string answer)
{
    co_await s->peer_->write(answer);
    s->peer_->finish();
    s->peer_->close();
}

// --- reading ---

task<session::reading> session::read_head()
{
    using state = head_finder::state;
    doing_ = activity::idle;
    finder_.reset();
    bool armed = false;
    for (;;) {
        // An empty line before a message is forgiven (RFC 9112 §2.2).
        while (in_.data().substr(0, 2) == "\r\n" && finder_.size() == 0)
            in_.consume(2);
        if (in_.data() == "\r") { // half of such a line
            const auto more = in_.prepare(read_size);
            const auto rest = co_await peer_->read_some(more);
            if (!rest)
                co_return reading::gone;
            in_.commit(*rest);
            continue;
        }
        const auto found = finder_.look(in_.data(), shared_->limits.header_bytes);
        if (found == state::complete)
            co_return reading::complete;
        if (found == state::bad)
            co_return reading::malformed;
        if (found == state::too_large)
            co_return reading::too_large;
        if (in_.empty()) {
            in_.shrink(keep_buffer);
            if (shared_->closing)
                co_return reading::gone;
            limit_to(shared_->limits.idle_timeout);
        } else if (!armed) {
            doing_ = activity::reading;
            limit_to(shared_->limits.header_timeout);
            armed = true;
        }
        const auto room = in_.prepare(read_size);
        const auto n = co_await peer_->read_some(room);
        if (!n)
            co_return reading::gone;
        in_.commit(*n);
    }
}

task<error_code> session::invite_body(const request_parser& message)
{
    if (!message.expects_continue() || !in_.empty())
        co_return error_code{};
    const std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    co_return co_await send(go_on);
}

task<session::reading> session::read_body(request_parser& message, std::string& body,
                                          std::uint64_t limit)
{
    const auto ec = co_await invite_body(message);
    if (ec)
        co_return reading::gone;
    doing_ = activity::reading;
    if (message.is_chunked())
        co_return co_await read_chunks(message, body, limit);
    co_return co_await read_length(body, message.length().value_or(0));
}

// Straight into the body, which grows with what arrives and not with what is announced.
task<session::reading> session::read_length(std::string& body, std::uint64_t length)
{
    const auto early = in_.data().substr(0, length);
    body.assign(early);
    in_.consume(early.size());
    while (body.size() < length) {
        const auto have = body.size();
        body.resize(have + std::min<std::uint64_t>(body_step, length - have));
        const std::span<char> into(body.data() + have, body.size() - have);
        limit_to(shared_->limits.body_timeout);
        const auto n = co_await peer_->read_some(into);
        if (!n)
            co_return reading::gone;
        body.resize(have + *n);
    }
    co_return reading::complete;
}

task<session::reading> session::read_chunks(request_parser& message, std::string& body,
                                            std::uint64_t limit)
{
    while (!message.is_done()) {
        const auto have = body.size();
        body.resize(have + body_step);
        error_code ec;
        const std::span<char> into(body.data() + have, body_step);
        const auto done = message.decode(in_.data(), into, ec);
        body.resize(have + done.decoded);
        in_.consume(done.used);
        if (body.size() > limit)
            co_return reading::too_large;
        if (ec || in_.data().size() > chunk_overhead + body_step)
            co_return reading::malformed;
        if (message.is_done() || done.used > 0)
            continue;
        limit_to(shared_->limits.body_timeout);
        const auto room = in_.prepare(body_step);
        const auto n = co_await peer_->read_some(room);
        if (!n)
            co_return reading::gone;
        in_.commit(*n);
    }
    co_return reading::complete;
}

// A body that the service reads itself. Nobody else reads from the connection until it is complete.
class session::upload final : public incoming_body {
public:
    upload(session& owner, request_parser& message)
        : owner_(owner), message_(message), left_(message.length().value_or(0))
    {
    }

    bool is_complete() const { return message_.is_chunked() ? message_.is_done() : left_ == 0; }

    task<result<std::size_t>> read(std::span<char> into) override
    {
        if (broken_)
            co_return broken_;
        if (is_complete() || into.empty())
            co_return std::size_t{0};
        result<std::size_t> got = std::size_t{0};
        if (message_.is_chunked())
            got = co_await read_chunks(into);
        else
            got = co_await read_plain(into);
        owner_.due_ = steady_time::max();
        owner_.doing_ = activity::handling;
        if (!got)
            broken_ = got.error();
        co_return got;
    }

private:
    // What has arrived already goes first.
    task<result<std::size_t>> read_plain(std::span<char> into)
    {
        into = into.first(std::min<std::uint64_t>(into.size(), left_));
        std::size_t got = std::min(owner_.in_.data().size(), into.size());
        if (got > 0) {
            owner_.in_.data().copy(into.data(), got);
            owner_.in_.consume(got);
        } else {
            const auto n = co_await arrive(into);
            if (!n)
                co_return n.error();
            got = *n;
        }
        left_ -= got;
        co_return got;
    }

    task<result<std::size_t>> read_chunks(std::span<char> into)
    {
        auto& in = owner_.in_;
        while (!message_.is_done()) {
            error_code ec;
            const auto done = message_.decode(in.data(), into, ec);
            in.consume(done.used);
            if (ec || in.data().size() > chunk_overhead + body_step)
                co_return error_code(error::malformed);
            if (done.decoded > 0)
                co_return done.decoded;
            if (message_.is_done() || done.used > 0)
                continue;
            const auto room = in.prepare(body_step);
            const auto n = co_await arrive(room);
            if (!n)
                co_return n.error();
            in.commit(*n);
        }
        co_return std::size_t{0};
    }

    task<result<std::size_t>> arrive(std::span<char> into)
    {
        owner_.doing_ = activity::streaming;
        owner_.limit_to(owner_.shared_->limits.body_timeout);
        co_return co_await owner_.peer_->read_some(into);
    }

    session& owner_;
    request_parser& message_;
    std::uint64_t left_;
    error_code broken_;
};

// --- answering ---

// Slice by slice, so that the time limit is one without progress.
task<error_code> session::send(std::string_view bytes)
{
    constexpr std::size_t slice = 256 * 1024;
    doing_ = activity::sending;
    while (!bytes.empty()) {
        limit_to(shared_->limits.write_timeout);
        const auto part = bytes.substr(0, slice);
        const auto ec = co_await peer_->write(part);
        if (ec)
            co_return ec;
        bytes.remove_prefix(part.size());
    }
    co_return error_code{};
}

// True when the connection can be used further.
task<bool> session::respond(const request* req, bool http_11, bool keep_alive, response& answer)
{
    written_call written(std::move(answer.written));
    const bool bodyless = answer.status == 204 || answer.status == 304;
    const bool head_only = bodyless || (req != nullptr && req->method == "HEAD");
    head_facts facts{framing::length, answer.body.size(),
                     keep_alive && !answer.close && !shared_->closing, http_11};
    if (bodyless) {
        facts.body = framing::none;
    } else if (answer.source) {
        const auto size = answer.source->size();
        facts.body = size ? framing::length : http_11 ? framing::chunked : framing::closing;
        facts.length = size.value_or(0);
        facts.keep_alive = facts.keep_alive && facts.body != framing::closing;
    }
    out_.clear();
    append_head(out_, answer, facts, shared_->date());
    bool complete = false;
    if (answer.source && !head_only) {
        complete = co_await send_source(*answer.source, facts.body, facts.length);
    } else {
        const std::string_view body = head_only ? std::string_view() : answer.body;
        const auto with_head = std::min(body.size(), copied_body);
        out_ += body.substr(0, with_head);
        doing_ = activity::sending;
        limit_to(shared_->limits.write_timeout);
        error_code ec;
        const auto sent = peer_->write_now(out_);
        if (sent < out_.size()) {
            const auto unsent = std::string_view(out_).substr(sent);
            ec = co_await peer_->write(unsent);
        }
        const auto rest = body.substr(with_head);
        if (!ec && !rest.empty())
            ec = co_await send(rest);
        complete = !ec;
    }
    written(complete);
    co_return complete&& facts.keep_alive;
}

// A chunk is read behind room for its size line, so that it leaves in one piece.
task<bool> session::send_source(body_source& source, framing body, std::uint64_t length)
{
    constexpr std::size_t size_line = 18; // 16 hexadecimal digits at most, and the line's end
    std::vector<char> block(size_line + body_step + 2);
    const std::span<char> payload(block.data() + size_line, body_step);
    auto ec = co_await send(out_);
    std::uint64_t left = length;
    while (!ec) {
        due_ = steady_time::max();
        doing_ = activity::handling;
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
        ec = co_await send(as_view(part));
        auto let_others_run = asio::use_awaitable; // neither reading nor sending need have waited
        co_await asio::post(let_others_run);
    }
    if (!ec && body == framing::chunked) {
        const std::string_view last = "0\r\n\r\n";
        ec = co_await send(last);
    }
    co_return !ec && left == 0;
}

task<bool> session::refuse(protocol_error what, const request* req,
                           std::optional<std::uint64_t> unread)
{
    ++shared_->counts.protocol_errors;
    auto answer = shared_->answers.refuse(what, req);
    co_await respond(req, true, false, answer);
    if (req != nullptr)
        tell(*req, answer.status);
    co_await linger(unread);
    co_return false;
}

void session::tell(const request& req, int status)
{
    if (shared_->told)
        shared_->told(req, status, shared_->time.now() - started_);
}

// Reads what the client is still sending, so that closing does not reset the connection under the
// answer that is on its way.
task<> session::linger(std::optional<std::uint64_t> unread)
{
    peer_->finish();
    std::uint64_t left = shared_->limits.linger_bytes;
    if (unread && *unread <= shared_->limits.linger_known)
        left = *unread;
    left -= std::min<std::uint64_t>(left, in_.data().size());
    in_.consume(in_.data().size());
    doing_ = activity::lingering;
    const auto end = shared_->time.now() + shared_->limits.linger_time;
    while (left > 0 && shared_->time.now() < end) {
        limit_to(shared_->limits.linger_gap);
        const auto room = in_.prepare(body_step);
        const auto n = co_await peer_->read_some(room);
        if (!n)
            co_return;
        left -= std::min<std::uint64_t>(left, *n);
    }
}

// --- one message in, one message out ---

void session::fill(request& req, const request_parser& message)
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
    req.peer = peer_name_;
    req.connection = peer_.get();
    req.fields = &fields_;
}

bool session::parse(request_parser& message)
{
    head_.assign(in_.data().substr(0, finder_.size()));
    in_.consume(finder_.size());
    return !message.parse_head(head_);
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

// Whether the body, if any, has arrived with its header and may be taken, as small ones do.
bool session::has_come(const request_parser& message, const service::verdict& verdict) const
{
    const auto length = message.length();
    return !verdict.refusal && !verdict.streams && length && *length <= verdict.body_limit &&
           *length <= in_.data().size();
}

// Brings in the body, if the service will have it. Nothing when the request is complete; otherwise
// it has been answered, and the value says whether another message may follow.
task<std::optional<bool>> session::receive(request_parser& message, request& req,
                                           service::verdict verdict)
{
    const auto length = message.length(); // 0 without a body, nothing when it is chunked
    const bool has_body = length != 0U;
    if (verdict.refusal) {
        auto& answer = *verdict.refusal;
        const bool keep_alive = message.keep_alive() && !has_body;
        const bool again = co_await respond(&req, message.is_http_11(), keep_alive, answer);
        tell(req, answer.status);
        if (has_body)
            co_await linger(length);
        co_return again;
    }
    if (verdict.streams) {
        const auto ec = co_await invite_body(message);
        if (ec)
            co_return false;
        co_return std::nullopt;
    }
    if (length && *length > verdict.body_limit)
        co_return co_await refuse(protocol_error::body_too_large, &req, length);
    const auto got = co_await read_body(message, req.body, verdict.body_limit);
    if (got == reading::gone || timed_out_)
        co_return false;
    if (got == reading::malformed)
        co_return co_await refuse(protocol_error::malformed, &req, std::nullopt);
    if (got == reading::too_large)
        co_return co_await refuse(protocol_error::body_too_large, &req, std::nullopt);
    co_return std::nullopt;
}

// True when another message may follow on this connection.
task<bool> session::exchange()
{
    const auto got_head = co_await read_head();
    if (got_head == reading::gone || timed_out_)
        co_return false;
    if (got_head == reading::too_large)
        co_return co_await refuse(protocol_error::header_too_large, nullptr, std::nullopt);
    request_parser message(fields_);
    if (got_head == reading::malformed || !parse(message))
        co_return co_await refuse(protocol_error::malformed, nullptr, std::nullopt);
    request req;
    fill(req, message);
    started_ = shared_->time.now();
    auto verdict = shared_->answers.admit(req);
    upload body(*this, message);
    if (verdict.streams)
        req.incoming = &body;
    if (has_come(message, verdict)) {
        req.body = in_.data().substr(0, message.length().value_or(0));
        in_.consume(req.body.size());
    } else if (verdict.refusal || message.length() != 0U) {
        const auto answered = co_await receive(message, req, std::move(verdict));
        if (answered)
            co_return *answered;
    }

    ++shared_->counts.requests;
    const active_count active(shared_->counts.active);
    auto answer = co_await handle(req);
    if (abandoned_)
        co_return false;
    bool again = co_await respond(&req, message.is_http_11(), message.keep_alive(), answer);
    tell(req, answer.status);
    again = again && (req.incoming == nullptr || body.is_complete());
    if (!again && peer_->pending())
        co_await linger(std::nullopt);
    co_return again;
}

// What the service answers, or what it says when it failed.
task<response> session::handle(request& req)
{
    due_ = steady_time::max(); // a handler has all the time it needs
    doing_ = activity::handling;
    std::optional<std::string> failure;
    response answer;
    try {
        answer = co_await shared_->answers.handle(req);
    } catch (const std::exception& e) {
        failure = e.what();
    } catch (...) {
        failure = "something that is no exception was thrown";
    }
    if (failure && !abandoned_)
        answer = shared_->answers.internal_error(req, *failure);
    co_return answer;
}

} // namespace gateway::net
