#include "api/batch_body.hpp"

#include "support/front.hpp"

#include <boost/asio/error.hpp>
#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace std::chrono_literals;
using store::journal_errc;

namespace {

std::string job(std::string_view prompt, std::string_view more = {})
{
    return R"({"input":{"prompt":")" + std::string(prompt) + R"("})" + std::string(more) + "}\n";
}

struct batch : test::front {
    explicit batch(const std::function<void(config::settings&)>& change = nullptr) : front(change)
    {
        kept_as = "batch_body";
    }

    std::vector<std::string> lines(const std::string& body)
    {
        BOOST_TEST((body.empty() || body.ends_with('\n')));
        std::vector<std::string> all;
        for (std::size_t at = 0; at < body.size();) {
            const auto end = body.find('\n', at);
            all.push_back(body.substr(at, end - at));
            at = end + 1;
        }
        return all;
    }
    std::vector<std::string> post(std::string body, std::string_view headers = {})
    {
        const auto answer = ask("POST", "/api/v1/jobs:batch", body, headers);
        BOOST_TEST(answer.status == 200);
        BOOST_TEST(answer.header("content-type") == "application/x-ndjson");
        return lines(answer.body);
    }
    // A request whose body follows with says().
    void open()
    {
        peer = send("POST /api/v1/jobs:batch HTTP/1.1\r\nHost: localhost\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n");
        hears();
    }
    void says(std::string_view text)
    {
        std::array<char, 20> size{};
        std::snprintf(size.data(), size.size(), "%zx\r\n", text.size());
        peer->arrives(std::string(size.data()) + std::string(text) + "\r\n");
        advance(0s);
    }
    std::string hears()
    {
        advance(0s);
        return peer->take_written();
    }
    bool is_job(const std::string& line, int number)
    {
        const auto start = "{\"line\":" + std::to_string(number) + ",\"id\":\"";
        return line.starts_with(start);
    }

    std::shared_ptr<test::scripted_stream> peer;
};

struct small : batch {
    small()
        : batch([](config::settings& s) {
              s.jobs.max_queued = 2;
              s.jobs.run_body_limit = config::kib;
          })
    {
    }
};

bool has(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(batch_body_, batch)

BOOST_AUTO_TEST_CASE(every_line_is_answered_in_order)
{
    const auto got = post(job("1") + job("2") + "\r\n  \n" + job("3"));

    BOOST_REQUIRE(got.size() == 3U);
    BOOST_TEST(is_job(got[0], 1));
    BOOST_TEST(is_job(got[1], 2));
    BOOST_TEST(is_job(got[2], 5)); // empty lines are counted
    BOOST_TEST(jobs->waiting() == 3U);
    BOOST_TEST(begin().input == R"({"prompt":"1"})");
    BOOST_TEST(jobs->numbers().submitted[2] == 3U);
}

BOOST_AUTO_TEST_CASE(no_lines_are_no_answer)
{
    BOOST_TEST(post("").empty());
    BOOST_TEST(post("\n\n").empty());
}

BOOST_AUTO_TEST_CASE(the_last_line_needs_no_line_break)
{
    auto text = job("1");
    text.pop_back();

    BOOST_TEST(post(text).size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_bad_line_says_so_and_the_next_ones_go_on)
{
    const auto got = post(job("1") + "{\n" + R"({"input":7,"webhook":"x"})" + "\n" + job("2") +
                          job("3", R"(,"idempotency_key":7)"));

    BOOST_REQUIRE(got.size() == 5U);
    BOOST_TEST(is_job(got[0], 1));
    BOOST_TEST(got[1].starts_with(R"({"line":2,"code":"malformed_json","error":"not JSON: )"));
    BOOST_TEST(has(got[1], R"("status":400,"retryable":false})"));
    BOOST_TEST(
        got[2].starts_with(R"({"line":3,"code":"invalid_request","error":"input: found the)"));
    BOOST_TEST(has(got[2], R"("errors":["input: )"));
    BOOST_TEST(is_job(got[3], 4));
    BOOST_TEST(has(got[4], "idempotency_key: found the number 7; a text is wanted"));
}

BOOST_AUTO_TEST_CASE(lines_may_bring_keys)
{
    const auto with = [](std::string_view prompt, std::string_view key) {
        return job(prompt, R"(,"idempotency_key":")" + std::string(key) + "\"");
    };
    const auto got = post(with("1", "a") + with("1", "a") + with("2", "a"));
    BOOST_REQUIRE(got.size() == 3U);
    const auto id = got[0].substr(got[0].find("\"id\""));
    BOOST_TEST(got[1] == "{\"line\":2," + id.substr(0, id.size() - 1) + ",\"replayed\":true}");
    BOOST_TEST(has(got[2], "\"code\":\"idempotency_reused\""));

    // The same key and content through another door, and again after a restart.
    restart();
    const auto run = ask("POST", "/run", R"({"input":{"prompt":"1"}})", "Idempotency-Key: a\r\n");
    BOOST_TEST(has(run.body, id.substr(0, id.size() - 1)));
    BOOST_TEST(jobs->waiting() == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_full_queue_is_told_line_by_line, small)
{
    const auto got = post(job("1") + job("2") + job("3"));

    BOOST_REQUIRE(got.size() == 3U);
    BOOST_TEST(got[2].starts_with(R"({"line":3,"code":"queue_full")"));
    BOOST_TEST(has(got[2], R"("status":429,"retryable":true,"retry_after":5})"));
    BOOST_TEST(jobs->waiting() == 2U);
}

BOOST_FIXTURE_TEST_CASE(a_line_that_is_too_long_is_passed_over, small)
{
    const auto got = post(job("1") + job(std::string(100'000, 'x')) + job("2"));

    BOOST_REQUIRE(got.size() == 3U);
    BOOST_TEST(is_job(got[0], 1));
    BOOST_TEST(got[1].starts_with(R"({"line":2,"code":"body_too_large")"));
    BOOST_TEST(has(got[1], R"("status":413)"));
    BOOST_TEST(is_job(got[2], 3));
}

BOOST_AUTO_TEST_CASE(a_line_is_answered_once_its_job_is_durable_and_not_before)
{
    open();
    journal.hold();
    says(job("1"));
    BOOST_TEST(hears().empty());
    BOOST_TEST(journal.rows().empty());
    journal.release();
    BOOST_TEST(has(hears(), "{\"line\":1,\"id\":"));
    BOOST_TEST(journal.rows().size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_client_may_wait_for_each_answer)
{
    open();
    for (int i = 1; i < 5; ++i) {
        const auto text = job(std::to_string(i));
        says(text.substr(0, 10));
        BOOST_TEST(hears().empty());
        says(text.substr(10));
        BOOST_TEST(has(hears(), "{\"line\":" + std::to_string(i) + ",\"id\":"));
    }
    peer->arrives("0\r\n\r\n");
    BOOST_TEST(hears() == "0\r\n\r\n");
}

BOOST_AUTO_TEST_CASE(what_arrives_together_is_written_together_in_windows)
{
    std::string text;
    for (int i = 0; i < 600; ++i)
        text += job(std::to_string(i));
    const auto before = journal.history().size();
    const auto got = post(text);

    BOOST_TEST(got.size() == 600U);
    BOOST_TEST(jobs->waiting() == 600U);
    const auto writes = journal.history().size() - before;
    BOOST_TEST(writes >= 3U);
    BOOST_TEST(writes <= 20U);
    for (std::size_t i = 0; i < got.size(); ++i)
        BOOST_REQUIRE(is_job(got[i], static_cast<int>(i) + 1));
}

BOOST_AUTO_TEST_CASE(lines_that_could_not_be_kept_say_so)
{
    open();
    journal.fail_next(journal_errc::full);
    says(job("1") + job("2"));
    const auto got = hears();
    BOOST_TEST(has(got, R"({"line":1,"code":"storage_unavailable")"));
    BOOST_TEST(has(got, R"("line":2,"code":"storage_unavailable")"));
    BOOST_TEST(has(got, R"("retry_after":10})"));
    says(job("3"));
    BOOST_TEST(has(hears(), "{\"line\":3,\"id\":"));
    BOOST_TEST(jobs->waiting() == 1U);
}

BOOST_AUTO_TEST_CASE(a_client_that_goes_keeps_what_was_answered)
{
    open();
    says(job("1") + job("2").substr(0, 20));
    BOOST_TEST(has(hears(), "{\"line\":1,"));
    peer->ends();
    advance(1s);

    BOOST_TEST(jobs->waiting() == 1U); // half a line is no job
    BOOST_TEST(peer->is_closed());
    BOOST_TEST(server->counters().active == 0U);
}

BOOST_AUTO_TEST_CASE(who_does_not_read_is_not_read_from)
{
    open();
    peer->block_writes();
    for (int i = 0; i < 100; ++i)
        says(job(std::to_string(i)));
    BOOST_TEST(jobs->waiting() < 5U);
    peer->unblock_writes();
    advance(1s);

    BOOST_TEST(jobs->waiting() == 100U);
    BOOST_TEST(has(hears(), "{\"line\":100,"));
}

BOOST_AUTO_TEST_CASE(who_never_reads_is_let_go)
{
    open();
    peer->block_writes();
    says(job("1"));
    advance(61s);

    BOOST_TEST(peer->is_closed());
}

BOOST_AUTO_TEST_CASE(a_gateway_that_stops_says_so_and_ends)
{
    open();
    says(job("1"));
    hears();
    doors->drain();
    jobs->stop_intake();
    says(job("2"));
    const auto last = hears();
    BOOST_TEST(has(last, R"({"line":2,"code":"draining")"));
    BOOST_TEST(last.ends_with("0\r\n\r\n"));
    says(job("3"));
    BOOST_TEST(jobs->waiting() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
