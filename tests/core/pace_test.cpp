#include "core/pace.hpp"

#include "core/token_bucket.hpp"

#include <boost/test/unit_test.hpp>

#include <functional>

using namespace gateway;
using namespace gateway::core;
using namespace std::chrono_literals;

namespace {

struct pacing {
    // Lets the download run: `rate(n)` bytes per second with n connections.
    void run(pace& p, duration how_long, const std::function<double(int)>& rate,
             bool may_grow = true)
    {
        for (const auto end = now + how_long; now < end; now += 100ms) {
            bytes += rate(p.wanted()) / 10;
            p.on_sample(static_cast<std::uint64_t>(bytes), p.wanted(), may_grow, now);
            most = std::max(most, p.wanted());
        }
    }

    steady_time now{1h};
    double bytes = 0;
    int most = 0;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(pace_, pacing)

BOOST_AUTO_TEST_CASE(connections_that_are_each_held_down_are_doubled_up_to_the_limit)
{
    pace p({.most = 16});
    BOOST_TEST(p.wanted() == 1);
    run(p, 6s, [](int n) { return n * 7.5e6; });
    BOOST_TEST(p.wanted() == 16);
    run(p, 1min, [](int n) { return n * 7.5e6; });
    BOOST_TEST(p.wanted() == 16);
}

BOOST_AUTO_TEST_CASE(a_link_that_one_connection_fills_keeps_one)
{
    pace p({});
    run(p, 10s, [](int) { return 1e9; });
    BOOST_TEST(p.wanted() == 1);
    BOOST_TEST(most == 2); // it was tried
}

BOOST_AUTO_TEST_CASE(it_grows_as_far_as_it_pays)
{
    pace p({.most = 16});
    run(p, 1min, [](int n) { return std::min(n, 5) * 10e6; });
    BOOST_TEST(p.wanted() >= 4);
    BOOST_TEST(p.wanted() <= 6);
}

BOOST_AUTO_TEST_CASE(connections_that_make_it_slower_are_taken_back_at_once)
{
    pace p({});
    run(p, 3500ms, [](int n) { return n == 1 ? 10e6 : n == 2 ? 20e6 : 5e6; });
    BOOST_TEST(p.wanted() == 2);
    BOOST_TEST(most == 4);
}

BOOST_AUTO_TEST_CASE(what_did_not_pay_is_tried_again_later)
{
    pace p({});
    run(p, 10s, [](int) { return 10e6; });
    BOOST_TEST(p.wanted() == 1);
    run(p, 30s, [](int n) { return n * 10e6; });
    BOOST_TEST(p.wanted() > 1);
}

BOOST_AUTO_TEST_CASE(a_server_that_has_enough_is_left_alone_for_a_while)
{
    pace p({.first = 8});
    p.on_sample(1, 8, true, now);
    p.on_trouble(now);
    BOOST_TEST(p.wanted() == 4);
    run(p, 15s, [](int n) { return n * 10e6; });
    BOOST_TEST(p.wanted() == 4);
    for (int i = 0; i < 5; ++i)
        p.on_trouble(now);
    BOOST_TEST(p.wanted() == 1);
}

BOOST_AUTO_TEST_CASE(without_leave_it_does_not_grow)
{
    pace p({});
    run(p, 1min, [](int n) { return n * 10e6; }, false);
    BOOST_TEST(most == 1);
}

BOOST_AUTO_TEST_CASE(a_connection_that_never_brings_a_byte_does_not_hold_the_verdict_up)
{
    pace p({});
    for (int i = 0; i < 100; ++i) {
        now += 100ms;
        bytes += 1e6;
        p.on_sample(static_cast<std::uint64_t>(bytes), 1, true, now);
    }
    BOOST_TEST(p.wanted() == 1);
}

BOOST_AUTO_TEST_CASE(a_token_bucket_keeps_the_rate_over_time)
{
    token_bucket bucket(1'000'000);
    duration waited{};
    for (int i = 0; i < 100; ++i) {
        const auto pause = bucket.take(100'000, now);
        now += pause;
        waited += pause;
    }
    BOOST_TEST((waited > 9800ms));
    BOOST_TEST((waited < 10100ms));
    BOOST_TEST((token_bucket(0).take(1 << 30, now) == 0s));
}

BOOST_AUTO_TEST_CASE(what_a_bucket_saves_up_is_little)
{
    token_bucket bucket(1'000'000);
    bucket.take(1, now);
    now += 1h;
    BOOST_TEST((bucket.take(1'000'000, now) > 900ms));
}

BOOST_AUTO_TEST_SUITE_END()
