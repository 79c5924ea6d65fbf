#include "proto/runpod_worker.hpp"

#include "proto/golden.hpp"

using namespace gateway::proto;

namespace {

// As RunPod injects them (runpod.md §4.1).
worker_urls real_urls()
{
    return {{"https://api.runpod.ai/v2/ep/job-take/$ID?gpu=A40",
             "https://api.runpod.ai/v2/ep/job-done/$RUNPOD_POD_ID/$ID?gpu=A40",
             "https://api.runpod.ai/v2/ep/job-stream/$RUNPOD_POD_ID/$ID?gpu=A40",
             "https://api.runpod.ai/v2/ep/ping/$RUNPOD_POD_ID?gpu=A40"},
            "pod1"};
}

// As the test harness injects them: no query anywhere.
worker_urls bare_urls()
{
    return {{"http://127.0.0.1:80/v2/IDE/job-take/$RUNPOD_POD_ID",
             "http://127.0.0.1:80/v2/IDE/job-done/$RUNPOD_POD_ID/$ID?",
             "http://127.0.0.1:80/v2/IDE/job-stream/$RUNPOD_POD_ID/$ID",
             "http://127.0.0.1:80/v2/IDE/ping/$RUNPOD_POD_ID"},
            "pod1"};
}

} // namespace

BOOST_AUTO_TEST_SUITE(runpod_worker_)

// --- URLs ----------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(both_tokens_are_filled_in_and_queries_joined)
{
    const worker_urls urls = real_urls();

    BOOST_TEST(urls.take(1, false) ==
               "https://api.runpod.ai/v2/ep/job-take/pod1?gpu=A40&job_in_progress=0");
    BOOST_TEST(urls.done("job1") ==
               "https://api.runpod.ai/v2/ep/job-done/pod1/job1?gpu=A40&isStream=false");
    BOOST_TEST(urls.done("job1", true) ==
               "https://api.runpod.ai/v2/ep/job-done/pod1/job1?gpu=A40&isStream=true");
    BOOST_TEST(urls.stream("job1") ==
               "https://api.runpod.ai/v2/ep/job-stream/pod1/job1?gpu=A40&isStream=false");
    BOOST_TEST(urls.stop() == "https://api.runpod.ai/v2/ep/job-stop/pod1?gpu=A40");
}

BOOST_AUTO_TEST_CASE(a_template_without_query_gets_one)
{
    const worker_urls urls = bare_urls();

    BOOST_TEST(urls.take(1, true) == "http://127.0.0.1:80/v2/IDE/job-take/pod1?job_in_progress=1");
    BOOST_TEST(urls.done("job1") == "http://127.0.0.1:80/v2/IDE/job-done/pod1/job1?isStream=false");
    BOOST_TEST(urls.stop() == "http://127.0.0.1:80/v2/IDE/job-stop/pod1");
}

BOOST_AUTO_TEST_CASE(several_jobs_are_taken_through_the_batch_form)
{
    BOOST_TEST(real_urls().take(3, true) == "https://api.runpod.ai/v2/ep/job-take-batch/pod1"
                                            "?gpu=A40&batch_size=3&job_in_progress=1");
}

BOOST_AUTO_TEST_CASE(a_take_template_of_another_shape_has_no_batch_and_no_stop)
{
    const worker_urls urls({"http://127.0.0.1/take?worker=$ID", "", "", ""}, "pod1");

    BOOST_TEST(urls.take(3, false) == "http://127.0.0.1/take?worker=pod1&job_in_progress=0");
    BOOST_TEST(urls.stop() == "");
}

BOOST_AUTO_TEST_CASE(a_ping_names_the_jobs_in_progress)
{
    const std::vector<std::string> two{"a-u1", "b c"};

    BOOST_TEST(real_urls().ping(two, "1.2.3") == "https://api.runpod.ai/v2/ep/ping/pod1"
                                                 "?gpu=A40&job_id=a-u1,b%20c&runpod_version=1.2.3");
    BOOST_TEST(bare_urls().ping({}, "1.2.3") ==
               "http://127.0.0.1:80/v2/IDE/ping/pod1?runpod_version=1.2.3");
}

BOOST_AUTO_TEST_CASE(a_ping_of_a_sick_worker_says_why_in_at_most_256_letters)
{
    const std::string url = bare_urls().ping_unhealthy("disk", std::string(300, 'x'), "1.2.3");

    BOOST_TEST(url == "http://127.0.0.1:80/v2/IDE/ping/pod1?status=unhealthy&check=disk&reason=" +
                          std::string(256, 'x') + "&runpod_version=1.2.3");
}

// --- What the worker is told ---------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(one_job_is_taken_with_its_input_as_it_was_sent)
{
    const auto answer = parse_take_answer(
        "application/json; charset=utf-8",
        R"({"delayTime":3,"id":"j-u1","input":{"cfg_scale":7.10},"webhook":"https://w.test/x"})");

    BOOST_REQUIRE(answer);
    BOOST_REQUIRE(answer->jobs.size() == 1);
    BOOST_TEST(answer->jobs[0].id == "j-u1");
    BOOST_TEST(answer->jobs[0].input == R"({"cfg_scale":7.10})");
    BOOST_TEST(answer->jobs[0].webhook == "https://w.test/x");
}

BOOST_AUTO_TEST_CASE(an_input_that_was_left_out_is_empty)
{
    for (const std::string_view body : {R"({"id":"j-u1"})", R"({"id":"j-u1","input":null})"}) {
        const auto answer = parse_take_answer("application/json", body);
        BOOST_REQUIRE(answer);
        BOOST_REQUIRE(answer->jobs.size() == 1);
        BOOST_TEST(answer->jobs[0].input == "{}");
    }
}

BOOST_AUTO_TEST_CASE(a_bad_element_of_a_batch_costs_none_of_the_others)
{
    const auto answer = parse_take_answer(
        "application/json", R"([{"id":"a"},{"input":{}},7,{"id":""},{"id":"b","batchId":"x"}])");

    BOOST_REQUIRE(answer);
    BOOST_REQUIRE(answer->jobs.size() == 2);
    BOOST_TEST(answer->jobs[0].id == "a");
    BOOST_TEST(answer->jobs[1].id == "b");
    BOOST_TEST(answer->jobs[1].batch_id == "x");
    BOOST_REQUIRE(answer->refused.size() == 3);
    BOOST_TEST(answer->refused[0] == "a job without an `id`");
    BOOST_TEST(answer->refused[1] == "a job that is not an object");
}

BOOST_AUTO_TEST_CASE(what_is_empty_or_no_json_brings_no_jobs)
{
    for (const std::string_view type : {"text/html", ""}) {
        const auto answer = parse_take_answer(type, R"({"id":"a"})");
        BOOST_REQUIRE(answer);
        BOOST_TEST(answer->jobs.empty());
    }
    const auto empty = parse_take_answer("application/json", " \n");
    BOOST_REQUIRE(empty);
    BOOST_TEST(empty->jobs.empty());
    BOOST_TEST(!parse_take_answer("application/json", R"({"id":"a")"));
}

BOOST_AUTO_TEST_CASE(a_stop_list_is_read)
{
    const auto two = parse_stop_answer(R"({"jobsToStop":["a",7,"b"]})");
    BOOST_REQUIRE(two);
    BOOST_TEST(*two == (std::vector<std::string>{"a", "b"}), boost::test_tools::per_element());

    const auto none = parse_stop_answer("");
    BOOST_REQUIRE(none);
    BOOST_TEST(none->empty());
    BOOST_TEST(!parse_stop_answer("[]"));
    BOOST_TEST(!parse_stop_answer(R"({"jobsToStop":"a"})"));
}

// --- What the worker posts -----------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(posts_have_the_spaces_of_the_sdk)
{
    BOOST_TEST(done_output(R"({"images": []})") == R"({"output": {"images": []}})");
    BOOST_TEST(done_output("null", true) == R"({"output": null, "stopPod": true})");
    BOOST_TEST(done_error("no \"model\"") == R"({"error": "no \"model\""})");
    BOOST_TEST(done_progress(R"({"progress":0.5})") ==
               R"({"status": "IN_PROGRESS", "output": {"progress":0.5}})");

    const frame around = done_frame(true);
    BOOST_TEST(around.head + "1" + around.tail == R"({"output": 1, "stopPod": true})");
}

BOOST_AUTO_TEST_CASE(an_error_describes_the_worker_as_json_in_a_text)
{
    const std::string text = error_text("RuntimeError", "out of memory", {"host", "pod1", "1.2.3"});

    BOOST_TEST(text == R"({"error_type": "RuntimeError", "error_message": "out of memory", )"
                       R"("error_traceback": "", "hostname": "host", "worker_id": "pod1", )"
                       R"("runpod_version": "1.2.3"})");
    const auto read = parse_done(done_error(text));
    BOOST_REQUIRE(read);
    BOOST_TEST(read->error == text);
}

// --- What the queue is told ----------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(every_post_of_the_sdk_is_understood)
{
    struct row {
        std::string_view body;
        worker_report kind;
        std::string_view output;
        std::string_view error;
        bool stop_pod;
    };
    const row rows[] = {
        {R"({"output": {"a": 1}})", worker_report::completed, R"({"a": 1})", "", false},
        {R"({"output": null})", worker_report::completed, "null", "", false},
        {R"({})", worker_report::completed, "", "", false},
        {R"({"output": 1, "stopPod": true})", worker_report::completed, "1", "", true},
        {R"({"status": "IN_PROGRESS", "output": 0.5})", worker_report::progress, "0.5", "", false},
        {R"({"error": "boom"})", worker_report::failed, "", "boom", false},
        {R"({"output": 1, "error": "boom"})", worker_report::failed, "1", "boom", false},
        // An error that is an object must not turn into a completed job.
        {R"({"error": {"why": 1}})", worker_report::failed, "", R"({"why": 1})", false},
    };
    for (const row& r : rows) {
        BOOST_TEST_CONTEXT(r.body)
        {
            const auto read = parse_done(r.body);
            BOOST_REQUIRE(read);
            BOOST_TEST((read->kind == r.kind));
            BOOST_TEST(read->output == r.output);
            BOOST_TEST(read->error == r.error);
            BOOST_TEST(read->stop_pod == r.stop_pod);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_post_that_is_no_object_is_refused)
{
    for (const std::string_view body : {"", "7", "[]", R"({"output":)"})
        BOOST_TEST(!parse_done(body));
    BOOST_TEST(!parse_stream_chunk("{}"));
    const auto chunk = parse_stream_chunk(R"({"output": [1, 2]})");
    BOOST_REQUIRE(chunk);
    BOOST_TEST(*chunk == "[1, 2]");
}

BOOST_AUTO_TEST_CASE(a_query_glued_to_the_path_is_taken_off)
{
    const auto glued = split_glued("job-u1&isStream=false");
    BOOST_TEST(glued.id == "job-u1");
    BOOST_TEST(glued.query == "isStream=false");
    BOOST_TEST(split_glued("job-u1").id == "job-u1");
    BOOST_TEST(split_glued("job-u1").query == "");
}

BOOST_AUTO_TEST_CASE(what_our_queue_gives_out_our_worker_understands)
{
    const std::vector<taken_job> two{{"a", R"({"x":1})", "https://w.test/", "b1"},
                                     {"b", "{}", "", ""}};
    BOOST_TEST(taken_body(two[1]) == R"({"id":"b","input":{}})");

    const auto back = parse_take_answer("application/json", taken_batch_body(two));
    BOOST_REQUIRE(back);
    BOOST_REQUIRE(back->jobs.size() == 2);
    BOOST_TEST(back->jobs[0].webhook == two[0].webhook);
    BOOST_TEST(back->jobs[0].batch_id == two[0].batch_id);
    BOOST_TEST(back->jobs[0].input == two[0].input);

    const std::vector<std::string> ids{"a", "b"};
    const auto stopped = parse_stop_answer(stop_body(ids));
    BOOST_REQUIRE(stopped);
    BOOST_TEST(*stopped == ids, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
