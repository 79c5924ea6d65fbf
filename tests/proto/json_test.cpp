#include "proto/json.hpp"

#include <boost/test/unit_test.hpp>

#include <charconv>
#include <cmath>
#include <random>

using namespace gateway;
using namespace gateway::proto;

namespace {

// What a reader complains about when `read` looks at an object.
template <class Read> std::vector<std::string> complaints_of(std::string_view text, Read read)
{
    const document parsed_text(text);
    BOOST_REQUIRE(parsed_text.ok());
    complaints wrong;
    reader from(parsed_text.root().as_object(), "input", wrong);
    read(from);
    return wrong.all();
}

std::string number_text(double number)
{
    std::string out;
    append_number(out, number);
    return out;
}

std::string round_trip(std::string_view text) { return to_json(document(text).root()); }

} // namespace

BOOST_AUTO_TEST_SUITE(json_)

BOOST_AUTO_TEST_CASE(numbers_read_back_exactly_and_print_shortest)
{
    std::mt19937_64 random(7);
    std::uniform_real_distribution<double> any(-30, 30);
    for (int i = 0; i < 20'000; ++i) {
        const double number = any(random);
        const std::string text = number_text(number);
        const document back(text);
        BOOST_REQUIRE(back.root().is_double());
        BOOST_REQUIRE_EQUAL(back.root().get_double(), number);
    }
}

BOOST_AUTO_TEST_CASE(a_whole_double_keeps_its_point)
{
    BOOST_TEST(number_text(1.0) == "1.0");
    BOOST_TEST(number_text(0.8) == "0.8");
    BOOST_TEST(number_text(-0.35) == "-0.35");
    BOOST_TEST(number_text(1e22) == "1e+22");
    BOOST_TEST(number_text(0) == "0.0");
}

BOOST_AUTO_TEST_CASE(what_is_no_number_is_written_as_null)
{
    BOOST_TEST(number_text(INFINITY) == "null");
    BOOST_TEST(number_text(NAN) == "null");
}

BOOST_AUTO_TEST_CASE(values_are_written_compactly_in_their_order)
{
    BOOST_TEST(round_trip(R"( {"b" : [1, 2.50, -3], "a": {"x": null, "y": true}} )") ==
               R"({"b":[1,2.5,-3],"a":{"x":null,"y":true}})");
    BOOST_TEST(round_trip("18446744073709551615") == "18446744073709551615");
}

BOOST_AUTO_TEST_CASE(texts_are_escaped_and_always_utf8)
{
    BOOST_TEST(quoted("a\"b\\c\n\t\x01 é") == "\"a\\\"b\\\\c\\n\\t\\u0001 é\"");
    BOOST_TEST(quoted("caf\xe9!") == "\"caf\xef\xbf\xbd!\"");
    BOOST_TEST(quoted("\xed\xa0\x80") == "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    BOOST_TEST(document(quoted("\xf0\x9f\x98\x80\xff\xc3")).ok());
}

BOOST_AUTO_TEST_CASE(a_text_that_is_not_json_is_refused_with_the_place)
{
    struct {
        std::string_view text;
        std::string_view error;
    } cases[] = {
        {"", "not JSON: the text is empty"},
        {"{", "not JSON: cut short at byte 1"},
        {R"({"a":})", "not JSON: unexpected '}' at byte 5"},
        {"[1,]", "not JSON: unexpected ']' at byte 3"},
        {"{} x", "not JSON: unexpected 'x' at byte 3"},
        {"{'a':1}", "not JSON: unexpected ''' at byte 1"},
        {"\"a\nb\"", "not JSON: a control character inside a string at byte 2"},
        {"\"\xff\"", "not JSON: bytes that are not UTF-8 at byte 1"},
        {"01", "not JSON: unexpected '1' at byte 1"},
        {"nul", "not JSON: cut short at byte 3"},
    };
    for (const auto& c : cases) {
        const document parsed_text(c.text);
        BOOST_TEST(!parsed_text.ok());
        BOOST_TEST(parsed_text.error() == c.error);
    }
}

BOOST_AUTO_TEST_CASE(a_number_too_large_for_a_double_is_refused)
{
    BOOST_TEST(!document("[1e999]").ok());
    BOOST_TEST(document("[1e-999]").ok());
}

BOOST_AUTO_TEST_CASE(depth_is_limited)
{
    const std::string deep = std::string(64, '[') + std::string(64, ']');
    BOOST_TEST(document(deep).ok());
    BOOST_TEST(!document("[" + deep + "]").ok());
    BOOST_TEST(!document(std::string(1'000'000, '[')).ok());
}

BOOST_AUTO_TEST_CASE(a_wrong_field_says_where_what_and_what_would_be_right)
{
    const std::string_view text =
        R"({"steps":"many","scale":9,"name":"","flag":1,"list":{},"deep":[3.5],"big":12345678901234567890})";
    const auto wrong = complaints_of(text, [](reader& from) {
        from.integer("steps");
        from.number("scale", -5, 5);
        from.required_text("name");
        from.required_text("url");
        from.boolean("flag");
        from.array("list");
        from.object("deep");
        from.integer("big", 1);
        from.text("steps");
    });
    const std::vector<std::string> expected{
        R"(input.steps: found the text "many"; a whole number is wanted)",
        "input.scale: found the number 9; a number from -5.0 to 5.0 is wanted",
        R"(input.name: found the text ""; a text that is not empty is wanted)",
        "input.url: found nothing; a text that is not empty is wanted",
        "input.flag: found the number 1; true or false is wanted",
        "input.list: found an object; an array is wanted",
        "input.deep: found an array; an object is wanted",
        "input.big: found the number 12345678901234567890; a whole number of 1 or more is wanted",
    };
    BOOST_TEST(wrong == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(whole_numbers_are_read_as_the_webui_reads_them)
{
    struct {
        std::string_view text;
        std::optional<std::int64_t> expected;
    } cases[] = {
        {"20", 20},   {"20.0", 20},    {"\"20\"", 20},   {"-1", -1},
        {"20.7", {}}, {"true", {}},    {"\"20.7\"", {}}, {"\"\"", {}},
        {"[]", {}},   {"\"20 \"", {}}, {"1e300", {}},    {"null", {}},
    };
    for (const auto& c : cases) {
        const document value("{\"v\":" + std::string(c.text) + "}");
        complaints wrong;
        const auto found = reader(value.root().as_object(), "", wrong).integer("v");
        BOOST_TEST((found == c.expected), c.text);
        BOOST_TEST(wrong.none() == (c.expected.has_value() || c.text == "null"), c.text);
    }
}

BOOST_AUTO_TEST_CASE(a_text_that_says_nan_is_no_number)
{
    const auto wrong =
        complaints_of(R"({"a":"nan","b":"inf","c":"-inf","d":"1.5"})", [](reader& from) {
            from.number("a");
            from.number("b");
            from.number("c");
            BOOST_TEST(from.number("d").value() == 1.5);
        });
    BOOST_TEST(wrong.size() == 3U);
}

BOOST_AUTO_TEST_CASE(one_complaint_is_the_detail_and_several_are_all_listed)
{
    complaints wrong;
    wrong.add("a: no");
    BOOST_TEST(wrong.as_problem().detail == "a: no");
    BOOST_TEST(wrong.as_problem().errors.empty());

    for (int i = 0; i < 100; ++i)
        wrong.add("b: no");
    BOOST_TEST(wrong.as_problem().detail == "a: no");
    BOOST_TEST(wrong.as_problem().errors.size() == 20U);
}

BOOST_AUTO_TEST_CASE(a_long_text_is_cut_in_a_complaint)
{
    const std::string text = R"({"v":")" + std::string(500, 'x') + "\"}";
    const auto wrong = complaints_of(text, [](reader& from) { from.integer("v"); });
    BOOST_REQUIRE(wrong.size() == 1U);
    BOOST_TEST(wrong[0].size() < 120U);
}

BOOST_AUTO_TEST_CASE(an_object_is_written_member_by_member)
{
    std::string out;
    object_writer(out)
        .text("a", "x")
        .integer("b", -3)
        .number("c", 2)
        .boolean("d", true)
        .raw("e", "[1]")
        .close();
    BOOST_TEST(out == R"({"a":"x","b":-3,"c":2.0,"d":true,"e":[1]})");
}

BOOST_AUTO_TEST_SUITE_END()
