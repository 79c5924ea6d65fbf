#include "core/blocks.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <random>
#include <set>

using namespace gateway::core;

namespace {

struct itself {
    std::uint32_t operator()(std::uint32_t n) const { return n; }
};
using numbers = sorted_blocks<std::uint32_t, itself>;

// BOOST_REQUIRE takes longer than what is compared.
void same(bool as_expected)
{
    if (!as_expected)
        BOOST_FAIL("it differs from a set");
}

std::vector<std::uint32_t> all_of(const numbers& n)
{
    std::vector<std::uint32_t> all;
    n.for_each([&](std::uint32_t i) { all.push_back(i); });
    return all;
}

} // namespace

BOOST_AUTO_TEST_SUITE(blocks_)

BOOST_AUTO_TEST_CASE(it_behaves_as_a_set_does)
{
    std::mt19937 random(7);
    for (const std::uint32_t range : {10u, 1000u, 100'000u}) {
        numbers fast;
        std::set<std::uint32_t> plain;
        for (int i = 0; i < 100'000; ++i) {
            const std::uint32_t n = static_cast<std::uint32_t>(random()) % range;
            if (random() % 2 == 0)
                same(fast.insert(n) == plain.insert(n).second);
            else
                same(fast.erase(n) == (plain.erase(n) == 1));
            same(fast.size() == plain.size());
            const std::uint32_t other = static_cast<std::uint32_t>(random()) % range;
            same((fast.find(other) != nullptr) == plain.contains(other));
            if (!plain.empty())
                same(fast.front() == *plain.begin());
        }
        BOOST_TEST(all_of(fast) == std::vector(plain.begin(), plain.end()));
    }
}

BOOST_AUTO_TEST_CASE(records_that_come_in_order_fill_their_blocks)
{
    numbers n;
    for (std::uint32_t i = 0; i < 100'000; ++i)
        n.insert(i);
    BOOST_TEST(n.memory() < 100'000 * 5u);
}

BOOST_AUTO_TEST_CASE(records_that_leave_give_their_memory_back)
{
    numbers n;
    for (std::uint32_t i = 0; i < 100'000; ++i)
        n.insert(i);
    for (std::uint32_t i = 0; i < 100'000; ++i)
        if (i % 100 != 0)
            n.erase(i);
    BOOST_TEST(n.size() == 1000u);
    BOOST_TEST(n.memory() < 100'000u);
}

BOOST_AUTO_TEST_CASE(an_empty_one_can_be_asked)
{
    numbers n;
    BOOST_TEST(n.empty());
    BOOST_TEST(!n.erase(1));
    BOOST_TEST(n.find(1) == nullptr);
    n.insert(1);
    n.erase(1);
    BOOST_TEST(n.empty());
}

BOOST_AUTO_TEST_SUITE_END()
