#include "core/eviction.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <random>
#include <set>

using namespace gateway;
using namespace gateway::core;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;
const wall_time now{std::chrono::milliseconds(1'700'000'000'000)};

// A checkpoint of ours on volume 1 with bytes of its own, used so long ago.
stored_model file(const std::string& name, std::uint64_t gibs, wall_duration idle)
{
    stored_model f;
    f.key = {model_kind::checkpoint, name};
    f.volume = 1;
    f.inode = std::hash<std::string>()(name);
    f.size = gibs * gib;
    f.last_used = now - idle;
    f.ours = true;
    return f;
}

struct eviction_world {
    std::vector<stored_model> files;
    std::vector<volume_state> volumes{{.id = 1, .free = 1000 * gib, .incoming = 0}};
    std::uint64_t incoming = 0;
    eviction_limits limits;

    stored_model& add(stored_model f) { return files.emplace_back(std::move(f)); }
    std::vector<eviction> choose() const
    {
        return choose_evictions(files, volumes, incoming, limits, now);
    }
    std::string names() const
    {
        std::string all;
        for (const auto& one : choose())
            all += (all.empty() ? "" : " ") + one.key.name;
        return all;
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(eviction_, eviction_world)

BOOST_AUTO_TEST_CASE(without_limits_nothing_goes)
{
    add(file("old", 100, 24h * 1000));
    BOOST_TEST(names() == "");
}

BOOST_AUTO_TEST_CASE(over_the_budget_the_least_recently_used_go_down_to_the_low_water)
{
    limits.budget = 100 * gib;
    for (const auto& [name, hours] :
         {std::pair("a", 5), std::pair("b", 1), std::pair("c", 9), std::pair("d", 3)})
        add(file(name, 24, std::chrono::hours(hours)));

    BOOST_TEST(names() == "c"); // 96 of 100 are too many, 72 are not

    const auto chosen = choose();
    BOOST_TEST((chosen.at(0).why == eviction_reason::budget));
    BOOST_TEST(chosen.at(0).bytes == 24 * gib);
}

BOOST_AUTO_TEST_CASE(up_to_the_high_water_nothing_goes)
{
    limits.budget = 100 * gib;
    add(file("a", 95, 5h));
    BOOST_TEST(names() == "");
}

BOOST_AUTO_TEST_CASE(what_is_on_its_way_counts_for_the_budget)
{
    limits.budget = 100 * gib;
    add(file("a", 40, 5h));
    add(file("b", 40, 2h));
    BOOST_TEST(names() == "");
    incoming = 30 * gib;
    BOOST_TEST(names() == "a");
}

BOOST_AUTO_TEST_CASE(files_that_somebody_else_put_there_neither_go_nor_count)
{
    limits.budget = 10 * gib;
    add(file("theirs", 500, 24h)).ours = false;
    add(file("a", 9, 1h));
    BOOST_TEST(names() == "");
    add(file("b", 9, 2h));
    BOOST_TEST(names() == "b a"); // one of them alone would still be over the low water
}

BOOST_AUTO_TEST_CASE(pinned_and_needed_files_stay_and_newer_ones_go_instead)
{
    limits.budget = 50 * gib;
    add(file("pinned", 20, 24h)).pinned = true;
    add(file("needed", 20, 24h)).needed = true;
    add(file("other", 20, 1h));
    BOOST_TEST(names() == "other");
}

BOOST_AUTO_TEST_CASE(a_file_that_was_just_used_or_placed_stays)
{
    limits.budget = 10 * gib;
    add(file("fresh", 20, 9min));
    BOOST_TEST(names() == "");
    files.at(0).last_used = now - 10min;
    BOOST_TEST(names() == "fresh");
}

BOOST_AUTO_TEST_CASE(among_equally_old_files_the_largest_goes)
{
    limits.budget = 10 * gib;
    add(file("small", 1, 5h));
    add(file("large", 9, 5h));
    BOOST_TEST(names() == "large");
}

BOOST_AUTO_TEST_CASE(two_names_of_the_same_bytes_count_once_and_go_together)
{
    limits.budget = 12 * gib;
    auto link = file("link", 10, 9h);
    const auto& whole = add(file("whole", 10, 5h));
    link.inode = whole.inode;
    add(link);
    BOOST_TEST(names() == "");

    add(file("more", 2, 1h));
    const auto chosen = choose();
    BOOST_REQUIRE(chosen.size() == 2u);
    BOOST_TEST(names() == "whole link");
    BOOST_TEST(chosen.at(0).bytes + chosen.at(1).bytes == 10 * gib);
}

BOOST_AUTO_TEST_CASE(bytes_stay_while_any_of_their_names_is_needed)
{
    limits.budget = 1 * gib;
    auto link = file("link", 10, 9h);
    link.needed = true;
    link.inode = add(file("whole", 10, 9h)).inode;
    add(link);
    BOOST_TEST(names() == "");
}

BOOST_AUTO_TEST_CASE(the_same_inode_on_another_volume_is_another_file)
{
    limits.budget = 10 * gib;
    volumes.push_back({.id = 2, .free = 1000 * gib, .incoming = 0});
    auto elsewhere = file("elsewhere", 8, 9h);
    elsewhere.volume = 2;
    elsewhere.inode = add(file("here", 8, 1h)).inode;
    add(elsewhere);
    BOOST_TEST(names() == "elsewhere");
}

// --- the disk ---

BOOST_AUTO_TEST_CASE(a_disk_that_runs_short_is_given_room_whatever_the_budget)
{
    limits.min_free = 10 * gib;
    volumes.at(0).free = 4 * gib;
    add(file("a", 5, 3h));
    add(file("b", 5, 2h));
    add(file("c", 5, 1h));
    BOOST_TEST(names() == "a b");
    BOOST_TEST((choose().at(0).why == eviction_reason::disk));
}

BOOST_AUTO_TEST_CASE(room_is_made_for_what_is_coming)
{
    volumes.at(0) = {.id = 1, .free = 4 * gib, .incoming = 7 * gib};
    add(file("a", 5, 3h));
    add(file("b", 5, 2h));
    BOOST_TEST(names() == "a");
}

BOOST_AUTO_TEST_CASE(only_files_of_the_volume_that_is_short_help)
{
    limits.min_free = 10 * gib;
    volumes = {{.id = 1, .free = 100 * gib, .incoming = 0}, {.id = 2, .free = 0, .incoming = 0}};
    add(file("here", 50, 9h));
    add(file("there", 50, 1h)).volume = 2;
    BOOST_TEST(names() == "there");
}

// --- age ---

BOOST_AUTO_TEST_CASE(files_that_nobody_uses_go)
{
    limits.unused_after = 24h * 30;
    add(file("old", 1, 24h * 30));
    add(file("newer", 1, 24h * 29));
    BOOST_TEST(names() == "old");
    BOOST_TEST((choose().at(0).why == eviction_reason::unused));
}

BOOST_AUTO_TEST_CASE(the_most_used_do_not_age_but_they_count_for_the_budget)
{
    limits.unused_after = 24h * 30;
    limits.keep_most_used = 1;
    add(file("loved", 6, 24h * 60)).uses = 100;
    add(file("liked", 6, 24h * 50)).uses = 99;
    BOOST_TEST(names() == "liked");

    limits.budget = 6 * gib;
    BOOST_TEST(names() == "liked loved");
}

BOOST_AUTO_TEST_CASE(a_file_that_was_never_used_is_none_of_the_most_used)
{
    limits.unused_after = 1h;
    limits.keep_most_used = 10;
    add(file("never", 1, 2h));
    BOOST_TEST(names() == "never");
}

BOOST_AUTO_TEST_CASE(pins_and_need_hold_off_age_too)
{
    limits.unused_after = 1h;
    add(file("pinned", 1, 2h)).pinned = true;
    add(file("needed", 1, 2h)).needed = true;
    add(file("theirs", 1, 2h)).ours = false;
    BOOST_TEST(names() == "");
}

// --- always ---

namespace {

// A random folder: shared bytes, two volumes, every flag, all kinds of limits.
eviction_world random_world(unsigned seed)
{
    std::mt19937 random(seed);
    const auto up_to = [&](unsigned n) {
        return std::uniform_int_distribution<unsigned>(0, n)(random);
    };
    eviction_world w;
    w.volumes = {{.id = 1, .free = up_to(40) * gib, .incoming = up_to(10) * gib},
                 {.id = 2, .free = up_to(40) * gib, .incoming = 0}};
    w.incoming = up_to(20) * gib;
    w.limits.budget = up_to(2) == 0 ? 0 : up_to(120) * gib;
    w.limits.min_free = up_to(20) * gib;
    w.limits.unused_after = std::chrono::hours(up_to(3) * 100);
    w.limits.keep_most_used = up_to(4);
    const auto count = up_to(30);
    for (unsigned i = 0; i < count; ++i) {
        auto f = file(std::to_string(i), 0, std::chrono::minutes(up_to(20'000)));
        f.volume = 1 + up_to(1);
        f.inode = up_to(20);
        f.size = (f.inode + 1) * gib / 2; // equal bytes are equally long
        f.uses = up_to(5);
        f.ours = up_to(4) != 0;
        f.pinned = up_to(5) == 0;
        f.needed = up_to(5) == 0;
        w.files.push_back(f);
    }
    return w;
}

using place = std::pair<std::uint64_t, std::uint64_t>;
place place_of(const stored_model& f) { return {f.volume, f.inode}; }

bool protects(const stored_model& f, const eviction_limits& limits)
{
    return !f.ours || f.pinned || f.needed || now - f.last_used < limits.grace;
}

// The bytes of ours that are left, each once.
std::uint64_t bytes_left(const eviction_world& w, const std::set<model_key>& gone)
{
    std::map<place, std::uint64_t> ours;
    for (const auto& f : w.files) {
        if (f.ours && !gone.contains(f.key))
            ours[place_of(f)] = f.size;
    }
    std::uint64_t sum = 0;
    for (const auto& [where, size] : ours)
        sum += size;
    return sum;
}

} // namespace

BOOST_AUTO_TEST_CASE(in_any_folder_nothing_protected_goes_and_limits_hold_if_they_can)
{
    for (unsigned seed = 0; seed < 3000; ++seed) {
        const auto w = random_world(seed);
        std::set<place> kept;
        for (const auto& f : w.files) {
            if (protects(f, w.limits))
                kept.insert(place_of(f));
        }
        const auto chosen = w.choose();
        std::set<model_key> gone;
        std::map<std::uint64_t, std::uint64_t> freed;
        for (const auto& one : chosen) {
            BOOST_TEST_INFO("seed " << seed << " file " << one.key.name);
            BOOST_TEST_REQUIRE(gone.insert(one.key).second);
            const auto& f = w.files.at(std::stoul(one.key.name));
            BOOST_TEST_REQUIRE(!kept.contains(place_of(f)));
            freed[f.volume] += one.bytes;
        }
        BOOST_TEST_INFO("seed " << seed);
        const bool any_left = std::any_of(w.files.begin(), w.files.end(), [&](const auto& f) {
            return !gone.contains(f.key) && !kept.contains(place_of(f));
        });
        const auto left = bytes_left(w, gone) + w.incoming;
        if (any_left && w.limits.budget > 0)
            BOOST_TEST_REQUIRE(left <= w.limits.budget);
        for (const auto& v : w.volumes) {
            const bool more = std::any_of(w.files.begin(), w.files.end(), [&](const auto& f) {
                return f.volume == v.id && !gone.contains(f.key) && !kept.contains(place_of(f));
            });
            if (more)
                BOOST_TEST_REQUIRE(v.free + freed[v.id] >= w.limits.min_free + v.incoming);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
