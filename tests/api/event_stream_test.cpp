#include "api/event_stream.hpp"

#include "support/front.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

bool has(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

struct told : test::front {
    told() { kept_as = "event_stream"; }
    // Opens a stream; what comes is in heard().
    void listen(const std::string& id, std::string_view last_id = {})
    {
        auto headers = std::string("Accept: text/event-stream\r\n");
        if (!last_id.empty())
            headers += "Last-Event-ID: " + std::string(last_id) + "\r\n";
        stream = send(test::http_request("GET", "/api/v1/jobs/" + id + "/events", "", headers));
    }
    // What has come since the last call: "id name" of each event, or all of it as text.
    std::string heard()
    {
        advance(0s);
        text = stream->take_written();
        std::string events;
        for (std::size_t at = 0; (at = text.find("event: ", at)) != std::string::npos; ++at) {
            const auto name = text.substr(at + 7, text.find('\n', at) - at - 7);
            const auto id = text.find("id: ", at) + 4;
            events += (events.empty() ? "" : ", ") + text.substr(id, text.find('\n', id) - id) +
                      " " + name;
        }
        return events;
    }
    bool has_ended() const { return text.ends_with("0\r\n\r\n"); }
    std::string log(const std::string& id)
    {
        const auto answer = ask("GET", "/api/v1/jobs/" + id + "/events");
        BOOST_TEST(answer.status == 200);
        return answer.body;
    }

    std::shared_ptr<test::scripted_stream> stream;
    std::string text;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(event_stream_, told)

BOOST_AUTO_TEST_CASE(the_log_tells_all_that_happened)
{
    const auto id = submit();
    BOOST_TEST(log(id) == "{\"id\":\"" + id +
                              R"(","events":[{"number":1,"event":"queued",)"
                              R"("at":"2023-11-14T22:13:20.000Z"}]})");
    advance(1s);
    end(begin("webui-0"), core::outcome::unreachable, "connection refused");
    advance(9s);
    end(begin("webui-1"), core::outcome::rejected, "no such sampler");
    run([](test::front& f, core::job_key key) -> net::task<> {
        co_await f.jobs->retry(key);
    }(*this, proto::parse_job_id(id)->key));
    complete(begin("webui-1"), R"({"images":[]})");

    const auto all = log(id);
    for (
        const auto* part :
        {R"({"number":2,"event":"started","at":"2023-11-14T22:13:21.000Z","attempt":1,"backend":"webui-0"})",
         R"({"number":3,"event":"waiting","at":"2023-11-14T22:13:21.000Z","attempt":1,"backend":"webui-0","outcome":"unreachable","reason":"connection refused"})",
         R"("number":4,"event":"started")", R"("number":5,"event":"failed")",
         R"("error":"no such sampler"})", R"("number":6,"event":"queued")",
         R"("number":7,"event":"started")", R"("number":8,"event":"completed")"})
        BOOST_TEST(has(all, part), all);
    restart();
    BOOST_TEST(log(id) == all);
}

BOOST_AUTO_TEST_CASE(a_stream_goes_on_until_the_job_has_ended)
{
    const auto id = submit();
    listen(id);
    BOOST_TEST(heard() == "1 queued");
    BOOST_TEST(has(text, "Content-Type: text/event-stream\r\n"));
    BOOST_TEST(has(text, "Cache-Control: no-store\r\n"));
    BOOST_TEST(has(text, "X-Accel-Buffering: no\r\n"));
    BOOST_TEST(has(text, "retry: 2000\n\n"));

    const auto lease = begin();
    BOOST_TEST(heard() == "2 started");
    report(lease, 0.25, core::progress_phase::sampling, 3.0);
    BOOST_TEST(heard().ends_with(" progress"));
    BOOST_TEST(
        has(text, R"(data: {"progress":0.25,"phase":"sampling","eta_seconds":3.0,"attempt":1)"));
    complete(lease, R"({"images":[]})");
    BOOST_TEST(heard() == "3 completed");
    BOOST_TEST(has(text, "\"result_url\":\"/api/v1/jobs/" + id + "/result\"}\n\n"));
    BOOST_TEST(has_ended());
}

BOOST_AUTO_TEST_CASE(a_failed_attempt_and_a_cancel_are_told)
{
    const auto id = submit();
    listen(id);
    end(begin(), core::outcome::unreachable, "connection refused");
    BOOST_TEST(heard() == "1 queued, 2 started, 3 waiting");
    ask("POST", "/cancel/" + id);
    BOOST_TEST(heard() == "4 cancelled");
    BOOST_TEST(has_ended());
}

BOOST_AUTO_TEST_CASE(who_comes_back_gets_what_was_missed)
{
    const auto id = submit();
    const auto lease = begin();
    report(lease, 0.25, core::progress_phase::sampling);
    listen(id, "1");
    BOOST_TEST(heard().starts_with("2 started, 2."));
    restart();
    begin();
    listen(id, "2.7");
    BOOST_TEST(heard() == "3 waiting, 4 started");
    listen(id, "4");
    BOOST_TEST(heard().empty());
    listen(id, "nonsense");
    BOOST_TEST(heard() == "1 queued, 2 started, 3 waiting, 4 started");
}

BOOST_AUTO_TEST_CASE(the_progress_that_was_heard_is_not_told_again)
{
    const auto id = submit();
    const auto lease = begin();
    report(lease, 0.25, core::progress_phase::sampling);
    listen(id);
    const auto events = heard();
    const auto last =
        events.substr(events.rfind(", ") + 2, events.rfind(' ') - events.rfind(", ") - 2);
    listen(id, last);
    BOOST_TEST(heard().empty());
    report(lease, 0.5, core::progress_phase::sampling);
    BOOST_TEST(heard().ends_with(" progress"));
}

BOOST_AUTO_TEST_CASE(who_has_heard_it_all_is_told_so)
{
    const auto id = submit();
    ask("POST", "/cancel/" + id);
    const auto again = ask("GET", "/api/v1/jobs/" + id + "/events", "",
                           "Accept: text/event-stream\r\nLast-Event-ID: 2\r\n");
    BOOST_TEST(again.status == 204);

    listen(id);
    BOOST_TEST(heard() == "1 queued, 2 cancelled");
    BOOST_TEST(has_ended());
}

BOOST_AUTO_TEST_CASE(a_silent_stream_shows_that_it_lives)
{
    listen(submit());
    heard();
    advance(14s);
    BOOST_TEST(heard().empty());
    BOOST_TEST(text.empty());
    for (int i = 0; i < 3; ++i)
        advance(1s);
    heard();
    BOOST_TEST(has(text, ": still here\n\n"));
}

BOOST_AUTO_TEST_CASE(a_job_that_is_deleted_ends_the_stream)
{
    const auto id = submit();
    listen(id);
    heard();
    ask("POST", "/purge-queue");

    BOOST_TEST(heard() == "1 deleted");
    BOOST_TEST(has_ended());
}

BOOST_AUTO_TEST_CASE(a_gateway_that_stops_and_a_client_that_goes_end_the_stream)
{
    const auto id = submit();
    listen(id);
    heard();
    stream->ends();
    advance(2s);
    BOOST_TEST(server->counters().active == 0U);

    listen(id);
    heard();
    doors->drain();
    advance(2s);
    heard();
    BOOST_TEST(has_ended());
}

BOOST_AUTO_TEST_CASE(a_journal_that_cannot_be_read_ends_the_stream_for_the_client_to_come_back)
{
    const auto id = submit();
    listen(id);
    heard();
    journal.fail_next_read(store::journal_errc::io);
    ask("POST", "/cancel/" + id);
    heard();

    BOOST_TEST(has_ended());

    BOOST_TEST(server->counters().active == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
