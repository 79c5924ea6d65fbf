#include "work/backend_driver.hpp"

#include "support/work_world.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <fstream>

using namespace gateway;
using namespace std::chrono_literals;
using test::answer;
using port = test::fake_server::port;

namespace {

struct driving : test::work_world {
    bool becomes(const std::string& wanted, duration limit = 10min)
    {
        return run_until([&] { return status().state == wanted; }, limit);
    }
    // The states seen during this time, each once in a row.
    std::vector<std::string> states_during(duration d)
    {
        std::vector<std::string> seen{status().state};
        const auto look = [&] {
            if (status().state != seen.back())
                seen.push_back(status().state);
            return false;
        };
        run_until(look, d);
        return seen;
    }
    test::fake_server& server = webui.server();
};

std::string joined(const std::vector<std::string>& words)
{
    std::string text;
    for (const auto& w : words)
        text += (text.empty() ? "" : " ") + w;
    return text;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(backend_driver_, driving)

BOOST_AUTO_TEST_CASE(a_webui_goes_from_a_closed_port_to_ready_step_by_step)
{
    webui.latency = 10ms;
    server.set_port(port::closed);
    begin();
    pass(20s);
    BOOST_TEST(status().state == "down");
    BOOST_TEST(status().reason.find("Nobody listens") != std::string::npos);
    BOOST_TEST(server.requests().empty());

    server.set_port(port::open);
    const auto seen = states_during(30s);

    BOOST_TEST(joined(seen) == "down settling routes extensions models warming ready");
    BOOST_TEST(webui.warm_ups() == 1u);
    BOOST_TEST(status().dialect == "a1111-1.10");
    BOOST_TEST(status().checkpoint == "Dream");
    BOOST_TEST(status().epoch == 1u);
}

BOOST_AUTO_TEST_CASE(no_request_is_sent_while_the_port_settles_and_then_never_two_in_three_seconds)
{
    webui.api = false;
    begin();
    const auto opened = time.now();
    pass(1min);

    const auto& sent = server.requests();
    BOOST_REQUIRE(sent.size() >= 2u);
    BOOST_TEST((sent.front().when - opened >= 5s));
    for (std::size_t i = 0; i < sent.size(); ++i) {
        BOOST_TEST(sent[i].method == "GET");
        BOOST_TEST(sent[i].path() == "/sdapi/v1/txt2img");
        if (i > 0)
            BOOST_TEST((sent[i].when - sent[i - 1].when >= 3s));
    }
    BOOST_TEST(status().state == "routes");
}

BOOST_AUTO_TEST_CASE(a_webui_without_its_api_is_unregistered_after_two_minutes_with_advice)
{
    webui.api = false;
    begin();

    BOOST_TEST(becomes("unregistered", 3min));
    BOOST_TEST(status().reason.find("--api") != std::string::npos);
    server.forget();
    pass(5min);
    BOOST_TEST(server.requests().size() <= 11u);

    webui.api = true;
    BOOST_TEST(becomes("ready", 1min));
}

BOOST_AUTO_TEST_CASE(the_404_phase_of_a_start_ends_in_ready)
{
    webui.api = false;
    begin();
    pass(40s);
    BOOST_TEST(status().state == "routes");
    BOOST_TEST(status().initializing);

    webui.api = true;
    BOOST_TEST(becomes("ready", 20s));
}

BOOST_AUTO_TEST_CASE(routes_of_extensions_are_waited_for_but_not_for_ever)
{
    webui.extensions = false;
    begin();

    BOOST_TEST(becomes("extensions", 10s));
    BOOST_TEST(becomes("ready", 30s));
}

BOOST_AUTO_TEST_CASE(a_port_that_closes_again_while_it_settles_starts_over)
{
    begin();
    pass(3s);
    BOOST_TEST(status().state == "settling");
    server.set_port(port::closed);
    pass(1s);
    BOOST_TEST(status().state == "down");
    server.set_port(port::open);
    const auto opened = time.now();
    BOOST_TEST(becomes("ready"));

    BOOST_TEST((server.requests().front().when - opened >= 5s));
}

BOOST_AUTO_TEST_CASE(an_empty_list_of_models_is_waited_for)
{
    const auto some = std::exchange(webui.checkpoints, {});
    begin();
    pass(1min);
    BOOST_TEST(status().state == "models");
    BOOST_TEST(status().reason.find("no checkpoint") != std::string::npos);

    webui.checkpoints = some;
    BOOST_TEST(becomes("ready", 10s));
}

BOOST_AUTO_TEST_CASE(a_failing_warm_up_takes_it_out_of_service_until_one_succeeds)
{
    webui.instead["warm-up"] =
        answer(500, R"({"error":"RuntimeError","errors":"CUDA error: device-side assert"})");
    begin();
    BOOST_TEST(becomes("broken", 1min));
    BOOST_TEST(status().reason.find("device-side assert") != std::string::npos);

    webui.instead.clear();
    BOOST_TEST(becomes("ready", 2min));
}

BOOST_AUTO_TEST_CASE(a_warm_up_may_take_nine_minutes)
{
    webui.instead["warm-up"] = answer(200, test::scripted_webui::picture("Dream"));
    webui.instead["warm-up"].after = 9min;
    begin();
    pass(8min);
    BOOST_TEST(status().state == "warming");

    BOOST_TEST(becomes("ready", 5min));
}

BOOST_AUTO_TEST_CASE(wrong_credentials_are_told_and_right_ones_are_noticed)
{
    webui.login = "me:secret";
    begin();
    BOOST_TEST(becomes("unauthorized", 1min));
    BOOST_TEST(status().reason.find("webui.api_auth") != std::string::npos);
    BOOST_TEST(webui.warm_ups() == 0u);

    webui.login.clear();
    BOOST_TEST(becomes("ready", 2min));
}

BOOST_AUTO_TEST_CASE(somebody_elses_job_is_interrupted_before_the_webui_counts_as_ready)
{
    webui.begin_foreign_job(1h);
    begin();

    BOOST_TEST(becomes("ready", 1min));
    BOOST_TEST(webui.interrupts() >= 1u);
    BOOST_TEST(!webui.is_busy());
}

BOOST_AUTO_TEST_CASE(a_restart_begins_a_new_epoch_and_voids_what_was_known)
{
    begin_ready();
    webui.kill();
    pass(2s);
    BOOST_TEST(status().state == "down");
    webui.checkpoints = {{"Other.safetensors", ""}};
    webui.selected = "Other.safetensors";
    webui.start();
    BOOST_TEST(becomes("ready", 30s));

    BOOST_TEST(status().epoch == 2u);
    BOOST_TEST(status().restarts == 1u);
    BOOST_TEST(status().checkpoint == "Other");
    BOOST_TEST(fleet->lists({core::model_kind::checkpoint, "Other", "", ""}));
    BOOST_TEST(!fleet->lists({core::model_kind::checkpoint, "Dream", "", ""}));
}

BOOST_AUTO_TEST_CASE(an_api_that_goes_away_is_recovered_by_the_ladder)
{
    begin_ready();
    webui.api = false;
    BOOST_TEST(becomes("settling", 30s));
    BOOST_TEST(status().reason.find("Recovering") != std::string::npos);
    webui.api = true;

    BOOST_TEST(becomes("ready", 1min));
    BOOST_TEST(status().epoch == 2u);
}

BOOST_AUTO_TEST_CASE(three_health_checks_without_an_answer_take_it_out_of_service)
{
    begin_ready();
    answer silent;
    silent.end = answer::ending::stalled;
    webui.instead["GET /sdapi/v1/sd-models"] = silent;
    pass(70s);
    BOOST_TEST(status().state == "ready");

    BOOST_TEST(becomes("broken", 2min));
    webui.instead.clear();
    BOOST_TEST(becomes("ready", 2min));
}

BOOST_AUTO_TEST_CASE(a_list_that_is_short_once_takes_no_model_away)
{
    begin_ready();
    const auto some = std::exchange(webui.checkpoints, {{"Dream.safetensors", ""}});
    pass(11s);
    BOOST_TEST(fleet->lists({core::model_kind::checkpoint, "Photo", "", ""}));
    webui.checkpoints = some;
    pass(1min);
    BOOST_TEST(fleet->lists({core::model_kind::checkpoint, "Photo", "", ""}));

    webui.checkpoints = {{"Dream.safetensors", ""}};
    pass(1min);
    BOOST_TEST(!fleet->lists({core::model_kind::checkpoint, "Photo", "", ""}));
}

BOOST_AUTO_TEST_CASE(new_files_make_it_refresh_and_read_its_lists)
{
    begin_ready();
    webui.checkpoints.push_back({"New.safetensors", ""});
    webui.loras.push_back("fresh");

    fleet->files_arrived(true, true);
    pass(1s);

    BOOST_TEST(server.count("POST", "/sdapi/v1/refresh-checkpoints") == 1u);
    BOOST_TEST(server.count("POST", "/sdapi/v1/refresh-loras") == 1u);
    BOOST_TEST(fleet->lists({core::model_kind::checkpoint, "New", "", ""}));
    BOOST_TEST(fleet->lists({core::model_kind::lora, "fresh", "", ""}));
}

BOOST_AUTO_TEST_CASE(a_refresh_waits_for_the_job_that_runs_instead_of_blocking_behind_it)
{
    begin_ready();
    webui.job_time = 5min;
    const auto job = submit(test::a_job());
    pass(2s);
    webui.checkpoints.push_back({"New.safetensors", ""});

    fleet->files_arrived(true, false);
    pass(3min);
    BOOST_TEST(server.count("POST", "/sdapi/v1/refresh-checkpoints") == 0u);
    BOOST_TEST(is_ready());

    finish(job);
    pass(2s);
    BOOST_TEST(server.count("POST", "/sdapi/v1/refresh-checkpoints") == 1u);
    BOOST_TEST(fleet->lists({core::model_kind::checkpoint, "New", "", ""}));
}

BOOST_AUTO_TEST_CASE(caches_are_cleaned_on_the_ladder_only_where_and_when_it_is_asked_for)
{
    namespace fs = std::filesystem;
    const auto root = folder.path() / "sd";
    fs::create_directories(root / "cache");
    fs::create_directories(root / "models");
    for (const char* name : {"cache/a", "models/x.cache", "models/x.safetensors"})
        std::ofstream(root / name) << "x";
    backends[0].limits.clean_caches = true;
    backends[0].cache_paths = {(root / "cache").string(), (root / "models/*.cache").string(),
                               (root / "nowhere/*.cache").string()};
    begin_ready();
    BOOST_TEST(fs::exists(root / "cache/a"));

    webui.api = false;
    BOOST_TEST(becomes("settling", 30s));
    webui.api = true;
    BOOST_TEST(becomes("ready", 1min));

    BOOST_TEST(!fs::exists(root / "cache"));
    BOOST_TEST(!fs::exists(root / "models/x.cache"));
    BOOST_TEST(fs::exists(root / "models/x.safetensors"));
}

BOOST_AUTO_TEST_CASE(a_webui_whose_every_answer_fails_at_every_step_comes_up_in_the_end)
{
    // The n-th request of the way up is reset; the way up is found all the same.
    for (int n = 1; n <= 16; ++n) {
        int count = 0;
        const auto reset_nth = [&](const test::heard&) { return ++count == n; };
        webui.before = [&](const test::heard& r) -> std::optional<answer> {
            if (reset_nth(r))
                return answer::reset_at(0);
            return std::nullopt;
        };
        begin();
        BOOST_TEST(becomes("ready", 5min), "with request " << n << " reset: " << status().reason);
        stop();
        fleet.reset();
    }
}

BOOST_AUTO_TEST_SUITE_END()
