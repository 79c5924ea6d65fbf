#include "net/exchange.hpp"

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

} // namespace

// --- the request as text ---

namespace {

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

} // namespace

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
    const auto size = r.source ? r.source->size().value() : r.body.size();
    if (size > 0 || usually_has_body)
        append_field(out, "Content-Length", std::to_string(size));
    out += "\r\n";
    return out;
}

// --- the exchange ---

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

// What has not been sent with the header.
task<error_code> exchange::send_body(const client_request& r, std::size_t already)
{
    if (!r.source) {
        const auto rest = std::string_view(r.body).substr(already);
        co_return co_await send(rest);
    }
    std::string piece(read_step, '\0');
    for (auto left = r.source->size().value(); left > 0;) {
        const std::span<char> into(piece.data(), std::min<std::uint64_t>(left, piece.size()));
        const auto n = co_await r.source->read(into);
        if (!n || *n == 0) {
            source_error_ = n ? error_code(error::cut_short) : n.error();
            co_return source_error_;
        }
        left -= *n;
        const auto bytes = std::string_view(piece).substr(0, *n);
        const auto ec = co_await send(bytes);
        if (ec)
            co_return ec;
    }
    co_return error_code{};
}

// Sends the request and waits for the reply's head.
task<std::optional<failure>> exchange::run(const std::string& head, const client_request& r)
{
    std::string first = head;
    const auto with_head = r.source ? 0 : std::min(r.body.size(), copied_body);
    first.append(r.body, 0, with_head);
    auto sent = co_await send(first);
    if (!sent)
        sent = co_await send_body(r, with_head);
    if (source_error_)
        co_return failed(phase::sending, source_error_);
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

namespace {

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

} // namespace

failure exchange::failed(phase where, error_code code)
{
    failure f;
    if (source_error_) {
        f.phase = where;
        f.code = code;
        f.nothing_sent = false;
        f.what = "the body for " + origin_ + " could not be read: " + code.message();
        return f;
    }
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

} // namespace gateway::net
