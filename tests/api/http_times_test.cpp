#include "api/http_times.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using api::http_times;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(http_times_)

BOOST_AUTO_TEST_CASE(each_route_method_and_status_is_a_series)
{
    http_times times({"/run", "other"});

    times.add(0, "POST", 200, 2ms);
    times.add(0, "POST", 200, 200s);
    times.add(0, "POST", 400, 100us);
    times.add(1, "GET", 404, 1ms);

    BOOST_TEST(times.groups()[0].route == "/run");
    const auto& run = times.groups()[0].all;
    BOOST_REQUIRE(run.size() == 2U);
    BOOST_TEST(run[0].status == 200);
    BOOST_TEST(run[0].buckets[2] == 1U);
    BOOST_TEST(run[0].buckets.back() == 1U);
    BOOST_TEST(run[0].sum == 200.002, boost::test_tools::tolerance(1e-9));
    BOOST_TEST(run[1].buckets[0] == 1U);
    BOOST_TEST(times.groups()[1].all.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_value_on_a_bound_belongs_below_it)
{
    http_times times({"/run"});

    times.add(0, "POST", 200, 1ms);

    BOOST_TEST(times.groups()[0].all[0].buckets[1] == 1U);
}

BOOST_AUTO_TEST_CASE(invented_methods_share_one_series)
{
    http_times times({"other"});

    for (const auto* method : {"BREW", "BREW2", "get"})
        times.add(0, method, 405, 1ms);

    BOOST_REQUIRE(times.groups()[0].all.size() == 1U);
    BOOST_TEST(times.groups()[0].all[0].method == "other");
}

BOOST_AUTO_TEST_SUITE_END()
