#pragma once

// One connection of a server: reads a message, asks the service, writes the answer, again. What all
// connections share lives in session_shared.

#include "net/http_codec.hpp"
#include "net/server.hpp"

#include <boost/asio/cancellation_signal.hpp>

namespace gateway::net {

struct session_shared {
    executor ex;
    time_source& time;
    deadline_wheel& wheel;
    service& answers;
    server_limits limits;
    server::stats counts;
    server::observer told;
    bool closing = false; // no further messages; answers say "Connection: close"

    session_shared(executor e, time_source& t, deadline_wheel& w, service& a, server_limits l)
        : ex(std::move(e)), time(t), wheel(w), answers(a), limits(l)
    {
    }
    std::string_view date(); // for the Date header, made once a second

private:
    std::string date_;
    std::chrono::seconds date_of_{-1};
};

class session : public std::enable_shared_from_this<session> {
public:
    session(std::shared_ptr<session_shared> shared, std::shared_ptr<stream> peer,
            std::string peer_name);
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    // Until the connection ends. Once per session.
    task<> serve();
    void close_if_idle();
    // Nothing is answered any more.
    void abandon();
    // Hangs up and lets go of its deadline.
    void end();
    bool has_ended() const { return ended_; }
    asio::cancellation_slot slot() { return stop_.slot(); }

private:
    // What the session is doing, which decides what running out of time means.
    enum class activity {
        idle,      // between messages: closed without a word
        reading,   // in the middle of a message: answered with 408
        handling,  // no limit of ours
        streaming, // the body arrives while it is being answered: closed
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

    class upload;

    void limit_to(duration d);
    void out_of_time();
    static task<> hang_up_late(std::shared_ptr<session> s, std::string answer);
    bool parse(request_parser& message);
    bool has_come(const request_parser& message, const service::verdict& verdict) const;
    void fill(request& req, const request_parser& message);
    void tell(const request& req, int status);

    task<bool> exchange();
    task<std::optional<bool>> receive(request_parser& message, request& req,
                                      service::verdict verdict);
    task<response> handle(request& req);
    task<reading> read_head();
    task<error_code> invite_body(const request_parser& message);
    task<reading> read_body(request_parser& message, std::string& body, std::uint64_t limit);
    task<reading> read_length(std::string& body, std::uint64_t length);
    task<reading> read_chunks(request_parser& message, std::string& body, std::uint64_t limit);
    task<error_code> send(std::string_view bytes);
    task<bool> respond(const request* req, bool http_11, bool keep_alive, response& answer);
    task<bool> send_source(body_source& source, framing body, std::uint64_t length);
    task<bool> refuse(protocol_error what, const request* req, std::optional<std::uint64_t> unread);
    task<> linger(std::optional<std::uint64_t> unread);

    std::shared_ptr<session_shared> shared_;
    std::shared_ptr<stream> peer_;
    std::string peer_name_;
    byte_buffer in_;
    std::string head_; // the current message's, which the request's views point into
    std::string out_;  // the answer's head and the start of its body
    field_views fields_;
    head_finder finder_;
    std::optional<deadline> limit_;
    steady_time due_ = steady_time::max();     // when what it is doing must have ended
    steady_time set_for_ = steady_time::max(); // when the deadline expires, if it is set
    steady_time started_;                      // when the current request's header had arrived
    asio::cancellation_signal stop_;
    activity doing_ = activity::idle;
    bool abandoned_ = false;
    bool timed_out_ = false; // a 408 is on its way
    bool ended_ = false;
};

} // namespace gateway::net
