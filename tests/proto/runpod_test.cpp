#include "proto/runpod.hpp"

#include "proto/golden.hpp"

using namespace gateway;
using namespace gateway::proto;
using namespace std::chrono_literals;
using core::job_state;

namespace {

job_view view_in(job_state state)
{
    job_view view;
    view.id = "c9b2f3a0-5d1e-4c7a-9f7b-0a1b2c3d4e5f-u1";
    view.state = state;
    view.delay_time = 1523ms;
    view.execution_time = 4210ms;
    view.worker_id = "webui-0";
    return view;
}

std::string error_of(std::string_view body)
{
    const auto request = parse_run_request(body);
    return request ? "accepted" : request.error().detail;
}

} // namespace

BOOST_AUTO_TEST_SUITE(runpod_)

BOOST_AUTO_TEST_CASE(a_run_request_keeps_the_text_of_its_input)
{
    const auto request = parse_run_request(
        R"({"input":{"prompt":"x", "cfg_scale":7.10},"webhook":"https://example.com/hook","webhookV2":7,)"
        R"("policy":{"executionTimeout":60000,"ttl":120000,"lowPriority":true},)"
        R"("s3Config":{"accessId":"id","accessSecret":"secret"},"timeout":3})");
    BOOST_REQUIRE(request);
    BOOST_TEST(request->input == R"({"prompt":"x", "cfg_scale":7.10})");
    BOOST_TEST(request->webhook == "https://example.com/hook");
    BOOST_TEST((request->policy.execution_timeout == 60s));
    BOOST_TEST((request->policy.ttl == 120s));
    BOOST_TEST(request->policy.low_priority);
    BOOST_TEST(request->s3_config == R"({"accessId":"id","accessSecret":"secret"})");
}

BOOST_AUTO_TEST_CASE(what_is_left_out_has_its_default)
{
    for (const std::string_view body :
         {R"({"input":{}})", R"({"input":{},"webhook":null,"policy":null,"s3Config":null})",
          R"({"input":{},"webhook":"","policy":{"ttl":null}})"}) {
        const auto request = parse_run_request(body);
        BOOST_REQUIRE(request);
        BOOST_TEST(request->input == "{}");
        BOOST_TEST(request->webhook.empty());
        BOOST_TEST((request->policy.execution_timeout == 600s));
        BOOST_TEST((request->policy.ttl == 24h));
        BOOST_TEST(!request->policy.low_priority);
    }
}

BOOST_AUTO_TEST_CASE(times_out_of_range_are_clamped)
{
    struct {
        std::string_view value;
        std::chrono::milliseconds execution;
        std::chrono::milliseconds ttl;
    } cases[] = {
        {"0", 5s, 10s},
        {"-5", 5s, 10s},
        {"1e300", 168h, 168h},
        {"-1e300", 5s, 10s},
        {"9223372036854775807", 168h, 168h},
        {"-9223372036854775808", 5s, 10s},
        {"18446744073709551615", 168h, 168h},
        {"20000.0", 20s, 20s},
    };
    for (const auto& c : cases) {
        const std::string value(c.value);
        const auto request = parse_run_request(R"({"input":{},"policy":{"executionTimeout":)" +
                                               value + R"(,"ttl":)" + value + "}}");
        BOOST_REQUIRE(request);
        BOOST_TEST((request->policy.execution_timeout == c.execution), c.value);
        BOOST_TEST((request->policy.ttl == c.ttl), c.value);
    }
}

BOOST_AUTO_TEST_CASE(a_wrong_request_says_what_is_wrong)
{
    struct {
        std::string_view body;
        std::string_view detail;
    } cases[] = {
        {"", "not JSON: the text is empty"},
        {R"({"input":{})", "not JSON: cut short at byte 11"},
        {"[]", "the body is JSON, but not an object with `input` in it"},
        {"{}", "input: found nothing; an object is wanted"},
        {R"({"input":null})", "input: found nothing; an object is wanted"},
        {R"({"input":"x"})", R"(input: found the text "x"; an object is wanted)"},
        {R"({"input":[1]})", "input: found an array; an object is wanted"},
        {R"({"input":{},"webhook":7})",
         "webhook: found the number 7; an http or https URL is wanted"},
        {R"({"input":{},"webhook":"ftp://x/y"})",
         R"(webhook: found the text "ftp://x/y"; an http or https URL is wanted)"},
        {R"({"input":{},"webhook":"http://"})",
         R"(webhook: found the text "http://"; an http or https URL is wanted)"},
        {R"({"input":{},"policy":[]})", "policy: found an array; an object is wanted"},
        {R"({"input":{},"policy":{"ttl":"60000"}})",
         R"(policy.ttl: found the text "60000"; a whole number of milliseconds is wanted)"},
        {R"({"input":{},"policy":{"executionTimeout":5000.5}})",
         "policy.executionTimeout: found the number 5000.5; a whole number of milliseconds is "
         "wanted"},
        {R"({"input":{},"policy":{"lowPriority":1}})",
         "policy.lowPriority: found the number 1; true or false is wanted"},
        {R"({"input":{},"s3Config":"secret"})", "s3Config: an object is wanted"},
    };
    for (const auto& c : cases)
        BOOST_TEST(error_of(c.body) == c.detail);
}

BOOST_AUTO_TEST_CASE(every_complaint_is_listed)
{
    const auto request = parse_run_request(R"({"input":1,"webhook":2,"policy":3})");
    BOOST_REQUIRE(!request);
    BOOST_TEST((request.error().code == problem_code::invalid_request));
    BOOST_TEST(request.error().errors.size() == 3U);
}

BOOST_AUTO_TEST_CASE(waits_are_clamped_and_words_are_refused)
{
    BOOST_TEST((parse_wait("90000").value() == 90s));
    BOOST_TEST((parse_wait("1").value() == 1s));
    BOOST_TEST((parse_wait("-7").value() == 1s));
    BOOST_TEST((parse_wait("999999999999999999999999").value() == 300s));
    BOOST_TEST((parse_result_ttl("0").value() == 0ms));
    for (const std::string_view bad : {"", "soon", "5s", "1.5", " 1"})
        BOOST_TEST(!parse_wait(bad).has_value(), bad);
    BOOST_TEST(parse_wait("soon").error().detail ==
               R"(wait: found the text "soon"; a whole number of milliseconds is wanted)");
}

BOOST_AUTO_TEST_CASE(a_job_shows_exactly_what_its_state_shows)
{
    const std::string output = R"({"images":["aGk="]})";
    auto is = [&](const job_view& view, const std::string& file, std::string_view out) {
        BOOST_TEST(job_body(view, out) == golden("runpod/" + file + ".json"));
        const frame around = job_frame(view);
        const std::string joined =
            around.head + std::string(view.has_output ? out : std::string_view()) + around.tail;
        BOOST_TEST(joined == golden("runpod/" + file + ".json"));
    };
    is(view_in(job_state::in_queue), "in_queue", {});
    is(view_in(job_state::in_progress), "in_progress", {});
    is(view_in(job_state::completed), "completed_without_output", {});
    job_view lost = view_in(job_state::completed);
    lost.error = "the result was damaged";
    is(lost, "completed_lost", {});
    is(view_in(job_state::cancelled), "cancelled_running", {});

    job_view completed = view_in(job_state::completed);
    completed.has_output = true;
    is(completed, "completed", output);

    job_view running = view_in(job_state::in_progress);
    running.has_output = true;
    running.execution_time = 800ms;
    is(running, "in_progress_with_progress", progress_object({0.25, "sampling", 3.5}));

    job_view again = view_in(job_state::in_progress);
    again.retries = 1;
    is(again, "in_progress_again", {});

    job_view failed = view_in(job_state::failed);
    failed.delay_time = 101050ms;
    failed.error = "job timed out after 1 retries";
    failed.retries = 1;
    is(failed, "failed", {});

    job_view early = view_in(job_state::failed);
    early.delay_time = 12ms;
    early.execution_time = 0ms;
    early.worker_id.clear();
    early.error = "the LoRA could not be had: 404";
    is(early, "failed_before_dispatch", {});

    job_view timed_out = view_in(job_state::timed_out);
    timed_out.error = "job timed out";
    is(timed_out, "timed_out", {});

    job_view cancelled = view_in(job_state::cancelled);
    cancelled.worker_id.clear();
    is(cancelled, "cancelled_in_queue", {});
}

BOOST_AUTO_TEST_CASE(a_queued_job_shows_nothing_of_an_earlier_attempt)
{
    job_view view = view_in(job_state::in_queue);
    view.error = "an old error";
    view.retries = 2;
    BOOST_TEST(job_body(view) == golden("runpod/in_queue.json"));
}

BOOST_AUTO_TEST_CASE(a_webhook_carries_the_job_and_the_request)
{
    job_view view = view_in(job_state::completed);
    view.has_output = true;
    const std::string input = R"({"prompt":"x"})";
    const std::string hook = "https://example.com/hook";
    const std::string output = R"({"images":["aGk="]})";
    BOOST_TEST(webhook_body(view, input, hook, output) == golden("runpod/webhook_completed.json"));
    const frame around = webhook_frame(view, input, hook);
    BOOST_TEST(around.head + output + around.tail == golden("runpod/webhook_completed.json"));
}

BOOST_AUTO_TEST_CASE(short_answers_are_exact)
{
    BOOST_TEST(id_status_body("c9b2f3a0-5d1e-4c7a-9f7b-0a1b2c3d4e5f-u1", job_state::in_queue) ==
               golden("runpod/run_reply.json"));
    BOOST_TEST(purge_body(3) == golden("runpod/purge.json"));
    BOOST_TEST(handler_failure_body("no such model") == golden("runpod/handler_failure.json"));
    BOOST_TEST(health_body({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}) == golden("runpod/health.json"));
}

BOOST_AUTO_TEST_CASE(a_stream_is_always_an_array_of_objects)
{
    const std::vector<std::string> two{R"({"progress":0.25})", R"("two")"};
    BOOST_TEST(stream_body(job_state::in_queue, {}) == golden("runpod/stream_queued.json"));
    BOOST_TEST(stream_body(job_state::in_progress, two) == golden("runpod/stream_running.json"));
    BOOST_TEST(stream_body(job_state::failed, {}, "executionTimeout exceeded") ==
               golden("runpod/stream_failed.json"));
}

BOOST_AUTO_TEST_CASE(an_unknown_eta_is_left_out)
{
    BOOST_TEST(progress_object({0, "loading", {}}) == R"({"progress":0.0,"phase":"loading"})");
}

BOOST_AUTO_TEST_SUITE_END()
