// Every route and every error body of the doors, through the real server and the real jobs, against
// the conversations in golden/. tests/api/contract_schema_test.py holds the same answers against
// openapi.yaml.

#include "support/conversation.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

constexpr auto webui_reply =
    R"({"images": ["aGk="], "parameters": {"prompt": "a cat"}, "info": "{\"seed\": 7}"})";
constexpr auto cache_tail =
    R"(,"cache_info":{"checkpoints_cached":1,"loras_cached":0,"total_cache_size_mb":12.5})";

struct contract : test::front {
    contract() : contract(nullptr) {}
    explicit contract(const std::function<void(config::settings&)>& change) : front(change)
    {
        talk.vars["big"] = std::string(2 * config::mib, ' ');
        talk.vars["long"] = std::string(20 * config::kib, 'x');
    }

    // A job that has waited for 1.5 s and runs.
    jobs::lease running()
    {
        talk.vars["id"] = submit();
        advance(1500ms);
        return begin();
    }

    test::conversation talk{*this};
};

struct small_queue : contract {
    small_queue() : contract([](auto& s) { s.jobs.max_queued = 1; }) {}
};
struct small_spool : contract {
    small_spool() : contract([](auto& s) { s.jobs.max_spool_bytes = 1; }) {}
};
struct small_bodies : contract {
    small_bodies()
        : contract([](auto& s) { s.jobs.run_body_limit = s.jobs.runsync_body_limit = config::mib; })
    {
    }
};
struct with_keys : contract {
    with_keys()
        : contract([](auto& s) {
              s.auth.mode = config::auth_mode::keys;
              s.auth.keys = {"other-key", "right-key"};
          })
    {
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(contract_, contract)

// --- the states of a job ---

BOOST_AUTO_TEST_CASE(an_accepted_job_waits) { talk.play("accepted"); }

BOOST_AUTO_TEST_CASE(a_running_job_shows_its_progress_once_there_is_some)
{
    const auto lease = running();
    advance(2s);

    talk.play("in-progress");
    report(lease, 0.4, core::progress_phase::sampling, 3.5);
    talk.play("in-progress-output");
}

BOOST_AUTO_TEST_CASE(a_job_that_was_dispatched_twice_says_so)
{
    const auto lease = running();
    end(lease, core::outcome::unreachable, "connection refused");
    begin("webui-1");

    talk.play("in-progress-retried");
}

BOOST_AUTO_TEST_CASE(a_completed_job_brings_the_webuis_own_bytes)
{
    const auto lease = running();
    advance(2s);
    complete(lease, webui_reply, cache_tail);

    talk.play("completed");
}

BOOST_AUTO_TEST_CASE(a_failed_job_says_why)
{
    const auto lease = running();
    advance(2s);
    end(lease, core::outcome::rejected, "sampler not found: Nope");

    talk.play("failed");
}

BOOST_AUTO_TEST_CASE(a_job_that_failed_before_it_ran_has_no_worker)
{
    const auto id = submit();
    talk.vars["id"] = id;
    const auto ref = proto::parse_job_id(id);
    run([](test::front& f, core::job_key key) -> net::task<> {
        std::string reason = "LoRA landscape: the server said 404";
        co_await f.jobs->fail_waiting(key, std::move(reason));
    }(*this, ref->key));

    talk.play("failed-waiting");
}

// --- changing a job ---

BOOST_AUTO_TEST_CASE(a_waiting_job_is_cancelled_at_once)
{
    talk.vars["id"] = submit();

    talk.play("cancelled-waiting");
}

BOOST_AUTO_TEST_CASE(a_running_job_is_cancelled_when_its_webui_has_stopped)
{
    const auto lease = running();
    advance(2s);

    talk.play("cancel-running", [&] {
        BOOST_TEST(lease.stop->is_open());
        end(lease, core::outcome::cancelled, "");
    });
    talk.play("cancelled-running");
}

BOOST_AUTO_TEST_CASE(a_webui_that_does_not_stop_leaves_the_job_running)
{
    const auto lease = running();

    talk.play("cancel-slow");
    end(lease, core::outcome::cancelled, "");
}

BOOST_AUTO_TEST_CASE(a_job_that_has_ended_stays_as_it_is)
{
    complete(running(), webui_reply);

    talk.play("cancel-too-late");
}

BOOST_AUTO_TEST_CASE(a_failed_job_can_be_retried)
{
    end(running(), core::outcome::rejected, "sampler not found: Nope");
    talk.play("retry");
    end(begin(), core::outcome::rejected, "sampler not found: Nope");
    talk.play("retry-bare");
}

BOOST_AUTO_TEST_CASE(purging_removes_what_waits)
{
    talk.vars["running"] = submit();
    begin();
    talk.vars["purged"] = submit();
    submit();

    talk.play("purge");
}

// --- holding and streaming ---

BOOST_AUTO_TEST_CASE(runsync_answers_with_the_state_so_far_when_the_wait_is_over)
{
    talk.play("runsync-waits");
}

BOOST_AUTO_TEST_CASE(a_held_answer_goes_out_when_the_job_ends)
{
    const auto finish = [&] { complete(begin(), webui_reply); };
    talk.play("runsync-completes", finish);
    talk.vars["id"] = submit();
    talk.play("status-sync-completes", finish);
}

BOOST_AUTO_TEST_CASE(a_stream_with_nothing_to_tell_is_empty)
{
    talk.vars["id"] = submit();

    talk.play("stream-queued");
}

BOOST_AUTO_TEST_CASE(a_stream_delivers_each_report_once_and_everything_by_the_end)
{
    const auto lease = running();
    report(lease, 0, core::progress_phase::loading);
    report(lease, 0.4, core::progress_phase::sampling, 3.5);
    talk.play("stream-progress");
    report(lease, 0.95, core::progress_phase::decoding);
    complete(lease, webui_reply);
    talk.play("stream-completed");
}

BOOST_AUTO_TEST_CASE(a_stream_on_a_bare_path_names_the_result_by_a_bare_path)
{
    complete(running(), webui_reply);

    talk.play("stream-completed-bare");
}

BOOST_AUTO_TEST_CASE(the_stream_of_a_failed_job_ends_with_the_reason)
{
    const auto lease = running();
    report(lease, 0.4, core::progress_phase::sampling);
    end(lease, core::outcome::rejected, "CUDA out of memory");

    talk.play("stream-failed");
}

// --- numbers, probes, documents ---

BOOST_AUTO_TEST_CASE(health_counts_jobs_and_workers)
{
    complete(running(), webui_reply);
    end(running(), core::outcome::rejected, "no");
    const auto lease = running();
    submit();
    backend("webui-0").ready = backend("webui-1").ready = true;
    backend("webui-0").running = lease.fence.job;
    backend("webui-2").initializing = true;
    backend("webui-3").reason = "connection refused";

    talk.play("health");
}

BOOST_AUTO_TEST_CASE(probes_say_that_the_gateway_is_well) { talk.play("ops"); }

BOOST_AUTO_TEST_CASE(probes_follow_the_webuis)
{
    auto& webui = backend();
    webui.state = "settling";
    webui.reason = "its port opened 2 s ago";
    webui.initializing = true;
    talk.play("ops-starting");
    webui.ready = true;
    talk.play("ops-ready");
    webui.ready = webui.initializing = false;
    webui.state = "down";
    webui.reason = "connection refused";
    talk.play("ops-broken");
}

BOOST_AUTO_TEST_CASE(a_gateway_that_stops_takes_no_more_jobs)
{
    disk_trouble = "40 MiB left; 100 MiB are needed";
    doors->drain();
    jobs->stop_intake();

    talk.play("ops-unready");
}

BOOST_AUTO_TEST_CASE(documents_and_metrics_are_served) { talk.play("documents"); }

// --- what is refused ---

BOOST_AUTO_TEST_CASE(a_bad_run_request_is_refused_with_every_reason)
{
    talk.play("bad-run");
    BOOST_TEST(jobs->waiting() == 0U);
    BOOST_TEST(journal.rows().empty());
}

BOOST_AUTO_TEST_CASE(a_bad_query_is_refused)
{
    talk.vars["id"] = submit();

    talk.play("bad-query");
}

BOOST_FIXTURE_TEST_CASE(a_body_over_the_limit_is_a_400, small_bodies)
{
    talk.vars["id"] = submit();

    talk.play("too-large");
    BOOST_TEST(jobs->waiting() == 1U);
}

BOOST_AUTO_TEST_CASE(what_does_not_exist_is_not_found) { talk.play("not-found"); }

BOOST_AUTO_TEST_CASE(a_wrong_method_is_told_which_are_right) { talk.play("methods"); }

BOOST_FIXTURE_TEST_CASE(without_a_key_nobody_gets_in, with_keys) { talk.play("keys"); }

BOOST_FIXTURE_TEST_CASE(a_full_queue_refuses_and_says_when_to_come_back, small_queue)
{
    talk.play("queue-full");
    BOOST_TEST(jobs->waiting() == 1U);
}

BOOST_FIXTURE_TEST_CASE(without_room_for_more_results_no_job_is_accepted, small_spool)
{
    talk.vars["id"] = submit();
    complete(begin(), R"({"images":[]})");
    talk.play("no-room");
    BOOST_TEST(jobs->waiting() == 0U);
}

BOOST_AUTO_TEST_CASE(a_job_that_cannot_be_kept_is_refused)
{
    journal.fail_next(store::journal_errc::io);
    talk.play("not-kept-run");
    journal.fail_next(store::journal_errc::io);
    talk.play("not-kept-runsync");
    BOOST_TEST(journal.rows().empty());
}

BOOST_AUTO_TEST_CASE(a_change_that_cannot_be_kept_does_not_happen)
{
    talk.vars["id"] = submit();
    journal.fail_next(store::journal_errc::io);
    talk.play("not-kept-cancel");
    end(begin(), core::outcome::rejected, "no");
    journal.fail_next(store::journal_errc::io);
    talk.play("not-kept-retry");
}

BOOST_AUTO_TEST_CASE(a_result_that_cannot_be_read_is_our_fault)
{
    files.fail(test::fault_files::call::read, 1, EIO, true);
    talk.play("unreadable-runsync", [&] { complete(begin(), webui_reply); });
    complete(running(), webui_reply);
    talk.play("unreadable");
}

BOOST_AUTO_TEST_CASE(what_is_not_http_is_refused) { talk.play("not-http"); }

BOOST_AUTO_TEST_CASE(a_request_that_does_not_arrive_is_not_waited_for) { talk.play("too-slow"); }

BOOST_AUTO_TEST_SUITE_END()
