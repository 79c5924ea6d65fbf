#include "api/router.hpp"

#include "api/answer.hpp"
#include "support/world.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

// Answers with what it was called with.
std::optional<net::response> tell(const api::call& c)
{
    return api::json_answer(std::string(c.endpoint) + "|" + std::string(c.id) +
                            (c.part.empty() ? "" : "|" + std::string(c.part)));
}

net::task<net::response> tell_later(api::call c) { co_return std::move(*tell(c)); }

std::vector<api::route> some_routes()
{
    return {
        {"GET", "/status/{id}", "getStatus", true, false, 100, tell, {}},
        {"POST", "/status/{id}", "postStatus", true, false, 100, {}, tell_later},
        {"POST", "/run", "run", true, false, 1000, tell, {}},
        {"GET", "/livez", "livez", false, true, 10, tell, {}},
        {"GET", "/", "index", false, true, 10, tell, {}},
        {"GET", "/api/v1/jobs", "listJobs", false, false, 10, tell, {}},
        {"POST", "/api/v1/jobs:batch", "batch", false, false, 10, tell, {}, true},
        {"GET", "/api/v1/jobs/{id}", "getJob", false, false, 10, tell, {}},
        {"GET", "/api/v1/jobs/{id}/images/{n}", "getImage", false, false, 10, tell, {}},
        {"GET", "/api/v1/models/{name}", "getModel", false, false, 10, tell, {}},
    };
}

struct routing : test::world {
    explicit routing(config::auth_mode mode = config::auth_mode::none)
        : routes(some_routes(), keys(mode), random, 50)
    {
    }

    static api::keys keys(config::auth_mode mode)
    {
        config::auth_settings auth;
        auth.mode = mode;
        auth.keys = {"key"};
        return api::keys(auth);
    }
    static net::request request(std::string_view method, std::string_view path)
    {
        net::request r;
        r.method = method;
        r.target = r.path = path;
        return r;
    }
    static net::task<> handle(api::router& by, net::request& r, net::response& into)
    {
        into = co_await by.handle(r);
    }
    net::response ask(std::string_view method, std::string_view path)
    {
        auto r = request(method, path);
        net::response answer;
        run(handle(routes, r, answer));
        return answer;
    }

    seeded_random random{7};
    api::router routes;
};

struct guarded : routing {
    guarded() : routing(config::auth_mode::keys) {}
};

std::string header(const net::response& r, std::string_view name)
{
    for (const auto& [key, value] : r.headers) {
        if (key == name)
            return value;
    }
    return {};
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(router_, routing)

BOOST_AUTO_TEST_CASE(both_forms_of_a_path_lead_to_the_same_handler)
{
    BOOST_TEST(ask("GET", "/status/abc-1_Z").body == "|abc-1_Z");
    BOOST_TEST(ask("POST", "/status/abc").body == "|abc");
    BOOST_TEST(ask("GET", "/v2/any-Id_1/status/abc").body == "any-Id_1|abc");
    BOOST_TEST(ask("POST", "/v2/local/run").body == "local|");
    BOOST_TEST(ask("GET", "/").body == "|");
}

BOOST_AUTO_TEST_CASE(a_path_that_leads_nowhere_says_why)
{
    struct {
        const char* method;
        const char* path;
        int status;
        const char* code;
    } const cases[]{
        {"GET", "/nowhere", 404, "route_not_found"},
        {"GET", "", 404, "route_not_found"},
        {"OPTIONS", "*", 404, "route_not_found"},
        {"GET", "/status", 404, "route_not_found"},
        {"GET", "/status/", 404, "route_not_found"},
        {"GET", "/status/a/b", 404, "route_not_found"},
        {"GET", "/run/a", 404, "route_not_found"},
        {"GET", "/livez/", 404, "route_not_found"},
        {"GET", "/v2", 404, "route_not_found"},
        {"GET", "/v2/", 404, "route_not_found"},
        {"GET", "/v2/local", 404, "route_not_found"},
        {"POST", "/v2/local/run/", 404, "route_not_found"},
        {"GET", "/V2/local/status/a", 404, "route_not_found"},
        {"GET", "/v2//run", 404, "endpoint_not_found"},
        {"GET", "/v2/lo.cal/run", 404, "endpoint_not_found"},
        {"GET", "/status/a.b", 404, "job_not_found"},
        {"GET", "/status/a%2Fb", 404, "job_not_found"},
        {"POST", "/v2/local/generate", 400, "not_for_queue"},
        {"GET", "/v2/local/livez", 400, "not_for_queue"},
        {"GET", "/v2/local/", 400, "not_for_queue"},
        {"GET", "/run", 405, "method_not_allowed"},
        {"get", "/livez", 405, "method_not_allowed"},
    };
    for (const auto& c : cases) {
        const auto answer = ask(c.method, c.path);
        BOOST_CHECK_MESSAGE(answer.status == c.status, c.path << ": " << answer.status);
        BOOST_CHECK_MESSAGE(answer.body.find(std::string("\"code\":\"") + c.code + '"') !=
                                std::string::npos,
                            c.path << ": " << answer.body);
    }
}

BOOST_AUTO_TEST_CASE(longer_paths_have_several_placeholders)
{
    BOOST_TEST(ask("GET", "/api/v1/jobs").body == "|");
    BOOST_TEST(ask("POST", "/api/v1/jobs:batch").body == "|");
    BOOST_TEST(ask("GET", "/api/v1/jobs/a").body == "|a");
    BOOST_TEST(ask("GET", "/api/v1/jobs/a/images/0").body == "|a|0");
    BOOST_TEST(ask("GET", "/api/v1/models/dream%20shaper.v8").body == "|dream%20shaper.v8");
    for (const auto* path : {"/api", "/api/v1/jobs/", "/api/v1/jobs/a/images/", "/api/v1/models",
                             "/api/v1/jobs/a/images/0/1", "/api/v1/jobs/a/b/c/d/e/f/g/h/i"})
        BOOST_TEST(ask("GET", path).status == 404, path);
    BOOST_TEST(routes.admit(request("POST", "/api/v1/jobs:batch")).streams);
    BOOST_TEST(!routes.admit(request("POST", "/run")).streams);
}

BOOST_AUTO_TEST_CASE(the_native_api_says_what_is_wrong_in_its_own_way)
{
    const auto missing = ask("GET", "/api/v1/nothing");
    BOOST_TEST(missing.status == 404);
    BOOST_TEST(missing.content_type == "application/problem+json");
    BOOST_TEST(missing.body.find("\"instance\":\"/api/v1/nothing\"") != std::string::npos);

    const auto head = request("POST", "/api/v1/jobs:batch");
    BOOST_TEST(routes.refuse(net::protocol_error::body_too_large, &head).status == 413);
    BOOST_TEST(routes.internal_error(head, "x").content_type == "application/problem+json");
}

BOOST_AUTO_TEST_CASE(a_wrong_method_is_told_the_right_ones)
{
    BOOST_TEST(header(ask("PUT", "/status/a"), "Allow") == "GET, HEAD, POST");
    BOOST_TEST(header(ask("GET", "/v2/x/run"), "Allow") == "POST");
}

BOOST_AUTO_TEST_CASE(a_head_is_handled_like_a_get)
{
    BOOST_TEST(ask("HEAD", "/status/a").status == 200);
    BOOST_TEST(ask("HEAD", "/run").status == 405);
}

BOOST_AUTO_TEST_CASE(every_answer_carries_a_request_id)
{
    const auto first = header(ask("GET", "/livez"), "X-Request-Id");
    const auto second = header(ask("GET", "/nowhere"), "X-Request-Id");

    BOOST_TEST(first.size() == 20U);
    BOOST_TEST(first.substr(0, 4) == "req_");
    BOOST_TEST(first != second);
}

BOOST_AUTO_TEST_CASE(each_route_has_its_body_limit)
{
    BOOST_TEST(routes.admit(request("POST", "/v2/x/run")).body_limit == 1000U);
    BOOST_TEST(routes.admit(request("GET", "/status/a")).body_limit == 100U);
    BOOST_TEST(routes.admit(request("PUT", "/run")).body_limit == 50U);
    BOOST_TEST(routes.admit(request("POST", "/nowhere")).body_limit == 50U);
    const auto head = request("POST", "/run");
    BOOST_TEST(routes.refuse(net::protocol_error::body_too_large, &head)
                   .body.find("exceeded max body size of 1000 bytes") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_stranger_is_turned_away_before_the_body_and_sees_only_probes, guarded)
{
    for (const auto* path : {"/run", "/status/a", "/nowhere", "/v2/x/run", "/v2/x/y"}) {
        const auto v = routes.admit(request("POST", path));
        BOOST_REQUIRE(v.refusal);
        BOOST_TEST(v.refusal->status == 401);
        BOOST_TEST(header(*v.refusal, "WWW-Authenticate") == "Bearer");
        BOOST_TEST(!header(*v.refusal, "X-Request-Id").empty());
    }
    BOOST_TEST(!routes.admit(request("GET", "/livez")).refusal);
    BOOST_TEST(!routes.admit(request("GET", "/")).refusal);
    BOOST_TEST(routes.admit(request("POST", "/livez")).refusal.has_value());
}

BOOST_AUTO_TEST_CASE(every_protocol_error_has_an_answer)
{
    struct {
        net::protocol_error what;
        int status;
        const char* code;
    } const cases[]{
        {net::protocol_error::malformed, 400, "malformed_http"},
        {net::protocol_error::header_too_large, 431, "header_too_large"},
        {net::protocol_error::body_too_large, 400, "body_too_large"},
        {net::protocol_error::timeout, 408, "request_timeout"},
    };
    for (const auto& c : cases) {
        const auto answer = routes.refuse(c.what, nullptr);
        BOOST_TEST(answer.status == c.status);
        BOOST_TEST(answer.body.find(c.code) != std::string::npos);
        BOOST_TEST(!header(answer, "X-Request-Id").empty());
    }
}

BOOST_AUTO_TEST_CASE(what_a_handler_throws_is_not_shown_to_the_client)
{
    const auto answer = routes.internal_error(request("GET", "/livez"), "secret detail");

    BOOST_TEST(answer.status == 500);
    BOOST_TEST(answer.body.find("secret") == std::string::npos);
    BOOST_TEST(answer.body.find(header(answer, "X-Request-Id")) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(times_are_kept_by_pattern_and_not_by_path)
{
    for (const auto* path : {"/status/a", "/v2/x/status/b", "/status/c"})
        routes.observe(request("GET", path), 200, 1ms);
    routes.observe(request("GET", "/secret-path"), 404, 1ms);

    const auto& groups = routes.times().groups();
    BOOST_TEST(groups.front().route == "/status/{id}");
    BOOST_REQUIRE(groups.front().all.size() == 1U);
    BOOST_TEST(groups.front().all[0].buckets[1] == 3U);
    BOOST_TEST(groups.back().route == "other");
    BOOST_TEST(groups.back().all.size() == 1U);
}

BOOST_AUTO_TEST_CASE(two_routes_cannot_be_the_same)
{
    auto twice = some_routes();
    twice.push_back(twice.front());
    const auto build = [&] { api::router r(twice, keys(config::auth_mode::none), random, 1); };

    BOOST_CHECK_THROW(build(), std::logic_error);
}

BOOST_AUTO_TEST_SUITE_END()
