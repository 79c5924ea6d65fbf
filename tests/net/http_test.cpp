#include "net/http.hpp"

#include "net/http_codec.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::net;

BOOST_AUTO_TEST_SUITE(http_)

BOOST_AUTO_TEST_CASE(percent_signs_that_are_no_escapes_are_kept)
{
    BOOST_TEST(percent_decode("a%20b%2Fc") == "a b/c");
    BOOST_TEST(percent_decode("100%") == "100%");
    BOOST_TEST(percent_decode("%4") == "%4");
    BOOST_TEST(percent_decode("%zz%41") == "%zzA");
    BOOST_TEST(percent_decode("a+b") == "a+b");
    BOOST_TEST(percent_decode("a+b", true) == "a b");
}

BOOST_AUTO_TEST_CASE(the_first_parameter_of_a_name_counts_and_may_be_empty)
{
    request req;
    req.query = "a=1&b&a=2&c%20d=e+f&=x";

    BOOST_TEST(req.parameter("a").value_or("none") == "1");
    BOOST_TEST(req.parameter("b").value_or("none") == "");
    BOOST_TEST(req.parameter("c d").value_or("none") == "e f");
    BOOST_TEST(req.parameter("d").value_or("none") == "none");
    BOOST_TEST(request().parameter("a").value_or("none") == "none");
    BOOST_TEST(request().header("a") == "");
}

BOOST_AUTO_TEST_CASE(a_date_is_written_as_http_wants_it)
{
    BOOST_TEST(http_date(wall_time(std::chrono::milliseconds(784'111'777'000))) ==
               "Sun, 06 Nov 1994 08:49:37 GMT");
}

BOOST_AUTO_TEST_CASE(every_status_has_its_phrase)
{
    BOOST_TEST(reason_phrase(200) == "OK");
    BOOST_TEST(reason_phrase(429) == "Too Many Requests");
    BOOST_TEST(reason_phrase(799) == "<unknown-status>");
}

BOOST_AUTO_TEST_CASE(a_buffer_keeps_what_has_not_been_consumed_wherever_it_grows)
{
    byte_buffer buffer;
    std::string expected;
    for (int i = 0; i < 100; ++i) {
        const std::string piece(static_cast<std::size_t>(i), static_cast<char>('a' + i % 26));
        const auto room = buffer.prepare(piece.size());
        std::copy(piece.begin(), piece.end(), room.begin());
        buffer.commit(piece.size());
        expected += piece;
        buffer.consume(static_cast<std::size_t>(i / 2));
        expected.erase(0, static_cast<std::size_t>(i / 2));
        BOOST_TEST(buffer.data() == expected);
    }
    buffer.consume(expected.size());
    buffer.shrink(0);
    BOOST_TEST(buffer.empty());
}

BOOST_AUTO_TEST_SUITE_END()
