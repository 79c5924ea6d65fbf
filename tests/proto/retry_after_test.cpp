#include "proto/retry_after.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace std::chrono_literals;
using proto::parse_retry_after;

namespace {
const wall_time now{std::chrono::milliseconds(784'111'777'000)}; // Sun, 06 Nov 1994 08:49:37 GMT
}

BOOST_AUTO_TEST_SUITE(retry_after_)

BOOST_AUTO_TEST_CASE(seconds_are_seconds)
{
    BOOST_TEST((parse_retry_after("120", now) == 120s));
    BOOST_TEST((parse_retry_after(" 0 ", now) == 0s));
}

BOOST_AUTO_TEST_CASE(a_date_is_the_time_until_then_and_never_negative)
{
    BOOST_TEST((parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now) == 60s));
    BOOST_TEST((parse_retry_after("Mon, 07 Nov 1994 08:49:37 GMT", now + 1ms) == 86'400s));
    BOOST_TEST((parse_retry_after("Sun, 06 Nov 1994 08:49:36 GMT", now) == 0s));
}

BOOST_AUTO_TEST_CASE(anything_else_says_nothing)
{
    for (const auto* text : {"", "soon", "-1", "1.5", "99999999999",
                             "Sun, 06 Nov 1994 08:49:37 CET", "Sunday, 06-Nov-94 08:49:37 GMT",
                             "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
                             "Sun, 06 Mrz 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:-1:37 GMT"})
        BOOST_TEST(!parse_retry_after(text, now).has_value(), text);
}

BOOST_AUTO_TEST_SUITE_END()
