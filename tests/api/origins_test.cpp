#include "api/origins.hpp"

#include "support/front.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;

namespace {

constexpr auto page = "Origin: https://app.example.org\r\n";

// A gateway without keys, behind its real server.
struct keyless : test::front {
    int post(std::string headers)
    {
        return ask("POST", "/run", R"({"input":{"prompt":"a cat"}})", headers).status;
    }
    // With this Host instead of localhost.
    int from_host(std::string_view method, std::string_view host, std::string_view target)
    {
        auto connection =
            send(std::string(method) + " " + std::string(target) +
                 " HTTP/1.1\r\nHost: " + std::string(host) + "\r\nContent-Length: 0\r\n\r\n");
        const auto got = take_reply(*connection);
        BOOST_REQUIRE(got);
        return got->status;
    }

    explicit keyless(const std::function<void(config::settings&)>& change = nullptr) : front(change)
    {
    }
};

struct with_names : keyless {
    with_names()
        : keyless([](config::settings& s) {
              s.server.allow_hosts = {"gpu.lan"};
              s.server.allow_origins = {"https://app.example.org"};
          })
    {
    }
};

struct with_keys : keyless {
    with_keys()
        : keyless([](config::settings& s) {
              s.auth.mode = config::auth_mode::keys;
              s.auth.keys = {"key"};
              s.server.allow_origins = {"https://app.example.org"};
          })
    {
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(origins_, keyless)

BOOST_AUTO_TEST_CASE(programs_and_pages_of_our_own_may_submit)
{
    BOOST_TEST(post("") == 200);
    BOOST_TEST(post("Origin: http://localhost\r\n") == 200);
    BOOST_TEST(post("Sec-Fetch-Site: same-origin\r\n") == 200);
    BOOST_TEST(post("Sec-Fetch-Site: none\r\n") == 200);
}

BOOST_AUTO_TEST_CASE(a_page_of_another_site_may_not)
{
    BOOST_TEST(post(page) == 403);
    BOOST_TEST(post("Origin: null\r\n") == 403);
    BOOST_TEST(post("Origin: http://localhost:3000\r\n") == 403);
    BOOST_TEST(post("Origin: localhost\r\n") == 403);
    BOOST_TEST(post("Sec-Fetch-Site: cross-site\r\n") == 403);
    BOOST_TEST(post("Sec-Fetch-Site: same-site\r\n") == 403);
    BOOST_TEST(jobs->waiting() == 0U);
}

BOOST_AUTO_TEST_CASE(the_refusal_says_what_to_do_in_the_way_of_its_door)
{
    const auto runpod = ask("POST", "/cancel/a", "", page);
    BOOST_TEST(runpod.header("content-type") == "application/json");
    BOOST_TEST(runpod.body.find("a page of https://app.example.org may not change anything") !=
               std::string::npos);
    BOOST_TEST(runpod.body.find("server.allow_origins") != std::string::npos);

    const auto native = ask("POST", "/api/v1/jobs", "{}", page);
    BOOST_TEST(native.status == 403);
    BOOST_TEST(native.header("content-type") == "application/problem+json");
}

BOOST_AUTO_TEST_CASE(only_names_of_this_machine_lead_in)
{
    for (const auto* host : {"localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.8.9.1",
                             "[::1]:8000", "[::1]", "gateway.localhost:1"})
        BOOST_TEST(from_host("GET", host, "/health") == 200, host);
    for (const auto* host : {"evil.example", "10.0.0.1:8000", "localhost.evil.example",
                             "[::2]:8000", "127.0.0.1.evil.example"}) {
        BOOST_TEST(from_host("GET", host, "/health") == 403, host);
        BOOST_TEST(from_host("POST", host, "/purge-queue") == 403, host);
    }
}

BOOST_AUTO_TEST_CASE(probes_answer_under_any_name)
{
    BOOST_TEST(from_host("GET", "10.0.0.1", "/livez") == 200);
}

BOOST_AUTO_TEST_CASE(nobody_is_told_that_other_pages_may_read)
{
    const auto answer = ask("GET", "/health", "", page);

    BOOST_TEST(answer.status == 200);
    BOOST_TEST(answer.header("access-control-allow-origin").empty());
    BOOST_TEST(
        ask("OPTIONS", "/run", "", std::string(page) + "Access-Control-Request-Method: POST\r\n")
            .status == 405);
}

BOOST_FIXTURE_TEST_CASE(names_and_origins_can_be_added, with_names)
{
    BOOST_TEST(from_host("POST", "gpu.lan:8000", "/purge-queue") == 200);
    BOOST_TEST(post(page) == 200);
    BOOST_TEST(post("Origin: https://other.example.org\r\n") == 403);
}

BOOST_FIXTURE_TEST_CASE(a_page_of_a_named_origin_is_answered_before_it_brings_its_key, with_keys)
{
    const auto asked =
        ask("OPTIONS", "/run", "", std::string(page) + "Access-Control-Request-Method: POST\r\n");
    BOOST_TEST(asked.status == 204);
    BOOST_TEST(asked.header("access-control-allow-origin") == "https://app.example.org");
    BOOST_TEST(asked.header("access-control-allow-methods") == "POST");
    BOOST_TEST(asked.header("vary") == "Origin");

    const auto without_key = ask("POST", "/run", "{}", page);
    BOOST_TEST(without_key.status == 401);
    BOOST_TEST(without_key.header("access-control-allow-origin") == "https://app.example.org");

    const auto too_large = ask("POST", "/purge-queue", std::string(2 * config::mib, ' '),
                               std::string(page) + "Authorization: key\r\n");
    BOOST_TEST(too_large.status == 400);
    BOOST_TEST(too_large.header("access-control-allow-origin") == "https://app.example.org");

    BOOST_TEST(post(std::string(page) + "Authorization: Bearer key\r\n") == 200);
    BOOST_TEST(from_host("GET", "evil.example", "/health") == 401);
}

BOOST_FIXTURE_TEST_CASE(a_key_is_enough_whatever_page_sends_it, with_keys)
{
    BOOST_TEST(post("Origin: https://other.example.org\r\nAuthorization: key\r\n") == 200);
    BOOST_TEST(ask("GET", "/livez", "", "Origin: https://other.example.org\r\n").header("vary") ==
               "Origin");
}

BOOST_AUTO_TEST_SUITE_END()
