// What jobs hand to whoever delivers webhooks, and what they keep for it.

#include "jobs/outbox.hpp"

#include "support/jobs_world.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::test;
using namespace std::chrono_literals;
using core::delivery_state;
using core::message_id;
using core::outcome;

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::verdict)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::message_id)

namespace {

template <class T> net::task<> keep(net::task<T> from, std::optional<T>& into)
{
    auto value = co_await std::move(from);
    into.emplace(std::move(value));
}

struct posting : jobs_world {
    template <class T> T get(net::task<T> work)
    {
        std::optional<T> value;
        start(keep(std::move(work), value));
        let_commits_pass();
        return std::move(value.value());
    }
    core::job submit_for(std::string url)
    {
        auto s = a_job();
        s.webhook = std::move(url);
        return submit(std::move(s));
    }
    core::job failed(std::string url = "http://app.test/")
    {
        const auto job = submit_for(std::move(url));
        end(*lease(), outcome::rejected, "no");
        return job;
    }
    jobs::outbox::note next() { return get(jobs->outbox().next()).value(); }
    store::record_try tried(message_id id, delivery_state state)
    {
        store::record_try row;
        row.id = id;
        row.state = state;
        row.tries = 1;
        return row;
    }
    void keep_house_for(duration d)
    {
        net::task_group house(ex());
        house.spawn(jobs->keep_house());
        advance(d);
        let_commits_pass();
        world::cancel(house);
        run_until([&] { return house.size() == 0; }, 1min);
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(outbox_, posting)

BOOST_AUTO_TEST_CASE(an_end_is_announced_once_it_is_committed)
{
    const auto job = submit_for("http://app.test/");
    const auto l = lease();
    std::optional<std::optional<jobs::outbox::note>> note;
    std::optional<error_code> ended;
    start(keep(jobs->outbox().next(), note));
    journal->hold();
    start(keep(jobs->end_attempt(l->fence, outcome::rejected, "no"), ended));
    let_commits_pass();
    BOOST_TEST(!note.has_value());
    BOOST_TEST(!jobs->outbox().holds(job.key));
    journal->release();
    let_commits_pass();

    BOOST_REQUIRE(note.has_value());
    BOOST_TEST((*note)->id == (message_id{job.key, 1}));
    BOOST_TEST(!(*note)->at_once);
    BOOST_TEST(jobs->outbox().holds(job.key));
}

BOOST_AUTO_TEST_CASE(a_job_without_a_webhook_announces_nothing)
{
    failed("");
    const auto job = failed();
    BOOST_TEST(next().id == (message_id{job.key, 1}));
}

BOOST_AUTO_TEST_CASE(a_message_is_found_while_it_is_pending)
{
    const auto job = failed("http://app.test/x");
    const message_id id{job.key, 1};
    BOOST_TEST(get(jobs->outbox().find(id)).value()->url == "http://app.test/x");
    BOOST_TEST(get(jobs->outbox().read(id)).value().error == "no");
    BOOST_TEST(!get(jobs->outbox().find({job.key, 2})).value().has_value());
    BOOST_TEST(!get(jobs->outbox().find({77, 1})).value().has_value());

    get(jobs->outbox().tried(tried(id, delivery_state::delivered)));
    BOOST_TEST(!get(jobs->outbox().find(id)).value().has_value());
    BOOST_TEST(get(jobs->outbox().log(job.key)).value().size() == 1u);
    journal->fail_next_read(store::journal_errc::io);
    BOOST_TEST(!get(jobs->outbox().find(id)).has_value());
}

BOOST_AUTO_TEST_CASE(what_is_pending_is_announced_again_by_the_next_process)
{
    const auto first = failed();
    const auto second = failed();
    get(jobs->outbox().tried(tried({first.key, 1}, delivery_state::delivered)));
    restart();

    BOOST_TEST(!jobs->outbox().holds(first.key));
    BOOST_TEST(jobs->outbox().holds(second.key));
    BOOST_TEST(next().id == (message_id{second.key, 1}));
}

BOOST_AUTO_TEST_CASE(a_job_is_gone_for_clients_and_kept_for_its_webhook)
{
    const auto job = failed();
    keep_house_for(1h);
    BOOST_TEST(!shown(job).has_value());
    BOOST_TEST(retry(job) == core::verdict::wrong_state);
    BOOST_TEST(journal->rows().size() == 1u);

    get(jobs->outbox().tried(tried({job.key, 1}, delivery_state::pending)));
    keep_house_for(1h);
    BOOST_TEST(journal->rows().size() == 1u);

    get(jobs->outbox().tried(tried({job.key, 1}, delivery_state::given_up)));
    keep_house_for(1s);
    BOOST_TEST(journal->rows().empty());
    BOOST_TEST(jobs->numbers().kept == 0u);
}

BOOST_AUTO_TEST_CASE(a_retried_job_that_expires_while_it_waits_is_kept_but_never_begun)
{
    const auto job = failed();
    BOOST_TEST(retry(job) == core::verdict::done);
    keep_house_for(25h);

    BOOST_TEST(!shown(job).has_value());
    BOOST_TEST(!lease().has_value());
    BOOST_TEST(journal->rows().size() == 1u);
    get(jobs->outbox().tried(tried({job.key, 1}, delivery_state::delivered)));
    keep_house_for(1s);
    BOOST_TEST(journal->rows().empty());
}

BOOST_AUTO_TEST_CASE(a_retried_job_that_expires_while_it_runs_ends_and_tells_of_both_ends)
{
    const auto job = failed();
    retry(job);
    const auto l = lease();
    keep_house_for(25h);
    BOOST_TEST(!shown(job).has_value());
    end(*l, outcome::cancelled, "expired");

    BOOST_TEST(journal->rows().at(job.key).messages.size() == 2u);
    for (const std::uint32_t number : {1u, 2u})
        get(jobs->outbox().tried(tried({job.key, number}, delivery_state::delivered)));
    keep_house_for(1h);
    BOOST_TEST(journal->rows().empty());
}

BOOST_AUTO_TEST_CASE(the_newest_message_is_opened_again_however_it_was_settled)
{
    const auto job = failed();
    next();
    for (const auto state :
         {delivery_state::delivered, delivery_state::given_up, delivery_state::gone}) {
        get(jobs->outbox().tried(tried({job.key, 1}, state)));
        BOOST_TEST(!jobs->outbox().holds(job.key));
        BOOST_TEST((get(jobs->outbox().redeliver(job.key)).value() == message_id{job.key, 1}));
        BOOST_TEST(jobs->outbox().holds(job.key));
        const auto note = next();
        BOOST_TEST(note.id == (message_id{job.key, 1}));
        BOOST_TEST(note.at_once);
    }
}

BOOST_AUTO_TEST_CASE(a_pending_message_is_only_hurried)
{
    const auto job = failed();
    next();
    get(jobs->outbox().redeliver(job.key));
    BOOST_TEST(next().at_once);
    get(jobs->outbox().tried(tried({job.key, 1}, delivery_state::delivered)));
    BOOST_TEST(!jobs->outbox().holds(job.key));
}

BOOST_AUTO_TEST_CASE(a_redelivery_that_cannot_be_written_is_an_error_and_changes_nothing)
{
    const auto job = failed();
    next();
    get(jobs->outbox().tried(tried({job.key, 1}, delivery_state::gone)));
    journal->fail_next(store::journal_errc::full);
    BOOST_TEST(!get(jobs->outbox().redeliver(job.key)).has_value());
    BOOST_TEST(!jobs->outbox().holds(job.key));
    journal->fail_next_read(store::journal_errc::io);
    BOOST_TEST(!get(jobs->outbox().redeliver(job.key)).has_value());
}

BOOST_AUTO_TEST_CASE(a_message_settled_while_it_is_opened_again_is_looked_at_anew)
{
    const auto job = failed();
    next();
    get(jobs->outbox().tried(tried({job.key, 1}, delivery_state::gone)));
    journal->fail_next(store::journal_errc::conflict);
    BOOST_TEST((get(jobs->outbox().redeliver(job.key)).value() == message_id{job.key, 1}));
    BOOST_TEST(jobs->outbox().holds(job.key));
}

BOOST_AUTO_TEST_CASE(a_try_is_written_down_however_long_the_disk_takes)
{
    const auto job = failed();
    journal->fail_when(
        [](const auto& op) { return std::holds_alternative<store::record_try>(op); });
    std::optional<error_code> done;
    start(keep(jobs->outbox().tried(tried({job.key, 1}, delivery_state::delivered)), done));
    advance(10s);
    BOOST_TEST(!done.has_value());
    BOOST_TEST(jobs->outbox().holds(job.key));
    journal->fail_when({});
    for (int i = 0; i < 3; ++i)
        advance(1s);

    BOOST_REQUIRE(done.has_value());
    BOOST_TEST(!*done);
    BOOST_TEST(!jobs->outbox().holds(job.key));
}

BOOST_AUTO_TEST_SUITE_END()
