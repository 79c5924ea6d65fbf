#include "proto/problem.hpp"

#include "proto/golden.hpp"

using namespace gateway::proto;

BOOST_AUTO_TEST_SUITE(problem_)

BOOST_AUTO_TEST_CASE(known_errors_have_the_bodies_of_the_contract)
{
    struct {
        problem what;
        std::string file;
        int status;
    } cases[] = {
        {make_problem(problem_code::job_not_found), "job_not_found", 404},
        {make_problem(problem_code::endpoint_not_found), "endpoint_not_found", 404},
        {make_problem(problem_code::no_token), "no_token", 401},
        {make_problem(problem_code::invalid_token), "invalid_token", 401},
        {body_over_limit(10 * 1024 * 1024), "body_too_large", 400},
        {make_problem(problem_code::not_for_queue), "not_for_queue", 400},
    };
    for (const auto& c : cases) {
        BOOST_TEST(runpod_body(c.what) == golden("runpod/" + c.file + ".json"));
        BOOST_TEST(status_of(c.what.code) == c.status);
    }
}

BOOST_AUTO_TEST_CASE(the_native_api_answers_with_problem_json)
{
    problem what = make_problem(problem_code::job_not_found);
    what.job_id = "abc";
    BOOST_TEST(problem_json(what, "/api/v1/jobs/abc") == golden("runpod/problem_json.json"));
}

BOOST_AUTO_TEST_CASE(the_native_api_tells_content_size_and_state_apart)
{
    BOOST_TEST(native_status_of(problem_code::malformed_json) == 400);
    BOOST_TEST(native_status_of(problem_code::invalid_request) == 422);
    BOOST_TEST(native_status_of(problem_code::body_too_large) == 413);
    BOOST_TEST(native_status_of(problem_code::not_retryable) == 409);
    BOOST_TEST(native_status_of(problem_code::queue_full) == 429);
    BOOST_TEST(problem_json(body_over_limit(1024)) ==
               R"({"type":"about:blank","title":"Content Too Large","status":413,)"
               R"("detail":"bad request: body: exceeded max body size of 1KiB",)"
               R"("code":"body_too_large","retryable":false,)"
               R"("error":"bad request: body: exceeded max body size of 1KiB"})");
}

BOOST_AUTO_TEST_CASE(several_errors_are_all_in_the_body)
{
    problem what = make_problem(problem_code::invalid_request, "a: no");
    what.errors = {"a: no", "b: \"no\""};
    BOOST_TEST(runpod_body(what) ==
               R"({"status":400,"title":"Bad Request","detail":"a: no","code":"invalid_request",)"
               R"("error":"a: no","errors":["a: no","b: \"no\""]})");
}

BOOST_AUTO_TEST_CASE(every_code_has_a_status_a_title_a_name_and_a_text)
{
    for (std::size_t i = 0; i < problem_count; ++i) {
        const auto code = static_cast<problem_code>(i);
        BOOST_TEST(status_of(code) >= 400);
        BOOST_TEST(!title_of(status_of(code)).empty());
        BOOST_TEST(!name_of(code).empty());
        BOOST_TEST(!default_detail(code).empty());
    }
}

BOOST_AUTO_TEST_CASE(limits_are_named_in_the_unit_that_fits)
{
    BOOST_TEST(body_over_limit(20 << 20).detail ==
               "bad request: body: exceeded max body size of 20MiB");
    BOOST_TEST(body_over_limit(64 << 10).detail ==
               "bad request: body: exceeded max body size of 64KiB");
    BOOST_TEST(body_over_limit(1000).detail ==
               "bad request: body: exceeded max body size of 1000 bytes");
}

BOOST_AUTO_TEST_CASE(looking_at_a_value_that_is_not_there_throws_what_was_wrong)
{
    const parsed<int> none = make_problem(problem_code::job_not_found);
    BOOST_CHECK_THROW(static_cast<void>(none.value()), std::logic_error);
}

BOOST_AUTO_TEST_SUITE_END()
