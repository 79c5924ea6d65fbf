#include "config/table.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

using namespace gateway::config;

namespace {

loaded with(std::vector<flag> flags)
{
    sources from;
    from.environment["HOME"] = "/home/me";
    from.flags = std::move(flags);
    return load(from);
}

bool has(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

} // namespace

BOOST_AUTO_TEST_SUITE(print_)

BOOST_AUTO_TEST_CASE(every_setting_is_printed_with_its_value_and_where_it_came_from)
{
    const std::string text = print(with({{"--listen", "127.0.0.1:9"}}));

    BOOST_TEST(text.starts_with("[server]\n"
                                "listen = \"127.0.0.1:9\"                      # flag --listen\n"
                                "header_limit = \"16KiB\"                      # default\n"),
               text);
    for (const setting& s : all_settings())
        BOOST_TEST(has(text, '\n' + s.key + " = "), s.name());
}

BOOST_AUTO_TEST_CASE(secrets_are_masked)
{
    const std::string text = print(with({{"--set", "auth.keys=sesame,open"},
                                         {"--set", "webui.api_auth=user:pw"},
                                         {"--set", "download.civitai_token=abc"}}));

    for (const char* secret : {"sesame", "open", "user:pw", "abc"})
        BOOST_TEST(!has(text, secret), secret);
    BOOST_TEST(has(text, "keys = \"***\""), text);
    BOOST_TEST(has(text, "huggingface_token = \"\""), text);
}

BOOST_AUTO_TEST_CASE(a_check_says_ok_or_every_problem)
{
    BOOST_TEST(check(with({})) == "ok\n");
    BOOST_TEST(check(with({{"--allow-host", "files.lan"}})) ==
               "note: download.exempt_hosts: files.lan may use http and private addresses\nok\n");
    BOOST_TEST(check(with({{"--set", "retry.attempts=0"}, {"--set", "log.level=loud"}})) ==
               "flag --set retry.attempts: retry.attempts is \"0\"; it must be a number from 1 to "
               "100\n"
               "flag --set log.level: log.level is \"loud\"; it must be one of \"trace\", "
               "\"debug\", \"info\", \"warning\", \"error\"\n"
               "2 problems\n");
}

BOOST_AUTO_TEST_CASE(the_command_line_knows_its_flags_from_here)
{
    const auto all = flags();
    const auto find = [&](const std::string& name) {
        const auto at = std::find_if(all.begin(), all.end(),
                                     [&](const flag_help& f) { return f.name == name; });
        BOOST_REQUIRE(at != all.end());
        return *at;
    };

    BOOST_TEST(find("--listen").key == "server.listen");
    BOOST_TEST(find("--webui").repeatable);
    BOOST_TEST(find("--allow-host").repeatable);
    BOOST_TEST(find("--simulate").bare == "1");
    BOOST_TEST(find("--data-dir").bare == "");
}

BOOST_AUTO_TEST_SUITE_END()
