#include "net/loop.hpp"

#include <boost/asio/post.hpp>
#include <boost/test/unit_test.hpp>

#include <csignal>

using namespace gateway;
using namespace gateway::net;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(loop_)

BOOST_AUTO_TEST_CASE(a_histogram_counts_each_value_in_the_first_bucket_that_holds_it)
{
    duration_histogram seen;
    seen.add(50us);
    seen.add(51us);
    seen.add(1ms, 3);
    seen.add(6s);

    BOOST_TEST(seen.counts()[0] == 1U);
    BOOST_TEST(seen.counts()[1] == 1U);
    BOOST_TEST(seen.counts()[4] == 3U);
    BOOST_TEST(seen.counts().back() == 1U);
    BOOST_TEST(seen.total() == 6U);
    BOOST_TEST(seen.sum() == 6.003101, boost::test_tools::tolerance(1e-9));
    BOOST_TEST((seen.longest() == 6s));
}

BOOST_AUTO_TEST_CASE(a_quantile_is_the_upper_bound_of_its_bucket)
{
    duration_histogram seen;
    seen.add(10us, 9'998);
    seen.add(700us);
    seen.add(7s);

    BOOST_TEST(seen.quantile(0.5) == 0.00005);
    BOOST_TEST(seen.quantile(0.9999) == 0.001);
    BOOST_TEST(seen.quantile(1.0) == 7.0);
    BOOST_TEST(duration_histogram().quantile(0.5) == 0.00005);
}

BOOST_AUTO_TEST_CASE(turns_are_measured_in_groups_while_all_is_calm_and_singly_when_it_is_not)
{
    turn_meter meter;
    const auto turn_until_due = [&meter] {
        int turns = 1;
        while (!meter.is_due())
            ++turns;
        return turns;
    };

    for (int i = 0; i < 32; ++i) {
        BOOST_TEST(turn_until_due() == 1);
        meter.read(10us);
    }
    BOOST_TEST(turn_until_due() == 8);
    meter.read(80us);
    BOOST_TEST(turn_until_due() == 8);
    BOOST_TEST((meter.run_time().longest() == 10us));

    meter.read(3ms); // one of the eight may have taken it all
    BOOST_TEST((meter.run_time().longest() == 3ms));
    BOOST_TEST(turn_until_due() == 1);
    BOOST_TEST(meter.turns() == 48U);
    BOOST_TEST(meter.run_time().total() == 48U);
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_finished_runs_dry)
{
    loop turning(1ms);
    int ran = 0;
    asio::post(turning.ex(), [&] {
        ++ran;
        turning.finish();
        asio::post(turning.ex(), [&ran] { ++ran; });
    });

    turning.run();

    BOOST_TEST(ran == 2);
    BOOST_TEST(turning.stats().turns >= 2U);
}

BOOST_AUTO_TEST_CASE(a_signal_is_heard_on_the_loop_as_often_as_it_comes)
{
    loop turning(1h);
    std::vector<int> heard;
    turning.on_signal({SIGUSR1, SIGUSR2}, [&](int signal) {
        heard.push_back(signal);
        if (heard.size() == 2)
            turning.finish();
        else
            std::raise(SIGUSR2);
    });
    asio::post(turning.ex(), [] { std::raise(SIGUSR1); });

    turning.run();

    const std::vector<int> expected{SIGUSR1, SIGUSR2};
    BOOST_TEST(heard == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(stopping_a_loop_leaves_what_is_waiting)
{
    loop turning(1h);
    asio::steady_timer never(turning.ex(), 1h);
    never.async_wait([](error_code) {});
    asio::post(turning.ex(), [&] { turning.stop(); });

    turning.run();

    BOOST_TEST(never.cancel() == 1U);
}

BOOST_AUTO_TEST_CASE(the_probe_measures_how_late_timers_fire)
{
    loop turning(1ms);
    asio::steady_timer enough(turning.ex(), 20ms);
    enough.async_wait([&](error_code) { turning.finish(); });

    turning.run();

    BOOST_TEST(turning.stats().lag.total() > 0U);
}

BOOST_AUTO_TEST_SUITE_END()
