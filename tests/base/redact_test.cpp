#include "base/redact.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;

BOOST_AUTO_TEST_SUITE(redact_)

BOOST_AUTO_TEST_CASE(secrets_are_masked_and_the_rest_stays_as_it_is)
{
    const std::pair<const char*, const char*> cases[] = {
        {"nothing secret here: 12 = 12", "nothing secret here: 12 = 12"},
        {"https://user:pw@example.org/a?b=c", "https://example.org/a?b=c"},
        {"https://example.org/a@b", "https://example.org/a@b"},
        {"GET https://civitai.com/api/download/models/1?type=Model&token=abc failed",
         "GET https://civitai.com/api/download/models/1?type=Model&token=*** failed"},
        {"https://h/x?API_KEY=1&ok=2#frag", "https://h/x?API_KEY=***&ok=2#frag"},
        {"https://h/x?password=1", "https://h/x?password=***"},
        {"https://h/x?access_token=&y", "https://h/x?access_token=***&y"},
        {"https://b.r2.cloudflarestorage.com/f?X-Amz-Expires=86400&X-Amz-Signature=beef&name=n",
         "https://b.r2.cloudflarestorage.com/f?***"},
        {"https://cas.hf.co/f?Policy=eyJ&Key-Pair-Id=K&Signature=abc", "https://cas.hf.co/f?***"},
        {"two: \"http://a:b@c/?sig=1\", http://d/?auth=2.",
         "two: \"http://c/?***\", http://d/?auth=***"},
        {"Authorization: Bearer eyJhbGciOi.abc-def_1", "Authorization: Bearer ***"},
        {"authorization: basic dXNlcjpwYXNzd29yZA==", "authorization: basic ***"},
        {"token hf_abcdefghijklmnopqrstuvwxyz refused", "token hf_*** refused"},
        {"a basic test of hf_models", "a basic test of hf_models"},
        {"://", "://"},
        {"https://user:pw@", "https://"},
    };
    for (const auto& [text, expected] : cases)
        BOOST_TEST(redact(text) == expected);
}

BOOST_AUTO_TEST_CASE(what_is_long_is_cut_with_a_note)
{
    const std::string picture(5'000'000, 'A');

    const std::string shown = redact_and_cut(picture);

    BOOST_TEST(shown == std::string(2048, 'A') + "… (5000000 bytes)");
    BOOST_TEST(redact_and_cut(std::string(2048, 'A')) == std::string(2048, 'A'));
}

BOOST_AUTO_TEST_CASE(a_cut_never_halves_a_character)
{
    std::string text(9, 'a');
    for (int i = 0; i < 600; ++i)
        text += "€";

    for (std::size_t limit = 10; limit < 14; ++limit) {
        const std::string shown = redact_and_cut(text, limit);
        BOOST_TEST((shown.starts_with("aaaaaaaaa€… (") || shown.starts_with("aaaaaaaaa… (")),
                   shown);
    }
}

BOOST_AUTO_TEST_CASE(a_secret_at_the_cut_is_not_shown_in_part)
{
    const std::string secret = "hf_abcdefghijklmnopqrstuvwxyz";

    for (std::size_t before = 2000; before < 2060; ++before) {
        const std::string text = std::string(before, 'x') + ' ' + secret + std::string(100, ' ');
        BOOST_TEST(redact_and_cut(text).find("abc") == std::string::npos);
    }
}

BOOST_AUTO_TEST_SUITE_END()
