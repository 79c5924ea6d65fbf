#include "work/fleet.hpp"

#include "support/work_world.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace std::chrono_literals;
using test::answer;

namespace {

constexpr const char* second_url = "http://other:7860";

struct two_webuis : test::work_world {
    two_webuis()
    {
        auto& b = backends.emplace_back();
        b.calls.name = "webui-1";
        b.calls.url = second_url;
        // One of them the quicker, so that it is known who runs what.
        other.job_time = 10s;
    }
    std::string shown_state(const core::job& job) const
    {
        return std::string(core::to_text(state(job)));
    }
    test::scripted_webui other{*this, wires.at(second_url)};
};

jobs::submission a_job_on(const std::string& checkpoint)
{
    auto s = test::a_job_with({{core::model_kind::checkpoint, checkpoint, "https://x.test/f", ""}});
    s.input = R"({"prompt":"a cat","checkpoint":{"name":")" + checkpoint +
              R"(","url":"https://x.test/f"}})";
    return s;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(fleet_, two_webuis)

BOOST_AUTO_TEST_CASE(a_wrong_url_is_refused_when_the_fleet_is_built)
{
    backends[1].calls.url = "nonsense";
    BOOST_CHECK_THROW(begin(), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(two_webuis_work_side_by_side)
{
    begin_ready();
    const auto began = time.now();
    std::vector<core::job> all;
    for (int i = 0; i < 4; ++i)
        all.push_back(submit(test::a_job()));
    for (const auto& job : all)
        finish(job);

    BOOST_TEST((time.now() - began < 30s));
    BOOST_TEST(webui.jobs().size() == 2u);
    BOOST_TEST(other.jobs().size() == 2u);
}

BOOST_AUTO_TEST_CASE(one_that_is_down_keeps_nobody_from_working)
{
    webui.kill();
    begin();
    BOOST_TEST(run_until([this] { return is_ready(1); }, 1min));
    BOOST_TEST(!is_ready(0));
    BOOST_TEST(fleet->anyone_ready());

    const auto job = submit(test::a_job());
    finish(job);
    BOOST_TEST(shown_state(job) == "COMPLETED");
    BOOST_TEST(other.jobs().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_job_goes_where_its_model_is)
{
    other.checkpoints.push_back({"Rare.safetensors", ""});
    begin_ready();

    const auto job = submit(a_job_on("Rare"));
    finish(job);

    BOOST_TEST(shown_state(job) == "COMPLETED");
    BOOST_TEST(other.jobs().size() == 1u);
    BOOST_TEST(webui.jobs().empty());
}

BOOST_AUTO_TEST_CASE(a_job_that_one_webui_lost_to_a_restart_is_taken_by_the_other)
{
    webui.job_time = 5min;
    begin_ready();
    const auto job = submit(test::a_job());
    pass(5s);
    auto& first = webui.jobs().empty() ? other : webui;
    auto& second = webui.jobs().empty() ? webui : other;

    first.kill();
    finish(job);

    BOOST_TEST(shown_state(job) == "COMPLETED");
    BOOST_TEST(first.jobs().size() == 1u);
    BOOST_TEST(second.jobs().size() == 1u);
}

BOOST_AUTO_TEST_CASE(wrong_credentials_at_one_webui_fail_no_job_and_at_all_of_them_every_job)
{
    webui.login = "me:secret";
    begin();
    BOOST_TEST(
        run_until([this] { return is_ready(1) && status(0).state == "unauthorized"; }, 1min));
    const auto first = submit(test::a_job());
    finish(first);
    BOOST_TEST(shown_state(first) == "COMPLETED");

    other.login = "me:secret";
    const auto second = submit(test::a_job());
    const auto third = submit(a_job_on("Dream"));
    finish(second);
    finish(third);
    for (const auto& job : {second, third}) {
        BOOST_TEST(shown_state(job) == "FAILED");
        BOOST_TEST(error_of(job).find("webui.api_auth") != std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(a_fleet_is_hopeless_only_when_all_of_it_is)
{
    webui.api = false;
    other.api = false;
    begin();
    pass(1min);
    BOOST_TEST(!fleet->hopeless());

    BOOST_TEST(run_until([this] { return fleet->hopeless(); }, 3min));
    other.api = true;
    BOOST_TEST(run_until([this] { return is_ready(1); }, 1min));
    BOOST_TEST(!fleet->hopeless());
}

BOOST_AUTO_TEST_CASE(handing_back_interrupts_every_job_and_returns_it_to_the_queue)
{
    webui.job_time = other.job_time = 10min;
    begin_ready();
    const auto first = submit(test::a_job());
    const auto second = submit(test::a_job());
    const auto third = submit(test::a_job());
    pass(5s);
    BOOST_TEST(jobs->running() == 2u);

    jobs->stop_intake();
    fleet->hand_back();
    BOOST_TEST(run_until([this] { return jobs->running() == 0; }, 20s));

    for (const auto& job : {first, second, third})
        BOOST_TEST(shown_state(job) == "IN_QUEUE");
    BOOST_TEST(!webui.is_busy());
    BOOST_TEST(!other.is_busy());
}

BOOST_AUTO_TEST_CASE(what_is_shown_of_a_webui_has_no_credentials_in_it)
{
    backends[0].calls.api_auth = "me:secret";
    begin_ready();

    const auto shown = status();

    BOOST_TEST(shown.name == "webui-0");
    BOOST_TEST(shown.url == "http://webui:7860");
    BOOST_TEST(shown.reason.find("secret") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(fifty_restarts_under_load_lose_no_job)
{
    begin_ready();
    std::vector<core::job> all;
    for (int i = 0; i < 50; ++i) {
        all.push_back(submit(test::a_job("job " + std::to_string(i))));
        pass(std::chrono::milliseconds(700 * (i % 23)));
        auto& victim = i % 2 == 0 ? webui : other;
        victim.kill();
        pass(std::chrono::milliseconds(100 * (i % 7)));
        victim.start();
    }

    for (const auto& job : all) {
        finish(job, 2h);
        BOOST_TEST(shown_state(job) == "COMPLETED", error_of(job));
    }
    BOOST_TEST(spooled() == all.size());
}

BOOST_AUTO_TEST_SUITE_END()
