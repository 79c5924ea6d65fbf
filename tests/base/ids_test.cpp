#include "base/ids.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <system_error>

using namespace gateway;

namespace {

int calls = 0;

// Interrupted first, then at most 100 bytes at a time, as getrandom(2) may.
ssize_t hesitant_kernel(void* into, std::size_t size, unsigned)
{
    if (++calls == 1) {
        errno = EINTR;
        return -1;
    }
    const std::size_t given = std::min<std::size_t>(size, 100);
    std::memset(into, calls, given);
    return static_cast<ssize_t>(given);
}

ssize_t broken_kernel(void*, std::size_t, unsigned)
{
    errno = ENOSYS;
    return -1;
}

} // namespace

BOOST_AUTO_TEST_SUITE(ids_)

BOOST_AUTO_TEST_CASE(a_seed_gives_the_same_numbers_everywhere)
{
    seeded_random random(0);

    // SplitMix64's published sequence for seed 0.
    BOOST_TEST(random.next() == 0xe220a8397b1dcdafu);
    BOOST_TEST(random.next() == 0x6e789e6aa1b965f4u);
    BOOST_TEST(random.next() == 0x06c45d188009454fu);
}

BOOST_AUTO_TEST_CASE(a_fraction_is_at_least_zero_and_below_one)
{
    struct fixed final : random_source {
        explicit fixed(std::uint64_t n) : number(n) {}
        std::uint64_t next() override { return number; }
        std::uint64_t number;
    };

    BOOST_TEST(fixed(0).fraction() == 0.0);
    BOOST_TEST(fixed(~std::uint64_t{0}).fraction() < 1.0);
    BOOST_TEST(fixed(std::uint64_t{1} << 63).fraction() == 0.5);
}

BOOST_AUTO_TEST_CASE(a_uuid_has_the_shape_version_and_variant_of_rfc_4122)
{
    seeded_random random(7);

    for (int i = 0; i < 1000; ++i) {
        const std::string id = uuid4(random);

        BOOST_REQUIRE_EQUAL(id.size(), 36u);
        for (const std::size_t dash : {8u, 13u, 18u, 23u})
            BOOST_REQUIRE_EQUAL(id[dash], '-');
        BOOST_REQUIRE_EQUAL(std::count(id.begin(), id.end(), '-'), 4);
        BOOST_REQUIRE(id.find_first_not_of("0123456789abcdef-") == id.npos);
        BOOST_REQUIRE_EQUAL(id[14], '4');
        BOOST_REQUIRE(std::string("89ab").find(id[19]) != std::string::npos);
    }
    BOOST_TEST(uuid_shape(0x0123456789abcdef, 0xfedcba9876543210) ==
               "01234567-89ab-cdef-fedc-ba9876543210");
}

BOOST_AUTO_TEST_CASE(the_kernels_ids_differ)
{
    system_random random;
    std::set<std::string> seen;

    for (int i = 0; i < 1000; ++i)
        seen.insert(request_id(random));

    BOOST_TEST(seen.size() == 1000u);
    BOOST_TEST(seen.begin()->size() == 20u);
    BOOST_TEST(seen.begin()->starts_with("req_"));
}

BOOST_AUTO_TEST_CASE(short_and_interrupted_reads_of_randomness_are_completed)
{
    calls = 0;
    system_random random(hesitant_kernel);

    std::set<std::uint64_t> seen;
    for (int i = 0; i < 64; ++i)
        seen.insert(random.next());

    BOOST_TEST(calls == 7); // one interrupted, six to fill 512 bytes
    BOOST_TEST(!seen.contains(0));
}

BOOST_AUTO_TEST_CASE(without_randomness_there_are_no_ids)
{
    system_random random(broken_kernel);

    BOOST_CHECK_THROW(uuid4(random), std::system_error);
}

BOOST_AUTO_TEST_SUITE_END()
