#include "core/ranges.hpp"

#include <boost/test/unit_test.hpp>

#include <random>

using namespace gateway;

BOOST_AUTO_TEST_SUITE(ranges_)

BOOST_AUTO_TEST_CASE(ranges_grow_together)
{
    std::mt19937 random(5);
    for (int round = 0; round < 200; ++round) {
        core::ranges all;
        std::vector<bool> there(60, false);
        for (int i = 0; i < 40; ++i) {
            const auto begin = random() % 60;
            const auto end = begin + random() % (61 - begin);
            const bool is_free = std::none_of(there.begin() + static_cast<std::ptrdiff_t>(begin),
                                              there.begin() + static_cast<std::ptrdiff_t>(end),
                                              [](bool b) { return b; });
            BOOST_TEST(all.add(begin, end) == is_free);
            for (auto b = begin; is_free && b < end; ++b)
                there[b] = true;
        }
        std::vector<bool> claimed(60, false);
        std::uint64_t last = 0;
        for (const auto [begin, end] : all.all()) {
            BOOST_TEST((begin > last || last == 0));
            for (auto b = begin; b < end; ++b)
                claimed[b] = true;
            last = end;
        }
        BOOST_TEST((claimed == there));
        const auto gap = std::find(there.begin(), there.end(), false) - there.begin();
        BOOST_TEST(all.frontier() == static_cast<std::uint64_t>(gap));
        BOOST_TEST(all.size() ==
                   static_cast<std::uint64_t>(std::count(there.begin(), there.end(), true)));
        const auto from = static_cast<std::ptrdiff_t>(random() % 60);
        const auto first = std::find(there.begin() + from, there.end(), false);
        const auto next = std::find(first, there.end(), true);
        const core::byte_range expected{static_cast<std::uint64_t>(first - there.begin()),
                                        static_cast<std::uint64_t>(next - there.begin())};
        BOOST_TEST((all.gap(static_cast<std::uint64_t>(from), 60) == expected));
    }
}

BOOST_AUTO_TEST_SUITE_END()
