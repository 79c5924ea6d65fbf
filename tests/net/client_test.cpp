#include "net/client.hpp"

#include "net/error.hpp"
#include "support/scripted_stream.hpp"
#include "support/world.hpp"

#include <boost/asio/error.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::net;
using namespace std::chrono_literals;
using gateway::test::scripted_stream;

namespace {

// Hands out scripted connections in turn; none left is a refused port.
struct scripted_dialer final : dialer {
    std::deque<std::shared_ptr<scripted_stream>> next;
    int dialled = 0;
    duration patience{};

    task<outcome<std::shared_ptr<stream>>> dial(const url& to, const address_policy&,
                                                duration limit) override
    {
        ++dialled;
        patience = limit;
        if (next.empty()) {
            failure f;
            f.code = asio::error::connection_refused;
            f.what = "cannot connect to " + to.origin();
            co_return f;
        }
        std::shared_ptr<stream> peer = next.front();
        next.pop_front();
        co_return peer;
    }
};

// "0123456789012…", which may end too early or fail at some place.
struct numbers final : body_source {
    explicit numbers(std::uint64_t size) : size_(size) {}
    std::optional<std::uint64_t> size() const override { return size_; }
    task<result<std::size_t>> read(std::span<char> into) override
    {
        if (done_ >= breaks_at && ends_early)
            co_return std::size_t{0};
        if (done_ >= breaks_at)
            co_return error_code(asio::error::fault);
        const auto n = std::min<std::uint64_t>(into.size(), size_ - done_);
        for (std::size_t i = 0; i < n; ++i)
            into[i] = static_cast<char>('0' + (done_ + i) % 10);
        done_ += n;
        co_return n;
    }
    std::uint64_t breaks_at = std::numeric_limits<std::uint64_t>::max();
    bool ends_early = false;

private:
    std::uint64_t size_;
    std::uint64_t done_ = 0;
};

struct calling : test::world {
    deadline_wheel wheel{ex(), time};
    scripted_dialer wires;
    std::optional<client> http;
    std::optional<outcome<reply>> got;
    std::optional<outcome<std::unique_ptr<reply_stream>>> opened;
    std::vector<std::shared_ptr<scripted_stream>> made;

    calling() { http.emplace(wires, time, wheel); }
    ~calling()
    {
        opened.reset();
        for (const auto& peer : made)
            peer->close();
        http.reset();
        settle();
    }

    std::shared_ptr<scripted_stream> wire()
    {
        auto peer = std::make_shared<scripted_stream>(ex());
        made.push_back(peer);
        wires.next.push_back(peer);
        return peer;
    }

    static client_request request(std::string method = "GET", std::string body = {})
    {
        client_request r;
        r.method = std::move(method);
        r.to = *url::parse("http://webui.test:7860/sdapi/v1/x?y=1");
        r.body = std::move(body);
        return r;
    }

    static task<> fetch_into(client& from, client_request r, std::optional<outcome<reply>>& into)
    {
        auto result = co_await from.fetch(std::move(r));
        into.emplace(std::move(result));
    }
    static task<> open_into(client& from, client_request r,
                            std::optional<outcome<std::unique_ptr<reply_stream>>>& into)
    {
        auto result = co_await from.stream(std::move(r));
        into.emplace(std::move(result));
    }

    static task<> read_into(reply_stream& from, std::size_t room, std::string& text)
    {
        std::vector<char> block(room);
        const std::span<char> into(block);
        const auto n = co_await from.read(into);
        text += n.has_value() ? std::string(block.data(), *n) + "|" : "failed";
    }

    void fetch(client_request r)
    {
        got.reset();
        start(fetch_into(*http, std::move(r), got));
        settle();
    }
    void arrives(const std::shared_ptr<scripted_stream>& peer, std::string bytes)
    {
        peer->arrives(std::move(bytes));
        settle();
    }
    failure failed()
    {
        BOOST_REQUIRE(got);
        BOOST_REQUIRE(!got->has_value());
        return got->error();
    }
    std::string body()
    {
        BOOST_REQUIRE(got);
        BOOST_REQUIRE_MESSAGE(got->has_value(), (got->has_value() ? "" : got->error().what));
        return (*got)->body;
    }
};

const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

} // namespace

BOOST_FIXTURE_TEST_SUITE(client_, calling)

BOOST_AUTO_TEST_CASE(a_request_leaves_in_one_write_with_what_a_webui_needs)
{
    const auto peer = wire();
    auto r = request("POST", "{}");
    r.headers.emplace_back("Content-Type", "application/json");

    fetch(r);
    arrives(peer, ok);

    BOOST_TEST(peer->writes() == 1U);
    BOOST_TEST(peer->written() == "POST /sdapi/v1/x?y=1 HTTP/1.1\r\n"
                                  "Host: webui.test:7860\r\n"
                                  "Content-Type: application/json\r\n"
                                  "Accept-Encoding: identity\r\n"
                                  "Connection: keep-alive\r\n"
                                  "Content-Length: 2\r\n\r\n{}");
    BOOST_TEST(body() == "ok");
}

BOOST_AUTO_TEST_CASE(a_body_may_be_read_while_it_is_sent)
{
    const auto peer = wire();
    auto r = request("POST");
    r.source = std::make_shared<numbers>(200'000);
    fetch(std::move(r));
    const auto sent = peer->take_written();
    const auto head_end = sent.find("\r\n\r\n") + 4;

    BOOST_TEST(sent.find("\r\nContent-Length: 200000\r\n") != std::string::npos);
    BOOST_TEST(sent.size() - head_end == 200'000u);
    BOOST_TEST(sent.substr(head_end, 12) == "012345678901");
    BOOST_TEST(peer->writes() > 3u); // never whole in memory
    arrives(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    BOOST_TEST(body() == "ok");
}

BOOST_AUTO_TEST_CASE(a_body_that_cannot_be_read_ends_the_request_and_its_connection)
{
    for (const bool ends_early : {false, true}) {
        const auto peer = wire();
        auto r = request("POST");
        const auto source = std::make_shared<numbers>(200'000);
        source->breaks_at = 100'000;
        source->ends_early = ends_early;
        r.source = source;
        fetch(std::move(r));

        const auto f = failed();
        BOOST_TEST((f.phase == phase::sending));
        BOOST_TEST(f.what.find("the body for http://webui.test:7860 could not be read") == 0u,
                   f.what);
        BOOST_TEST(peer->is_closed());
    }
}

BOOST_AUTO_TEST_CASE(a_refusal_that_comes_while_a_long_body_is_sent_counts)
{
    const auto peer = wire();
    peer->fail_write_at(2, asio::error::broken_pipe);
    auto r = request("POST");
    r.source = std::make_shared<numbers>(200'000);
    fetch(std::move(r));
    arrives(peer, "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n");

    BOOST_REQUIRE(got && got->has_value());
    BOOST_TEST((*got)->head.status == 410);
}

BOOST_AUTO_TEST_CASE(a_get_brings_no_body_and_no_length)
{
    const auto peer = wire();
    fetch(request());

    BOOST_TEST(peer->written().find("Content-Length") == std::string::npos);
    fetch(request("POST"));
    BOOST_TEST(wires.dialled == 2);
}

BOOST_AUTO_TEST_CASE(a_reply_is_understood_however_its_bytes_are_cut)
{
    for (const std::string& text :
         {std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nabcde"),
          std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n"
                      "2\r\nab\r\n3;e=f\r\ncde\r\n0\r\nX: y\r\n\r\n"),
          std::string("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
                      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nabcde")}) {
        const auto peer = wire();
        auto r = request();
        r.fresh_connection = true;
        fetch(r);
        for (const char c : text)
            arrives(peer, std::string(1, c));
        BOOST_TEST(body() == "abcde");
        BOOST_TEST((*got)->head.header("x-a") == "b");
        BOOST_TEST((*got)->head.header("x") == "");
        BOOST_TEST(!peer->is_closed());
    }
}

BOOST_AUTO_TEST_CASE(a_reply_without_a_length_is_complete_at_the_end_of_its_connection)
{
    const auto peer = wire();
    fetch(request());
    arrives(peer, "HTTP/1.0 200 OK\r\n\r\nabc");
    arrives(peer, "de");
    BOOST_TEST(!got.has_value());
    peer->ends();
    settle();

    BOOST_TEST(body() == "abcde");
    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_CASE(a_reply_without_a_body_is_complete_at_its_head)
{
    const auto peer = wire();
    for (const char* text : {"HTTP/1.1 204 No Content\r\n\r\n",
                             "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
                             "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}) {
        fetch(request());
        arrives(peer, text);
        BOOST_TEST(body() == "");
    }
    fetch(request("HEAD"));
    arrives(peer, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
    BOOST_TEST(body() == "");
    BOOST_TEST(wires.dialled == 1);
}

// --- keeping connections ---

BOOST_AUTO_TEST_CASE(a_connection_is_used_again_once_its_reply_has_been_read_whole)
{
    const auto peer = wire();
    fetch(request());
    arrives(peer, ok);
    fetch(request());
    arrives(peer, ok);

    BOOST_TEST(body() == "ok");
    BOOST_TEST(wires.dialled == 1);
}

BOOST_AUTO_TEST_CASE(a_connection_is_not_used_again_when_that_could_go_wrong)
{
    const std::vector<std::string> replies{
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
    };
    for (const auto& text : replies) {
        const auto peer = wire();
        fetch(request());
        arrives(peer, text);
        BOOST_TEST(body() == "ok");
        BOOST_TEST(peer->is_closed());
    }
}

BOOST_AUTO_TEST_CASE(an_idle_connection_is_closed_when_its_time_is_over)
{
    const auto peer = wire();
    fetch(request());
    arrives(peer, ok);
    advance(3900ms);
    BOOST_TEST(!peer->is_closed());

    advance(1s);

    BOOST_TEST(peer->is_closed());
    BOOST_TEST(wheel.armed() == 0U);
}

BOOST_AUTO_TEST_CASE(after_close_idle_no_connection_is_kept_and_nothing_is_left_to_wait_for)
{
    const auto peer = wire();
    const auto later = wire();
    fetch(request());
    arrives(peer, ok);

    http->close_idle();
    settle();

    BOOST_TEST(peer->is_closed());
    BOOST_TEST(wheel.armed() == 0U);
    fetch(request());
    arrives(later, ok);
    BOOST_TEST(body() == "ok");
    BOOST_TEST(later->is_closed());
    BOOST_TEST(wheel.armed() == 0U);
}

BOOST_AUTO_TEST_CASE(an_idle_connection_on_which_something_has_come_is_thrown_away)
{
    const auto peer = wire();
    const auto other = wire();
    fetch(request());
    arrives(peer, ok);
    arrives(peer, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");

    fetch(request());
    arrives(other, ok);

    BOOST_TEST(body() == "ok");
    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_CASE(only_so_many_idle_connections_are_kept_per_host)
{
    http.emplace(wires, time, wheel, 1);
    const auto first = wire();
    const auto second = wire();
    std::optional<outcome<reply>> other;
    start(fetch_into(*http, request(), other));
    settle();
    fetch(request());
    arrives(first, ok);
    arrives(second, ok);

    BOOST_TEST(first->is_closed());
    BOOST_TEST(!second->is_closed());
}

BOOST_AUTO_TEST_CASE(a_request_that_wants_a_fresh_connection_gets_one)
{
    const auto peer = wire();
    const auto other = wire();
    fetch(request());
    arrives(peer, ok);
    auto r = request("POST", "x");
    r.fresh_connection = true;
    fetch(r);
    arrives(other, ok);

    BOOST_TEST(body() == "ok");
    BOOST_TEST(wires.dialled == 2);
}

BOOST_AUTO_TEST_CASE(a_connection_that_may_be_private_is_not_used_for_a_request_that_must_not)
{
    const auto peer = wire();
    const auto other = wire();
    fetch(request());
    arrives(peer, ok);
    auto r = request();
    r.peers.allow_private = false;
    fetch(r);

    BOOST_TEST(wires.dialled == 2);
    r.peers.exempt_hosts = {"webui.test:7860"};
    fetch(r);
    BOOST_TEST(wires.dialled == 2);
}

BOOST_AUTO_TEST_CASE(a_get_on_a_dead_pooled_connection_is_tried_once_more_on_a_fresh_one)
{
    for (const bool writing : {true, false}) {
        http.emplace(wires, time, wheel);
        wires.dialled = 0;
        const auto dead = wire();
        const auto fresh = wire();
        fetch(request());
        arrives(dead, ok);
        if (writing)
            dead->fail_write_at(1, asio::error::broken_pipe);
        dead->fail_read_at(dead->reads(), asio::error::connection_reset);
        fetch(request());
        arrives(fresh, ok);

        BOOST_TEST(body() == "ok");
        BOOST_TEST(wires.dialled == 2);
    }
}

BOOST_AUTO_TEST_CASE(nothing_but_a_get_is_ever_repeated)
{
    const auto dead = wire();
    wire();
    fetch(request());
    arrives(dead, ok);
    dead->fail_read_at(dead->reads(), asio::error::connection_reset);

    fetch(request("POST", "x"));

    BOOST_TEST((failed().phase == phase::waiting));
    BOOST_TEST(!failed().nothing_sent);
    BOOST_TEST(wires.dialled == 1);
}

BOOST_AUTO_TEST_CASE(a_get_is_not_repeated_twice_nor_after_a_fresh_connection_failed)
{
    const auto peer = wire();
    wire();
    fetch(request());
    peer->breaks(asio::error::connection_reset);
    settle();

    BOOST_TEST((failed().phase == phase::waiting));
    BOOST_TEST(wires.dialled == 1);
}

// --- how far it had come ---

BOOST_AUTO_TEST_CASE(a_refused_connection_has_sent_nothing)
{
    fetch(request("POST", "x"));

    BOOST_TEST((failed().phase == phase::connecting));
    BOOST_TEST((failed().code == asio::error::connection_refused));
    BOOST_TEST(failed().nothing_sent);
    BOOST_TEST(!failed().timed_out);
}

BOOST_AUTO_TEST_CASE(nothing_sent_means_that_not_one_byte_was_taken)
{
    for (const std::size_t taken : {0U, 1U}) {
        const auto peer = wire();
        peer->fail_write_at(0, asio::error::broken_pipe, taken);
        peer->ends();
        fetch(request("POST", "x"));

        BOOST_TEST((failed().phase == phase::sending));
        BOOST_TEST((failed().code == asio::error::broken_pipe));
        BOOST_TEST(failed().nothing_sent == (taken == 0));
    }
}

BOOST_AUTO_TEST_CASE(an_answer_that_came_before_the_request_was_taken_whole_still_counts)
{
    const auto peer = wire();
    peer->fail_write_at(1, asio::error::broken_pipe);
    peer->arrives("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    fetch(request("POST", std::string(100'000, 'x')));

    BOOST_TEST(body() == "no");
    BOOST_TEST((*got)->head.status == 413);
    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_CASE(a_failure_names_its_phase_wherever_the_connection_breaks)
{
    const std::string text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde";
    for (std::size_t cut = 0; cut < text.size(); ++cut) {
        const auto peer = wire();
        peer->arrives(text.substr(0, cut));
        peer->breaks(asio::error::connection_reset);
        fetch(request("POST", "x"));

        BOOST_TEST((failed().phase == (cut == 0 ? phase::waiting : phase::reading)));
        BOOST_TEST((failed().code == asio::error::connection_reset));
        BOOST_TEST(!failed().nothing_sent);
        BOOST_TEST(failed().what.starts_with("http://webui.test:7860 "));
        BOOST_TEST(peer->is_closed());
    }
}

BOOST_AUTO_TEST_CASE(a_body_cut_short_is_a_failure)
{
    for (const char* text :
         {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcd",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"}) {
        const auto peer = wire();
        peer->arrives(text);
        peer->ends();
        fetch(request());

        BOOST_TEST((failed().phase == phase::reading));
        BOOST_TEST((failed().code == net::error::cut_short));
    }
}

BOOST_AUTO_TEST_CASE(a_connection_that_ends_without_a_byte_gave_no_reply)
{
    const auto peer = wire();
    peer->ends();
    fetch(request("POST", "x"));

    BOOST_TEST((failed().phase == phase::waiting));
    BOOST_TEST(failed().what == "http://webui.test:7860 gave no reply: End of file");
}

BOOST_AUTO_TEST_CASE(what_is_not_http_is_a_failure)
{
    for (const char* text : {"\x15\x03\x01", "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
                             "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "SSH-2.0-OpenSSH\r\n\r\n",
                             "HTTP/1.1 101 Switching Protocols\r\n\r\n",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                             "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"}) {
        const auto peer = wire();
        peer->arrives(text);
        fetch(request());

        BOOST_TEST((failed().phase == phase::reading));
        BOOST_TEST((failed().code == net::error::malformed));
        BOOST_TEST(peer->is_closed());
    }
}

// --- time ---

BOOST_AUTO_TEST_CASE(a_reply_that_does_not_come_in_time_is_a_failure_while_waiting)
{
    const auto peer = wire();
    fetch(request("POST", "x"));
    advance(59s);
    BOOST_TEST(!got.has_value());

    advance(2s);

    BOOST_TEST((failed().phase == phase::waiting));
    BOOST_TEST(failed().timed_out);
    BOOST_TEST((failed().code == asio::error::timed_out));
    BOOST_TEST(!failed().nothing_sent);
    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_CASE(a_body_that_stalls_is_a_failure_while_reading)
{
    const auto peer = wire();
    fetch(request());
    arrives(peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
    advance(29s);
    arrives(peer, "c");
    advance(29s);
    BOOST_TEST(!got.has_value());

    advance(2s);

    BOOST_TEST((failed().phase == phase::reading));
    BOOST_TEST(failed().timed_out);
    BOOST_TEST(failed().what ==
               "http://webui.test:7860 stopped in the middle of its reply after 3 bytes: "
               "Connection timed out");
}

BOOST_AUTO_TEST_CASE(a_peer_that_does_not_take_the_request_is_a_failure_while_sending)
{
    const auto peer = wire();
    peer->block_writes();
    fetch(request("POST", "x"));
    advance(31s);

    BOOST_TEST((failed().phase == phase::sending));
    BOOST_TEST(failed().timed_out);
    BOOST_TEST(failed().nothing_sent);
}

BOOST_AUTO_TEST_CASE(the_total_time_bounds_everything_together)
{
    const auto peer = wire();
    auto r = request();
    r.total_timeout = 10s;
    fetch(r);
    BOOST_TEST((wires.patience == 10s));
    arrives(peer, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n");
    for (int i = 0; i < 10; ++i) {
        BOOST_TEST(!got.has_value());
        arrives(peer, "x");
        advance(1s);
    }
    advance(1s);

    BOOST_TEST(failed().timed_out);
}

// --- limits ---

BOOST_AUTO_TEST_CASE(a_reply_over_the_limit_is_not_read_further)
{
    for (const char* text :
         {"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n"}) {
        const auto peer = wire();
        auto r = request();
        r.body_limit = 10;
        peer->arrives(text);
        fetch(r);

        BOOST_TEST((failed().code == net::error::too_large));
        BOOST_TEST((failed().phase == phase::reading));
        BOOST_TEST(peer->is_closed());
    }
    const auto peer = wire();
    peer->arrives("HTTP/1.1 200 OK\r\nX: " + std::string(40'000, 'x'));
    fetch(request());
    BOOST_TEST((failed().code == net::error::too_large));
}

BOOST_AUTO_TEST_CASE(nothing_a_caller_passes_on_can_start_another_header_or_request)
{
    std::vector<client_request> bad(5, request());
    bad[0].to.target = "/a HTTP/1.1\r\nX: y";
    bad[1].headers.emplace_back("X", "y\r\nZ: z");
    bad[2].headers.emplace_back("X: y\r\nZ", "z");
    bad[3].method = "GET /";
    bad[4].to.target = "*";
    for (const auto& r : bad) {
        fetch(r);
        BOOST_TEST((failed().code == net::error::malformed));
        BOOST_TEST(failed().nothing_sent);
    }
    BOOST_TEST(wires.dialled == 0);
}

// --- reading piece by piece ---

BOOST_AUTO_TEST_CASE(a_stream_is_read_at_its_readers_pace_and_then_its_connection_kept)
{
    const auto peer = wire();
    start(open_into(*http, request(), opened));
    settle();
    arrives(peer, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
    BOOST_REQUIRE(opened && opened->has_value());
    auto& body = ***opened;
    BOOST_TEST(body.head().content_length.value_or(0) == 6U);
    advance(1h); // nobody is reading: no limit runs

    std::string text;
    run(read_into(body, 2, text));
    run(read_into(body, 2, text));
    arrives(peer, "def");
    run(read_into(body, 2, text));
    run(read_into(body, 2, text));
    run(read_into(body, 2, text));

    BOOST_TEST(text == "ab|c|de|f||");
    fetch(request());
    arrives(peer, ok);
    BOOST_TEST(this->body() == "ok");
    BOOST_TEST(wires.dialled == 1);
}

BOOST_AUTO_TEST_CASE(a_stream_that_is_given_up_closes_its_connection)
{
    const auto peer = wire();
    start(open_into(*http, request(), opened));
    settle();
    arrives(peer, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");

    opened.reset();

    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_SUITE_END()
