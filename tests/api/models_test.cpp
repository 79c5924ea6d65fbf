#include "support/contract_log.hpp"
#include "support/front.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::test;
using namespace std::chrono_literals;
using core::model_kind;
using answer = core::library_port::answer;

namespace {

struct door : front {
    door() { kept_as = "models"; }
    bool says(const reply& r, std::string_view text) const
    {
        return r.body.find(text) != std::string::npos;
    }
    // What an open stream of events has brought so far.
    std::string heard(scripted_stream& connection)
    {
        settle();
        return connection.take_written();
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(models_, door)

BOOST_AUTO_TEST_CASE(the_list_can_be_narrowed_and_paged)
{
    library.add(model_kind::checkpoint, "dream");
    library.add(model_kind::lora, "style", "failed").reason = "404";
    const auto all = ask("GET", "/api/v1/models");
    BOOST_TEST(all.status == 200);
    BOOST_TEST(says(all, R"("name":"dream")"));
    BOOST_TEST(says(all, R"("error":"404")"));
    BOOST_TEST(!says(ask("GET", "/api/v1/models?kind=lora"), "dream"));
    BOOST_TEST(!says(ask("GET", "/api/v1/models?state=present"), "style"));

    const auto first = ask("GET", "/api/v1/models?limit=1");
    BOOST_TEST(says(first, R"("next_cursor":"checkpoint/dream")"));
    BOOST_TEST(says(ask("GET", "/api/v1/models?limit=1&cursor=checkpoint%2Fdream"), "style"));
}

BOOST_AUTO_TEST_CASE(a_list_that_makes_no_sense_is_refused)
{
    for (const auto* query : {"kind=movie", "limit=0", "limit=1001", "limit=ten", "limit="}) {
        const auto no = ask("GET", std::string("/api/v1/models?") + query);
        BOOST_TEST_INFO(query);
        BOOST_TEST(no.status == 422);
        BOOST_TEST(no.header("content-type") == "application/problem+json");
    }
}

BOOST_AUTO_TEST_CASE(one_model_is_found_by_kind_and_name)
{
    library.add(model_kind::lora, "my style (v2)");
    BOOST_TEST(ask("GET", "/api/v1/models/lora/my%20style%20(v2)").status == 200);
    BOOST_TEST(ask("GET", "/api/v1/models/checkpoint/my%20style%20(v2)").status == 404);
    const auto none = ask("GET", "/api/v1/models/lora/other");
    BOOST_TEST(none.status == 404);
    BOOST_TEST(says(none, R"("code":"model_not_found")"));
    BOOST_TEST(ask("GET", "/api/v1/models/movie/other").status == 404);
}

BOOST_AUTO_TEST_CASE(a_pull_is_accepted_and_says_where_to_follow_it)
{
    const auto yes = ask("POST", "/api/v1/models",
                         R"({"kind":"lora","name":"my style","url":"https://files.test/s"})");
    BOOST_TEST(yes.status == 202);
    BOOST_TEST(yes.header("location") == "/api/v1/models/lora/my%20style");
    BOOST_TEST(says(yes, R"("state":"queued")"));
    BOOST_TEST(library.pulled.url == "https://files.test/s");

    BOOST_TEST(ask("POST", "/api/v1/models", "{").status == 400);
    BOOST_TEST(ask("POST", "/api/v1/models", R"({"name":"x"})").status == 422);
    library.refusal = {answer::refused, "it is there with another content"};
    const auto no = ask("POST", "/api/v1/models", R"({"name":"x","url":"https://files.test/x"})");
    BOOST_TEST(no.status == 409);
    BOOST_TEST(says(no, "another content"));
}

BOOST_AUTO_TEST_CASE(a_model_is_deleted_or_it_is_said_why_not)
{
    library.add(model_kind::lora, "style");
    library.refusal = {answer::refused, "a job needs it"};
    const auto no = ask("DELETE", "/api/v1/models/lora/style");
    BOOST_TEST(no.status == 409);
    BOOST_TEST(says(no, "a job needs it"));

    const auto gone = ask("DELETE", "/api/v1/models/lora/style");
    BOOST_TEST(gone.status == 204);
    BOOST_TEST(gone.body == "");
    BOOST_TEST(ask("DELETE", "/api/v1/models/lora/style").status == 404);
}

BOOST_AUTO_TEST_CASE(a_deletion_that_takes_long_is_under_way)
{
    library.add(model_kind::lora, "style");
    library.removes_later = true;
    const auto slow = ask("DELETE", "/api/v1/models/lora/style");
    BOOST_TEST(slow.status == 202);
    BOOST_TEST(says(slow, R"("state":"removing")"));
}

BOOST_AUTO_TEST_CASE(a_deletion_that_another_process_forbids_is_a_conflict)
{
    library.add(model_kind::lora, "style");
    library.removes_later = true;
    auto connection = send(http_request("DELETE", "/api/v1/models/lora/style"));
    settle();
    BOOST_TEST(!take_reply(*connection).has_value());
    library.all.front().state = "present";
    library_changes.bump();
    settle();
    const auto no = take_reply(*connection);
    BOOST_REQUIRE(no.has_value());
    BOOST_TEST(no->status == 409);
}

BOOST_AUTO_TEST_CASE(pins_are_set_and_taken_off)
{
    library.add(model_kind::vae, "sharp");
    BOOST_TEST(says(ask("PUT", "/api/v1/models/vae/sharp/pin"), R"("pinned":true)"));
    BOOST_TEST(says(ask("DELETE", "/api/v1/models/vae/sharp/pin"), R"("pinned":false)"));
    BOOST_TEST(ask("PUT", "/api/v1/models/vae/blunt/pin").status == 404);
}

// --- events ---

BOOST_AUTO_TEST_CASE(the_stream_tells_what_is_on_its_way_and_what_changes)
{
    library.add(model_kind::checkpoint, "there");
    library.add(model_kind::lora, "style", "fetching");
    auto connection = send(http_request("GET", "/api/v1/models/events"));
    auto text = heard(*connection);
    BOOST_TEST(text.find("text/event-stream") != std::string::npos);
    BOOST_TEST(text.find("retry: 2000") != std::string::npos);
    BOOST_TEST(text.find("id: 1\nevent: model\ndata: {\"kind\":\"lora\"") != std::string::npos);
    BOOST_TEST(text.find("there") == std::string::npos);

    library.all.back().progress.bytes = 7;
    advance(500ms);
    BOOST_TEST(heard(*connection).find(R"("bytes":7)") != std::string::npos);
    advance(500ms);
    BOOST_TEST(heard(*connection) == "");

    library.all.back().state = "present";
    library_changes.bump();
    BOOST_TEST(heard(*connection).find(R"("state":"present")") != std::string::npos);
    library.all.pop_back();
    library_changes.bump();
    BOOST_TEST(heard(*connection).find("event: gone") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_stream_ends_when_the_gateway_stops)
{
    auto connection = send(http_request("GET", "/api/v1/models/events"));
    settle();
    doors->drain();
    advance(2s);
    const auto got = take_reply(*connection);

    BOOST_REQUIRE(got);
    BOOST_TEST(got->status == 200);
    keep_answer(kept_as, "events", "GET", "/api/v1/models/events", *got);
}

BOOST_AUTO_TEST_CASE(a_quiet_stream_says_that_it_lives)
{
    auto connection = send(http_request("GET", "/api/v1/models/events"));
    heard(*connection);
    for (int i = 0; i < 31; ++i)
        advance(500ms);
    BOOST_TEST(heard(*connection).find(": still here") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_stream_of_one_model_ends_when_it_is_there)
{
    library.add(model_kind::lora, "style", "fetching");
    auto connection = send(http_request("GET", "/api/v1/models/events?kind=lora&name=style"));
    heard(*connection);
    library.all.back().state = "present";
    library_changes.bump();
    const auto text = heard(*connection);
    BOOST_TEST(text.find(R"("state":"present")") != std::string::npos);
    BOOST_TEST(text.ends_with("0\r\n\r\n"));
}

BOOST_AUTO_TEST_CASE(streams_end_when_the_gateway_stops)
{
    auto connection = send(http_request("GET", "/api/v1/models/events"));
    heard(*connection);
    doors->drain();
    advance(500ms);
    BOOST_TEST(heard(*connection).ends_with("0\r\n\r\n"));
}

BOOST_AUTO_TEST_SUITE_END()
