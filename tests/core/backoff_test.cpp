#include "core/backoff.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::core;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(backoff_)

BOOST_AUTO_TEST_CASE(delays_double_up_to_the_cap)
{
    backoff b({.first = 100ms, .factor = 2, .cap = 1s});
    const duration expected[] = {100ms, 200ms, 400ms, 800ms, 1s, 1s};
    for (const duration d : expected)
        BOOST_TEST(b.next().count() == d.count());
    BOOST_TEST(b.tries() == 6);
}

BOOST_AUTO_TEST_CASE(a_success_starts_over)
{
    backoff b({.first = 100ms, .cap = 1s});
    b.next();
    b.next();
    b.reset();
    BOOST_TEST(b.tries() == 0);
    BOOST_TEST((b.next() == 100ms));
}

BOOST_AUTO_TEST_CASE(jitter_shortens_and_never_lengthens)
{
    const backoff_limits half{.first = 1s, .cap = 1s, .jitter = 0.5};
    BOOST_TEST((backoff_delay(half, 1, 0) == 1s));
    BOOST_TEST((backoff_delay(half, 1, 0.5) == 750ms));
    const backoff_limits full{.first = 1s, .cap = 1s, .jitter = 1};
    for (double random = 0; random < 1; random += 0.01) {
        BOOST_TEST((backoff_delay(full, 3, random) <= 1s));
        BOOST_TEST((backoff_delay(full, 3, random) > 0s));
    }
}

BOOST_AUTO_TEST_CASE(a_great_many_tries_do_not_overflow)
{
    const backoff_limits limits{.first = 1s, .factor = 10, .cap = 1h};
    BOOST_TEST((backoff_delay(limits, 1'000'000) == 1h));
}

BOOST_AUTO_TEST_CASE(before_the_first_try_there_is_no_delay)
{
    BOOST_TEST((backoff_delay({}, 0) == 0s));
    BOOST_TEST((backoff_delay({.first = 0s}, 3) == 0s));
}

BOOST_AUTO_TEST_SUITE_END()
