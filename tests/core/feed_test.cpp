#include "core/feed.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway::core;

namespace {

progress_view at(double fraction)
{
    return {.phase = progress_phase::sampling, .fraction = fraction, .eta_seconds = {}};
}

} // namespace

BOOST_AUTO_TEST_SUITE(feed_)

BOOST_AUTO_TEST_CASE(a_reader_gets_what_is_new_since_its_cursor)
{
    feed f;
    f.add(at(0.1));
    f.add(at(0.2));
    const auto first = f.since(0);
    BOOST_REQUIRE(first.size() == 2u);
    BOOST_TEST(first[1].progress.fraction == 0.2);

    f.add(at(0.3));
    const auto next = f.since(first.back().version);
    BOOST_REQUIRE(next.size() == 1u);
    BOOST_TEST(next[0].progress.fraction == 0.3);
    BOOST_TEST(f.since(f.version()).empty());
}

BOOST_AUTO_TEST_CASE(only_an_acknowledgement_drains)
{
    feed f;
    f.add(at(0.1));
    f.add(at(0.2));
    BOOST_TEST(f.undrained().size() == 2u);
    BOOST_TEST(f.undrained().size() == 2u); // the reply was not written: it is given again

    f.acknowledge(1);
    BOOST_TEST(f.undrained().size() == 1u);
    f.acknowledge(0);
    BOOST_TEST(f.drained() == 1u);
    f.acknowledge(99);
    BOOST_TEST(f.drained() == 2u);
    BOOST_TEST(f.undrained().empty());
    BOOST_TEST(f.since(0).size() == 2u); // other readers have cursors of their own
}

BOOST_AUTO_TEST_CASE(progress_is_thinned_out_when_there_is_no_room)
{
    feed f(8);
    for (int i = 1; i <= 1000; ++i) {
        f.add(at(i / 1000.0));
        BOOST_REQUIRE(f.size() <= 8u);
    }
    const auto items = f.undrained();
    BOOST_TEST(items.back().progress.fraction == 1.0);
    BOOST_TEST(items.back().version == 1000u);
    for (std::size_t i = 1; i < items.size(); ++i)
        BOOST_TEST(items[i - 1].version < items[i].version);
}

BOOST_AUTO_TEST_CASE(what_is_not_progress_outlives_progress)
{
    feed f(4);
    f.add("begun");
    for (int i = 0; i < 100; ++i)
        f.add(at(0.5));
    BOOST_TEST(f.since(0).front().text == "begun");
    BOOST_TEST(!f.since(0).front().is_progress);

    for (int i = 0; i < 100; ++i)
        f.add("note");
    BOOST_TEST(f.size() == 4u);
}

BOOST_AUTO_TEST_CASE(what_was_delivered_goes_first)
{
    feed f(4);
    for (const double fraction : {0.1, 0.2, 0.3, 0.4})
        f.add(at(fraction));
    f.acknowledge(2);
    f.add(at(0.5));

    const auto kept = f.since(0);
    BOOST_REQUIRE(kept.size() == 3u);
    BOOST_TEST(kept[0].progress.fraction == 0.3);
}

BOOST_AUTO_TEST_CASE(nothing_comes_after_the_last_item)
{
    feed f;
    f.close("the result is at /status");
    f.add(at(0.5));
    f.add("late");
    f.close("again");

    BOOST_TEST(f.closed());
    BOOST_REQUIRE(f.since(0).size() == 1u);
    BOOST_TEST(f.since(0)[0].text == "the result is at /status");
}

BOOST_AUTO_TEST_SUITE_END()
