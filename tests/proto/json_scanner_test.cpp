#include "proto/json_scanner.hpp"

#include "proto/json.hpp"

#include <boost/test/unit_test.hpp>

#include <random>

using namespace gateway::proto;

namespace {

bool scans(std::string_view text)
{
    json_listener nobody;
    json_scanner<json_listener> scanner;
    return scanner.feed(text, nobody) && scanner.finish(nobody);
}

// Puts every text together again, so that what was heard can be compared.
struct echo final : json_listener {
    void key_text(std::string_view run, std::size_t) { heard.append(run); }
    void key_end(std::size_t) { heard += ':'; }
    void value_begin(json_kind kind, std::size_t depth, std::uint64_t offset)
    {
        heard += "<" + std::to_string(static_cast<int>(kind)) + "@" + std::to_string(depth) + "+" +
                 std::to_string(offset);
    }
    void value_text(std::string_view run, std::size_t, bool) { heard.append(run); }
    void value_end(json_kind, std::size_t, std::uint64_t offset)
    {
        heard += "+" + std::to_string(offset) + ">";
    }
    std::string heard;
};

std::string heard_in_pieces(std::string_view text, std::size_t cut)
{
    echo listener;
    json_scanner<echo> scanner;
    scanner.feed(text.substr(0, cut), listener);
    scanner.feed(text.substr(cut), listener);
    scanner.finish(listener);
    return listener.heard + scanner.error();
}

constexpr std::string_view sample =
    R"({"a":[1,-2.5e+3,0,true,false,null,{}],"bé\n":"x\ud83d\ude00y\/","\u0041":"\ud800z","":[[]]} )";

} // namespace

BOOST_AUTO_TEST_SUITE(json_scanner_)

BOOST_AUTO_TEST_CASE(it_accepts_json_and_nothing_else)
{
    for (const std::string_view good :
         {"{}", "[]", "0", "-0", "-1.5E-3", "\"\"", "true", "null", " [ 1 , 2 ] ",
          R"("\u00e9\ud83d\ude00")", "\"\xf4\x8f\xbf\xbf\"", "1e999", R"({"a":{"b":[{}]}})"})
        BOOST_TEST(scans(good), good);
    for (const std::string_view bad : {"",
                                       " ",
                                       "{",
                                       "}",
                                       "[",
                                       "]",
                                       "[1,]",
                                       "{,}",
                                       "{\"a\"}",
                                       "{\"a\":}",
                                       "{\"a\":1,}",
                                       "[}",
                                       "{]",
                                       "01",
                                       "-",
                                       "1.",
                                       ".5",
                                       "1e",
                                       "1e+",
                                       "+1",
                                       "tru",
                                       "truE",
                                       "nulll",
                                       "\"",
                                       "\"\\x\"",
                                       "\"\\u12g4\"",
                                       "\"\\u12\"",
                                       "\"\t\"",
                                       "1 2",
                                       "{} {}",
                                       "'a'",
                                       "\"\xc0\x80\"",
                                       "\"\xed\xa0\x80\"",
                                       "\"\xf5\x80\x80\x80\"",
                                       "\"\xc3\"",
                                       "\"\x80\"",
                                       "NaN",
                                       "[1 2]",
                                       "{1:2}",
                                       "// c\n1"})
        BOOST_TEST(!scans(bad), bad);
}

BOOST_AUTO_TEST_CASE(it_agrees_with_boost_about_damaged_texts)
{
    std::mt19937 random(11);
    // Without surrogates, of which we mend halves; numbers too large for a double are no grammar.
    const std::string whole =
        R"({"a":[1,-2.5e+3,0,true,false,null,{}],"bé\n":"x\u00e9y","":[[]]} )";
    constexpr std::string_view damage = "{}[]:,\"\\0159.eE+-truefalsn \xc3\xa9\x01";
    int accepted = 0;
    for (int i = 0; i < 50'000; ++i) {
        std::string text = whole;
        for (auto changes = 1 + random() % 3; changes != 0; --changes)
            text[random() % text.size()] = damage[random() % damage.size()];
        const document values(text);
        const bool too_large = values.error().find("exponent") != std::string::npos;
        BOOST_REQUIRE_MESSAGE(scans(text) == (values.ok() || too_large), text);
        accepted += scans(text) ? 1 : 0;
    }
    BOOST_TEST(accepted > 1000);
}

BOOST_AUTO_TEST_CASE(a_cut_at_any_byte_changes_nothing)
{
    const std::string whole = heard_in_pieces(sample, sample.size());
    BOOST_TEST(whole.find("x\xf0\x9f\x98\x80y/") != std::string::npos);
    BOOST_TEST(whole.find("A:") != std::string::npos);
    BOOST_TEST(whole.find("\xef\xbf\xbdz") != std::string::npos);
    for (std::size_t cut = 0; cut <= sample.size(); ++cut)
        BOOST_TEST(heard_in_pieces(sample, cut) == whole);
}

BOOST_AUTO_TEST_CASE(depth_ends_at_64)
{
    const std::string deep = std::string(64, '[') + std::string(64, ']');
    BOOST_TEST(scans(deep));
    BOOST_TEST(!scans("[" + deep + "]"));
    BOOST_TEST(!scans(std::string(100'000, '[')));
}

BOOST_AUTO_TEST_CASE(members_are_found_with_their_original_text)
{
    const std::string_view text =
        R"( { "input" : {"a" : [1, 2] } , "n":12, "s":"x\"y", "input":{ } } )";
    const member_list found = split_members(text);
    BOOST_TEST(found.error.empty());
    BOOST_TEST(found.is_object);
    BOOST_REQUIRE(found.members.size() == 3U); // the last of two counts
    BOOST_TEST(found.find("n")->text == "12");
    BOOST_TEST(found.find("s")->text == R"("x\"y")");
    BOOST_TEST(found.find("input")->text == "{ }");
    BOOST_TEST(found.find("other") == nullptr);
}

BOOST_AUTO_TEST_CASE(what_is_no_object_has_no_members)
{
    BOOST_TEST(!split_members("[1,2]").is_object);
    BOOST_TEST(split_members("[1,2]").members.empty());
    BOOST_TEST(split_members("{\"a\":").error == "not JSON: cut short at byte 5");
}

BOOST_AUTO_TEST_SUITE_END()
