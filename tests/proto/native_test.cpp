#include "proto/native.hpp"

#include "base/text.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::proto;
using core::job_state;

namespace {

wall_time at(std::int64_t ms) { return wall_time(wall_duration(ms)); }

} // namespace

BOOST_AUTO_TEST_SUITE(native_)

BOOST_AUTO_TEST_CASE(times_are_read_with_any_fraction_and_offset)
{
    struct {
        const char* text;
        const char* utc;
    } const cases[]{
        {"2026-01-02T07:45:12Z", "2026-01-02T07:45:12.000Z"},
        {"2026-01-02t07:45:12z", "2026-01-02T07:45:12.000Z"},
        {"2026-01-02 07:45:12.5Z", "2026-01-02T07:45:12.500Z"},
        {"2026-01-02T07:45:12.0349999Z", "2026-01-02T07:45:12.034Z"},
        {"2026-01-02T07:45:12+02:00", "2026-01-02T05:45:12.000Z"},
        {"2026-01-01T22:45:12-09:30", "2026-01-02T08:15:12.000Z"},
        {"2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"},
        {"2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"},
    };
    for (const auto& c : cases) {
        const auto read = parse_rfc3339("since", c.text);
        BOOST_REQUIRE_MESSAGE(read, c.text);
        BOOST_TEST(format_time(*read) == c.utc);
    }
}

BOOST_AUTO_TEST_CASE(what_is_no_time_is_refused)
{
    for (const auto* text :
         {"", "now", "2026-01-02", "2026-01-02T07:45Z", "2026-01-02T07:45:12",
          "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-01-02T24:00:00Z",
          "2026-01-02T07:60:00Z", "-026-01-02T07:45:12Z", "2026-01-02T07:45:12.Z",
          "2026-01-02T07:45:12+2:00", "2026-01-02T07:45:12+24:00", "2026-01-02T07:45:12Zx",
          "2026-01-02T+7:45:12Z"}) {
        const auto read = parse_rfc3339("since", text);
        BOOST_REQUIRE_MESSAGE(!read, text);
        BOOST_TEST(read.error().detail.starts_with("since: found the text "));
    }
}

BOOST_AUTO_TEST_CASE(states_flags_and_limits_are_read)
{
    using states = std::vector<job_state>;
    BOOST_TEST((*parse_states("failed") == states{job_state::failed}));
    BOOST_TEST((*parse_states("IN_QUEUE, Timed_Out") ==
                states{job_state::in_queue, job_state::timed_out}));
    BOOST_TEST(parse_states("")->empty());
    BOOST_TEST(!parse_states("FAILED,DONE"));
    BOOST_TEST(*parse_flag("force", ""));
    BOOST_TEST(*parse_flag("force", "TRUE"));
    BOOST_TEST(!*parse_flag("force", "0"));
    BOOST_TEST(!parse_flag("force", "no"));
    BOOST_TEST(*parse_limit("7", 200) == 7U);
    BOOST_TEST(*parse_limit("700", 200) == 200U);
    for (const auto* text : {"0", "-1", "", "1x", "99999999999999999999"})
        BOOST_TEST(!parse_limit(text, 200), text);
}

BOOST_AUTO_TEST_CASE(a_filter_takes_what_fits_all_of_it)
{
    core::job job;
    job.submitted = at(1000);
    job_filter filter;
    BOOST_TEST(filter.takes(job, ""));
    filter.since = at(1000);
    filter.until = at(1001);
    filter.states = {job_state::failed, job_state::in_queue};
    filter.backend = "webui-0";
    filter.sync = false;
    BOOST_TEST(filter.takes(job, "webui-0"));
    BOOST_TEST(!filter.takes(job, "webui-1"));
    job.sync = true;
    BOOST_TEST(!filter.takes(job, "webui-0"));
    job.sync = false;
    job.submitted = at(1001);
    BOOST_TEST(!filter.takes(job, "webui-0"));
    job.submitted = at(999);
    BOOST_TEST(!filter.takes(job, "webui-0"));
    job.submitted = at(1000);
    job.state = job_state::completed;
    BOOST_TEST(!filter.takes(job, "webui-0"));
}

BOOST_AUTO_TEST_CASE(a_job_shows_only_what_there_is)
{
    core::job job;
    job.submitted = job.queued = at(1'700'000'000'000);
    native_job view;
    view.id = "x";
    view.job = &job;
    view.now = at(1'700'000'005'000);
    std::string out;
    append_native_job(out, view);

    BOOST_TEST(out ==
               R"({"id":"x","status":"IN_QUEUE","submitted_at":"2023-11-14T22:13:20.000Z",)"
               R"("expires_at":"2023-11-15T22:13:20.000Z","attempt":0,"retries":0,"sync":false,)"
               R"("input_bytes":0,"policy":{"execution_timeout_ms":600000,"ttl_ms":86400000,)"
               R"("low_priority":false},"status_url":"/api/v1/jobs/x",)"
               R"("events_url":"/api/v1/jobs/x/events","result_url":"/api/v1/jobs/x/result",)"
               R"("cancel_url":"/api/v1/jobs/x/cancel"})");
}

BOOST_AUTO_TEST_CASE(lines_of_a_batch_end_with_a_line_break)
{
    std::string out;
    append_batch_line(out, 1, "x", false);
    append_batch_line(out, 2, "x", true);
    auto what = make_problem(problem_code::queue_full);
    what.retry_after = std::chrono::seconds(5);
    append_batch_line(out, 3, what);

    BOOST_TEST(out ==
               "{\"line\":1,\"id\":\"x\"}\n"
               "{\"line\":2,\"id\":\"x\",\"replayed\":true}\n"
               "{\"line\":3,\"code\":\"queue_full\",\"error\":\"the queue is full\",\"status\":429,"
               "\"retryable\":true,\"retry_after\":5}\n");
}

BOOST_AUTO_TEST_SUITE_END()
