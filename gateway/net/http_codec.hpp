#pragma once

// The inside of http.hpp, for server.cpp and client.cpp: bytes to messages through Beast's parser,
// with the holes of toolchain.md §3.4 closed, and messages to bytes.

#include "net/error.hpp"
#include "net/http.hpp"

#include <boost/beast/http/basic_parser.hpp>

#include <cstdint>
#include <memory>

namespace gateway::net {

namespace beast_http = boost::beast::http;

bool same_name(std::string_view a, std::string_view b) noexcept; // ASCII, case-insensitive

// Header fields as views into a head that its owner keeps.
using field_views = std::vector<std::pair<std::string_view, std::string_view>>;
std::string_view find_field(const field_views& fields, std::string_view name) noexcept;

// Bytes that have been read and not yet used. Kept across messages; empty, it is one small block.
class byte_buffer {
public:
    std::string_view data() const { return {bytes_.data() + begin_, end_ - begin_}; }
    bool empty() const { return begin_ == end_; }
    // Room for at least `n` bytes after what is there.
    std::span<char> prepare(std::size_t n);
    void commit(std::size_t n) { end_ += n; }
    void consume(std::size_t n);
    // Gives memory back when nothing is in it and it has grown beyond `keep`.
    void shrink(std::size_t keep);

private:
    std::vector<char> bytes_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

// Looks for the end of a message's head while bytes arrive, each byte once.
class head_finder {
public:
    enum class state {
        more,     // not complete yet
        complete, // `size` bytes, the empty line included
        bad,      // a lone line feed, a folded line, or not text at all
        too_large,
    };
    state look(std::string_view bytes, std::size_t limit);
    std::size_t size() const { return size_; }
    void reset() { seen_ = line_ = size_ = 0; }

private:
    std::size_t seen_ = 0; // bytes looked at
    std::size_t line_ = 0; // where the current line starts
    std::size_t size_ = 0;
};

// One message's head and, for chunked bodies, the decoder of what follows. Made anew per message.
template <bool IsRequest> class message_parser final : public beast_http::basic_parser<IsRequest> {
public:
    using string_view = boost::beast::string_view;
    using base = beast_http::basic_parser<IsRequest>;

    message_parser(field_views& fields, bool answers_head = false);

    // The whole head, found by head_finder. The views in `fields`, method() and target() point into
    // it.
    error_code parse_head(std::string_view head);

    std::string_view method() const { return method_; }
    std::string_view target() const { return target_; }
    int status() const { return status_; }
    bool is_http_11() const { return version_ >= 11; }
    // Absent for chunked bodies, and for replies that end with their connection.
    std::optional<std::uint64_t> length() const;
    bool is_chunked() const { return has_transfer_encoding_; }
    bool expects_continue() const;

    // Decodes as much of a chunked body as fits: bytes used up, bytes decoded.
    struct progress {
        std::size_t used = 0;
        std::size_t decoded = 0;
    };
    progress decode(std::string_view bytes, std::span<char> into, error_code& ec);

private:
    void on_request_impl(beast_http::verb, string_view method, string_view target, int version,
                         error_code&) override;
    void on_response_impl(int status, string_view reason, int version, error_code&) override;
    void on_field_impl(beast_http::field name, string_view text, string_view value,
                       error_code& ec) override;
    void on_header_impl(error_code& ec) override;
    void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
    std::size_t on_body_impl(string_view body, error_code&) override { return body.size(); }
    void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t remain, string_view body, error_code&) override;
    void on_finish_impl(error_code&) override {}

    field_views& fields_;
    std::string_view method_;
    std::string_view target_;
    std::span<char> into_;
    std::size_t decoded_ = 0;
    int status_ = 0;
    int version_ = 0;
    int hosts_ = 0;
    int lengths_ = 0;
    bool has_transfer_encoding_ = false;
    bool head_done_ = false;
    bool answers_head_ = false;
};

extern template class message_parser<true>;
extern template class message_parser<false>;

using request_parser = message_parser<true>;
using response_parser = message_parser<false>;

// How a response's body is delimited.
enum class framing {
    none,   // no body, and no length either (204, 304)
    length, // Content-Length
    chunked,
    closing, // the end of the connection (HTTP/1.0 clients)
};

struct head_facts {
    framing body = framing::length;
    std::uint64_t length = 0;
    bool keep_alive = true;
    bool http_11 = true;
};

// "Mon, 23 Nov 2026 07:28:00 GMT"
std::string http_date(wall_time when);
// Appends the status line and the header, with the empty line. Line breaks in values become spaces.
void append_head(std::string& out, const response& answer, const head_facts& facts,
                 std::string_view date);
void append_number(std::string& out, std::uint64_t n);

} // namespace gateway::net
