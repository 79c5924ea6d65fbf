#include "config/settings.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <unistd.h>

using namespace gateway;
using namespace gateway::config;
using namespace std::chrono_literals;

namespace {

sources from_environment(std::map<std::string, std::string> environment)
{
    sources from;
    from.environment = std::move(environment);
    from.environment.emplace("HOME", "/home/me");
    return from;
}

sources from_file(std::string text)
{
    sources from = from_environment({});
    from.file_name = "gateway.toml";
    from.file_text = std::move(text);
    return from;
}

sources from_flags(std::vector<flag> flags)
{
    sources from = from_environment({});
    from.flags = std::move(flags);
    return from;
}

std::string origin_text(const loaded& l, const std::string& key)
{
    return to_text(l.origins.at(key));
}

result<std::string> unreadable(const std::string&)
{
    return error_code(EACCES, boost::system::generic_category());
}

void check_problems(const sources& from, const std::vector<std::string>& expected)
{
    std::vector<std::string> found;
    for (const problem& p : load(from).problems)
        found.push_back(to_text(p));
    BOOST_CHECK_EQUAL_COLLECTIONS(found.begin(), found.end(), expected.begin(), expected.end());
}

} // namespace

BOOST_AUTO_TEST_SUITE(settings_)

BOOST_AUTO_TEST_CASE(without_anything_the_defaults_are_in_force)
{
    const loaded l = load(from_environment({}));

    BOOST_TEST(l.ok());
    BOOST_TEST(l.settings.server.listen == "127.0.0.1:8000");
    BOOST_TEST((l.settings.retry.interval == 5s));
    BOOST_TEST(l.settings.jobs.run_body_limit == 10 * 1024 * 1024u);
    BOOST_TEST((l.settings.webui.urls == names{"http://127.0.0.1:3000"}));
    BOOST_TEST(origin_text(l, "server.listen") == "default");
    BOOST_TEST(l.notes.empty());
}

BOOST_AUTO_TEST_CASE(a_flag_wins_over_the_environment_over_the_file_over_the_default)
{
    sources from = from_file("[retry]\nattempts = 4\ninterval = \"1s\"\nmax_restarts = 7\n");
    from.environment["WEBUI_GATEWAY_RETRY_ATTEMPTS"] = "5";
    from.environment["WEBUI_GATEWAY_RETRY_INTERVAL"] = "2s";
    from.flags = {{"--set", "retry.attempts=6"}};

    const loaded l = load(from);

    BOOST_TEST(l.ok());
    BOOST_TEST(l.settings.retry.attempts == 6);
    BOOST_TEST(origin_text(l, "retry.attempts") == "flag --set retry.attempts");
    BOOST_TEST((l.settings.retry.interval == 2s));
    BOOST_TEST(origin_text(l, "retry.interval") == "environment WEBUI_GATEWAY_RETRY_INTERVAL");
    BOOST_TEST(l.settings.retry.max_restarts == 7);
    BOOST_TEST(origin_text(l, "retry.max_restarts") == "gateway.toml:4");
    BOOST_TEST(origin_text(l, "retry.max_crashes") == "default");
}

BOOST_AUTO_TEST_CASE(every_problem_is_reported_at_once_with_its_place_and_what_is_right)
{
    sources from = from_file("[server]\n"
                             "listn = \"127.0.0.1:1\"\n"
                             "header_limit = 12\n"
                             "[retry]\n"
                             "attempts = 0\n"
                             "interval = \"5 apples\"\n"
                             "max_restarts = \"many\"\n"
                             "[dowload]\n"
                             "redirects = 3\n");
    from.environment["WEBUI_GATEWAY_LOG_LEVEL"] = "loud";
    from.environment["WEBUI_GATEWAY_LOG_LEVLE"] = "info";
    from.flags = {{"--listen", "everywhere"}, {"--set", "retry.resend=no"}, {"--set", "retry"}};

    check_problems(
        from,
        {"gateway.toml:2: there is no setting server.listn; did you mean server.listen?",
         "gateway.toml:3: server.header_limit is 12; it must be a size from \"1KiB\" to \"1MiB\" "
         "with its unit (KiB, MiB, GiB, MB, …)",
         "gateway.toml:5: retry.attempts is 0; it must be a number from 1 to 100",
         "gateway.toml:6: retry.interval is \"5 apples\"; it must be a time from \"0s\" to \"1h\" "
         "with its unit (ms, s, m, h, d)",
         "gateway.toml:7: retry.max_restarts is \"many\"; it must be a number from 0 to 1000",
         "gateway.toml:8: there is no table [dowload]; did you mean [download]?",
         "environment WEBUI_GATEWAY_LOG_LEVEL: log.level is \"loud\"; it must be one of \"trace\", "
         "\"debug\", \"info\", \"warning\", \"error\"",
         "environment WEBUI_GATEWAY_LOG_LEVLE: there is no such setting; did you mean "
         "WEBUI_GATEWAY_LOG_LEVEL?",
         "flag --listen: server.listen is \"everywhere\"; it must be an address and port such as "
         "\"127.0.0.1:8000\" or \"[::1]:8000\"",
         "flag --set: there is no setting retry.resend; did you mean retry.resend_after_restart?",
         "flag --set: \"retry\" must be table.key=value"});
}

BOOST_AUTO_TEST_CASE(a_key_in_the_wrong_table_is_pointed_to_the_right_one)
{
    check_problems(from_file("attempts = 3\n[jobs]\nresend_after_restart = true\n"),
                   {"gateway.toml:1: there is no setting attempts; did you mean retry.attempts?",
                    "gateway.toml:3: there is no setting jobs.resend_after_restart; did you mean "
                    "retry.resend_after_restart?"});
}

BOOST_AUTO_TEST_CASE(what_is_not_toml_is_told_with_its_line)
{
    const loaded l = load(from_file("[server]\nlisten = 127.0.0.1:8000\n"));

    BOOST_REQUIRE_EQUAL(l.problems.size(), 1u);
    BOOST_TEST(to_text(l.problems[0]).starts_with("gateway.toml:2: this is not TOML: "),
               to_text(l.problems[0]));
}

BOOST_AUTO_TEST_CASE(wrong_types_are_refused_and_shown_as_they_are_written)
{
    const std::pair<const char*, const char*> cases[] = {
        {"[webui]\nwarm_up = \"yes\"\n",
         "gateway.toml:2: webui.warm_up is \"yes\"; it must be true or false"},
        {"[webui]\nwarm_up = 1\n", "gateway.toml:2: webui.warm_up is 1; it must be true or false"},
        {"[retry]\nattempts = 2.5\n",
         "gateway.toml:2: retry.attempts is 2.5; it must be a number from 1 to 100"},
        {"[log]\nlevel = [1, 2]\n",
         "gateway.toml:2: log.level is [ 1, 2 ]; it must be one of \"trace\", \"debug\", \"info\", "
         "\"warning\", \"error\""},
        {"[models]\ndir = 1979-05-27\n",
         "gateway.toml:2: models.dir is 1979-05-27; it must be the path of a folder"},
        {"[webui]\nurls = \"http://127.0.0.1:1\"\n",
         "gateway.toml:2: webui.urls is \"http://127.0.0.1:1\"; it must be a list of URLs such as "
         "\"http://127.0.0.1:7860\", without user name and query"},
        {"[net]\nresolve = { \"a.lan\" = \"b.lan\" }\n",
         "gateway.toml:2: net.resolve is { \"a.lan\" = \"b.lan\" }; it must be a table such as { "
         "\"files.lan:443\" = \"10.0.0.5\" }"},
        {"[net]\nresolve = { \"a.lan\" = 1 }\n",
         "gateway.toml:2: net.resolve is { 'a.lan' = 1 }; it must be a table such as { "
         "\"files.lan:443\" = \"10.0.0.5\" }"},
    };
    for (const auto& [text, expected] : cases)
        check_problems(from_file(text), {expected});
}

BOOST_AUTO_TEST_CASE(a_table_may_be_written_in_any_of_the_forms_of_toml)
{
    const loaded l = load(from_file("retry.attempts = 2\n"
                                    "jobs = { max_queued = 5 }\n"
                                    "[net.resolve]\n\"a.lan\" = \"10.0.0.5\"\n"));

    BOOST_TEST(l.ok(), check(l));
    BOOST_TEST(l.settings.retry.attempts == 2);
    BOOST_TEST(l.settings.jobs.max_queued == 5);
    BOOST_TEST(l.settings.net.resolve.at("a.lan") == "10.0.0.5");
    BOOST_TEST(origin_text(l, "retry.attempts") == "gateway.toml:1");
}

BOOST_AUTO_TEST_CASE(a_wrong_secret_is_not_shown)
{
    check_problems(from_environment({{"WEBUI_GATEWAY_WEBUI_API_AUTH", "hunter2"}}),
                   {"environment WEBUI_GATEWAY_WEBUI_API_AUTH: webui.api_auth is a text that is "
                    "not shown; it must be \"user:password\""});
}

BOOST_AUTO_TEST_CASE(names_that_people_export_anyway_are_understood)
{
    const loaded l = load(from_environment({{"PORT", "9000"},
                                            {"PORT_HEALTH", "9001"},
                                            {"HEALTH_CHECK_PATH", "/up"},
                                            {"WEBUI_GATEWAY_AUTH_KEYS", "k1, k2"},
                                            {"LOG_LEVEL", "WARN"},
                                            {"HF_TOKEN", "hf_x"},
                                            {"HF_ENDPOINT", "https://mirror.lan"},
                                            {"CIVITAI_TOKEN", "second"},
                                            {"MAX_QUEUE_DEPTH", "12"},
                                            {"STATE_DIRECTORY", "/var/lib/a:/var/lib/b"}}));

    BOOST_TEST(l.ok(), check(l));
    BOOST_TEST(l.settings.server.listen == "0.0.0.0:9000");
    BOOST_TEST(origin_text(l, "server.listen") == "environment PORT");
    BOOST_TEST(l.settings.server.health_listen == "0.0.0.0:9001");
    BOOST_TEST(l.settings.server.health_path == "/up");
    BOOST_TEST((l.settings.auth.keys == names{"k1", "k2"}));
    BOOST_TEST((l.settings.log.level == log::level::warning));
    BOOST_TEST(l.settings.download.huggingface_token == "hf_x");
    BOOST_TEST(l.settings.download.huggingface_endpoint == "https://mirror.lan");
    BOOST_TEST(l.settings.download.civitai_token == "second");
    BOOST_TEST(l.settings.jobs.max_queued == 12);
    BOOST_TEST(l.settings.data.dir == "/var/lib/a");
}

BOOST_AUTO_TEST_CASE(a_health_port_that_is_the_clients_port_is_no_second_one)
{
    const loaded l = load(from_environment(
        {{"PORT", "9000"}, {"PORT_HEALTH", "9000"}, {"WEBUI_GATEWAY_AUTH_KEYS", "k"}}));

    BOOST_TEST(l.ok(), check(l));
    BOOST_TEST(l.settings.server.health_listen == "");
}

BOOST_AUTO_TEST_CASE(a_foreign_name_gives_way_to_a_definite_one_and_says_nothing_when_blank)
{
    sources from = from_environment({{"PORT", "not a port"},
                                     {"LOG_LEVEL", ""},
                                     {"CIVITAI_API_TOKEN", "first"},
                                     {"CIVITAI_TOKEN", "second"},
                                     {"MAX_QUEUE_DEPTH", "12"},
                                     {"WEBUI_GATEWAY_JOBS_MAX_QUEUED", "13"}});
    from.flags = {{"--listen", "127.0.0.1:7000"}};

    const loaded l = load(from);

    BOOST_TEST(l.ok(), check(l));
    BOOST_TEST(l.settings.server.listen == "127.0.0.1:7000");
    BOOST_TEST(l.settings.download.civitai_token == "first");
    BOOST_TEST(l.settings.jobs.max_queued == 13);
}

BOOST_AUTO_TEST_CASE(secrets_can_come_from_files)
{
    sources from = from_environment({{"HF_TOKEN_FILE", "/run/hf"},
                                     {"WEBUI_GATEWAY_WEBUI_API_AUTH_FILE", "/run/auth"},
                                     {"WEBUI_GATEWAY_AUTH_KEYS_FILE", "/run/keys"}});
    from.read_file = [](const std::string& path) -> result<std::string> {
        if (path == "/run/hf")
            return std::string("hf_secret\n");
        if (path == "/run/auth")
            return std::string("me:pw\r\n");
        return std::string("# clients\n  one \n\ntwo");
    };

    const loaded l = load(from);

    BOOST_TEST(l.ok(), check(l));
    BOOST_TEST(l.settings.download.huggingface_token == "hf_secret");
    BOOST_TEST(l.settings.webui.api_auth == "me:pw");
    BOOST_TEST((l.settings.auth.keys == names{"one", "two"}));
    BOOST_TEST((l.settings.auth.mode == auth_mode::keys));
    BOOST_TEST(origin_text(l, "download.huggingface_token") == "environment HF_TOKEN_FILE");
}

BOOST_AUTO_TEST_CASE(a_secret_file_that_cannot_be_read_is_a_problem)
{
    sources from = from_environment(
        {{"HF_TOKEN_FILE", "/run/hf"}, {"WEBUI_GATEWAY_AUTH_KEYS_FILE", "/run/keys"}});
    from.read_file = unreadable;

    check_problems(from, {"environment HF_TOKEN_FILE: cannot read \"/run/hf\": Permission denied",
                          "environment WEBUI_GATEWAY_AUTH_KEYS_FILE: auth.keys_file: cannot read "
                          "\"/run/keys\": Permission denied"});
    check_problems(from_environment({{"HF_TOKEN", "a"}, {"HF_TOKEN_FILE", "b"}}),
                   {"environment HF_TOKEN_FILE: HF_TOKEN is set too; keep one of them"});
    check_problems(from_environment({{"HF_TOKEN_FILE", "b"}}),
                   {"environment HF_TOKEN_FILE: cannot read \"b\": No such file or directory"});
}

BOOST_AUTO_TEST_CASE(what_kubernetes_says_about_a_service_of_our_name_is_ignored)
{
    const loaded l = load(from_environment({{"WEBUI_GATEWAY_PORT", "tcp://10.0.0.1:8000"},
                                            {"WEBUI_GATEWAY_PORT_8000_TCP_ADDR", "10.0.0.1"},
                                            {"WEBUI_GATEWAY_SERVICE_HOST", "10.0.0.1"}}));

    BOOST_TEST(l.ok(), check(l));
}

BOOST_AUTO_TEST_CASE(a_list_collects_its_flags_and_replaces_what_is_below)
{
    sources from = from_flags({{"--webui", "http://a:1"}, {"--webui", "http://b:2,http://c:3"}});
    from.environment["WEBUI_GATEWAY_WEBUI_URLS"] = "http://z:9";

    const loaded l = load(from);

    BOOST_TEST(l.ok(), check(l));
    BOOST_TEST((l.settings.webui.urls == names{"http://a:1", "http://b:2", "http://c:3"}));
}

BOOST_AUTO_TEST_CASE(a_flag_that_does_not_exist_is_refused)
{
    check_problems(from_flags({{"--lisen", "127.0.0.1:1"}}),
                   {"flag --lisen: there is no such flag; did you mean --listen?"});
}

BOOST_AUTO_TEST_CASE(the_system_brings_its_environment_and_its_files)
{
    const auto folder =
        std::filesystem::temp_directory_path() / ("gateway-settings-" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder);
    const std::string path = folder / "gateway.toml";
    std::ofstream(path) << "[retry]\nattempts = 9\n";
    ::setenv("WEBUI_GATEWAY_RETRY_MAX_CRASHES", "8", 1);

    const loaded l = load_from_system(path, {{"--set", "retry.max_restarts=7"}});
    const loaded missing = load_from_system(folder / "none.toml", {});
    const loaded a_folder = load_from_system(folder, {});

    ::unsetenv("WEBUI_GATEWAY_RETRY_MAX_CRASHES");
    std::filesystem::remove_all(folder);
    BOOST_TEST(l.settings.retry.attempts == 9);
    BOOST_TEST(l.settings.retry.max_crashes == 8);
    BOOST_TEST(l.settings.retry.max_restarts == 7);
    BOOST_REQUIRE(!missing.problems.empty());
    BOOST_TEST(to_text(missing.problems[0]) == "flag --config: cannot read \"" +
                                                   (folder / "none.toml").string() +
                                                   "\": No such file or directory");
    BOOST_REQUIRE(!a_folder.problems.empty());
    BOOST_TEST(a_folder.problems[0].what.ends_with("Is a directory"), a_folder.problems[0].what);
}

BOOST_AUTO_TEST_SUITE_END()
