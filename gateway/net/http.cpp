#include "net/http_codec.hpp"

#include <boost/beast/http/status.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace gateway::net {

// --- names and escapes ---

namespace {

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char l = lower(c);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

std::string_view view(boost::beast::string_view s) { return {s.data(), s.size()}; }

} // namespace

bool same_name(std::string_view a, std::string_view b) noexcept
{
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                              [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view find_field(const field_views& fields, std::string_view name) noexcept
{
    for (const auto& [key, value] : fields) {
        if (same_name(key, name))
            return value;
    }
    return {};
}

std::string percent_decode(std::string_view text, bool plus_is_space)
{
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
        if (low >= 0) {
            out += static_cast<char>(high * 16 + low);
            i += 2;
        } else {
            out += text[i] == '+' && plus_is_space ? ' ' : text[i];
        }
    }
    return out;
}

std::string_view request::header(std::string_view name) const
{
    if (fields == nullptr)
        return {};
    return find_field(*static_cast<const field_views*>(fields), name);
}

bool request::has_header(std::string_view name) const { return header(name).data() != nullptr; }

std::optional<std::string> request::parameter(std::string_view name) const
{
    auto rest = query;
    while (!rest.empty()) {
        const auto end = std::min(rest.find('&'), rest.size());
        const auto item = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const auto equals = std::min(item.find('='), item.size());
        if (percent_decode(item.substr(0, equals), true) != name)
            continue;
        return percent_decode(item.substr(std::min(equals + 1, item.size())), true);
    }
    return std::nullopt;
}

// --- bytes ---

std::span<char> byte_buffer::prepare(std::size_t n)
{
    if (bytes_.size() - end_ < n) {
        std::copy(bytes_.begin() + static_cast<std::ptrdiff_t>(begin_),
                  bytes_.begin() + static_cast<std::ptrdiff_t>(end_), bytes_.begin());
        end_ -= begin_;
        begin_ = 0;
    }
    if (bytes_.size() - end_ < n)
        bytes_.resize(std::max(end_ + n, bytes_.size() * 2));
    return {bytes_.data() + end_, bytes_.size() - end_};
}

void byte_buffer::consume(std::size_t n)
{
    begin_ += n;
    if (begin_ == end_)
        begin_ = end_ = 0;
}

void byte_buffer::shrink(std::size_t keep)
{
    if (empty() && bytes_.size() > keep)
        bytes_ = {};
}

head_finder::state head_finder::look(std::string_view bytes, std::size_t limit)
{
    // A TLS hello, or noise: say so at once instead of waiting for a line that never ends.
    if (!bytes.empty() && (bytes[0] <= ' ' || bytes[0] > '~'))
        return state::bad;
    while (seen_ < bytes.size()) {
        const auto at = bytes.find('\n', seen_);
        if (at == std::string_view::npos) {
            seen_ = bytes.size();
            break;
        }
        seen_ = at + 1;
        if (at == 0 || bytes[at - 1] != '\r' || bytes[line_] == ' ' || bytes[line_] == '\t')
            return state::bad;
        const bool empty_line = at == line_ + 1;
        line_ = seen_;
        if (empty_line) {
            size_ = seen_;
            return size_ > limit ? state::too_large : state::complete;
        }
    }
    return bytes.size() > limit ? state::too_large : state::more;
}

// --- the parser ---

template <bool IsRequest>
message_parser<IsRequest>::message_parser(field_views& fields, bool answers_head)
    : fields_(fields), answers_head_(answers_head)
{
    fields_.clear();
    // Sizes are limited by head_finder and by whoever reads the body.
    this->header_limit(std::numeric_limits<std::uint32_t>::max());
    this->body_limit(boost::none);
    this->skip(answers_head);
}

template <bool IsRequest> error_code message_parser<IsRequest>::parse_head(std::string_view head)
{
    error_code ec;
    this->eager(false);
    const auto used = this->put(boost::asio::const_buffer(head.data(), head.size()), ec);
    if (ec || used != head.size() || !this->is_header_done())
        return error::malformed;
    return {};
}

template <bool IsRequest> std::optional<std::uint64_t> message_parser<IsRequest>::length() const
{
    if (this->is_done())
        return 0;
    const auto n = this->content_length();
    return n ? std::optional<std::uint64_t>(*n) : std::nullopt;
}

template <bool IsRequest> bool message_parser<IsRequest>::expects_continue() const
{
    return is_http_11() && same_name(find_field(fields_, "expect"), "100-continue");
}

template <bool IsRequest>
typename message_parser<IsRequest>::progress
message_parser<IsRequest>::decode(std::string_view bytes, std::span<char> into, error_code& ec)
{
    progress done;
    into_ = into;
    decoded_ = 0;
    this->eager(false); // one element at a time, so that a full `into` stops between them
    while (!this->is_done() && done.used < bytes.size() && decoded_ < into.size()) {
        const auto rest = bytes.substr(done.used);
        done.used += this->put(boost::asio::const_buffer(rest.data(), rest.size()), ec);
        if (ec)
            break;
    }
    done.decoded = decoded_;
    if (ec == beast_http::error::need_more)
        ec = {};
    if (ec)
        ec = error::malformed;
    return done;
}

template <bool IsRequest>
void message_parser<IsRequest>::on_request_impl(beast_http::verb, string_view method,
                                                string_view target, int version, error_code&)
{
    method_ = view(method);
    target_ = view(target);
    version_ = version;
}

template <bool IsRequest>
void message_parser<IsRequest>::on_response_impl(int status, string_view, int version, error_code&)
{
    status_ = status;
    version_ = version;
}

template <bool IsRequest>
void message_parser<IsRequest>::on_field_impl(beast_http::field name, string_view text,
                                              string_view value, error_code& ec)
{
    if (head_done_)
        return; // a trailer must not become a header after the header has been judged
    using beast_http::field;
    if (name == field::host)
        ++hosts_;
    if (name == field::transfer_encoding) {
        has_transfer_encoding_ = true;
        if (!same_name(view(value), "chunked"))
            ec = error::malformed;
    }
    if (name == field::content_length) {
        const auto digits = view(value);
        if (++lengths_ > 1 || digits.find_first_not_of("0123456789") != std::string_view::npos)
            ec = error::malformed;
    }
    fields_.emplace_back(view(text), view(value));
}

// What Beast 1.81 lets pass and what could make us and a proxy disagree about where a message ends.
template <bool IsRequest> void message_parser<IsRequest>::on_header_impl(error_code& ec)
{
    head_done_ = true;
    const bool old_with_coding = has_transfer_encoding_ && version_ < 11;
    const bool both = has_transfer_encoding_ && lengths_ > 0;
    const bool hostless = IsRequest && (hosts_ > 1 || (hosts_ == 0 && version_ >= 11));
    if (old_with_coding || both || hostless)
        ec = error::malformed;
}

template <bool IsRequest>
std::size_t message_parser<IsRequest>::on_chunk_body_impl(std::uint64_t, string_view body,
                                                          error_code&)
{
    const auto n = std::min(body.size(), into_.size() - decoded_);
    std::memcpy(into_.data() + decoded_, body.data(), n);
    decoded_ += n;
    return n;
}

template class message_parser<true>;
template class message_parser<false>;

// --- responses ---

std::string_view reason_phrase(int status)
{
    return view(beast_http::obsolete_reason(static_cast<beast_http::status>(status)));
}

std::string http_date(wall_time when)
{
    static constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const std::time_t seconds =
        std::chrono::duration_cast<std::chrono::seconds>(when.time_since_epoch()).count();
    std::tm t{};
    gmtime_r(&seconds, &t);
    std::array<char, 64> text{};
    const int n = std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                                days[static_cast<std::size_t>(t.tm_wday)], t.tm_mday,
                                months[static_cast<std::size_t>(t.tm_mon)], t.tm_year + 1900,
                                t.tm_hour, t.tm_min, t.tm_sec);
    return {text.data(), static_cast<std::size_t>(n)};
}

void append_number(std::string& out, std::uint64_t n)
{
    std::array<char, 24> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), n).ptr;
    out.append(digits.data(), end);
}

namespace {

void append_value(std::string& out, std::string_view value)
{
    const auto from = out.size();
    out += value;
    std::replace_if(
        out.begin() + static_cast<std::ptrdiff_t>(from), out.end(),
        [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, ' ');
}

void append_field(std::string& out, std::string_view name, std::string_view value)
{
    append_value(out, name);
    out += ": ";
    append_value(out, value);
    out += "\r\n";
}

// What follows the status line when the service has written every header itself.
void append_raw_fields(std::string& out, const response& answer, const head_facts& facts)
{
    out += "\r\n";
    for (const auto& [name, value] : answer.headers)
        append_field(out, name, value);
    out += facts.keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
}

} // namespace

void append_head(std::string& out, const response& answer, const head_facts& facts,
                 std::string_view date)
{
    out += "HTTP/1.1 ";
    append_number(out, static_cast<std::uint64_t>(answer.status));
    out += ' ';
    out += reason_phrase(answer.status);
    if (answer.raw_headers) {
        append_raw_fields(out, answer, facts);
        return;
    }
    out += "\r\nDate: ";
    out += date;
    out += "\r\n";
    if (!answer.content_type.empty() && facts.body != framing::none)
        append_field(out, "Content-Type", answer.content_type);
    if (facts.body == framing::length) {
        out += "Content-Length: ";
        append_number(out, facts.length);
        out += "\r\n";
    } else if (facts.body == framing::chunked) {
        out += "Transfer-Encoding: chunked\r\n";
    }
    for (const auto& [name, value] : answer.headers)
        append_field(out, name, value);
    if (!facts.keep_alive)
        out += "Connection: close\r\n";
    else if (!facts.http_11)
        out += "Connection: keep-alive\r\n";
    out += "\r\n";
}

} // namespace gateway::net
