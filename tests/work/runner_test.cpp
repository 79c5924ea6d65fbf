#include "work/runner.hpp"

#include "support/work_world.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <ostream>

using namespace gateway;
using namespace std::chrono_literals;
using core::job_state;
using test::answer;

namespace {

struct running : test::work_world {
    running() { begin_ready(); }
    ~running() { stop(); }

    // What every failure must leave behind: a gateway that goes on.
    void check_next_job_runs()
    {
        const auto next = submit(test::a_job("the next one"));
        finish(next, 1h);
        BOOST_TEST(shown_state(next) == "COMPLETED", error_of(next));
        BOOST_TEST(jobs->running() == 0u);
    }
    std::string shown_state(const core::job& job) const
    {
        return std::string(core::to_text(state(job)));
    }
    // The WebUI has got that many jobs.
    void wait_for_jobs(std::size_t n)
    {
        BOOST_REQUIRE(run_until([&] { return webui.jobs().size() >= n; }, 1min));
    }
    // Submitted, sent and busy with it.
    core::job begun()
    {
        const auto job = submit(test::a_job("a cat"));
        wait_for_jobs(1);
        pass(3s);
        BOOST_REQUIRE(webui.is_busy());
        return job;
    }
    void ask_to_cancel(const core::job& job)
    {
        start(test::keep(jobs->cancel(job.key, time.now() + 1s), cancel_answered));
        pass(1s);
    }
    core::model_ref checkpoint(std::string name, std::string sha256 = {})
    {
        return {core::model_kind::checkpoint, std::move(name), "", std::move(sha256)};
    }
    static jobs::submission job_with_checkpoint(const std::string& name)
    {
        auto s = test::a_job_with({{core::model_kind::checkpoint, name, "https://x.test/f", ""}});
        s.input = R"({"prompt":"a cat","checkpoint":{"name":")" + name +
                  R"(","url":"https://x.test/f"}})";
        return s;
    }

    std::optional<error_code> cancel_answered; // it may come long after it was asked for
};

// One row of webui.md §7.1 that is answered at once: what the WebUI says, what becomes of the job.
struct row {
    const char* name;
    int status;
    const char* body;
    std::size_t sent; // how often the job was sent in all
    const char* state;
    const char* error; // part of it
};
std::ostream& operator<<(std::ostream& out, const row& r) { return out << r.name; }

const row matrix[] = {
    {"422", 422,
     R"({"detail":[{"loc":["body","steps"],"msg":"value is not a valid integer","type":"x"}]})", 1,
     "FAILED", "steps: value is not a valid integer"},
    {"400", 400, "Bad things", 1, "FAILED", "Bad things"},
    {"business 404", 404,
     R"({"error":"HTTPException","detail":"Sampler not found","body":"","errors":""})", 1, "FAILED",
     "Sampler not found"},
    {"500 KeyError", 500, R"({"error":"KeyError","detail":"","body":"","errors":"'nonsense'"})", 1,
     "FAILED", "nonsense"},
    {"500 Invalid", 500,
     R"({"error":"HTTPException","detail":"Invalid encoded image","body":"","errors":""})", 1,
     "FAILED", "Invalid encoded image"},
    {"500 OOM", 500,
     R"({"error":"OutOfMemoryError","detail":"","body":"","errors":"CUDA out of memory."})", 2,
     "COMPLETED", ""},
    {"500 NaN", 500,
     R"({"error":"NansException","detail":"","body":"","errors":"A tensor with all NaNs"})", 2,
     "COMPLETED", ""},
    {"500 no model", 500,
     R"({"error":"AttributeError","detail":"","body":"","errors":"'NoneType' object has no attribute 'lowvram'"})",
     2, "COMPLETED", ""},
    {"500 cache", 500,
     R"({"error":"OperationalError","detail":"","body":"","errors":"no such table: Cache"})", 2,
     "COMPLETED", ""},
    {"500 other", 500, R"({"error":"RuntimeError","detail":"","body":"","errors":"it broke"})", 1,
     "FAILED", "it broke"},
    {"route missing", 404, R"({"detail":"Not Found"})", 2, "COMPLETED", ""},
    {"405", 405, R"({"detail":"Method Not Allowed"})", 2, "COMPLETED", ""},
    {"429", 429, "Too many", 1, "FAILED", "too many requests"},
    {"503 of the WebUI", 503, R"({"detail":{"msg":"busy","type":"service_unavailable"}})", 2,
     "COMPLETED", ""},
    {"502 of a proxy", 502, "<html><title>502 Bad Gateway</title></html>", 1, "FAILED",
     "502 Bad Gateway"},
    {"504 of a proxy", 504, "<html><title>504 Gateway Time-out</title></html>", 1, "FAILED",
     "504 Gateway Time-out"},
    {"200 without pictures", 200, R"({"images":[],"parameters":{},"info":"{}"})", 1, "FAILED",
     "without pictures"},
    {"200 with an empty picture", 200, R"({"images":[""],"parameters":{},"info":"{}"})", 1,
     "FAILED", "empty picture"},
    {"200 with an error", 200, R"({"error":"RuntimeError","detail":"boom"})", 1, "FAILED", "boom"},
    {"200 with HTML", 200, "<!DOCTYPE html><title>Login</title>", 1, "FAILED", "Login"},
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(runner_, running)

BOOST_AUTO_TEST_CASE(a_job_becomes_the_webuis_own_reply_with_cache_info_in_it)
{
    const auto job = submit(test::a_job("a cat"));

    finish(job);

    BOOST_TEST(shown_state(job) == "COMPLETED");
    const auto result = result_of(job);
    auto expected = test::scripted_webui::picture("Dream");
    expected.pop_back();
    BOOST_TEST(result.starts_with(expected));
    BOOST_TEST(result.find(R"("cache_info":{"checkpoints_cached":2,"loras_cached":1,)") !=
               std::string::npos);
    BOOST_TEST(result.ends_with("}}"));
    BOOST_TEST(webui.jobs().size() == 1u);
    BOOST_TEST(webui.interrupts() == 0u);
}

BOOST_AUTO_TEST_CASE(the_attempt_is_durable_before_the_first_byte_of_its_post)
{
    journal->hold();
    std::optional<jobs::jobs::answer> answered;
    start(test::keep(jobs->submit(test::a_job()), answered));
    pass(20s);
    BOOST_TEST(webui.jobs().empty());

    journal->release();
    BOOST_REQUIRE(run_until([&] { return answered.has_value(); }, 1s));
    finish((*answered)->job);
    BOOST_TEST(webui.jobs().size() == 1u);
}

BOOST_AUTO_TEST_CASE(jobs_run_one_at_a_time)
{
    const auto first = submit(test::a_job("first"));
    const auto second = submit(test::a_job("second"));

    finish(second);

    BOOST_TEST(is_over(first));
    const auto& sent = webui.jobs();
    BOOST_REQUIRE(sent.size() == 2u);
    BOOST_TEST((sent[1].when - sent[0].when >= webui.job_time));
}

BOOST_AUTO_TEST_CASE(progress_of_the_job_is_shown_while_it_runs)
{
    const auto job = begun();
    pass(3s);

    const auto v = jobs->find(job.key, job.secret);

    BOOST_REQUIRE(v.has_value());
    BOOST_REQUIRE(v->last_progress != nullptr);
    BOOST_TEST(v->last_progress->fraction > 0.2);
    BOOST_TEST(v->last_progress->fraction < 1.0);
    BOOST_TEST(core::to_text(v->last_progress->phase) == "sampling");
}

// --- the matrix of webui.md §7.1 ---

BOOST_DATA_TEST_CASE(an_answer_decides_what_becomes_of_the_job, matrix, r)
{
    webui.next_job(answer(r.status, r.body));
    const auto job = submit(test::a_job("a cat"));

    finish(job, 1h);

    BOOST_TEST(shown_state(job) == r.state);
    BOOST_TEST(webui.jobs().size() == r.sent);
    BOOST_TEST(error_of(job).find(r.error) != std::string::npos, error_of(job));
    BOOST_TEST(error_of(job).empty() == (std::string_view(r.state) == "COMPLETED"));
    check_next_job_runs();
    BOOST_TEST(spooled() == (std::string_view(r.state) == "COMPLETED" ? 2u : 1u));
}

BOOST_AUTO_TEST_CASE(out_of_memory_twice_is_the_end)
{
    const answer oom(500, R"({"error":"OutOfMemoryError","errors":"CUDA out of memory."})");
    webui.next_job(oom);
    webui.next_job(oom);
    const auto job = submit(test::a_job());

    finish(job);

    BOOST_TEST(shown_state(job) == "FAILED");
    BOOST_TEST(webui.jobs().size() == 2u);
    BOOST_TEST(error_of(job).find("CUDA out of memory") != std::string::npos);
    BOOST_TEST(error_of(job).find("second time") != std::string::npos);
    check_next_job_runs();
}

BOOST_AUTO_TEST_CASE(three_jobs_that_crash_it_in_a_row_take_the_webui_out_of_service_for_a_while)
{
    const answer crash(500, R"({"error":"RuntimeError","errors":"it broke"})");
    for (int i = 0; i < 3; ++i) {
        webui.next_job(crash);
        finish(submit(test::a_job()));
    }
    BOOST_TEST(status().state == "broken");
    BOOST_TEST(status().reason.find("it broke") != std::string::npos);

    check_next_job_runs();
}

BOOST_AUTO_TEST_CASE(a_401_fails_no_job_until_no_webui_lets_us_in)
{
    webui.login = "me:secret";
    const auto job = submit(test::a_job());

    finish(job);

    BOOST_TEST(shown_state(job) == "FAILED");
    BOOST_TEST(error_of(job).find("webui.api_auth") != std::string::npos);
    BOOST_TEST(status().state == "unauthorized");

    webui.login.clear();
    BOOST_TEST(run_until([this] { return is_ready(); }, 2min));
    check_next_job_runs();
}

BOOST_AUTO_TEST_CASE(nobody_listening_sends_the_job_again_once_somebody_does)
{
    webui.server().set_port(test::fake_server::port::closed);
    const auto job = submit(test::a_job());
    pass(30s);
    BOOST_TEST(shown_state(job) == "IN_QUEUE");

    webui.start();
    finish(job);

    BOOST_TEST(shown_state(job) == "COMPLETED");
    BOOST_TEST(webui.jobs().size() == 1u);
}

// --- the reply is lost ---

BOOST_AUTO_TEST_CASE(a_reply_lost_to_a_restart_is_sent_again)
{
    const auto job = begun();

    webui.kill();
    pass(10s);
    BOOST_TEST(shown_state(job) == "IN_QUEUE");
    webui.start();
    finish(job);

    BOOST_TEST(shown_state(job) == "COMPLETED");
    BOOST_TEST(webui.jobs().size() == 2u);
    check_next_job_runs();
}

BOOST_AUTO_TEST_CASE(a_restart_too_quick_to_be_seen_at_the_port_is_seen_by_its_progress)
{
    const auto job = begun();

    webui.restart();
    finish(job);

    BOOST_TEST(shown_state(job) == "COMPLETED");
    BOOST_TEST(webui.jobs().size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_reply_lost_by_the_same_process_fails_the_job_when_it_is_idle_again)
{
    answer lost = answer::reset_at(0);
    lost.after = 5s;
    webui.next_job(lost, 40s);
    webui.interruptible = false;
    const auto job = submit(test::a_job());
    wait_for_jobs(1);
    pass(30s);
    BOOST_TEST(!is_over(job));

    finish(job);

    BOOST_TEST(shown_state(job) == "FAILED");
    BOOST_TEST(webui.jobs().size() == 1u);
    BOOST_TEST(error_of(job).find("still runs") != std::string::npos, error_of(job));
    BOOST_TEST(error_of(job).find("not sent again") != std::string::npos);
    check_next_job_runs();
}

BOOST_AUTO_TEST_CASE(a_reply_cut_short_is_probed_like_one_that_never_came)
{
    answer cut(200, test::scripted_webui::picture("Dream", {}, 5'000'000));
    cut.end = answer::ending::cut;
    cut.part = cut.head_size() + 3'000'000;
    webui.next_job(cut);
    const auto job = submit(test::a_job());

    finish(job);

    BOOST_TEST(shown_state(job) == "FAILED");
    BOOST_TEST(webui.jobs().size() == 1u);
    BOOST_TEST(error_of(job).find("http://webui:7860") != std::string::npos, error_of(job));
    check_next_job_runs();
    BOOST_TEST(spooled() == 1u);
}

BOOST_AUTO_TEST_CASE(a_body_that_stalls_is_given_up)
{
    answer stalled(200, test::scripted_webui::picture("Dream", {}, 5'000'000));
    stalled.end = answer::ending::stalled;
    stalled.part = stalled.head_size() + 3'000'000;
    webui.next_job(stalled);
    const auto job = submit(test::a_job());

    finish(job);

    BOOST_TEST(shown_state(job) == "FAILED");
    BOOST_TEST(!error_of(job).empty());
    check_next_job_runs();
}

// --- verification ---

BOOST_AUTO_TEST_CASE(the_checkpoint_travels_in_override_settings)
{
    const auto job = submit(job_with_checkpoint("Photo"));

    finish(job);

    BOOST_TEST(shown_state(job) == "COMPLETED", error_of(job));
    BOOST_TEST(webui.jobs().at(0).body.find(R"("sd_model_checkpoint":"Photo.safetensors")") !=
               std::string::npos);
    BOOST_TEST(webui.server().count("POST", "/sdapi/v1/options") == 0u);
    BOOST_TEST(status().checkpoint == "Photo");
    BOOST_TEST(status().swaps == 1u);
}

BOOST_AUTO_TEST_CASE(a_picture_of_another_model_is_tried_once_more_and_then_refused)
{
    const answer wrong(200, test::scripted_webui::picture("Dream"));
    webui.next_job(wrong);
    webui.next_job(wrong);
    const auto job = submit(job_with_checkpoint("Photo"));

    finish(job);

    BOOST_TEST(shown_state(job) == "FAILED");
    BOOST_TEST(webui.jobs().size() == 2u);
    BOOST_TEST(error_of(job).find("Photo") != std::string::npos, error_of(job));
    BOOST_TEST(error_of(job).find("Dream") != std::string::npos);
    check_next_job_runs();
    BOOST_TEST(spooled() == 1u);
}

// --- stopping ---

BOOST_AUTO_TEST_CASE(a_cancelled_job_is_interrupted_on_another_connection_and_then_cancelled)
{
    webui.job_time = 10min;
    const auto job = begun();
    BOOST_TEST(webui.interrupts() == 0u);

    ask_to_cancel(job);
    finish(job, 30s);

    BOOST_TEST(shown_state(job) == "CANCELLED");
    BOOST_TEST(webui.interrupts() == 1u);
    const auto post = webui.jobs().at(0);
    const auto interrupt = webui.server().requests_for("/sdapi/v1/interrupt").at(0);
    BOOST_TEST(interrupt.connection != post.connection);
    BOOST_TEST(spooled() == 0u);
    check_next_job_runs();
}

BOOST_AUTO_TEST_CASE(a_job_that_waits_is_cancelled_without_an_interrupt_for_the_one_that_runs)
{
    const auto first = begun();
    const auto second = submit(test::a_job("second"));

    cancel(second);

    BOOST_TEST(shown_state(second) == "CANCELLED");
    finish(first);
    BOOST_TEST(shown_state(first) == "COMPLETED");
    BOOST_TEST(webui.interrupts() == 0u);
}

BOOST_AUTO_TEST_CASE(an_interrupt_that_is_lost_is_sent_again)
{
    webui.job_time = 10min;
    webui.interruptible = false;
    const auto job = begun();

    ask_to_cancel(job);
    pass(5s);
    BOOST_TEST(webui.interrupts() >= 3u);
    webui.interruptible = true;
    finish(job, 10s);

    BOOST_TEST(shown_state(job) == "CANCELLED");
}

BOOST_AUTO_TEST_CASE(a_webui_that_cannot_be_interrupted_gets_no_job_before_it_is_idle)
{
    webui.job_time = 5min;
    webui.interruptible = false;
    const auto job = begun();

    ask_to_cancel(job);
    finish(job, 2min);
    BOOST_TEST(shown_state(job) == "CANCELLED");
    BOOST_TEST(!is_ready());

    const auto next = submit(test::a_job("next"));
    webui.interruptible = true;
    finish(next, 20min);
    const auto& sent = webui.jobs();
    BOOST_REQUIRE(sent.size() == 2u);
    BOOST_TEST(shown_state(next) == "COMPLETED");
}

BOOST_AUTO_TEST_CASE(progress_that_hangs_delays_neither_the_reply_nor_a_cancel)
{
    answer silent;
    silent.end = answer::ending::stalled;
    webui.instead["GET /sdapi/v1/progress"] = silent;
    const auto began = time.now();
    const auto first = submit(test::a_job());
    finish(first);
    BOOST_TEST(shown_state(first) == "COMPLETED");
    BOOST_TEST((time.now() - began < webui.job_time + 1s));

    webui.job_time = 10min;
    const auto second = submit(test::a_job());
    pass(3s);
    ask_to_cancel(second);
    finish(second, 1s);
    BOOST_TEST(shown_state(second) == "CANCELLED");
}

BOOST_AUTO_TEST_CASE(the_execution_timeout_interrupts_the_job_and_fails_it)
{
    webui.job_time = 10min;
    auto s = test::a_job();
    s.policy.execution_timeout = 30s;
    const auto job = submit(std::move(s));

    finish(job);

    BOOST_TEST(shown_state(job) == "FAILED");
    BOOST_TEST(error_of(job) == "executionTimeout exceeded");
    BOOST_TEST(webui.interrupts() >= 1u);
    BOOST_TEST(!webui.is_busy());
    check_next_job_runs();
}

BOOST_AUTO_TEST_CASE(a_job_whose_progress_stands_still_is_interrupted_and_failed)
{
    webui.job_time = 30min;
    webui.frozen = true;
    auto s = test::a_job();
    s.policy.execution_timeout = 1h;
    const auto job = submit(std::move(s));

    finish(job);

    BOOST_TEST(shown_state(job) == "FAILED");
    BOOST_TEST(error_of(job).find("no progress for 120 s") != std::string::npos, error_of(job));
    BOOST_TEST(!webui.is_busy());
    webui.frozen = false;
    webui.job_time = 10s;
    check_next_job_runs();
}

BOOST_AUTO_TEST_CASE(a_reply_that_is_ready_before_the_interrupt_wins)
{
    const auto job = begun();
    pass(6s);
    journal->hold();
    pass(2s); // the reply has come and waits for its commit
    ask_to_cancel(job);
    journal->release();
    finish(job);

    BOOST_TEST(shown_state(job) == "COMPLETED");
}

BOOST_AUTO_TEST_CASE(handing_back_returns_the_running_job_to_the_queue)
{
    webui.job_time = 10min;
    const auto job = begun();

    jobs->stop_intake();
    fleet->hand_back();
    BOOST_TEST(run_until([&] { return jobs->running() == 0; }, 10s));

    BOOST_TEST(shown_state(job) == "IN_QUEUE");
    BOOST_TEST(!webui.is_busy());
    pass(1min);
    BOOST_TEST(webui.jobs().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_hard_stop_keeps_the_job_for_the_next_start)
{
    webui.job_time = 10min;
    const auto job = begun();

    stop();

    BOOST_TEST(shown_state(job) == "IN_QUEUE");
    BOOST_TEST(spooled() == 0u);
}

// --- our own disk ---

BOOST_AUTO_TEST_CASE(a_result_is_whole_and_synced_under_its_name_before_its_row_names_it)
{
    using call = test::fault_files::call;
    const auto syncs = files.calls(call::sync);
    const auto folder_syncs = files.calls(call::sync_folder);
    int named = 0;
    journal->fail_when([&](const store::operation& op) {
        const auto* end = std::get_if<store::finish_job>(&op);
        if (end == nullptr || !end->result)
            return false;
        std::error_code missing;
        const auto file = folder.path() / "spool" / end->result->file;
        BOOST_TEST(std::filesystem::file_size(file, missing) == end->result->size);
        BOOST_TEST(!missing);
        BOOST_TEST(files.calls(call::sync) == syncs + 1);
        BOOST_TEST(files.calls(call::sync_folder) == folder_syncs + 1);
        ++named;
        return false;
    });

    finish(submit(test::a_job()));

    BOOST_TEST(named == 1);
}

BOOST_AUTO_TEST_CASE(a_result_that_cannot_be_committed_is_kept_until_it_can_be)
{
    bool failed = false;
    journal->fail_when([&failed](const store::operation& op) {
        const auto* end = std::get_if<store::finish_job>(&op);
        const bool hit = end != nullptr && end->state == job_state::completed && !failed;
        failed = failed || hit;
        return hit;
    });
    const auto job = submit(test::a_job());

    finish(job);

    BOOST_TEST(shown_state(job) == "COMPLETED");
    BOOST_TEST(webui.jobs().size() == 1u);
    BOOST_TEST(spooled() == 1u);
}

BOOST_AUTO_TEST_CASE(nothing_is_drawn_again_until_the_spool_can_keep_it)
{
    std::filesystem::remove_all(folder.path() / "spool");
    const auto job = submit(test::a_job());
    run_until([] { return false; }, 10min);

    BOOST_TEST(shown_state(job) == "IN_QUEUE");
    BOOST_TEST(webui.jobs().size() == 1u);

    std::filesystem::create_directories(folder.path() / "spool");
    start(health->look());
    finish(job);

    BOOST_TEST(shown_state(job) == "COMPLETED");
    BOOST_TEST(webui.jobs().size() == 2u);
}

// --- what cannot be built ---

BOOST_AUTO_TEST_CASE(a_sampler_nobody_has_fails_the_job_before_anything_is_sent)
{
    auto s = test::a_job();
    s.input = R"({"prompt":"a cat","sampler_name":"Quux"})";
    const auto job = submit(std::move(s));

    finish(job);

    BOOST_TEST(shown_state(job) == "FAILED");
    BOOST_TEST(error_of(job).find("Quux") != std::string::npos, error_of(job));
    BOOST_TEST(webui.jobs().empty());
    check_next_job_runs();
}

BOOST_AUTO_TEST_SUITE_END()
