#include "api/submission.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

jobs::submission read(std::string_view body, const config::settings& settings = {})
{
    const auto s = api::read_submission(body, api::rules_of(settings), {});
    BOOST_REQUIRE_MESSAGE(s, s.error().detail);
    return *s;
}

std::string problem_of(std::string_view body, const config::settings& settings = {})
{
    const auto s = api::read_submission(body, api::rules_of(settings), {});
    BOOST_REQUIRE(!s);
    return s.error().detail;
}

} // namespace

BOOST_AUTO_TEST_SUITE(submission_)

BOOST_AUTO_TEST_CASE(the_input_is_kept_as_it_came)
{
    const auto s =
        read(R"({"webhook":"https://example.org/h", "input": {"prompt": "ä", "seed": 7.0} })");

    BOOST_TEST(s.input == R"({"prompt": "ä", "seed": 7.0})");
    BOOST_TEST(s.webhook == "https://example.org/h");
    BOOST_TEST(s.files.empty());
}

BOOST_AUTO_TEST_CASE(a_webhook_into_our_own_network_is_refused_unless_it_is_allowed)
{
    const auto with = [](const std::string& url) {
        return R"({"input":{"prompt":"a cat"},"webhook":")" + url + "\"}";
    };
    for (const auto* url : {"http://127.0.0.1:9000/h", "https://10.0.0.1", "http://[::1]/",
                            "http://localhost/", "http://2130706433/", "http://169.254.169.254/"})
        BOOST_TEST(problem_of(with(url)).find("not allowed") != std::string::npos, url);
    BOOST_TEST(problem_of(with("http://127.0.0.1:9000/h")).find("--allow-webhook 127.0.0.1:9000") !=
               std::string::npos);
    BOOST_TEST(problem_of(with("http://me:secret@app.test/")).find("no user name") !=
               std::string::npos);
    BOOST_TEST(problem_of(with("http://me:secret@app.test/")).find("secret") == std::string::npos);
    BOOST_TEST(read(with("http://app.test/h")).webhook == "http://app.test/h");

    config::settings settings;
    settings.webhook.allow_hosts = {"127.0.0.1:9000", "[::1]"};
    settings.net.resolve = {{"localhost", "127.0.0.1:7"}};
    for (const auto* url : {"http://127.0.0.1:9000/h", "http://[::1]/", "http://localhost/"})
        BOOST_TEST(read(with(url), settings).webhook == url);
    BOOST_TEST(problem_of(with("http://127.0.0.1:9001/"), settings).find("not allowed") !=
               std::string::npos);
    settings.webhook.allow_private = true;
    BOOST_TEST(read(with("http://10.0.0.1/"), settings).webhook == "http://10.0.0.1/");
}

BOOST_AUTO_TEST_CASE(the_files_a_job_names_are_its_models)
{
    const auto s =
        read(R"({"input":{"checkpoint":{"name":"dream.safetensors","url":"https://a.example/d"},
        "loras":[{"name":"landscape","url":"https://a.example/l","scale":0.8}]}})");

    BOOST_REQUIRE(s.files.size() == 2U);
    BOOST_TEST((s.files[0].kind == core::model_kind::checkpoint));
    BOOST_TEST(s.files[0].name == "dream");
    BOOST_TEST((s.files[1].kind == core::model_kind::lora));
    BOOST_TEST(s.files[1].url == "https://a.example/l");
}

BOOST_AUTO_TEST_CASE(a_default_checkpoint_stands_in)
{
    config::settings settings;
    settings.models.default_checkpoint = "house";
    settings.models.default_checkpoint_url = "https://a.example/house";

    const auto without = read(R"({"input":{"prompt":"a cat"}})", settings);
    const auto with =
        read(R"({"input":{"checkpoint":{"name":"own","url":"https://a.example/o"}}})", settings);

    BOOST_REQUIRE(without.files.size() == 1U);
    BOOST_TEST(without.files[0].name == "house");
    BOOST_TEST(without.files[0].url == "https://a.example/house");
    BOOST_REQUIRE(with.files.size() == 1U);
    BOOST_TEST(with.files[0].name == "own");
}

BOOST_AUTO_TEST_CASE(the_operators_defaults_apply_where_the_client_says_nothing)
{
    config::settings settings;
    settings.jobs.execution_timeout = 60s;
    settings.jobs.ttl = 1h;

    const auto silent = read(R"({"input":{}})", settings);
    const auto vocal =
        read(R"({"input":{},"policy":{"executionTimeout":1,"ttl":7200000}})", settings);

    BOOST_TEST((silent.policy.execution_timeout == 60s));
    BOOST_TEST((silent.policy.ttl == 1h));
    BOOST_TEST((vocal.policy.execution_timeout == 5s));
    BOOST_TEST((vocal.policy.ttl == 2h));
}

BOOST_AUTO_TEST_CASE(what_the_operator_allows_is_allowed)
{
    const auto body = R"({"input":{"save_images":true}})";
    config::settings strict;
    strict.webui.allow_parameters.clear();
    config::settings open;
    open.webui.allow_parameters.emplace_back("save_images");

    BOOST_TEST(problem_of(body, strict).find("save_images") != std::string::npos);
    read(body, open);
}

BOOST_AUTO_TEST_SUITE_END()
