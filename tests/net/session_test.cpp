// Bodies that the service reads itself, while they arrive.

#include "net/server.hpp"
#include "support/scripted_stream.hpp"
#include "support/world.hpp"

#include <boost/asio/error.hpp>
#include <boost/test/unit_test.hpp>

#include <array>

using namespace gateway;
using namespace gateway::net;
using namespace std::chrono_literals;
using gateway::test::scripted_stream;

namespace {

response answer(int status)
{
    response made;
    made.status = status;
    return made;
}

// Sends back what arrives, piece by piece.
struct mirror final : body_source {
    explicit mirror(incoming_body& b) : body(&b) {}
    incoming_body* body;
    std::optional<std::uint64_t> size() const override { return std::nullopt; }
    task<result<std::size_t>> read(std::span<char> into) override
    {
        co_return co_await body->read(into.first(std::min<std::size_t>(into.size(), 4)));
    }
};

struct mirror_service final : service {
    bool reads = true;
    std::optional<response> refusal;
    std::size_t requests = 0;

    verdict admit(const request& head) override { return {10, refusal, head.path == "/mirror"}; }
    task<response> handle(request& req) override
    {
        ++requests;
        response made;
        made.content_type = "text/plain";
        if (req.incoming == nullptr)
            made.body = "[" + req.body + "]";
        else if (reads)
            made.source = std::make_shared<mirror>(*req.incoming);
        else
            made.body = "not read";
        co_return made;
    }
    response refuse(protocol_error, const request*) override { return answer(400); }
    response internal_error(const request&, std::string_view) override { return answer(500); }
};

struct mirrored : test::world {
    deadline_wheel wheel{ex(), time};
    mirror_service answers;
    server door{ex(), time, wheel, answers};
    std::shared_ptr<scripted_stream> peer = std::make_shared<scripted_stream>(ex());

    mirrored() { start(door.serve(peer, "198.51.100.7:4711")); }
    ~mirrored()
    {
        peer->close();
        settle();
    }
    // What is answered to these bytes.
    std::string says(std::string bytes)
    {
        peer->arrives(std::move(bytes));
        settle();
        return peer->take_written();
    }
    std::string begins(std::string_view more_headers)
    {
        return says("POST /mirror HTTP/1.1\r\nHost: a\r\n" + std::string(more_headers) + "\r\n");
    }
};

bool has(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

constexpr auto next_request = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";

} // namespace

BOOST_FIXTURE_TEST_SUITE(session_, mirrored)

BOOST_AUTO_TEST_CASE(a_body_is_answered_while_it_arrives)
{
    BOOST_TEST(has(begins("Content-Length: 9\r\n"), "Transfer-Encoding: chunked\r\n\r\n"));
    BOOST_TEST(says("abc") == "3\r\nabc\r\n");
    BOOST_TEST(says("defgh") == "4\r\ndefg\r\n1\r\nh\r\n");
    BOOST_TEST(says("i") == "1\r\ni\r\n0\r\n\r\n");
    BOOST_TEST(has(says(next_request), "[x]"));
}

BOOST_AUTO_TEST_CASE(a_chunked_body_is_decoded_however_it_is_cut)
{
    begins("Transfer-Encoding: chunked\r\n");
    std::string answered;
    for (const char c : std::string("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
        answered += says(std::string(1, c));

    BOOST_TEST(answered == "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n1\r\nd\r\n1\r\ne\r\n0\r\n\r\n");
    BOOST_TEST(has(says(next_request), "[x]"));
}

BOOST_AUTO_TEST_CASE(a_body_that_is_larger_than_any_limit_is_only_streamed)
{
    begins("Content-Length: 100000\r\n");
    for (int i = 0; i < 100; ++i)
        says(std::string(1000, 'x'));

    BOOST_TEST(has(says(next_request), "[x]"));
}

BOOST_AUTO_TEST_CASE(a_request_without_a_body_is_a_body_that_ends_at_once)
{
    BOOST_TEST(has(begins(""), "\r\n\r\n0\r\n\r\n"));
}

BOOST_AUTO_TEST_CASE(the_client_is_asked_to_go_on_before_anything_else)
{
    const auto first = begins("Expect: 100-continue\r\nContent-Length: 1\r\n");

    BOOST_TEST(first.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
}

BOOST_AUTO_TEST_CASE(a_refusal_comes_before_the_body)
{
    answers.refusal = answer(403);

    BOOST_TEST(begins("Content-Length: 9\r\n").starts_with("HTTP/1.1 403 "));
    BOOST_TEST(answers.requests == 0U);
}

BOOST_AUTO_TEST_CASE(a_body_that_nobody_reads_ends_the_connection)
{
    answers.reads = false;
    BOOST_TEST(has(begins("Content-Length: 9\r\n"), "not read"));

    BOOST_TEST(says("123456789" + std::string(next_request)).empty());
    BOOST_TEST(answers.requests == 1U);
}

BOOST_AUTO_TEST_CASE(a_client_that_goes_away_ends_the_answer_without_its_end)
{
    begins("Content-Length: 9\r\n");
    says("abc");
    peer->ends();
    settle();

    BOOST_TEST(!has(peer->take_written(), "0\r\n\r\n"));
    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_CASE(a_body_that_is_not_chunked_as_it_says_ends_the_answer)
{
    begins("Transfer-Encoding: chunked\r\n");

    BOOST_TEST(!has(says("zz\r\n"), "0\r\n\r\n"));
    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_CASE(a_body_that_stops_arriving_is_not_waited_for)
{
    begins("Content-Length: 9\r\n");
    says("abc");
    advance(50s);
    BOOST_TEST(!peer->is_closed());
    says("d");
    advance(50s);
    BOOST_TEST(!peer->is_closed());
    advance(11s);

    BOOST_TEST(peer->is_closed());
    BOOST_TEST(peer->take_written().empty());
}

BOOST_AUTO_TEST_SUITE_END()
