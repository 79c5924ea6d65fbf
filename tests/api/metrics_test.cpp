#include "support/front.hpp"

#include <boost/test/unit_test.hpp>

#include <regex>
#include <sstream>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

struct scraped : test::front {
    std::vector<std::string> lines()
    {
        const auto answer = ask("GET", "/metrics");
        std::vector<std::string> all;
        std::istringstream text(answer.body);
        for (std::string line; std::getline(text, line);)
            all.push_back(line);
        return all;
    }
    void expect(const std::vector<std::string>& in, const std::string& line)
    {
        BOOST_CHECK_MESSAGE(std::find(in.begin(), in.end(), "webui_gateway_" + line) != in.end(),
                            "no line " << line);
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(metrics_, scraped)

BOOST_AUTO_TEST_CASE(jobs_are_counted_by_outcome_and_state)
{
    submit();
    advance(3s);
    auto lease = begin();
    advance(10s);
    complete(lease, R"({"images":[]})");
    submit();
    end(begin(), core::outcome::rejected, "no");
    submit();
    lease = begin();
    submit();
    advance(7s);

    const auto all = lines();

    expect(all, R"(jobs_submitted_total{door="runpod"} 4)");
    expect(all, R"(jobs_total{outcome="completed"} 1)");
    expect(all, R"(jobs_total{outcome="failed"} 1)");
    expect(all, R"(jobs_total{outcome="cancelled"} 0)");
    expect(all, R"(queue_depth{state="queued"} 1)");
    expect(all, R"(queue_depth{state="running"} 1)");
    expect(all, "queue_oldest_age_seconds 7");
    expect(all, "job_wait_seconds_count 3");
    expect(all, "job_wait_seconds_sum 3");
    expect(all, "job_run_seconds_count 2");
    expect(all, R"(job_attempts_total{class="rejected"} 1)");
    expect(all, R"(log_writes_total 9)");
}

BOOST_AUTO_TEST_CASE(backends_are_told_by_name)
{
    auto& webui = backend();
    webui.ready = true;
    webui.state = "ready";
    webui.restarts = 2;
    webui.swaps = 3;
    webui.busy = 90s;

    const auto all = lines();

    expect(all, R"(backend_up{backend="webui-0"} 1)");
    expect(all, R"(backend_state{backend="webui-0",state="ready"} 1)");
    expect(all, R"(backend_restarts_total{backend="webui-0"} 2)");
    expect(all, R"(backend_gpu_seconds_total{backend="webui-0"} 90)");
    expect(all, R"(model_swaps_total{backend="webui-0"} 3)");
}

BOOST_AUTO_TEST_CASE(the_store_tells_what_is_not_well)
{
    expect(lines(), R"(store_up{part="disk"} 1)");
    expect(lines(), R"(store_up{part="journal"} 1)");
    expect(lines(), R"(store_up{part="spool"} 1)");
    expect(lines(), "store_room 1");
    expect(lines(), "results_lost_total 0");

    files.set_free_bytes(1000);
    run(health->look());

    expect(lines(), R"(store_up{part="disk"} 0)");
    expect(lines(), R"(store_up{part="spool"} 1)");
    expect(lines(), "store_room 0");
    expect(lines(), "disk_free_bytes 1000");
}

BOOST_AUTO_TEST_CASE(requests_are_timed_by_pattern)
{
    const auto id = submit();
    ask("GET", "/v2/local/status-sync/" + id + "?wait=5000");
    ask("GET", "/secret");

    const auto all = lines();

    expect(all, R"(http_request_duration_seconds_count{code="200",method="GET",)"
                R"(route="/status-sync/{id}"} 1)");
    expect(all, R"(http_request_duration_seconds_bucket{code="200",method="GET",)"
                R"(route="/status-sync/{id}",le="10"} 1)");
    expect(all, R"(http_request_duration_seconds_count{code="404",method="GET",route="other"} 1)");
    for (const auto& line : all) {
        BOOST_TEST(line.find("secret") == std::string::npos);
        BOOST_TEST(line.find(id) == std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(every_line_is_prometheus_text_under_one_prefix)
{
    submit();
    backend();
    const std::regex wanted(
        R"(# (HELP|TYPE) webui_gateway_[a-z_]+ .+|webui_gateway_[a-z_]+(\{.*\})? [-+.e0-9Inf]+)");

    const auto all = lines();

    BOOST_TEST(all.size() > 80U);
    for (const auto& line : all)
        BOOST_CHECK_MESSAGE(std::regex_match(line, wanted), line);
}

BOOST_AUTO_TEST_CASE(webhooks_are_counted)
{
    struct told final : core::webhooks_port {
        core::webhook_counts counts() const override
        {
            return {.delivered = 5,
                    .failed_tries = 4,
                    .given_up = 3,
                    .gone = 2,
                    .pending = 7,
                    .under_way = 1,
                    .open_breakers = 1,
                    .oldest_pending = 90s};
        }
    } hooks;
    const api::metrics all_of(
        {*jobs, backends, nullptr, nullptr, nullptr, nullptr, time, {}, {}, {}, &hooks});
    const auto text = all_of.text();

    for (const auto* line : {R"(webhook_deliveries_total{outcome="delivered"} 5)",
                             R"(webhook_deliveries_total{outcome="retried"} 4)",
                             R"(webhook_deliveries_total{outcome="given_up"} 3)",
                             R"(webhook_deliveries_total{outcome="gone"} 2)",
                             "webhook_outbox_depth 7", "webhook_outbox_oldest_age_seconds 90",
                             "webhook_deliveries_active 1", "webhook_receivers_broken 1"})
        BOOST_TEST(text.find(line) != std::string::npos, line);
}

BOOST_AUTO_TEST_SUITE_END()
