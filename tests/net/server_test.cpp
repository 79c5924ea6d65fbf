#include "net/server.hpp"

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

// Answers with what it was asked, so that a test sees how a request was understood.
struct echo_service final : service {
    std::uint64_t body_limit = 100;
    std::optional<response> refusal;
    std::function<task<response>(request&)> handler;
    std::vector<std::string> handled;

    verdict admit(const request&) override { return {body_limit, refusal}; }

    task<response> handle(request& req) override
    {
        handled.push_back(std::string(req.method) + " " + std::string(req.path));
        if (handler)
            co_return co_await handler(req);
        response answer;
        answer.content_type = "text/plain";
        answer.body = std::string(req.method) + " " + std::string(req.path) + "|" +
                      std::string(req.query) + "|" + req.body;
        co_return answer;
    }

    response refuse(protocol_error what, const request*) override
    {
        response answer;
        switch (what) {
        case protocol_error::malformed: answer.status = 400; break;
        case protocol_error::header_too_large: answer.status = 431; break;
        case protocol_error::body_too_large: answer.status = 413; break;
        case protocol_error::length_required: answer.status = 411; break;
        case protocol_error::timeout: answer.status = 408; break;
        }
        answer.body = "{}";
        return answer;
    }

    response internal_error(const request&, std::string_view what) override
    {
        response answer;
        answer.status = 500;
        answer.body = std::string(what);
        return answer;
    }
};

struct served : test::world {
    deadline_wheel wheel{ex(), time};
    echo_service answers;
    server_limits limits;
    std::optional<server> door;
    std::shared_ptr<scripted_stream> peer = std::make_shared<scripted_stream>(ex());

    ~served()
    {
        peer->close();
        settle();
    }

    void open()
    {
        if (!door)
            door.emplace(ex(), time, wheel, answers, limits);
        start(door->serve(peer, "198.51.100.7:4711"));
        settle();
    }
    void says(std::string bytes)
    {
        if (!door)
            open();
        peer->arrives(std::move(bytes));
        settle();
    }
    // What has been answered since the last look.
    std::string answer() { return peer->take_written(); }
};

int status_of(const std::string& answer)
{
    return answer.starts_with("HTTP/1.1 ") ? std::stoi(answer.substr(9, 3)) : 0;
}

std::string body_of(const std::string& answer)
{
    const auto end = answer.find("\r\n\r\n");
    return end == std::string::npos ? "" : answer.substr(end + 4);
}

bool has(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

std::string get(std::string_view path)
{
    return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n";
}

std::string post(std::string_view body)
{
    return "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + std::string(body);
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(server_, served)

BOOST_AUTO_TEST_CASE(a_request_is_taken_apart_and_answered_in_one_write)
{
    says(get("/v2/x/status/1?wait=5&a=%20b"));

    BOOST_TEST(peer->writes() == 1U);
    const auto text = answer();
    BOOST_TEST(body_of(text) == "GET /v2/x/status/1|wait=5&a=%20b|");
    BOOST_TEST(has(text, "HTTP/1.1 200 OK\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"));
    BOOST_TEST(has(text, "Content-Type: text/plain\r\nContent-Length: 33\r\n\r\n"));
}

BOOST_AUTO_TEST_CASE(a_request_is_understood_however_its_bytes_are_cut)
{
    open();
    for (const char c : post("abcd"))
        says(std::string(1, c));
    BOOST_TEST(body_of(answer()) == "POST /p||abcd");

    const std::string chunked = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n";
    for (const char c : chunked)
        says(std::string(1, c));
    BOOST_TEST(body_of(answer()) == "POST /c||abcde");
}

BOOST_AUTO_TEST_CASE(pipelined_requests_are_answered_in_order)
{
    says(get("/a") + post("x") + get("/b"));

    const std::vector<std::string> expected{"GET /a", "POST /p", "GET /b"};
    BOOST_TEST(answers.handled == expected, boost::test_tools::per_element());
}

// Every line could make a proxy and us disagree about where a message ends (toolchain.md §3.4).
const std::vector<std::string> ambiguous{
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET / HTTP/1.1\r\nHost: a\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
    std::string("GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", 38),
    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "GET /\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\x02",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nGET /x",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
    "chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
    "chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: "
    "3\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "fffffffffffffffff\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabX0\r\n\r\n",
};

BOOST_DATA_TEST_CASE_F(served, an_ambiguous_message_is_refused_and_nothing_after_it_is_read,
                       boost::unit_test::data::make(ambiguous), bytes)
{
    says(bytes + get("/smuggled"));

    BOOST_TEST(status_of(answer()) == 400);
    BOOST_TEST(answers.handled.empty());
    peer->ends();
    settle();
    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_SUITE_END()
