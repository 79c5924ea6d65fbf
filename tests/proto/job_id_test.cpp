#include "proto/job_id.hpp"

#include <boost/test/unit_test.hpp>

#include <random>
#include <regex>

using namespace gateway::proto;

BOOST_AUTO_TEST_SUITE(job_id_)

BOOST_AUTO_TEST_CASE(an_id_has_the_shape_of_a_uuid4_with_the_region)
{
    const std::regex plain(
        "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}-u1");
    std::mt19937_64 random(3);
    for (int i = 0; i < 2000; ++i) {
        job_ref ref{random() & max_job_key, random() & max_job_secret, false};
        BOOST_REQUIRE(std::regex_match(to_text(ref), plain));
        ref.sync = true;
        const std::string sync = to_text(ref);
        BOOST_REQUIRE(sync.starts_with("sync-"));
        BOOST_REQUIRE(std::regex_match(sync.substr(5), plain));
    }
}

BOOST_AUTO_TEST_CASE(an_id_reads_back_as_what_it_was_made_of)
{
    std::mt19937_64 random(4);
    for (int i = 0; i < 20'000; ++i) {
        const job_ref ref{random() & max_job_key, random() & max_job_secret, (i & 1) != 0};
        const auto back = parse_job_id(to_text(ref));
        BOOST_REQUIRE(back.has_value());
        BOOST_REQUIRE(*back == ref);
    }
    for (const job_ref edge : {job_ref{0, 0, false}, job_ref{max_job_key, max_job_secret, true},
                               job_ref{1, 0, false}, job_ref{0, 1, true}})
        BOOST_TEST((parse_job_id(to_text(edge)) == edge));
}

BOOST_AUTO_TEST_CASE(neighbours_do_not_look_alike)
{
    const std::string one = to_text({1, 0x123456789abcdef, false});
    const std::string two = to_text({2, 0x0fedcba98765432, false});
    int same = 0;
    for (std::size_t i = 0; i < one.size(); ++i)
        same += one[i] == two[i] ? 1 : 0;
    BOOST_TEST(same < 20); // 9 of 39 are fixed
}

BOOST_AUTO_TEST_CASE(what_was_not_made_here_is_no_id)
{
    const std::string good = to_text({12345, 67890, false});
    BOOST_REQUIRE(parse_job_id(good));
    std::vector<std::string> bad{"",          "local_test",   "sync-",        "sync-sync-" + good,
                                 good + "x",  good.substr(1), "test-" + good, good.substr(0, 36),
                                 "../" + good};
    for (const std::size_t place : {8U, 13U, 18U, 23U, 14U, 19U, 36U, 38U}) {
        std::string broken = good;
        broken[place] = broken[place] == '1' ? '2' : '1';
        bad.push_back(broken);
    }
    std::string upper = good;
    for (char& c : upper)
        c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    bad.push_back(upper);
    std::string no_hex = good;
    no_hex[0] = 'g';
    bad.push_back(no_hex);
    for (const auto& text : bad)
        BOOST_TEST(!parse_job_id(text), text);
}

BOOST_AUTO_TEST_SUITE_END()
