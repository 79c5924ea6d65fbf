// How the job doors behave in time: what they hold and for how long, what a client that goes away
// costs, what is written before an answer leaves. Bodies are contract_test's.

#include "support/front.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

struct door : test::front {
    door() { journal.set_delay(50ms); }

    duration time_of(std::string_view method, std::string_view target, std::string_view body = {})
    {
        const auto begun = time.now();
        last = ask(method, target, body);
        return time.now() - begun;
    }
    std::shared_ptr<test::scripted_stream> hold(std::string_view method, const std::string& target)
    {
        return send(test::http_request(method, target));
    }
    bool held(test::scripted_stream& connection) { return connection.written().empty(); }

    test::reply last;
};

bool has(const test::reply& r, std::string_view text)
{
    return r.body.find(text) != std::string::npos;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(runpod_, door)

BOOST_AUTO_TEST_CASE(the_answer_leaves_after_the_commit_and_not_before)
{
    const auto connection =
        send(test::http_request("POST", "/run", R"({"input":{"prompt":"a cat"}})"));
    advance(49ms);
    BOOST_TEST(held(*connection));
    BOOST_TEST(journal.rows().empty());

    advance(1ms);

    BOOST_TEST(journal.rows().size() == 1U);
    const auto answer = take_reply(*connection);
    BOOST_REQUIRE(answer);
    BOOST_TEST(answer->status == 200);
}

// --- holding ---

BOOST_AUTO_TEST_CASE(status_sync_holds_until_the_job_has_ended)
{
    const auto id = submit();
    const auto connection = hold("GET", "/status-sync/" + id);
    const auto lease = begin();
    report(lease, 0.5, core::progress_phase::sampling);
    advance(30s);
    BOOST_TEST(held(*connection));

    complete(lease, R"({"images":[]})");

    const auto answer = take_reply(*connection);
    BOOST_REQUIRE(answer);
    BOOST_TEST(has(*answer, "\"COMPLETED\""));
}

BOOST_AUTO_TEST_CASE(nothing_is_held_longer_than_its_wait)
{
    const auto id = submit();

    BOOST_TEST((time_of("GET", "/status-sync/" + id) == 90s));
    BOOST_TEST((time_of("GET", "/status-sync/" + id + "?wait=5000") == 5s));
    BOOST_TEST((time_of("POST", "/status-sync/" + id + "?wait=300000") == 300s));
    BOOST_TEST((time_of("GET", "/stream/" + id + "?wait=20000") == 20s));
    const auto runsync = time_of("POST", "/runsync", R"({"input":{}})");
    BOOST_TEST((runsync >= 90s && runsync <= 90s + 50ms));
}

BOOST_AUTO_TEST_CASE(a_stream_without_a_wait_is_answered_before_pythons_client_gives_up)
{
    const auto id = submit();

    BOOST_TEST((time_of("GET", "/stream/" + id) == 8s));
}

BOOST_AUTO_TEST_CASE(a_stream_is_answered_as_soon_as_there_is_something_to_tell)
{
    const auto id = submit();
    const auto connection = hold("GET", "/stream/" + id);
    const auto lease = begin();
    advance(1s);
    BOOST_TEST(held(*connection));

    report(lease, 0.5, core::progress_phase::sampling);

    const auto answer = take_reply(*connection);
    BOOST_REQUIRE(answer);
    BOOST_TEST(has(*answer, "0.5"));
}

BOOST_AUTO_TEST_CASE(nobody_is_held_for_once_its_client_is_gone)
{
    const auto id = submit();
    const auto a = hold("GET", "/status-sync/" + id);
    const auto b = hold("GET", "/stream/" + id + "?wait=300000");
    advance(5s);
    BOOST_TEST(server->counters().active == 2U);

    a->ends();
    b->ends();
    advance(1s);

    BOOST_TEST(server->counters().active == 0U);
}

BOOST_AUTO_TEST_CASE(a_job_that_is_purged_while_it_is_held_for_is_not_found)
{
    const auto id = submit();
    const auto a = hold("GET", "/status-sync/" + id);
    const auto b = hold("GET", "/stream/" + id);

    ask("POST", "/purge-queue");

    for (const auto& connection : {a, b}) {
        const auto answer = take_reply(*connection);
        BOOST_REQUIRE(answer);
        BOOST_TEST(answer->status == 404);
    }
}

BOOST_AUTO_TEST_CASE(draining_sends_every_held_answer_within_a_second)
{
    const auto id = submit();
    const auto a = hold("GET", "/status-sync/" + id);
    const auto b = hold("GET", "/stream/" + id);

    doors->drain();
    advance(1s);

    BOOST_TEST(take_reply(*a).has_value());
    BOOST_TEST(take_reply(*b).has_value());
    BOOST_TEST((time_of("GET", "/status-sync/" + id) == 0s));
}

// --- the stream's cursor ---

BOOST_AUTO_TEST_CASE(what_could_not_be_sent_is_sent_again)
{
    const auto id = submit();
    report(begin(), 0.5, core::progress_phase::sampling);
    const auto broken = std::make_shared<test::scripted_stream>(ex());
    broken->fail_write_at(0, net::asio::error::connection_reset);
    broken->arrives(test::http_request("GET", "/stream/" + id));
    start(server->serve(broken, "client"));
    settle();

    BOOST_TEST(has(ask("GET", "/stream/" + id), "0.5"));
    BOOST_TEST(has(ask("GET", "/stream/" + id), "\"stream\":[]"));
}

BOOST_AUTO_TEST_CASE(what_happens_after_a_client_has_left_is_kept_for_the_next)
{
    const auto id = submit();
    const auto lease = begin();
    const auto connection = hold("GET", "/stream/" + id);
    connection->ends();
    report(lease, 0.5, core::progress_phase::sampling);

    BOOST_TEST(has(ask("GET", "/stream/" + id), "0.5"));
}

BOOST_AUTO_TEST_CASE(what_is_reported_while_an_answer_is_being_sent_comes_with_the_next)
{
    const auto id = submit();
    const auto lease = begin();
    const auto connection = hold("GET", "/stream/" + id);
    connection->block_writes();
    report(lease, 0.25, core::progress_phase::sampling);
    report(lease, 0.5, core::progress_phase::sampling);
    connection->unblock_writes();
    settle();

    const auto first = take_reply(*connection);
    BOOST_REQUIRE(first);
    BOOST_TEST(has(*first, "0.25"));
    BOOST_TEST(!has(*first, "0.5"));
    const auto second = ask("GET", "/stream/" + id);
    BOOST_TEST(!has(second, "0.25"));
    BOOST_TEST(has(second, "0.5"));
}

// --- cancelling ---

BOOST_AUTO_TEST_CASE(a_cancel_is_answered_before_clients_give_up)
{
    const auto id = submit();
    const auto lease = begin();

    const auto took = time_of("POST", "/cancel/" + id);

    BOOST_TEST((took == 2s));
    BOOST_TEST(has(last, "\"IN_PROGRESS\""));
    end(lease, core::outcome::cancelled, "");
    advance(50ms);
    BOOST_TEST(has(ask("GET", "/status/" + id), "\"CANCELLED\""));
}

// --- results ---

BOOST_AUTO_TEST_CASE(a_large_result_is_streamed_byte_for_byte)
{
    const auto id = submit();
    std::string picture(300'000, 'A');
    for (std::size_t i = 0; i < picture.size(); ++i)
        picture[i] = static_cast<char>('a' + i % 26);
    complete(begin(), R"({"images":[")" + picture + R"("]})", R"(,"cache_info":{})");

    const auto answer = ask("GET", "/status/" + id);

    BOOST_TEST(
        has(answer, R"("output":{"images":[")" + picture + R"("],"cache_info":{}},"status":)"));
    BOOST_TEST(answer.header("content-length") == std::to_string(answer.body.size()));
}

BOOST_AUTO_TEST_CASE(a_result_that_cannot_be_read_to_its_end_cuts_the_connection)
{
    const auto id = submit();
    complete(begin(), R"({"images":[")" + std::string(300'000, 'A') + R"("]})");
    files.fail(test::fault_files::call::read, 2, EIO);

    const auto connection = hold("GET", "/status/" + id);

    BOOST_TEST(connection->is_closed());
    BOOST_TEST(connection->written().size() < 300'000U);
}

BOOST_AUTO_TEST_CASE(a_ttl_shortens_how_long_a_result_is_kept)
{
    const auto id = submit();
    net::task_group house(ex());
    house.spawn(jobs->keep_house());
    complete(begin(), R"({"images":[]})");

    BOOST_TEST(ask("GET", "/status/" + id + "?ttl=6000").status == 200);
    advance(5s);
    BOOST_TEST(ask("GET", "/status/" + id).status == 200);
    advance(2s);
    advance(50ms);
    BOOST_TEST(ask("GET", "/status/" + id).status == 404);
    house.cancel();
    run(house.join());
}

// --- large requests ---

BOOST_AUTO_TEST_CASE(a_large_request_is_read_beside_the_loop)
{
    const std::string prompt(40'000, 'x');

    const auto id = submit(R"({"prompt":")" + prompt + R"("})");

    BOOST_TEST(has(ask("GET", "/status/" + id), "IN_QUEUE"));
    BOOST_TEST(journal.rows().begin()->second.input.find(prompt) != std::string::npos);
    const auto bad = ask("POST", "/run", R"({"input":{"prompt":7,"x":")" + prompt + R"("}})");
    BOOST_TEST(bad.status == 400);
}

BOOST_AUTO_TEST_CASE(a_client_may_name_its_request)
{
    const auto named = ask("GET", "/livez", {}, "X-Request-ID: my-job-1\r\n");
    const auto unprintable = ask("GET", "/livez", {}, "X-Request-ID: a b\r\n");
    const auto long_one =
        ask("GET", "/livez", {}, "X-Request-ID: " + std::string(129, 'x') + "\r\n");

    BOOST_TEST(named.header("x-request-id") == "my-job-1");
    BOOST_TEST(unprintable.header("x-request-id").substr(0, 4) == "req_");
    BOOST_TEST(long_one.header("x-request-id").substr(0, 4) == "req_");
}

BOOST_AUTO_TEST_SUITE_END()
