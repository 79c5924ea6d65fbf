#include "jobs/table.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <random>
#include <set>

using namespace gateway;

namespace {

using numbers = jobs::table<std::uint64_t>;

void put(numbers& t, std::uint64_t n) { t.put(n, std::make_unique<std::uint64_t>(n)); }

// 0 for none: nothing is put there.
std::uint64_t value(const std::uint64_t* found) { return found == nullptr ? 0 : *found; }

// BOOST_REQUIRE takes longer than what is compared.
void same(bool as_expected)
{
    if (!as_expected)
        BOOST_FAIL("it differs from a set");
}

void compare_at(const numbers& t, const std::set<std::uint64_t>& plain, std::uint64_t n)
{
    same((t.find(n) != nullptr) == plain.contains(n));
    const auto above = plain.upper_bound(n);
    same(value(t.next_above(n)) == (above == plain.end() ? 0 : *above));
    const auto here = plain.lower_bound(n);
    same(value(t.next_below(n)) == (here == plain.begin() ? 0 : *std::prev(here)));
}

} // namespace

BOOST_AUTO_TEST_SUITE(table_)

BOOST_AUTO_TEST_CASE(it_behaves_as_a_set_does)
{
    std::mt19937_64 random(7);
    for (const std::uint64_t range : {10u, 1000u, 1'000'000u}) {
        numbers t;
        std::set<std::uint64_t> plain;
        for (int i = 0; i < 50'000; ++i) {
            const auto n = 1 + random() % range;
            if (random() % 2 == 0) {
                put(t, n);
                plain.insert(n);
            } else {
                same(t.erase(n) == (plain.erase(n) == 1));
            }
            same(t.size() == plain.size());
            compare_at(t, plain, random() % (range + 2));
        }
        for (const auto n : plain)
            t.erase(n);
        BOOST_TEST(t.size() == 0u);
        BOOST_TEST(t.next_above(0) == nullptr);
    }
}

BOOST_AUTO_TEST_CASE(what_is_kept_does_not_move)
{
    numbers t;
    put(t, 1000);
    const auto* first = t.find(1000);
    for (std::uint64_t n = 1; n < 3000; ++n) {
        if (n != 1000)
            put(t, n);
    }
    for (std::uint64_t n = 1; n < 1000; ++n)
        t.erase(n);
    BOOST_TEST(t.find(1000) == first);
    BOOST_TEST(t.next_above(0) == first);
}

BOOST_AUTO_TEST_CASE(the_ends_of_all_numbers_are_ends)
{
    constexpr auto last = ~std::uint64_t{0};
    numbers t;
    put(t, last);
    BOOST_TEST(value(t.next_above(last - 1)) == last);
    BOOST_TEST(t.next_above(last) == nullptr);
    BOOST_TEST(t.next_below(0) == nullptr);
    BOOST_TEST(t.next_below(last) == nullptr);
    BOOST_TEST(t.erase(last));
    BOOST_TEST(!t.erase(last));
}

BOOST_AUTO_TEST_SUITE_END()
