#include "proto/webhook.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::proto;
using namespace std::chrono_literals;

namespace {

std::string header(webhook_signer& s, std::string_view name)
{
    for (const auto& [key, value] : s.headers()) {
        if (key == name)
            return value;
    }
    return {};
}

wall_time at(std::int64_t ms) { return wall_time(wall_duration(ms)); }

} // namespace

BOOST_AUTO_TEST_SUITE(webhook_)

// The example that the libraries of Standard Webhooks test themselves with.
BOOST_AUTO_TEST_CASE(the_published_example_is_signed_as_published)
{
    webhook_signer s({"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "msg_p5jXN8AQM9LWM0D4loKWxJek",
                     1'614'265'330s);
    s.add(R"({"test": 2432232314})");

    BOOST_TEST(s.signs());
    BOOST_TEST(header(s, "webhook-signature") == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

BOOST_AUTO_TEST_CASE(a_body_may_come_in_pieces_and_every_secret_signs)
{
    webhook_signer s({"whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
                      "whsec_a2tra2tra2tra2tra2tra2tra2tra2tr"},
                     "job-1-u1-1", 1'700'000'000s);
    for (const auto* piece : {R"({"id)", "", R"(":"x"})"})
        s.add(piece);

    const auto all = s.headers();
    BOOST_REQUIRE(all.size() == 3u);
    BOOST_TEST(all[0].first == "webhook-id");
    BOOST_TEST(all[0].second == "job-1-u1-1");
    BOOST_TEST(all[1].first == "webhook-timestamp");
    BOOST_TEST(all[1].second == "1700000000");
    BOOST_TEST(all[2].second == "v1,Y88NRN0hk8sIRQZGcErmHeE9n2uFachYjuVQvu06HLk= "
                                "v1,moXvgtODxx8FLmOX8pldfJ8vA3CmdpUUe7k1f5L/pqU=");
}

BOOST_AUTO_TEST_CASE(without_a_secret_there_is_an_id_and_no_signature)
{
    webhook_signer s({}, "m", 5s);
    s.add("x");

    BOOST_TEST(!s.signs());
    BOOST_TEST(s.headers().size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_secret_is_whsec_and_base64_of_24_to_64_bytes)
{
    BOOST_TEST(webhook_key("whsec_a2tra2tra2tra2tra2tra2tra2tra2tr").value() ==
               std::string(24, 'k'));
    for (const auto* wrong :
         {"", "whsec_", "a2tra2tra2tra2tra2tra2tra2tra2tr", "whsec_a2tra2tra2tra2tra2tra2tra2tra2s",
          "whsec_a2tra2tra2tra2tra2tra2tra2tra2t!", "WHSEC_a2tra2tra2tra2tra2tra2tra2tra2tr"})
        BOOST_TEST(!webhook_key(wrong).has_value(), wrong);
    BOOST_CHECK_THROW(webhook_signer({"whsec_short"}, "m", 5s), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(the_log_of_deliveries_tells_what_was_tried_and_what_comes_next)
{
    webhook_message sent;
    sent.id = webhook_id("f81d-u1", 1);
    sent.told = core::job_state::failed;
    sent.state = core::delivery_state::delivered;
    sent.opened = at(1'700'000'000'000);
    sent.tried = {{at(1'700'000'000'005), 12ms, 503, "answered 503"},
                  {at(1'700'000'010'005), 7ms, 200, ""}};
    webhook_message waiting;
    waiting.id = webhook_id("f81d-u1", 2);
    waiting.opened = waiting.next = at(1'700'000'100'000);

    BOOST_TEST(
        webhook_log_body("f81d-u1", "https://app.test/hook?token=secret", {sent, waiting}) ==
        R"({"job_id":"f81d-u1","messages":[{"id":"f81d-u1-1","job_status":"FAILED",)"
        R"("opened_at":"2023-11-14T22:13:20.000Z","state":"delivered","tries":[)"
        R"({"at":"2023-11-14T22:13:20.005Z","error":"answered 503","status":503,"took_ms":12},)"
        R"({"at":"2023-11-14T22:13:30.005Z","status":200,"took_ms":7}]},)"
        R"({"id":"f81d-u1-2","job_status":"COMPLETED","next_try_at":"2023-11-14T22:15:00.000Z",)"
        R"("opened_at":"2023-11-14T22:15:00.000Z","state":"pending","tries":[]}],)"
        R"("url":"https://app.test/hook"})");
    BOOST_TEST(webhook_log_body("x", "", {}) == R"({"job_id":"x","messages":[]})");
    BOOST_TEST(redelivery_body("x-1") == R"({"id":"x-1","state":"pending"})");
}

BOOST_AUTO_TEST_SUITE_END()
