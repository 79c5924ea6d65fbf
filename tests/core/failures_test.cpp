#include "core/failures.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::core;
using namespace std::chrono_literals;

namespace {

struct memory_world {
    failure_memory::limits limits;
    failure_memory memory{limits};
    steady_time now{};

    void fail(const std::string& what = "url", bool permanent = true)
    {
        memory.failed(what, "it is broken", permanent, now);
    }
    bool remembers(const std::string& what = "url") const
    {
        return memory.reason(what, now).has_value();
    }
    // How long the last failure is remembered, to the second.
    duration remembered()
    {
        const auto began = now;
        while (remembers())
            now += 1s;
        return now - began;
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(failures_, memory_world)

BOOST_AUTO_TEST_CASE(what_failed_is_remembered_with_its_reason_and_nothing_else_is)
{
    fail();
    BOOST_TEST(memory.reason("url", now).value_or("") == "it is broken");
    BOOST_TEST(!remembers("another"));
}

BOOST_AUTO_TEST_CASE(each_further_failure_is_remembered_for_twice_as_long_up_to_a_limit)
{
    for (const auto expected : {10min, 20min, 40min, 80min, 160min, 320min, 360min, 360min}) {
        fail();
        BOOST_TEST((remembered() == expected));
    }
}

BOOST_AUTO_TEST_CASE(a_passing_failure_is_remembered_for_a_moment_however_often)
{
    for (int i = 0; i < 5; ++i) {
        fail("url", false);
        BOOST_TEST((remembered() == 30s));
    }
}

BOOST_AUTO_TEST_CASE(a_success_starts_over)
{
    fail();
    memory.forget("url");
    BOOST_TEST(!remembers());
    fail();
    BOOST_TEST((remembered() == 10min));
}

BOOST_AUTO_TEST_CASE(the_memory_does_not_grow_without_end)
{
    limits.entries = 100;
    memory = failure_memory(limits);
    for (int i = 0; i < 1000; ++i) {
        now += 1s;
        fail(std::to_string(i));
    }
    BOOST_TEST(memory.size() == 100u);
    BOOST_TEST(remembers("999"));
    BOOST_TEST(!remembers("0"));

    now += limits.permanent + limits.longest;
    fail("new");
    BOOST_TEST(memory.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
