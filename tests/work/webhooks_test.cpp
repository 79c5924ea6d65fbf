// Webhooks over a network in memory: what a receiver gets, and what becomes of it when the
// receiver, the disk, or the gateway fails.

#include "work/webhooks.hpp"

#include "proto/webhook.hpp"
#include "support/fake_net.hpp"
#include "support/jobs_world.hpp"

#include <boost/test/unit_test.hpp>

#include <filesystem>

using namespace gateway;
using namespace gateway::test;
using namespace std::chrono_literals;
using core::delivery_state;
using core::outcome;

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::delivery_state)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::job_state)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::verdict)

namespace {

const std::string app = "http://app.test";
const std::string other = "https://other.test";

template <class T> net::task<> keep(net::task<T> from, std::optional<T>& into)
{
    auto value = co_await std::move(from);
    into.emplace(std::move(value));
}

net::task<bool> drained(work::webhooks& hooks, steady_time until)
{
    co_await hooks.drain(until);
    co_return true;
}

struct telling : jobs_world {
    telling()
    {
        options.limits.schedule = {0s, 10s, 20s};
        options.limits.jitter = 0;
        options.limits.at_once_per_host = 2;
        options.limits.breaker_after = 3;
        options.timeout = 15s;
        answer_with(app, answer(200, ""));
        answer_with(other, answer(204, ""));
        begin();
    }
    ~telling() { stop(); }

    void begin()
    {
        work::webhooks::parts uses{
            jobs->outbox(),
            http,
            *spool,
            time,
            disk,
            [] { return 0.0; },
            [](const core::job& j) { return "job-" + std::to_string(j.key); }};
        hooks.emplace(ex(), std::move(uses), options);
        running.emplace(ex());
        running->spawn(hooks->run());
        running->spawn(jobs->keep_house());
        settle();
    }
    void stop()
    {
        if (!running)
            return;
        world::cancel(*running);
        BOOST_REQUIRE(run_until([this] { return running->size() == 0; }, 5min));
        running.reset();
        hooks.reset();
    }
    // As a kill would: what is durable is all that is left.
    void crash()
    {
        auto durable = journal->crashed();
        stop();
        let_commits_pass();
        restart_with(std::move(durable));
        begin();
    }
    void restart_with(std::unique_ptr<test_journal> durable)
    {
        journal->release();
        std::swap(journal, durable);
        restart();
    }

    void answer_with(const std::string& origin, answer what)
    {
        wires.at(origin).on_request([what](const heard&) { return what; });
    }
    core::job submit_for(std::string url = app + "/hook?t=1")
    {
        auto s = a_job();
        s.webhook = std::move(url);
        return submit(std::move(s));
    }
    core::job completed(std::string url = app + "/hook?t=1",
                        std::string result = R"({"images":[]})")
    {
        const auto job = submit_for(std::move(url));
        BOOST_TEST(complete(*lease(), std::move(result)) == core::verdict::done);
        return job;
    }
    const std::vector<heard>& got(const std::string& origin = app)
    {
        return wires.at(origin).requests();
    }
    store::message_record message(const core::job& of, std::uint32_t number = 1)
    {
        let_commits_pass();
        return journal->rows().at(of.key).messages.at(number).record;
    }
    // Lets time pass from event to event until the message is not pending any more.
    void settle_message(const core::job& of, duration limit = 10min)
    {
        const auto is_settled = [&] { return message(of).state != delivery_state::pending; };
        BOOST_TEST(run_until(is_settled, limit));
    }
    void pass(duration d)
    {
        const auto end = time.now() + d;
        run_until([] { return false; }, d);
        if (time.now() < end)
            advance(end - time.now());
    }
    template <class T> T get(net::task<T> work)
    {
        std::optional<T> value;
        start(keep(std::move(work), value));
        run_until([&] { return value.has_value(); }, 1min);
        return std::move(value.value());
    }
    std::size_t spooled() const
    {
        std::size_t n = 0;
        for (const auto& entry : std::filesystem::directory_iterator(folder.path() / "spool"))
            n += entry.is_regular_file();
        return n;
    }

    net::deadline_wheel wheel{ex(), time};
    fake_net wires{*this};
    net::client http{wires, time, wheel};
    work::webhooks::options options;
    std::optional<work::webhooks> hooks;
    std::optional<net::task_group> running;
};

bool has(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(webhooks_, telling)

BOOST_AUTO_TEST_CASE(a_completed_job_is_told_in_runpods_words)
{
    const auto job = completed();

    BOOST_REQUIRE_EQUAL(got().size(), 1u);
    const auto& r = got()[0];
    BOOST_TEST(r.method == "POST");
    BOOST_TEST(r.target == "/hook?t=1");
    BOOST_TEST(r.header("content-type") == "application/json");
    BOOST_TEST(r.header("webhook-id") == "job-1-1");
    BOOST_TEST(std::stoll(r.header("webhook-timestamp")) >= 1'700'000'000);
    BOOST_TEST(r.header("webhook-signature").empty());
    BOOST_TEST(has(r.header("user-agent"), "webui-gateway/"));
    BOOST_TEST(has(r.body, R"("id":"job-1","input":{"prompt":"a cat"},"output":{"images":[]})"),
               r.body);
    BOOST_TEST(has(r.body, R"("status":"COMPLETED","webhook":"http://app.test/hook?t=1")"), r.body);
    const auto m = message(job);
    BOOST_TEST(m.state == delivery_state::delivered);
    BOOST_REQUIRE_EQUAL(m.tried.size(), 1u);
    BOOST_TEST(m.tried[0].status == 200);
    BOOST_TEST(m.tried[0].error == "");
    BOOST_TEST(hooks->counts().delivered == 1u);
    BOOST_TEST(hooks->counts().pending == 0u);
}

BOOST_AUTO_TEST_CASE(every_end_of_a_job_is_told)
{
    submit_for();
    end(*lease(), outcome::rejected, "no such sampler");
    const auto cancelled = submit_for();
    cancel(cancelled);
    const auto hopeless = submit_for();
    get(jobs->fail_waiting(hopeless.key, "its model cannot be had"));
    completed("https://other.test/");
    submit(); // has no webhook
    end(*lease(), outcome::rejected, "no");
    pass(1s);

    BOOST_REQUIRE_EQUAL(got().size(), 3u);
    BOOST_TEST(has(got()[0].body, R"("error":"no such sampler")"), got()[0].body);
    BOOST_TEST(has(got()[0].body, R"("status":"FAILED")"), got()[0].body);
    BOOST_TEST(has(got()[1].body, R"("id":"job-2")"), got()[1].body);
    BOOST_TEST(has(got()[1].body, R"("status":"CANCELLED")"), got()[1].body);
    BOOST_TEST(has(got()[2].body, R"("error":"its model cannot be had")"), got()[2].body);
    BOOST_TEST(got(other).size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_job_that_is_put_aside_at_the_start_is_told_too)
{
    limits.retry.max_crashes = 1;
    crash();
    submit_for();
    BOOST_REQUIRE(lease().has_value());
    crash();
    pass(1s);

    BOOST_REQUIRE_EQUAL(got().size(), 1u);
    BOOST_TEST(has(got()[0].body, R"("status":"FAILED")"), got()[0].body);
    BOOST_TEST(got()[0].header("webhook-id") == "job-1-1");
}

BOOST_AUTO_TEST_CASE(a_large_result_is_signed_by_every_secret)
{
    options.secrets = {"whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
                       "whsec_a2tra2tra2tra2tra2tra2tra2tra2tr"};
    stop();
    begin();
    completed(app, R"({"images":[")" + std::string(700'000, 'x') + R"("]})");
    pass(1s);

    BOOST_REQUIRE_EQUAL(got().size(), 1u);
    const auto& r = got()[0];
    BOOST_TEST(r.body.size() > 700'000u);
    proto::webhook_signer again(options.secrets, r.header("webhook-id"),
                                std::chrono::seconds(std::stoll(r.header("webhook-timestamp"))));
    again.add(r.body);
    BOOST_TEST(again.headers().at(2).second == r.header("webhook-signature"));
    BOOST_TEST(has(r.header("webhook-signature"), " v1,"));
}

BOOST_AUTO_TEST_CASE(a_receiver_that_fails_is_tried_again_and_then_given_up)
{
    answer_with(app, answer(503, "busy"));
    const auto job = completed();
    settle_message(job);

    BOOST_REQUIRE_EQUAL(got().size(), 3u);
    BOOST_TEST((got()[1].when - got()[0].when >= 10s));
    BOOST_TEST((got()[2].when - got()[1].when >= 20s));
    BOOST_TEST(got()[0].header("webhook-id") == got()[2].header("webhook-id"));
    BOOST_TEST(got()[0].body == got()[2].body);
    const auto m = message(job);
    BOOST_TEST(m.state == delivery_state::given_up);
    BOOST_REQUIRE_EQUAL(m.tried.size(), 3u);
    BOOST_TEST(m.tried[2].status == 503);
    BOOST_TEST(m.tried[2].error == "answered 503");
    BOOST_TEST(hooks->counts().failed_tries == 2u);
    BOOST_TEST(hooks->counts().given_up == 1u);
    BOOST_TEST(state(job) == core::job_state::completed);
}

BOOST_AUTO_TEST_CASE(a_redirect_is_a_failure_and_is_not_followed)
{
    answer_with(app, answer::redirect(other + "/new", 308));
    const auto job = completed();

    const auto m = message(job);
    BOOST_TEST(m.state == delivery_state::pending);
    BOOST_TEST(has(m.tried.at(0).error, "308: redirects of webhooks are not followed"),
               m.tried[0].error);
    BOOST_TEST(got(other).empty());
}

BOOST_AUTO_TEST_CASE(a_410_stops_it)
{
    answer_with(app, answer(410, ""));
    const auto job = completed();
    pass(20min);

    BOOST_TEST(got().size() == 1u);
    BOOST_TEST(message(job).state == delivery_state::gone);
    BOOST_TEST(hooks->counts().gone == 1u);
}

BOOST_AUTO_TEST_CASE(a_receiver_may_ask_for_time)
{
    answer busy(429, "");
    busy.headers.emplace_back("Retry-After", "120");
    answer_with(app, busy);
    completed();
    answer_with(app, answer(200, ""));
    pass(115s);
    BOOST_TEST(got().size() == 1u);
    pass(10s);
    BOOST_TEST(got().size() == 2u);
}

BOOST_AUTO_TEST_CASE(whatever_goes_wrong_on_the_way_is_in_the_log)
{
    answer cut(200, "");
    cut.end = answer::ending::cut;
    cut.part = 20;
    answer_with("http://cut.test", cut);
    wires.at("http://closed.test").set_port(fake_server::port::closed);
    wires.at("http://resetting.test").set_port(fake_server::port::resetting);
    wires.at("http://swallowing.test").set_port(fake_server::port::swallowing);
    const std::pair<std::string, std::string> cases[] = {
        {"http://cut.test/x?token=secret", "did not complete its reply"},
        {"http://closed.test", "cannot connect to http://closed.test"},
        {"http://resetting.test", "http://resetting.test"},
        {"http://swallowing.test", "cannot connect to http://swallowing.test"},
        {"http://nobody.test", "no address for nobody.test"},
    };
    for (const auto& [url, why] : cases) {
        const auto job = completed(url);
        pass(20s);
        const auto m = message(job);
        BOOST_REQUIRE(!m.tried.empty());
        BOOST_TEST(has(m.tried[0].error, why), m.tried[0].error);
        BOOST_TEST(!has(m.tried[0].error, "secret"), m.tried[0].error);
        BOOST_TEST(m.tried[0].status == 0);
    }
}

BOOST_AUTO_TEST_CASE(a_receiver_that_hangs_holds_up_neither_jobs_nor_other_receivers)
{
    answer never(200, "");
    never.held = std::make_shared<net::gate>(ex());
    answer_with(app, never);
    const auto first = completed();
    const auto second = completed(other);

    BOOST_TEST(got(other).size() == 1u);
    BOOST_TEST(hooks->counts().under_way == 1u);
    pass(16s);
    BOOST_TEST(has(message(first).tried.at(0).error, "did not reply in time"));
    BOOST_TEST(message(second).state == delivery_state::delivered);
}

BOOST_AUTO_TEST_CASE(a_private_address_is_not_connected_to_unless_it_is_allowed)
{
    answer_with("http://lan.test", answer(200, ""));
    wires.place("lan.test", "192.168.1.9");
    const auto refused = completed("http://lan.test/hook");
    BOOST_TEST(wires.at("http://lan.test").connects() == 0);
    BOOST_TEST(message(refused).tried.at(0).error ==
               "lan.test has a private address; webhook.allow_hosts (--allow-webhook lan.test) "
               "permits it");

    options.peers.exempt_hosts = {"lan.test"};
    stop();
    begin();
    const auto allowed = completed("http://lan.test/hook");
    BOOST_TEST(message(allowed).state == delivery_state::delivered);
}

BOOST_AUTO_TEST_CASE(a_restart_goes_on_where_the_former_process_was)
{
    options.limits.schedule = {0s, 1h, 2h};
    stop();
    begin();
    answer_with(app, answer(500, ""));
    const auto job = completed();
    pass(10min);
    crash();
    BOOST_TEST(hooks->counts().pending == 1u);
    BOOST_TEST((hooks->counts().oldest_pending >= 10min));
    pass(48min);
    BOOST_TEST(got().size() == 1u);
    pass(5min);
    BOOST_TEST(got().size() == 2u);
    crash();
    answer_with(app, answer(200, ""));
    pass(3h);

    BOOST_TEST(got().size() == 3u);
    BOOST_TEST(hooks->counts().delivered == 1u);
    BOOST_TEST(journal->rows().empty()); // expired meanwhile
    (void)job;
}

BOOST_AUTO_TEST_CASE(a_crash_between_the_delivery_and_its_row_sends_the_same_id_again)
{
    const auto is_try = [](const store::operation& op) {
        return std::holds_alternative<store::record_try>(op);
    };
    journal->fail_when(is_try);
    const auto job = completed();
    BOOST_TEST(got().size() == 1u);
    BOOST_TEST(message(job).state == delivery_state::pending);

    crash();
    pass(1s);

    BOOST_REQUIRE_EQUAL(got().size(), 2u);
    BOOST_TEST(got()[0].header("webhook-id") == got()[1].header("webhook-id"));
    BOOST_TEST(got()[0].body == got()[1].body);
    BOOST_TEST(message(job).state == delivery_state::delivered);
}

BOOST_AUTO_TEST_CASE(a_row_that_cannot_be_written_is_written_later_and_nothing_is_sent_twice)
{
    const auto is_try = [](const store::operation& op) {
        return std::holds_alternative<store::record_try>(op);
    };
    journal->fail_when(is_try, store::journal_errc::full);
    const auto job = completed();
    pass(1min);
    BOOST_TEST(message(job).state == delivery_state::pending);
    journal->fail_when({});
    pass(2s);

    BOOST_TEST(message(job).state == delivery_state::delivered);
    BOOST_TEST(got().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_result_stays_until_its_webhook_is_settled)
{
    options.limits.schedule = {0s, 2h};
    stop();
    begin();
    answer_with(app, answer(500, ""));
    const auto job = completed(app, R"({"images":["kept"]})");
    pass(1h);
    BOOST_TEST(!shown(job).has_value()); // expired
    BOOST_TEST(spooled() == 1u);
    BOOST_TEST(journal->rows().size() == 1u);
    answer_with(app, answer(200, ""));
    pass(2h);

    BOOST_REQUIRE_EQUAL(got().size(), 2u);
    BOOST_TEST(has(got()[1].body, R"("output":{"images":["kept"]})"), got()[1].body);
    BOOST_TEST(spooled() == 0u);
    BOOST_TEST(journal->rows().empty());
}

BOOST_AUTO_TEST_CASE(a_result_that_waits_for_its_webhook_survives_a_restart)
{
    options.limits.schedule = {0s, 2h};
    stop();
    begin();
    answer_with(app, answer(500, ""));
    const auto job = completed(app, R"({"images":["kept"]})");
    pass(1h);
    crash();
    BOOST_TEST(!shown(job).has_value());
    answer_with(app, answer(200, ""));
    pass(2h);

    BOOST_TEST(has(got().at(1).body, R"("output":{"images":["kept"]})"));
    BOOST_TEST(spooled() == 0u);
}

BOOST_AUTO_TEST_CASE(after_a_retry_there_is_another_message)
{
    answer_with(app, answer(500, ""));
    const auto job = submit_for();
    end(*lease(), outcome::rejected, "first");
    BOOST_TEST(retry(job) == core::verdict::done);
    answer_with(app, answer(200, ""));
    complete(*lease());
    pass(1min);

    BOOST_REQUIRE_EQUAL(got().size(), 3u);
    BOOST_TEST(got()[0].header("webhook-id") == "job-1-1");
    BOOST_TEST(got()[1].header("webhook-id") == "job-1-2");
    BOOST_TEST(has(got()[1].body, R"("status":"COMPLETED")"), got()[1].body);
    BOOST_TEST(got()[2].header("webhook-id") == "job-1-1");
    BOOST_TEST(got()[2].body == got()[0].body); // as it was then
    BOOST_TEST(message(job, 1).state == delivery_state::delivered);
    BOOST_TEST(message(job, 2).state == delivery_state::delivered);
}

BOOST_AUTO_TEST_CASE(a_client_can_have_it_delivered_again)
{
    const auto job = completed();
    const auto id = get(jobs->outbox().redeliver(job.key));
    pass(1s);

    BOOST_TEST((id.value() == core::message_id{job.key, 1}));
    BOOST_REQUIRE_EQUAL(got().size(), 2u);
    BOOST_TEST(got()[1].header("webhook-id") == "job-1-1");
    BOOST_TEST(message(job).tried.size() == 2u);
    BOOST_TEST(message(job).state == delivery_state::delivered);
}

BOOST_AUTO_TEST_CASE(a_client_need_not_wait_for_the_next_try)
{
    options.limits.schedule = {0s, 24h};
    stop();
    begin();
    answer_with(app, answer(500, ""));
    const auto job = completed();
    answer_with(app, answer(200, ""));
    get(jobs->outbox().redeliver(job.key));
    pass(1s);

    BOOST_TEST(got().size() == 2u);
    BOOST_TEST(message(job).state == delivery_state::delivered);
    BOOST_TEST(message(job).tries == 2u);
}

BOOST_AUTO_TEST_CASE(a_job_without_a_message_has_nothing_to_deliver_again)
{
    const auto silent = submit();
    const auto waiting = submit_for();

    BOOST_TEST(!get(jobs->outbox().redeliver(silent.key)).value().has_value());
    BOOST_TEST(!get(jobs->outbox().redeliver(waiting.key)).value().has_value());
}

BOOST_AUTO_TEST_CASE(many_messages_to_a_dead_receiver_delay_nobody)
{
    wires.at(app).set_port(fake_server::port::closed);
    options.limits.schedule = {0s, 10min};
    stop();
    begin();
    for (int i = 0; i < 20; ++i)
        completed();
    BOOST_TEST(hooks->counts().open_breakers == 1u);
    const auto tried = wires.at(app).connects();
    BOOST_TEST(tried < 10);
    const auto healthy = completed(other);
    BOOST_TEST(message(healthy).state == delivery_state::delivered);

    wires.at(app).set_port(fake_server::port::open);
    pass(15min);
    BOOST_TEST(hooks->counts().pending == 0u);
    BOOST_TEST(hooks->counts().open_breakers == 0u);
    BOOST_TEST(got().size() == 20u);
}

BOOST_AUTO_TEST_CASE(what_a_dead_receiver_has_not_taken_in_its_time_is_given_up)
{
    wires.at(app).set_port(fake_server::port::closed);
    std::vector<core::job> all;
    for (int i = 0; i < 8; ++i)
        all.push_back(completed());
    pass(20min);

    for (const auto& job : all)
        BOOST_TEST(message(job).state == delivery_state::given_up);
    BOOST_TEST(hooks->counts().given_up == all.size());
    BOOST_TEST(hooks->counts().pending == 0u);
    BOOST_TEST(has(message(all.back()).tried.back().error, "given up"));
}

BOOST_AUTO_TEST_CASE(a_result_that_cannot_be_read_is_not_sent_and_not_held_against_the_receiver)
{
    wires.at(app).set_port(fake_server::port::closed);
    const auto job = completed(app, R"({"images":["lost"]})");
    for (const auto& file : std::filesystem::directory_iterator(folder.path() / "spool"))
        std::filesystem::resize_file(file.path(), 3);
    wires.at(app).set_port(fake_server::port::open);
    settle_message(job);

    BOOST_TEST(got().empty());
    const auto m = message(job);
    BOOST_TEST(m.state == delivery_state::given_up);
    BOOST_TEST(has(m.tried.back().error, "could not be read from disk"), m.tried.back().error);
    BOOST_TEST(hooks->counts().open_breakers == 0u);
}

BOOST_AUTO_TEST_CASE(a_journal_that_cannot_be_read_for_a_while_costs_no_try)
{
    const auto job = submit_for();
    const auto l = lease();
    journal->fail_next_read(store::journal_errc::io);
    complete(*l);
    BOOST_TEST(got().empty());
    pass(6s);

    BOOST_TEST(got().size() == 1u);
    BOOST_TEST(message(job).tries == 1u);
}

BOOST_AUTO_TEST_CASE(a_drain_waits_for_what_is_under_way_and_begins_nothing_more)
{
    answer slow(200, "");
    slow.after = 5s;
    answer_with(app, slow);
    const auto first = completed();
    std::optional<bool> over;
    start(keep(drained(*hooks, time.now() + 30s), over));
    settle();
    BOOST_TEST(!over.has_value());
    completed(other);
    pass(6s);

    BOOST_TEST(over.has_value());
    BOOST_TEST(message(first).state == delivery_state::delivered);
    BOOST_TEST(got(other).empty());
    crash();
    pass(1s);
    BOOST_TEST(got(other).size() == 1u);
    BOOST_TEST(got().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_drain_ends_when_its_time_is_over)
{
    answer never(200, "");
    never.held = std::make_shared<net::gate>(ex());
    answer_with(app, never);
    const auto job = completed();
    BOOST_TEST(get(drained(*hooks, time.now() + 3s)));
    stop();
    let_commits_pass();

    BOOST_TEST(message(job).tried.empty()); // it does not count
    begin();
}

BOOST_AUTO_TEST_SUITE_END()
