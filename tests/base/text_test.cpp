#include "base/text.hpp"

#include <boost/test/unit_test.hpp>

#include <limits>

using namespace gateway;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(text_)

BOOST_AUTO_TEST_CASE(a_number_prints_as_the_shortest_decimal_that_reads_back)
{
    const std::pair<double, const char*> cases[] = {
        {1.0, "1.0"},       {0.8, "0.8"},        {-2, "-2.0"},
        {0, "0.0"},         {0.1, "0.1"},        {1e21, "1000000000000000000000.0"},
        {0.0001, "0.0001"}, {1e-7, "0.0000001"}, {1.25, "1.25"},
    };
    for (const auto& [number, text] : cases)
        BOOST_TEST(shortest_decimal(number) == text);
    BOOST_TEST(std::stod(shortest_decimal(std::numeric_limits<double>::max())) ==
               std::numeric_limits<double>::max());
}

BOOST_AUTO_TEST_CASE(bytes_are_told_with_one_decimal_at_most)
{
    const std::pair<std::uint64_t, const char*> cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {1024 * 1024 - 1, "1 MiB"},
        {std::uint64_t{3} << 29, "1.5 GiB"},
        {std::uint64_t{1} << 62, "4096 PiB"},
    };
    for (const auto& [bytes, text] : cases)
        BOOST_TEST(format_bytes(bytes) == text);
}

BOOST_AUTO_TEST_CASE(durations_are_told_in_their_two_largest_units)
{
    const std::pair<duration, const char*> cases[] = {
        {0ms, "0 ms"},        {250ms, "250 ms"}, {1500ms, "1.5 s"},
        {12s, "12 s"},        {65s, "1 m 5 s"},  {120s, "2 m"},
        {130min, "2 h 10 m"}, {24h * 3, "3 d"},  {24h * 2 + 5h, "2 d 5 h"},
        {-65s, "-1 m 5 s"},
    };
    for (const auto& [d, text] : cases)
        BOOST_TEST(format_duration(d) == text);
}

BOOST_AUTO_TEST_CASE(times_are_utc_with_milliseconds)
{
    const auto day = std::chrono::sys_days{std::chrono::year{2026} / 1 / 2};
    const wall_time when = day + 7h + 45min + 12s + 34ms;

    BOOST_TEST(format_time(when) == "2026-01-02T07:45:12.034Z");
    BOOST_TEST(format_time(wall_time{-1ms}) == "1969-12-31T23:59:59.999Z");
}

BOOST_AUTO_TEST_CASE(base64_is_that_of_rfc_4648)
{
    const std::pair<const char*, const char*> cases[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe", "//4="},
    };
    for (const auto& [bytes, text] : cases) {
        BOOST_TEST(base64_encode(bytes) == text);
        BOOST_TEST(base64_decode(text).value() == bytes);
    }
    BOOST_TEST(base64_decode("Zm8").value() == "fo");
    for (const char* bad : {"Z", "Zm9v!", "Zm 9v", "=", "====", "Zg=", "Z===", "Zm=v"})
        BOOST_TEST(!base64_decode(bad).has_value(), bad << " is not base64");
}

BOOST_AUTO_TEST_CASE(every_byte_string_becomes_a_valid_json_string)
{
    const std::pair<std::string, std::string> cases[] = {
        {"plain", R"("plain")"},
        {"a\"b\\c", R"("a\"b\\c")"},
        {"1\n2\t3\r", R"("1\n2\t3\r")"},
        {std::string("\0\x1f\x7f", 3), R"("\u0000\u001f\u007f")"},
        {"\u00e9\u20ac\U0001f600", "\"\u00e9\u20ac\U0001f600\""},
        {"\xff", "\"\ufffd\""},
        {"a\xc3", "\"a\ufffd\""},
        {"\xc0\xaf", "\"\ufffd\ufffd\""},                     // overlong
        {"\xed\xa0\x80", "\"\ufffd\ufffd\ufffd\""},           // surrogate
        {"\xf4\x90\x80\x80", "\"\ufffd\ufffd\ufffd\ufffd\""}, // beyond U+10FFFF
    };
    for (const auto& [bytes, text] : cases)
        BOOST_TEST(json_quoted(bytes) == text);
}

BOOST_AUTO_TEST_CASE(small_helpers_do_what_they_say)
{
    BOOST_TEST(hex(std::string("\x00\xff\x1a", 3)) == "00ff1a");
    BOOST_TEST(to_lower("HuggingFace.CO") == "huggingface.co");
    BOOST_TEST(trim(" \t a b\r\n") == "a b");
    BOOST_TEST(trim(" \n") == "");
    BOOST_TEST(iequals("Bearer", "bEARER"));
    BOOST_TEST(!iequals("Bearer", "Beare"));
}

BOOST_AUTO_TEST_SUITE_END()
