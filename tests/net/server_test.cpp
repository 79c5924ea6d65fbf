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

response text(std::string body)
{
    response answer;
    answer.content_type = "text/plain";
    answer.body = std::move(body);
    return answer;
}

task<response> answer_after(gate& ready)
{
    const auto ec = co_await ready.wait();
    co_return text(ec ? "cancelled" : "late");
}

task<response> answer_header(request& req, std::string_view name)
{
    co_return text("[" + std::string(req.header(name)) + "]");
}

task<response> answer_and_close()
{
    auto answer = text("bye");
    answer.close = true;
    co_return answer;
}

task<response> answer_status(int status)
{
    response answer;
    answer.status = status;
    co_return answer;
}

task<response> answer_long(std::size_t size) { co_return text(std::string(size, 'x')); }

task<response> answer_with_header(std::string value)
{
    auto answer = text("");
    answer.headers.emplace_back("X", std::move(value));
    co_return answer;
}

task<response> answer_with_hook(std::vector<bool>& told)
{
    auto answer = text("x");
    answer.written = [&told](bool complete) { told.push_back(complete); };
    co_return answer;
}

task<response> answer_stream(std::shared_ptr<body_source> source)
{
    auto answer = text("");
    answer.source = std::move(source);
    co_return answer;
}

task<response> throw_up()
{
    throw std::runtime_error("no such luck");
    co_return response();
}

task<response> look_at_client(gate& look, request& req, std::optional<bool>& gone)
{
    BOOST_TEST(!req.abandoned());
    co_await look.wait();
    gone = req.abandoned();
    co_return text("nobody reads this");
}

task<> note_drained(server& door, duration grace, bool& drained)
{
    co_await door.drain(grace);
    drained = true;
}

// Yields its pieces one by one; "!" is a read that fails.
struct pieces final : body_source {
    std::deque<std::string> left;
    std::optional<std::uint64_t> length;

    std::optional<std::uint64_t> size() const override { return length; }
    task<result<std::size_t>> read(std::span<char> into) override
    {
        if (left.empty())
            co_return std::size_t{0};
        const auto piece = left.front();
        left.pop_front();
        if (piece == "!")
            co_return error_code(asio::error::eof);
        std::copy(piece.begin(), piece.end(), into.begin());
        co_return piece.size();
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
    void use_source(std::deque<std::string> left, std::optional<std::uint64_t> size)
    {
        const auto source = std::make_shared<pieces>();
        source->left = std::move(left);
        source->length = size;
        answers.handler = [source](request&) { return answer_stream(source); };
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

BOOST_AUTO_TEST_CASE(what_the_kernel_does_not_take_at_once_is_written_after_it)
{
    says(get("/a"));
    const auto whole = answer();
    for (const std::size_t n : {std::size_t{1}, whole.size() - 1, whole.size(), whole.size() + 1}) {
        peer->takes_at_once(n);
        const auto before = peer->writes();
        says(get("/a"));
        BOOST_TEST(answer() == whole);
        BOOST_TEST(peer->writes() - before == (n < whole.size() ? 1U : 0U));
    }
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
    std::string("GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", 35),
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

// --- limits on time and size ---

BOOST_AUTO_TEST_CASE(a_client_that_dribbles_its_header_is_answered_408_and_hung_up_on)
{
    says("GET /a HT");
    advance(29s);
    says("TP/1.1\r\nHost: a\r\n");
    BOOST_TEST(answer() == "");

    advance(2s);

    const auto text = answer();
    BOOST_TEST(status_of(text) == 408);
    BOOST_TEST(has(text, "Connection: close\r\n"));
    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_CASE(a_body_may_take_long_as_long_as_bytes_come)
{
    says("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    for (const char* piece : {"a", "b", "c"}) {
        advance(50s);
        says(piece);
    }
    BOOST_TEST(body_of(answer()) == "POST /p||abc");

    says("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na");
    advance(61s);
    BOOST_TEST(status_of(answer()) == 408);
}

BOOST_AUTO_TEST_CASE(an_idle_connection_is_closed_without_a_word)
{
    says(get("/a"));
    answer();
    advance(74s);
    BOOST_TEST(!peer->is_closed());

    advance(2s);

    BOOST_TEST(answer() == "");
    BOOST_TEST(peer->is_closed());
    BOOST_TEST(door->counters().open == 0U);
}

BOOST_AUTO_TEST_CASE(a_handler_has_all_the_time_it_needs)
{
    gate ready(ex());
    answers.handler = [&ready](request&) { return answer_after(ready); };
    says(get("/wait"));

    advance(10min);
    BOOST_TEST(!peer->is_closed());
    BOOST_TEST(door->counters().active == 1U);
    ready.open();
    settle();

    BOOST_TEST(body_of(answer()) == "late");
    BOOST_TEST(door->counters().active == 0U);
}

BOOST_AUTO_TEST_CASE(a_client_that_does_not_take_its_answer_is_hung_up_on)
{
    peer->block_writes();
    says(get("/a"));
    advance(59s);
    BOOST_TEST(!peer->is_closed());

    advance(2s);

    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_CASE(a_header_of_more_than_the_limit_is_431)
{
    says("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(17 * 1024, 'x'));

    BOOST_TEST(status_of(answer()) == 431);
}

BOOST_AUTO_TEST_CASE(a_body_over_the_limit_is_refused_at_once_and_the_rest_of_it_is_drained)
{
    says("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");

    const auto text = answer();
    BOOST_TEST(status_of(text) == 413);
    BOOST_TEST(has(text, "Connection: close\r\n"));
    BOOST_TEST(peer->is_finished());
    BOOST_TEST(!peer->is_closed());
    says(std::string(996, 'x'));
    BOOST_TEST(!peer->is_closed());
    says("x");
    BOOST_TEST(peer->is_closed());
    BOOST_TEST(answers.handled.empty());
}

BOOST_AUTO_TEST_CASE(draining_ends_when_the_client_stops_sending_or_never_stops)
{
    says("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
    advance(6s);
    BOOST_TEST(peer->is_closed());

    peer = std::make_shared<scripted_stream>(ex());
    open();
    says("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\nabc");
    for (int i = 0; i < 30; ++i) {
        BOOST_TEST(!peer->is_closed());
        advance(1s);
        says("x");
    }
    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_CASE(of_an_upload_of_unknown_length_only_so_much_is_drained)
{
    const std::string chunk = "400\r\n" + std::string(1024, 'x') + "\r\n";
    says("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk);
    BOOST_TEST(status_of(answer()) == 413);

    for (int i = 0; i < 1024 && !peer->is_closed(); ++i)
        says(chunk);

    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_CASE(a_chunk_size_line_that_never_ends_is_refused)
{
    says("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x=");
    for (int i = 0; i < 200 && answers.handled.empty() && peer->written().empty(); ++i)
        says(std::string(1024, 'y'));

    BOOST_TEST(status_of(answer()) == 400);
}

// --- before the body ---

BOOST_AUTO_TEST_CASE(the_body_is_asked_for_only_after_admission)
{
    const std::string head = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                             "Expect: 100-continue\r\n\r\n";
    says(head);
    BOOST_TEST(answer() == "HTTP/1.1 100 Continue\r\n\r\n");
    says("ab");
    BOOST_TEST(body_of(answer()) == "POST /p||ab");

    answers.refusal.emplace();
    answers.refusal->status = 401;
    says(head);
    const auto text = answer();
    BOOST_TEST(status_of(text) == 401);
    BOOST_TEST(has(text, "Connection: close\r\n"));
}

BOOST_AUTO_TEST_CASE(a_body_that_is_there_already_is_not_asked_for)
{
    says("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nab");

    BOOST_TEST(status_of(answer()) == 200);
}

BOOST_AUTO_TEST_CASE(a_refusal_keeps_the_connection_when_no_body_is_on_its_way)
{
    answers.refusal.emplace();
    answers.refusal->status = 401;
    says(get("/a"));
    BOOST_TEST(status_of(answer()) == 401);
    BOOST_TEST(!peer->is_closed());

    says(post("secret"));
    BOOST_TEST(has(answer(), "Connection: close\r\n"));
    BOOST_TEST(peer->is_closed());
    BOOST_TEST(answers.handled.empty());
}

BOOST_AUTO_TEST_CASE(a_trailer_never_becomes_a_header)
{
    answers.handler = [](request& req) { return answer_header(req, "authorization"); };
    says("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "1\r\na\r\n0\r\nAuthorization: Bearer x\r\n\r\n");

    BOOST_TEST(body_of(answer()) == "[]");
}

// --- what a request says ---

BOOST_AUTO_TEST_CASE(headers_are_found_whatever_their_case)
{
    answers.handler = [](request& req) { return answer_header(req, "x-request-ID"); };
    says("GET / HTTP/1.1\r\nHost: a\r\nX-REQUEST-id:  a b \r\n\r\n");

    BOOST_TEST(body_of(answer()) == "[a b]");
}

BOOST_AUTO_TEST_CASE(a_target_in_a_proxys_form_is_its_path)
{
    says("GET http://gateway.test/a?b=1 HTTP/1.1\r\nHost: gateway.test\r\n\r\n");
    BOOST_TEST(body_of(answer()) == "GET /a|b=1|");
    says("GET http://gateway.test HTTP/1.1\r\nHost: gateway.test\r\n\r\n");
    BOOST_TEST(body_of(answer()) == "GET /||");
    says("OPTIONS * HTTP/1.1\r\nHost: gateway.test\r\n\r\n");
    BOOST_TEST(body_of(answer()) == "OPTIONS *||");
    says("GET /to/http://b?c HTTP/1.1\r\nHost: a\r\n\r\n");
    BOOST_TEST(body_of(answer()) == "GET /to/http://b|c|");
}

BOOST_AUTO_TEST_CASE(empty_lines_before_a_message_are_forgiven)
{
    says("\r\n\r");
    says("\n" + get("/a"));

    BOOST_TEST(status_of(answer()) == 200);
}

// --- keeping a connection ---

BOOST_AUTO_TEST_CASE(a_connection_is_kept_or_closed_as_the_client_asks)
{
    says("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    BOOST_TEST(has(answer(), "Connection: keep-alive\r\n"));
    BOOST_TEST(!peer->is_closed());

    says("GET /a HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n");
    BOOST_TEST(has(answer(), "Connection: close\r\n"));
    BOOST_TEST(peer->is_closed());

    peer = std::make_shared<scripted_stream>(ex());
    open();
    says("GET /a HTTP/1.0\r\n\r\n");
    BOOST_TEST(has(answer(), "Connection: close\r\n"));
    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_CASE(a_response_can_end_the_connection_and_what_follows_is_not_answered)
{
    answers.handler = [](request&) { return answer_and_close(); };
    says(get("/a") + get("/b"));

    BOOST_TEST(answers.handled.size() == 1U);
    peer->ends();
    settle();
    BOOST_TEST(peer->is_closed());
}

// --- what goes wrong in a handler ---

BOOST_AUTO_TEST_CASE(an_exception_is_a_500_and_the_connection_goes_on)
{
    answers.handler = [](request&) { return throw_up(); };
    says(get("/a"));
    const auto text = answer();
    BOOST_TEST(status_of(text) == 500);
    BOOST_TEST(body_of(text) == "no such luck");

    answers.handler = nullptr;
    says(get("/a"));
    BOOST_TEST(status_of(answer()) == 200);
}

BOOST_AUTO_TEST_CASE(a_handler_can_see_that_its_client_has_gone)
{
    gate look(ex());
    std::optional<bool> gone;
    answers.handler = [&](request& req) { return look_at_client(look, req, gone); };
    says(get("/a"));
    peer->ends();
    look.open();
    settle();

    BOOST_TEST(gone.value_or(false));
}

BOOST_AUTO_TEST_CASE(a_line_break_in_a_header_value_cannot_start_another_header)
{
    answers.handler = [](request&) { return answer_with_header("a\r\nSet-Cookie: b"); };
    says(get("/a"));

    BOOST_TEST(has(answer(), "X: a  Set-Cookie: b\r\n"));
}

// --- bodies ---

BOOST_AUTO_TEST_CASE(head_is_answered_like_get_without_the_body)
{
    says("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    const auto text = answer();
    BOOST_TEST(has(text, "Content-Length: 9\r\n"));
    BOOST_TEST(body_of(text) == "");

    says(get("/b"));
    BOOST_TEST(body_of(answer()) == "GET /b||");
}

BOOST_AUTO_TEST_CASE(no_content_has_neither_length_nor_type)
{
    answers.handler = [](request&) { return answer_status(204); };
    says(get("/a"));

    const auto text = answer();
    BOOST_TEST(status_of(text) == 204);
    BOOST_TEST(!has(text, "Content-"));
}

BOOST_AUTO_TEST_CASE(a_large_body_arrives_whole)
{
    answers.handler = [](request&) { return answer_long(1'000'000); };
    says(get("/a"));

    const auto text = answer();
    BOOST_TEST(has(text, "Content-Length: 1000000\r\n"));
    BOOST_TEST(body_of(text).size() == 1'000'000U);
}

BOOST_AUTO_TEST_CASE(a_body_of_known_size_is_streamed_with_its_length)
{
    use_source({"abc", "de"}, 5);
    says(get("/a"));

    const auto text = answer();
    BOOST_TEST(has(text, "Content-Length: 5\r\n"));
    BOOST_TEST(body_of(text) == "abcde");
    BOOST_TEST(!peer->is_closed());
}

BOOST_AUTO_TEST_CASE(a_body_of_unknown_size_is_streamed_in_chunks)
{
    use_source({"abc", std::string(0x1234, 'x')}, std::nullopt);
    says(get("/a"));
    const auto text = answer();
    BOOST_TEST(has(text, "Transfer-Encoding: chunked\r\n"));
    BOOST_TEST(body_of(text) ==
               "3\r\nabc\r\n1234\r\n" + std::string(0x1234, 'x') + "\r\n0\r\n\r\n");
    BOOST_TEST(!peer->is_closed());

    use_source({"abc"}, std::nullopt);
    says("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    BOOST_TEST(body_of(answer()) == "abc");
    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_CASE(a_stream_that_breaks_off_cuts_the_connection)
{
    for (const auto size : {std::optional<std::uint64_t>(5), std::optional<std::uint64_t>()}) {
        peer = std::make_shared<scripted_stream>(ex());
        use_source({"abc", "!"}, size);
        open();
        says(get("/a"));
        BOOST_TEST(!has(answer(), "0\r\n\r\n"));
        BOOST_TEST(peer->is_closed());
    }
}

BOOST_AUTO_TEST_CASE(a_stream_of_another_size_than_promised_cuts_the_connection)
{
    for (const auto size : {4U, 6U}) {
        peer = std::make_shared<scripted_stream>(ex());
        use_source({"abc", "de"}, size);
        open();
        says(get("/a"));
        BOOST_TEST(body_of(answer()).size() < 6U);
        BOOST_TEST(peer->is_closed());
    }
}

// --- whoever wants to know ---

BOOST_AUTO_TEST_CASE(the_written_hook_runs_once_and_says_whether_the_answer_left)
{
    std::vector<bool> told;
    answers.handler = [&told](request&) { return answer_with_hook(told); };
    says(get("/a"));
    const std::vector<bool> left{true};
    BOOST_TEST(told == left, boost::test_tools::per_element());

    told.clear();
    peer->fail_write_at(1, asio::error::broken_pipe, 10);
    says(get("/a"));
    const std::vector<bool> lost{false};
    BOOST_TEST(told == lost, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_observer_hears_of_every_request_with_its_status_and_time)
{
    gate ready(ex());
    std::vector<std::string> seen;
    answers.handler = [&ready](request&) { return answer_after(ready); };
    open();
    door->observe([&seen](const request& req, int status, duration elapsed) {
        seen.push_back(std::string(req.path) + " " + std::to_string(status) + " " +
                       std::to_string(elapsed / 1s));
    });
    says(get("/slow"));
    advance(3s);
    ready.open();
    settle();

    const std::vector<std::string> expected{"/slow 200 3"};
    BOOST_TEST(seen == expected, boost::test_tools::per_element());
    BOOST_TEST(door->counters().requests == 1U);
}

// --- every step can fail ---

BOOST_AUTO_TEST_CASE(a_connection_that_breaks_at_any_step_ends_its_session_and_nothing_else)
{
    const error_code reset = asio::error::connection_reset;
    for (const bool reading : {true, false}) {
        for (std::size_t step = 0; step < 60; ++step) {
            peer = std::make_shared<scripted_stream>(ex());
            peer->cut_reads(7);
            if (reading)
                peer->fail_read_at(step, reset);
            else
                peer->fail_write_at(step, reset, step % 3);
            open();
            says(get("/a") + post("abcd") + get("/b"));
            peer->ends();
            settle();
            BOOST_TEST(peer->is_closed());
            BOOST_TEST(door->counters().open == 0U);
            BOOST_TEST(door->counters().active == 0U);
        }
    }
}

BOOST_AUTO_TEST_CASE(an_end_in_the_middle_of_a_message_is_not_a_request)
{
    const auto whole = post("abcd");
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
        peer = std::make_shared<scripted_stream>(ex());
        open();
        says(whole.substr(0, cut));
        peer->ends();
        settle();
        BOOST_TEST(peer->is_closed());
    }
    BOOST_TEST(answers.handled.empty());
}

// --- the end ---

BOOST_AUTO_TEST_CASE(draining_closes_the_idle_at_once_and_waits_for_the_busy)
{
    gate ready(ex());
    answers.handler = [&ready](request&) { return answer_after(ready); };
    const auto idle = std::make_shared<scripted_stream>(ex());
    says(get("/a"));
    start(door->serve(idle, "idle"));
    settle();
    bool drained = false;
    start(note_drained(*door, 10s, drained));
    settle();
    BOOST_TEST(idle->is_closed());
    BOOST_TEST(!drained);

    ready.open();
    settle();

    BOOST_TEST(has(answer(), "Connection: close\r\n"));
    BOOST_TEST(drained);
}

BOOST_AUTO_TEST_CASE(draining_ends_when_the_grace_is_over)
{
    gate never(ex());
    answers.handler = [&never](request&) { return answer_after(never); };
    says(get("/a"));
    bool drained = false;
    start(note_drained(*door, 10s, drained));
    settle();
    advance(9s);
    BOOST_TEST(!drained);

    advance(1s);

    BOOST_TEST(drained);
    BOOST_TEST(answer() == "");
    BOOST_TEST(door->counters().open == 0U);
}

BOOST_AUTO_TEST_CASE(a_server_can_be_destroyed_while_it_serves)
{
    gate never(ex());
    answers.handler = [&never](request&) { return answer_after(never); };
    says(get("/a"));

    door.reset();
    never.open();
    settle();

    BOOST_TEST(answer() == "");
    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_SUITE_END()
