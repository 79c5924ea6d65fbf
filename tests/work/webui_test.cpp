#include "work/webui.hpp"

#include "support/work_world.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace std::chrono_literals;
using test::answer;
using test::heard;

namespace {

struct calling : test::work_world {
    calling()
    {
        server.on_request([this](const heard&) { return next; });
    }

    work::webui calls(std::string url = first_webui, std::string login = {})
    {
        work::webui::options o;
        o.name = "webui-0";
        o.url = std::move(url);
        o.api_auth = std::move(login);
        return {http, wires, time, std::move(o)};
    }

    test::fake_server& server = webui.server();
    answer next{200, "[]"};
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(webui_, calling)

BOOST_AUTO_TEST_CASE(probing_the_port_sends_no_byte)
{
    auto to = calls();

    const auto open = get(to.probe_port());
    settle();

    BOOST_TEST(open.has_value());
    BOOST_TEST(server.requests().empty());
    BOOST_TEST(server.open_connections() == 0u);
}

BOOST_AUTO_TEST_CASE(a_closed_port_and_one_that_swallows_connects_are_failures_that_name_the_peer)
{
    auto to = calls();

    server.set_port(test::fake_server::port::closed);
    const auto refused = get(to.probe_port());
    server.set_port(test::fake_server::port::swallowing);
    const auto swallowed = get(to.probe_port());

    BOOST_REQUIRE(!refused.has_value());
    BOOST_TEST(refused.error().what.find("http://webui:7860") != std::string::npos);
    BOOST_REQUIRE(!swallowed.has_value());
    BOOST_TEST(swallowed.error().timed_out);
}

BOOST_AUTO_TEST_CASE(a_prefix_goes_before_every_path_and_the_api_suffix_is_taken_off)
{
    for (const std::string_view url :
         {"http://webui:7860/sd", "http://webui:7860/sd/", "http://webui:7860/sd/sdapi/v1",
          "http://webui:7860/sd/sdapi/v1/"}) {
        server.forget();
        auto to = calls(std::string(url));

        const auto reply = get(to.get("/sdapi/v1/options", 5s));

        BOOST_TEST(reply.has_value());
        BOOST_TEST(server.requests().at(0).target == "/sd/sdapi/v1/options", url);
        BOOST_TEST(to.url() == "http://webui:7860/sd", url);
    }
}

BOOST_AUTO_TEST_CASE(an_address_that_is_none_is_refused_when_it_is_configured)
{
    for (const char* url : {"webui:7860", "ftp://webui/", "", "http://"})
        BOOST_CHECK_EXCEPTION(calls(url), std::invalid_argument, [&](const auto& e) {
            return std::string(e.what()).find("webui.urls") != std::string::npos;
        });
}

BOOST_AUTO_TEST_CASE(credentials_are_sent_unasked_and_never_shown)
{
    auto to = calls(first_webui, "me:secret");

    const auto reply = get(to.get("/sdapi/v1/options", 5s));

    BOOST_TEST(reply.has_value());
    BOOST_TEST(server.requests().at(0).header("authorization") == "Basic bWU6c2VjcmV0");
    BOOST_TEST(to.url().find("secret") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(calls_share_a_connection_and_a_job_has_its_own)
{
    auto to = calls();

    const auto first = get(to.get("/sdapi/v1/options", 5s));
    const auto second = get(to.post("/sdapi/v1/interrupt", "", 5s));
    const auto job = get(to.generate({}, "{}", 600s));

    BOOST_TEST(first.has_value());
    BOOST_TEST(second.has_value());
    BOOST_TEST(job.has_value());
    const auto& seen = server.requests();
    BOOST_TEST(seen.at(0).connection == seen.at(1).connection);
    BOOST_TEST(seen.at(2).connection != seen.at(1).connection);
    BOOST_TEST(seen.at(2).header("content-type") == "application/json");
    BOOST_TEST(seen.at(2).header("accept-encoding") == "identity");
}

BOOST_AUTO_TEST_CASE(a_get_is_repeated_with_growing_pauses_while_a_proxy_stands_in_the_way)
{
    auto to = calls();
    for (const int status : {502, 503, 504}) {
        server.forget();
        next = answer(status, "<html>Bad Gateway</html>");

        const auto reply = get(to.get_patiently("/sdapi/v1/options", 5s));

        BOOST_TEST(reply.value().head.status == status);
        const auto& seen = server.requests();
        BOOST_REQUIRE(seen.size() == 11u);
        BOOST_TEST((seen[1].when - seen[0].when == 100ms));
        BOOST_TEST((seen[2].when - seen[1].when == 200ms));
        BOOST_TEST((seen[10].when - seen[9].when == 5s));
    }
}

BOOST_AUTO_TEST_CASE(a_get_that_could_not_connect_is_repeated_and_one_that_was_answered_is_not)
{
    auto to = calls();
    server.set_port(test::fake_server::port::closed);
    const auto before = server.connects();
    const auto refused = get(to.get_patiently("/sdapi/v1/options", 5s));
    BOOST_TEST(!refused.has_value());
    BOOST_TEST(server.connects() - before == 11);

    server.set_port(test::fake_server::port::open);
    next = answer(500, "{}");
    const auto failed = get(to.get_patiently("/sdapi/v1/options", 5s));
    BOOST_TEST(failed.value().head.status == 500);
    BOOST_TEST(server.requests().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_call_that_is_not_answered_ends_at_its_limit)
{
    auto to = calls();
    next.end = answer::ending::stalled;
    const auto began = time.now();

    const auto reply = get(to.get("/sdapi/v1/options", 7s));

    BOOST_REQUIRE(!reply.has_value());
    BOOST_TEST(reply.error().timed_out);
    BOOST_TEST((time.now() - began >= 7s));
    BOOST_TEST((time.now() - began < 8s));
}

BOOST_AUTO_TEST_CASE(a_job_may_be_silent_for_longer_than_any_other_call)
{
    auto to = calls();
    next.after = 2h;

    const auto job = get(to.generate({}, "{}", 24h), 3h);

    BOOST_TEST(job.has_value());
}

BOOST_AUTO_TEST_SUITE_END()
