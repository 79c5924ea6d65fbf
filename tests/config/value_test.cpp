#include "config/value.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway::config;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(value_)

BOOST_AUTO_TEST_CASE(times_have_a_number_and_a_unit)
{
    const std::pair<const char*, milliseconds> good[] = {
        {"30s", 30s}, {"500ms", 500ms}, {"2m", 2min},    {"1h", 1h},
        {"1d", 24h},  {"1.5s", 1500ms}, {" 10 s ", 10s}, {"0s", 0ms},
    };
    for (const auto& [text, expected] : good)
        BOOST_TEST((parse_time(text) == expected), text);
    for (const char* bad :
         {"", "30", "s", "-1s", "1y", "1s1", "0.5ms", "1e3s", "9999999999999999999d", "1..5s"})
        BOOST_TEST(!parse_time(bad).has_value(), bad);
}

BOOST_AUTO_TEST_CASE(sizes_are_binary_with_an_i_and_decimal_without)
{
    const std::pair<const char*, bytes> good[] = {
        {"64KiB", 65'536}, {"10GiB", 10 * gib}, {"1.5 MiB", 1'572'864}, {"100MB", 100'000'000},
        {"12B", 12},       {"0B", 0},           {"1kB", 1000},
    };
    for (const auto& [text, expected] : good)
        BOOST_TEST((parse_size(text) == expected), text);
    for (const char* bad : {"", "10", "GiB", "1.0000000001KiB", "-1B", "1XB", "99999999TiB"})
        BOOST_TEST(!parse_size(bad).has_value(), bad);
}

BOOST_AUTO_TEST_CASE(what_is_shown_reads_back_as_the_same)
{
    const milliseconds times[] = {0ms, 1ms, 1500ms, 90s, 10min, 24h, 25h, 720h};
    for (const milliseconds t : times)
        BOOST_TEST((parse_time(show_time(t)) == t), show_time(t));
    const bytes sizes[] = {0, 1, 1000, 1024, 100'000'000, 30 * gib, 123'456'789};
    for (const bytes b : sizes)
        BOOST_TEST((parse_size(show_size(b)) == b), show_size(b));
    BOOST_TEST(show_time(24h) == "24h");
    BOOST_TEST(show_time(720h) == "30d");
    BOOST_TEST(show_time(90s) == "90s");
    BOOST_TEST(show_size(100'000'000) == "100MB");
    BOOST_TEST(show_size(10 * mib) == "10MiB");
}

BOOST_AUTO_TEST_CASE(text_without_a_type_is_read_as_what_the_setting_is)
{
    BOOST_TEST((yes_or_no().read(plain_text{"Yes"}) == true));
    BOOST_TEST((yes_or_no().read(plain_text{"0"}) == false));
    BOOST_TEST(!yes_or_no().read(plain_text{"maybe"}).has_value());
    BOOST_TEST((number(1, 9).read(plain_text{" 7 "}) == 7));
    BOOST_TEST(!number(1, 9).read(plain_text{"10"}).has_value());
    BOOST_TEST(!number(1, 9).read(plain_text{"7x"}).has_value());
    BOOST_TEST((ratio(0.5, 2).read(plain_text{"1.5"}) == 1.5));
    BOOST_TEST((ratio(0.5, 2).read(std::int64_t{1}) == 1.0));
    BOOST_TEST(!ratio(0.5, 2).read(plain_text{"nan"}).has_value());
    BOOST_TEST((list("words").read(plain_text{" a, b ,,c"}) == names{"a", "b", "c"}));
    BOOST_TEST((list("words").read(plain_text{""}) == names{}));
    BOOST_TEST(!list("words").read(names{"a", ""}).has_value());
    BOOST_TEST(!map_of("pairs", anything, anything).read(plain_text{"a=b,c"}).has_value());
}

BOOST_AUTO_TEST_CASE(addresses_are_checked_by_what_they_are_for)
{
    for (const char* good : {"127.0.0.1:8000", "[::1]:0", ":8000", "localhost:1", "0.0.0.0:65535"})
        BOOST_TEST(is_listen_address(good), good);
    for (const char* bad :
         {"", "8000", "127.0.0.1", "127.1:80", "::1:80", "[::1]", "example.org:80",
          "127.0.0.1:65536", "127.0.0.1:", "127.0.0.1:+1", "1.2.3.4:8 "})
        BOOST_TEST(!is_listen_address(bad), bad);
    for (const char* good : {"huggingface.co", "*.hf.co", "a.*.r2.cloudflarestorage.com"})
        BOOST_TEST(is_host_pattern(good), good);
    for (const char* bad :
         {"*", "HF.co", "**.hf.co", "https://hf.co", "hf.co/", ".hf.co", "a..b", "hf.co:443"})
        BOOST_TEST(!is_host_pattern(bad), bad);
    for (const char* good : {"files.lan", "127.0.0.1:9000", "[::1]:9000", "h"})
        BOOST_TEST(is_host(good), good);
    for (const char* bad : {"", ":80", "h:", "h:x", "a/b", "::1"})
        BOOST_TEST(!is_host(bad), bad);
    for (const char* good : {"10.0.0.5", "10.0.0.5:80", "[::1]:80", "::1"})
        BOOST_TEST(is_numeric_address(good), good);
    for (const char* bad : {"", "files.lan", "10.0.0", "10.0.0.5:"})
        BOOST_TEST(!is_numeric_address(bad), bad);
    BOOST_TEST(is_origin("https://huggingface.co"));
    BOOST_TEST(!is_origin("https://huggingface.co/models"));
}

BOOST_AUTO_TEST_CASE(a_mistyped_name_leads_to_the_nearest_one)
{
    const names known{"listen", "header_limit", "body_limit"};

    BOOST_TEST(nearest("listn", known) == "listen");
    BOOST_TEST(nearest("Header_Limit", known) == "header_limit");
    BOOST_TEST(nearest("bodylimit", known) == "body_limit");
    BOOST_TEST(nearest("head", known) == "header_limit"); // a beginning is enough
    BOOST_TEST(nearest("something", known) == "");
}

BOOST_AUTO_TEST_CASE(a_list_of_times_has_at_least_one_and_each_has_its_unit)
{
    const auto rule = times(milliseconds(0), hours(24));
    const auto read = [&](found f) { return rule.read(f); };

    BOOST_TEST((read(names{"0s", "10s", "1h"}) ==
                std::vector<milliseconds>{seconds(0), seconds(10), hours(1)}));
    BOOST_TEST((read(plain_text{"0s, 5m"}) == std::vector<milliseconds>{seconds(0), minutes(5)}));
    BOOST_TEST(rule.show({seconds(0), minutes(5)}) == R"(["0s", "5m"])");
    BOOST_TEST(rule.expected.starts_with("a list of times, each from \"0s\" to \"24h\""),
               rule.expected);
    for (const auto& wrong : {found(names{}), found(plain_text{""}), found(names{"10"}),
                              found(names{"0s", "25h"}), found(std::string("0s")), found(7.0)})
        BOOST_TEST(!read(wrong).has_value(), show(wrong));
}

BOOST_AUTO_TEST_CASE(a_webhook_secret_is_whsec_and_base64_of_24_to_64_bytes)
{
    BOOST_TEST(is_webhook_secret("whsec_a2tra2tra2tra2tra2tra2tra2tra2tr"));
    for (const auto* wrong : {"", "whsec_", "whsec_a2tr", "a2tra2tra2tra2tra2tra2tra2tra2tr",
                              "whsec_a2tra2tra2tra2tra2tra2tra2tra2t!"})
        BOOST_TEST(!is_webhook_secret(wrong), wrong);
}

BOOST_AUTO_TEST_SUITE_END()
