#include "proto/idempotency.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway::proto;

BOOST_AUTO_TEST_SUITE(idempotency_)

BOOST_AUTO_TEST_CASE(a_key_may_be_quoted_and_means_the_same)
{
    BOOST_TEST(*parse_idempotency_key("8e03978e-40d5") == "8e03978e-40d5");
    BOOST_TEST(*parse_idempotency_key("\"8e03978e-40d5\"") == "8e03978e-40d5");
    BOOST_TEST(*parse_idempotency_key("\"") == "\"");
    BOOST_TEST(parse_idempotency_key(std::string(255, 'k')).has_value());
}

BOOST_AUTO_TEST_CASE(what_is_no_key_is_refused_with_its_reason)
{
    struct {
        std::string text;
        std::string found;
    } const cases[]{
        {"", "the text \"\""},
        {"\"\"", "the text \"\""},
        {"a\tb", "the text \"a\\tb\""},
        {"schl\xc3\xbcssel", "the text \"schl\xc3\xbcssel\""},
        {std::string(256, 'k'), "256 characters"},
    };
    for (const auto& c : cases) {
        const auto key = parse_idempotency_key(c.text);
        BOOST_REQUIRE(!key);
        BOOST_TEST(key.error().detail == "Idempotency-Key: found " + c.found +
                                             "; 1 to 255 printable ASCII characters are wanted");
    }
}

BOOST_AUTO_TEST_CASE(digests_tell_parts_apart_and_stay_the_same)
{
    BOOST_TEST((digest_of({"a", "b"}) == digest_of({"a", "b"})));
    BOOST_TEST((digest_of({"a", "b"}) != digest_of({"ab", ""})));
    BOOST_TEST((digest_of({"a", "b"}) != digest_of({"b", "a"})));
    BOOST_TEST((digest_of({}) != digest_of({""})));
    // Journals hold them: the first half of sha256("").
    BOOST_TEST(digest_of({})[0] == 0xe3b0c44298fc1c14U);
    BOOST_TEST(digest_of({})[1] == 0x9afbf4c8996fb924U);
}

BOOST_AUTO_TEST_SUITE_END()
