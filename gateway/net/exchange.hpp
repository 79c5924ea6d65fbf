#pragma once

// One request and its reply on one connection: what client.cpp does between taking a connection and
// giving it back.

#include "net/client.hpp"
#include "net/http_codec.hpp"
#include "net/stream_limit.hpp"

namespace gateway::net {

// Whether nothing that a caller passes on could end a line and start another one.
bool can_be_sent(const client_request& r);
// The request line and the header, with the empty line.
std::string head_of(const client_request& r);

// Where a connection goes that can be used again.
using connection_return = std::function<void(std::shared_ptr<stream>)>;

// One request and its reply on one connection; as a reply_stream, what is left of it.
class exchange final : public reply_stream {
public:
    exchange(std::shared_ptr<stream> peer, const client_request& r, time_source& time,
             deadline_wheel& wheel, steady_time end, connection_return give_back)
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

    task<std::optional<failure>> run(const std::string& head, const client_request& r);

    const reply_head& head() const override { return head_; }
    task<outcome<std::size_t>> read(std::span<char> into) override;

private:
    enum class body_end {
        length,  // after left_ bytes
        chunks,  // at the last chunk
        closing, // with the connection
    };

    task<error_code> send(std::string_view bytes);
    task<error_code> send_body(const client_request& r, std::size_t already);
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
    connection_return give_back_;

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
    error_code source_error_; // the request's own body could not be read
};

} // namespace gateway::net
