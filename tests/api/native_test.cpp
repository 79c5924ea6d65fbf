#include "api/native.hpp"

#include "support/front.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>
#include <fstream>

using namespace gateway;
using namespace std::chrono_literals;
using store::journal_errc;

namespace {

constexpr auto webui_reply =
    R"({"images": ["aGk=","/9j/"], "parameters": {"prompt": "a cat"}, "info": "{\"seed\": 7}"})";
constexpr auto a_cat = R"({"input":{"prompt":"a cat"}})";

bool has(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

struct native : test::front {
    explicit native(const std::function<void(config::settings&)>& change = nullptr) : front(change)
    {
        kept_as = "native";
    }
    test::reply post(std::string_view path, std::string_view body = a_cat,
                     std::string_view headers = {})
    {
        return ask("POST", "/api/v1/jobs" + std::string(path), body, headers);
    }
    test::reply get(std::string_view path)
    {
        return ask("GET", "/api/v1/jobs" + std::string(path));
    }
    test::reply remove(const std::string& id, std::string_view query = {})
    {
        return ask("DELETE", "/api/v1/jobs/" + id + std::string(query));
    }
    std::string state(const std::string& id)
    {
        const auto body = get("/" + id).body;
        const auto at = body.find("\"status\":\"") + 10;
        return body.substr(at, body.find('"', at) - at);
    }
};

struct small : native {
    small()
        : native([](config::settings& s) {
              s.jobs.max_queued = 1;
              s.jobs.run_body_limit = 2 * config::kib;
          })
    {
    }
};
struct two_clients : native {
    two_clients()
        : native([](config::settings& s) {
              s.auth.mode = config::auth_mode::keys;
              s.auth.keys = {"one", "two"};
          })
    {
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(native_, native)

// --- submitting ---

BOOST_AUTO_TEST_CASE(an_accepted_job_says_where_everything_is)
{
    const auto answer = post("");

    BOOST_TEST(answer.status == 202);
    const auto url = answer.header("location");
    BOOST_TEST(url.starts_with("/api/v1/jobs/"));
    for (const auto* link :
         {"\"status_url\":\"", "\"events_url\":\"", "\"result_url\":\"", "\"cancel_url\":\""})
        BOOST_TEST(has(answer.body, link + url));
    BOOST_TEST(ask("GET", url).status == 200);
    BOOST_TEST(journal.rows().size() == 1U);
    BOOST_TEST(jobs->numbers().submitted[1] == 1U);
}

BOOST_AUTO_TEST_CASE(the_same_key_gets_the_same_answer_on_every_route)
{
    const std::string key = "Idempotency-Key: \"k-1\"\r\n";
    const auto first = post("", a_cat, key);
    begin();
    const auto second = post("", a_cat, key);
    BOOST_TEST(second.status == 202);
    BOOST_TEST(second.body == first.body);
    BOOST_TEST(first.header("idempotency-replayed").empty());
    BOOST_TEST(second.header("idempotency-replayed") == "true");

    const auto id = first.header("location").substr(13);
    const auto run = ask("POST", "/run", a_cat, "Idempotency-Key: k-1\r\n");
    BOOST_TEST(run.status == 200);
    BOOST_TEST(run.body == "{\"id\":\"" + id + "\",\"status\":\"IN_QUEUE\"}");
    const auto sync = ask("POST", "/runsync?wait=1000", a_cat, key);
    BOOST_TEST(has(sync.body, "\"id\":\"" + id + "\""));
    BOOST_TEST(has(sync.body, "\"status\":\"IN_PROGRESS\""));
    BOOST_TEST(journal.rows().size() == 1U);
}

BOOST_AUTO_TEST_CASE(runsync_with_a_known_key_waits_for_the_same_job)
{
    const std::string key = "Idempotency-Key: k-1\r\n";
    const auto first = send(test::http_request("POST", "/runsync", a_cat, key));
    const auto second = send(test::http_request("POST", "/runsync", a_cat, key));
    advance(5s);
    complete(begin(), webui_reply);
    advance(1s);

    const auto a = take_reply(*first);
    const auto b = take_reply(*second);
    BOOST_REQUIRE((a && b));
    BOOST_TEST(a->body == b->body);
    BOOST_TEST(has(b->body, "COMPLETED"));
    BOOST_TEST(b->header("idempotency-replayed") == "true");
}

BOOST_AUTO_TEST_CASE(the_same_key_with_something_else_is_a_422)
{
    const std::string key = "Idempotency-Key: k-1\r\n";
    post("", a_cat, key);
    for (const auto* other :
         {R"({"input":{"prompt":"a dog"}})",
          R"({"input":{"prompt":"a cat"},"policy":{"ttl":99999}})",
          R"({"input":{"prompt":"a cat"},"webhook":"https://example.org/h"})"}) {
        const auto answer = post("", other, key);
        BOOST_TEST(answer.status == 422, other);
        BOOST_TEST(has(answer.body, "\"code\":\"idempotency_reused\""));
    }
    for (const auto* path : {"/run", "/runsync"}) {
        const auto answer = ask("POST", path, R"({"input":{"prompt":"a dog"}})", key);
        BOOST_TEST(answer.status == 422);
        BOOST_TEST(answer.header("content-type") == "application/json");
    }
    // What is dropped anyway makes no difference.
    BOOST_TEST(post("", R"({"x":1, "input":{"prompt":"a cat"}})", key).status == 202);
}

BOOST_AUTO_TEST_CASE(a_key_whose_job_is_being_written_down_for_long_is_a_409)
{
    journal.hold();
    const auto first = send(test::http_request("POST", "/run", a_cat, "Idempotency-Key: k\r\n"));
    const auto second = post("", a_cat, "Idempotency-Key: k\r\n");

    BOOST_TEST(second.status == 409);
    BOOST_TEST(second.header("retry-after") == "1");
    BOOST_TEST(has(second.body, "\"code\":\"idempotency_pending\""));
    BOOST_TEST(has(second.body, "\"retryable\":true"));
    for (const auto* path : {"/run", "/runsync"}) {
        const auto other = ask("POST", path, a_cat, "Idempotency-Key: k\r\n");
        BOOST_TEST(other.status == 409);
        BOOST_TEST(other.header("content-type") == "application/json");
    }
    journal.release();
    settle();
    BOOST_TEST(take_reply(*first)->status == 200);
}

BOOST_AUTO_TEST_CASE(what_is_no_key_is_refused_before_anything_else)
{
    for (const auto& header : {std::string("Idempotency-Key: \r\n"),
                               "Idempotency-Key: " + std::string(256, 'k') + "\r\n"}) {
        const auto answer = post("", a_cat, header);
        BOOST_TEST(answer.status == 422);
        BOOST_TEST(has(answer.body, "1 to 255 printable ASCII characters"));
    }
    BOOST_TEST(journal.rows().empty());
}

BOOST_FIXTURE_TEST_CASE(every_client_has_keys_of_its_own, two_clients)
{
    const auto one = post("", a_cat, "Idempotency-Key: k\r\nAuthorization: Bearer one\r\n");
    const auto two = post("", a_cat, "Idempotency-Key: k\r\nX-Api-Key: two\r\n");
    const auto same = post("", a_cat, "Idempotency-Key: k\r\nAuthorization: one\r\n");

    BOOST_TEST(one.body != two.body);
    BOOST_TEST(one.body == same.body);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_a_job_is_told_in_full)
{
    BOOST_TEST(post("", "{").status == 400);
    const auto answer = post("", R"({"input":7,"webhook":"x"})");
    BOOST_TEST(answer.status == 422);
    BOOST_TEST(answer.header("content-type") == "application/problem+json");
    BOOST_TEST(has(answer.body, "\"errors\":[\"input: found the number 7"));
    BOOST_TEST(has(answer.body, "\"instance\":\"/api/v1/jobs\""));
    BOOST_TEST(journal.rows().empty());
}

BOOST_FIXTURE_TEST_CASE(what_cannot_be_taken_is_refused, small)
{
    BOOST_TEST(post("", std::string(3000, ' ')).status == 413);
    post("");
    const auto full = post("");
    BOOST_TEST(full.status == 429);
    BOOST_TEST(full.header("retry-after") == "5");
    BOOST_TEST(has(full.body, "\"retryable\":true"));
}

BOOST_AUTO_TEST_CASE(a_job_that_cannot_be_kept_is_not_accepted)
{
    journal.fail_next(journal_errc::io);
    const auto answer = post("");

    BOOST_TEST(answer.status == 503);
    BOOST_TEST(has(answer.body, "nothing of it was kept"));
    BOOST_TEST(jobs->waiting() == 0U);
}

BOOST_FIXTURE_TEST_CASE(without_a_key_nobody_gets_in, two_clients)
{
    BOOST_TEST(get("").status == 401);
    BOOST_TEST(post("").status == 401);
    BOOST_TEST(post(":batch").status == 401);
    BOOST_TEST(remove("x").status == 401);
    for (const auto* tail : {"", "/result", "/images/0", "/events"})
        BOOST_TEST(get(std::string("/x") + tail).status == 401, tail);
    for (const auto* tail : {"/cancel", "/retry"})
        BOOST_TEST(post(std::string("/x") + tail).status == 401, tail);
}

BOOST_AUTO_TEST_CASE(a_page_of_another_site_may_not_submit)
{
    BOOST_TEST(post("", a_cat, "Origin: https://example.org\r\n").status == 403);
}

// --- looking ---

BOOST_AUTO_TEST_CASE(a_waiting_job_says_what_it_waits_for)
{
    const auto id = submit();
    BOOST_TEST(
        has(get("/" + id).body, R"("waiting":{"code":"backend","reason":"no WebUI is conf)"));
    backend().reason = "connection refused";
    BOOST_TEST(has(get("/" + id).body, "no WebUI is ready: webui-0 is down, connection refused"));
    backend().ready = true;
    BOOST_TEST(has(get("/" + id).body, R"("code":"turn","reason":"it waits for its turn: 1 jobs)"));
    models.waits = {{"dream.safetensors", 10, 100, 5.0, "fetching"},
                    {"other.safetensors", 0, 0, 0, "elsewhere"}};
    BOOST_TEST(has(get("/" + id).body,
                   R"("models":[{"file":"dream.safetensors","bytes":10,"total":100,)"
                   R"("bytes_per_second":5.0,"eta_seconds":18.0,"state":"fetching"},)"
                   R"({"file":"other.safetensors","bytes":0,"state":"elsewhere"}]})"));
}

BOOST_AUTO_TEST_CASE(a_running_job_shows_its_progress_and_a_retried_one_its_past)
{
    const auto id = submit(
        R"({"prompt":"a cat","checkpoint":{"name":"dream","url":"https://huggingface.co/a/d.safetensors"}})");
    end(begin("webui-0"), core::outcome::unreachable, "connection refused");
    advance(10s);
    const auto lease = begin("webui-1");
    report(lease, 0.5, core::progress_phase::sampling, 2.0);
    advance(1s);

    const auto body = get("/" + id).body;
    BOOST_TEST(has(body, R"("status":"IN_PROGRESS","submitted_at":"2023-11-14T22:13:20.000Z")"));
    BOOST_TEST(has(body, R"("execution_ms":1000,"attempt":2,"retries":1,"sync":false)"));
    BOOST_TEST(has(body, R"("progress":{"progress":0.5,"phase":"sampling","eta_seconds":2.0})"));
    BOOST_TEST(has(body, R"("models":[{"kind":"checkpoint","name":"dream"}])"));
    BOOST_TEST(has(body, R"("attempts":[{"attempt":1,"backend":"webui-0",)"));
    BOOST_TEST(
        has(body, R"("outcome":"unreachable","reason":"connection refused"},{"attempt":2,)"));
    BOOST_TEST(!has(body, "\"waiting\""));
    BOOST_TEST(!has(body, "\"images\""));
}

BOOST_AUTO_TEST_CASE(a_completed_job_lists_its_pictures)
{
    const auto id = submit();
    complete(begin(), webui_reply);

    const auto body = get("/" + id).body;
    BOOST_TEST(
        has(body, R"("images":[{"n":0,"format":"unknown","content_type":"application/octet-)"));
    BOOST_TEST(
        has(body, R"({"n":1,"format":"jpeg","content_type":"image/jpeg","bytes":3,"url":"/)"));
}

BOOST_AUTO_TEST_CASE(a_job_is_shown_even_when_its_past_cannot_be_read)
{
    const auto id = submit();
    begin();
    journal.fail_next_read(journal_errc::io);

    const auto answer = get("/" + id);
    BOOST_TEST(answer.status == 200);
    BOOST_TEST(has(answer.body, "\"attempts\":[]"));
}

BOOST_AUTO_TEST_CASE(unknown_jobs_are_not_found_anywhere)
{
    const auto id = submit();
    auto other = id;
    other[0] = other[0] == 'a' ? 'b' : 'a';
    for (const auto& wrong : {other, "sync-" + id, std::string("x")}) {
        for (const auto* tail : {"", "/result", "/images/0", "/events"})
            BOOST_TEST(get("/" + wrong + tail).status == 404, wrong + tail);
        for (const auto* tail : {"/cancel", "/retry"})
            BOOST_TEST(post("/" + wrong + tail, "").status == 404);
        BOOST_TEST(remove(wrong).status == 404);
    }
}

// --- results ---

BOOST_AUTO_TEST_CASE(a_result_is_the_webuis_own_bytes)
{
    const auto id = submit();
    const std::string tail =
        R"(,"cache_info":{"checkpoints_cached":1,"loras_cached":0,"total_cache_size_mb":1.0})";
    complete(begin(), webui_reply, tail);

    const auto answer = get("/" + id + "/result");
    BOOST_TEST(answer.status == 200);
    std::string wanted = webui_reply;
    wanted.insert(wanted.size() - 1, tail);
    BOOST_TEST(answer.body == wanted);
    BOOST_TEST(answer.header("content-length") == std::to_string(wanted.size()));
}

BOOST_AUTO_TEST_CASE(a_result_that_is_not_there_says_why)
{
    const auto id = submit();
    for (const auto* tail : {"/result", "/images/0"}) {
        const auto waiting = get("/" + id + tail);
        BOOST_TEST(waiting.status == 409);
        BOOST_TEST(waiting.header("retry-after") == "2");
        BOOST_TEST(has(waiting.body, "the job is IN_QUEUE and has no result yet"));
        BOOST_TEST(has(waiting.body, "\"job_id\":\"" + id + "\""));
    }
    end(begin(), core::outcome::rejected, "no such sampler");
    for (const auto* tail : {"/result", "/images/0"}) {
        const auto failed = get("/" + id + tail);
        BOOST_TEST(failed.status == 409);
        BOOST_TEST(failed.header("retry-after").empty());
        BOOST_TEST(has(failed.body, "the job is FAILED and has no result: no such sampler"));
    }
}

BOOST_AUTO_TEST_CASE(a_result_that_was_lost_or_changed_on_disk_is_gone)
{
    for (const bool lost : {true, false}) {
        const auto id = submit();
        complete(begin(), webui_reply);
        for (const auto& file : std::filesystem::directory_iterator(folder / "spool")) {
            if (lost)
                std::filesystem::remove(file);
            else
                std::ofstream(file.path(), std::ios::in | std::ios::out) << "[";
        }
        restart();
        for (const auto* tail : {"/result", "/images/0"}) {
            const auto gone = get("/" + id + tail);
            BOOST_TEST(gone.status == 410);
            BOOST_TEST(has(gone.body, "submit the job again"));
        }
        BOOST_TEST(state(id) == "COMPLETED");
        BOOST_TEST(has(get("/" + id).body, "\"error\":\"the result was stored in"));
    }
}

BOOST_AUTO_TEST_CASE(a_disk_that_does_not_read_is_our_fault)
{
    const auto id = submit();
    complete(begin(), webui_reply);
    restart();
    files.fail(test::fault_files::call::read, 1, EIO, true);

    for (const auto* tail : {"/result", "/images/0"}) {
        const auto answer = get("/" + id + tail);
        BOOST_TEST(answer.status == 500);
        BOOST_TEST(has(answer.body, "could not be read from disk"));
    }
}

// --- changing ---

BOOST_AUTO_TEST_CASE(a_waiting_job_is_cancelled_at_once_and_an_ended_one_stays)
{
    const auto id = submit();
    for (int i = 0; i < 2; ++i) {
        const auto answer = post("/" + id + "/cancel", "");
        BOOST_TEST(answer.status == 200);
        BOOST_TEST(has(answer.body, "\"status\":\"CANCELLED\""));
    }
}

BOOST_AUTO_TEST_CASE(a_running_job_that_does_not_stop_is_a_202)
{
    const auto id = submit();
    const auto lease = begin();
    const auto answer = post("/" + id + "/cancel", "");

    BOOST_TEST(answer.status == 202);
    BOOST_TEST(has(answer.body, "\"cancel_asked\":true"));
    end(lease, core::outcome::cancelled, "");
    BOOST_TEST(state(id) == "CANCELLED");
}

BOOST_AUTO_TEST_CASE(only_failed_jobs_are_retried)
{
    const auto id = submit();
    const auto waiting = post("/" + id + "/retry", "");
    BOOST_TEST(waiting.status == 409);
    BOOST_TEST(has(waiting.body, "this one is IN_QUEUE"));
    end(begin(), core::outcome::rejected, "no");

    const auto retried = post("/" + id + "/retry", "");
    BOOST_TEST(retried.status == 202);
    BOOST_TEST(retried.header("location") == "/api/v1/jobs/" + id);
    BOOST_TEST(state(id) == "IN_QUEUE");
}

BOOST_AUTO_TEST_CASE(only_ended_jobs_are_deleted_unless_forced)
{
    const auto id = submit();
    const auto waiting = remove(id);
    BOOST_TEST(waiting.status == 409);
    BOOST_TEST(has(waiting.body, "the job is IN_QUEUE; cancel it first, or delete it with ?force"));
    BOOST_TEST(remove(id, "?force=perhaps").status == 422);

    const auto lease = begin();
    BOOST_TEST(remove(id, "?force=false").status == 409);
    const auto stopping = remove(id, "?force");
    BOOST_TEST(stopping.status == 409);
    BOOST_TEST(stopping.header("retry-after") == "2");
    end(lease, core::outcome::cancelled, "");
    const auto gone = remove(id);
    BOOST_TEST(gone.status == 204);
    BOOST_TEST(gone.body.empty());
    BOOST_TEST(get("/" + id).status == 404);
    BOOST_TEST(journal.rows().empty());

    BOOST_TEST(remove(submit(), "?force=true").status == 204);
    BOOST_TEST(jobs->waiting() == 0U);
}

BOOST_AUTO_TEST_CASE(a_deleted_result_leaves_the_disk)
{
    const auto id = submit();
    complete(begin(), webui_reply);
    BOOST_TEST(remove(id).status == 204);
    settle();

    BOOST_TEST(std::filesystem::is_empty(folder / "spool"));
}

BOOST_AUTO_TEST_CASE(a_change_that_cannot_be_kept_does_not_happen)
{
    const auto id = submit();
    journal.fail_next(journal_errc::io);
    BOOST_TEST(post("/" + id + "/cancel", "").status == 503);
    BOOST_TEST(state(id) == "IN_QUEUE");
    end(begin(), core::outcome::rejected, "no");
    journal.fail_next(journal_errc::io);
    BOOST_TEST(post("/" + id + "/retry", "").status == 503);
    journal.fail_next(journal_errc::io);
    BOOST_TEST(remove(id).status == 503);
    BOOST_TEST(state(id) == "FAILED");
    journal.fail_next_read(journal_errc::io);
    BOOST_TEST(get("/" + id + "/events").status == 503);
}

BOOST_AUTO_TEST_SUITE_END()
