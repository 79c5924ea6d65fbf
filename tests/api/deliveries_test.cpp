#include "support/front.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

constexpr auto body = R"({"input":{"prompt":"a cat"},"webhook":"https://app.test/h?token=secret"})";

struct telling : test::front {
    telling() { kept_as = "deliveries"; }
    // A job with a webhook; its public id.
    std::string submit_for()
    {
        const auto answer = ask("POST", "/run", body);
        BOOST_REQUIRE_EQUAL(answer.status, 200);
        return answer.body.substr(7, answer.body.find('"', 7) - 7);
    }
    test::reply look(const std::string& id)
    {
        return ask("GET", "/api/v1/jobs/" + id + "/webhook");
    }
    test::reply again(const std::string& id)
    {
        return ask("POST", "/api/v1/jobs/" + id + "/webhook:redeliver");
    }
    core::message_id tried(core::delivery_state state)
    {
        store::record_try row;
        row.id = {1, 1};
        row.state = state;
        row.tries = 1;
        row.next = time.wall() + 10s;
        row.tried = {time.wall(), std::chrono::milliseconds(12), 503, "answered 503"};
        start(keep(*jobs, row));
        settle();
        return row.id;
    }
    static net::task<> keep(jobs::jobs& all, store::record_try row)
    {
        const auto ec = co_await all.outbox().tried(std::move(row));
        BOOST_TEST(!ec);
    }
};

bool has(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(deliveries_, telling)

BOOST_AUTO_TEST_CASE(the_log_of_a_jobs_webhook_can_be_read)
{
    const auto id = submit_for();
    BOOST_TEST(look(id).body == R"({"job_id":")" + id + R"(","messages":[]})");
    end(begin(), core::outcome::rejected, "no");
    tried(core::delivery_state::pending);
    const auto answer = look(id);

    BOOST_TEST(answer.status == 200);
    BOOST_TEST(has(answer.body, R"({"id":")" + id + R"(-1","job_status":"FAILED","next_try_at":")"),
               answer.body);
    BOOST_TEST(has(answer.body, R"("error":"answered 503","status":503,"took_ms":12}])"),
               answer.body);
    BOOST_TEST(has(answer.body, R"("url":"https://app.test/h")"), answer.body);
    BOOST_TEST(!has(answer.body, "secret"), answer.body);
}

BOOST_AUTO_TEST_CASE(a_message_can_be_delivered_again)
{
    const auto id = submit_for();
    end(begin(), core::outcome::rejected, "no");
    tried(core::delivery_state::given_up);
    BOOST_TEST(has(look(id).body, R"("state":"given_up")"));
    const auto answer = again(id);

    BOOST_TEST(answer.status == 202);
    BOOST_TEST(answer.body == R"({"id":")" + id + R"(-1","state":"pending"})");
    BOOST_TEST(has(look(id).body, R"("state":"pending")"));
}

BOOST_AUTO_TEST_CASE(what_there_is_not_cannot_be_delivered_again)
{
    const auto silent = submit();
    const auto waiting = submit_for();
    for (const auto& id : {silent, waiting}) {
        const auto answer = again(id);
        BOOST_TEST(answer.status == 409);
        BOOST_TEST(answer.header("content-type") == "application/problem+json");
        BOOST_TEST(has(answer.body, "there is nothing to deliver"), answer.body);
    }
}

BOOST_AUTO_TEST_CASE(a_job_that_one_may_not_see_has_no_webhook)
{
    for (const char* id : {"local_test", "f81d4fae-7dec-4d0f-a765-00a0c91e6bf6-u1"}) {
        BOOST_TEST(look(id).status == 404);
        BOOST_TEST(again(id).status == 404);
    }
}

BOOST_AUTO_TEST_CASE(a_journal_that_does_not_work_is_said_so)
{
    const auto id = submit_for();
    end(begin(), core::outcome::rejected, "no");
    journal.fail_next_read(store::journal_errc::io);
    BOOST_TEST(look(id).status == 503);
    journal.fail_next_read(store::journal_errc::io);
    BOOST_TEST(again(id).status == 503);
}

BOOST_AUTO_TEST_SUITE_END()
