#include "core/delivery.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace std::chrono_literals;
using core::delivery_queue;
using core::delivery_state;
using core::message_id;
using breaker = delivery_queue::breaker_change;
using kind = delivery_queue::step::kind;

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::delivery_state)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::message_id)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::delivery_queue::breaker_change)
BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::delivery_queue::step::kind)
BOOST_TEST_DONT_PRINT_LOG_VALUE(std::nullopt_t)

namespace {

const std::string shop = "https://shop";
const std::string other = "https://other";

struct delivering {
    delivering()
    {
        limits.schedule = {0s, 10s, 20s, 5min};
        limits.jitter = 0;
        limits.at_once = 6;
        limits.at_once_per_host = 2;
        limits.breaker_after = 3;
        limits.breaker_pause = 5s;
        limits.longest_breaker_pause = 12s;
        begin();
    }
    void begin() { queue.emplace(limits); }

    void add(core::job_key job, const std::string& host = shop, std::uint32_t tries = 0)
    {
        queue->add({{job, 1}, host, tries, now, now});
    }
    // What is to be sent now, in order.
    std::vector<core::job_key> sent()
    {
        std::vector<core::job_key> jobs;
        while (const auto s = queue->next(now)) {
            BOOST_TEST(s->what == kind::send);
            jobs.push_back(s->id.job);
        }
        return jobs;
    }
    delivery_queue::decision ended(core::job_key job, int status,
                                   std::optional<duration> retry_after = std::nullopt,
                                   double random = 0)
    {
        const auto d = queue->ended({job, 1}, {status, retry_after, false}, now, random);
        BOOST_REQUIRE(d.has_value());
        return *d;
    }
    // Opens the breaker of this receiver with messages from 100 on.
    void break_down(const std::string& host = shop)
    {
        limits.at_once_per_host = 3;
        begin();
        for (core::job_key job = 100; job < 103; ++job)
            add(job, host);
        BOOST_TEST(sent().size() == 3u);
        BOOST_TEST(ended(100, 0).breaker == breaker::none);
        BOOST_TEST(ended(101, 503).breaker == breaker::none);
        const auto last = ended(102, 0);
        BOOST_TEST(last.breaker == breaker::opened);
        BOOST_TEST((last.breaker_pause == 5s));
    }

    core::delivery_limits limits;
    std::optional<delivery_queue> queue;
    steady_time now{1h};
};

using jobs = std::vector<core::job_key>;

} // namespace

BOOST_FIXTURE_TEST_SUITE(delivery_, delivering)

BOOST_AUTO_TEST_CASE(every_2xx_is_a_delivery)
{
    for (const int status : {200, 201, 204, 299}) {
        add(1);
        BOOST_TEST(sent() == jobs{1});
        const auto d = ended(1, status);
        BOOST_TEST(d.state == delivery_state::delivered);
        BOOST_TEST(d.tries == 1u);
        BOOST_TEST(queue->size() == 0u);
        BOOST_TEST(queue->under_way() == 0u);
    }
}

BOOST_AUTO_TEST_CASE(a_410_ends_it_and_is_no_trouble_of_the_receiver)
{
    add(1);
    sent();
    BOOST_TEST(ended(1, 410).state == delivery_state::gone);
    BOOST_TEST(queue->size() == 0u);
    BOOST_TEST(!queue->next_due().has_value());
}

BOOST_AUTO_TEST_CASE(everything_else_is_tried_again_by_the_schedule_and_then_given_up)
{
    for (const int status : {0, 100, 199, 300, 302, 304, 400, 401, 404, 409, 411, 429, 500, 503}) {
        begin();
        add(1);
        BOOST_TEST(sent() == jobs{1});
        for (const duration wait : {duration(10s), duration(20s), duration(5min)}) {
            const auto d = ended(1, status);
            BOOST_TEST(d.state == delivery_state::pending);
            BOOST_TEST((d.wait == wait));
            BOOST_TEST(sent().empty());
            now += wait - 1ms;
            BOOST_TEST(sent().empty());
            now += 1ms;
            BOOST_TEST((queue->next_due() == now));
            BOOST_TEST(sent() == jobs{1});
        }
        const auto last = ended(1, status);
        BOOST_TEST(last.state == delivery_state::given_up);
        BOOST_TEST(last.tries == 4u);
        BOOST_TEST(queue->size() == 0u);
    }
}

BOOST_AUTO_TEST_CASE(waits_are_made_longer_by_the_random_number_and_never_shorter)
{
    limits.jitter = 0.5;
    begin();
    add(1);
    sent();
    BOOST_TEST((ended(1, 500, std::nullopt, 0.5).wait == 12500ms));
}

BOOST_AUTO_TEST_CASE(the_receiver_may_ask_for_more_time_but_not_for_less_and_not_for_ever)
{
    limits.longest_asked = 1h;
    begin();
    for (const auto& [asked, waited] :
         {std::pair<duration, duration>{1s, 10s}, {30s, 30s}, {240h, 1h}}) {
        add(1);
        sent();
        BOOST_TEST((ended(1, 503, asked).wait == waited));
        queue->forget({1, 1});
    }
}

BOOST_AUTO_TEST_CASE(the_tries_of_a_former_process_count)
{
    add(1, shop, 3);
    BOOST_TEST(sent() == jobs{1});
    BOOST_TEST(ended(1, 500).state == delivery_state::given_up);
}

BOOST_AUTO_TEST_CASE(a_message_is_known_once)
{
    add(1);
    add(1, other, 3);
    BOOST_TEST(queue->size() == 1u);
    BOOST_TEST(sent() == jobs{1});
    add(1); // while it is under way
    BOOST_TEST(sent().empty());
    BOOST_TEST(ended(1, 500).tries == 1u);
    queue->add({{1, 2}, shop, 0, now, now}); // another end of the same job
    BOOST_TEST(queue->size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_slow_receiver_holds_up_nobody_else)
{
    for (core::job_key job = 1; job <= 4; ++job)
        add(job);
    now += 1ms;
    add(11, other);

    BOOST_TEST(sent() == (jobs{1, 2, 11}));
    ended(2, 200);
    BOOST_TEST(sent() == jobs{3});
}

BOOST_AUTO_TEST_CASE(all_together_there_are_not_too_many_at_once)
{
    for (core::job_key job = 1; job <= 8; ++job)
        add(job, "https://host" + std::to_string(job));

    BOOST_TEST(sent() == (jobs{1, 2, 3, 4, 5, 6}));
    BOOST_TEST(!queue->next_due().has_value());
    ended(3, 500);
    BOOST_TEST(sent() == jobs{7});
}

BOOST_AUTO_TEST_CASE(a_receiver_that_fails_again_and_again_gets_one_message_after_a_pause)
{
    break_down();
    BOOST_TEST(queue->open_breakers() == 1u);
    add(1);
    add(2);
    add(11, other);
    BOOST_TEST(sent() == jobs{11});
    BOOST_TEST((queue->next_due() == now + 5s));

    now += 5s;
    BOOST_TEST(sent() == jobs{1}); // one, to see
    const auto again = ended(1, 0);
    BOOST_TEST(again.breaker == breaker::none);
    now += 9s;
    BOOST_TEST(sent().empty());
    now += 1s; // the pause has doubled
    BOOST_TEST(sent() == jobs{2});
    ended(2, 502);
    now += 12s; // and does not grow beyond its limit
    BOOST_TEST(sent().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_receiver_that_is_back_gets_all_that_has_waited)
{
    break_down();
    for (core::job_key job = 1; job <= 3; ++job)
        add(job);
    now += 5s;
    BOOST_TEST(sent() == jobs{1});
    const auto d = ended(1, 200);
    BOOST_TEST(d.breaker == breaker::closed);
    BOOST_TEST(queue->open_breakers() == 0u);
    BOOST_TEST(sent() == (jobs{2, 3}));
    ended(2, 500);
    ended(3, 500); // counting has begun anew
    BOOST_TEST(queue->open_breakers() == 0u);
}

BOOST_AUTO_TEST_CASE(a_refusal_shows_that_the_receiver_is_there)
{
    for (const int status : {200, 302, 404, 410}) {
        begin();
        add(1);
        add(2);
        sent();
        ended(1, 500);
        ended(2, 0);
        add(3);
        sent();
        BOOST_TEST(ended(3, status).breaker == breaker::none);
        add(4);
        sent();
        BOOST_TEST(ended(4, 500).breaker == breaker::none);
        BOOST_TEST(queue->open_breakers() == 0u);
    }
}

BOOST_AUTO_TEST_CASE(a_fault_of_our_own_costs_a_try_but_is_not_held_against_the_receiver)
{
    for (core::job_key job = 1; job <= 4; ++job) {
        add(job);
        sent();
        const auto d = queue->ended({job, 1}, {0, std::nullopt, true}, now, 0);
        BOOST_TEST((d->state == delivery_state::pending));
        BOOST_TEST(d->tries == 1u);
    }
    BOOST_TEST(queue->open_breakers() == 0u);
}

BOOST_AUTO_TEST_CASE(what_was_under_way_when_the_breaker_opened_does_not_make_the_pause_longer)
{
    limits.at_once_per_host = 5;
    begin();
    for (core::job_key job = 1; job <= 6; ++job)
        add(job);
    sent();
    for (core::job_key job = 1; job <= 5; ++job)
        ended(job, 0);
    now += 5s;
    BOOST_TEST(sent() == jobs{6});
}

BOOST_AUTO_TEST_CASE(a_message_held_back_beyond_its_time_is_given_up_when_its_receiver_fails_again)
{
    break_down();
    add(1);
    add(2, other); // whose receiver only has much to do
    BOOST_TEST(sent() == jobs{2});
    now += limits.whole();
    add(3);
    for (core::job_key job = 100; job < 103; ++job)
        queue->forget({job, 1});

    queue->hurry({3, 1}, now);
    BOOST_TEST(sent() == jobs{3});
    ended(3, 0);
    const auto s = queue->next(now);
    BOOST_REQUIRE(s.has_value());
    BOOST_TEST(s->what == kind::give_up);
    BOOST_TEST(s->id == (message_id{1, 1}));
    BOOST_TEST(!queue->next(now).has_value());
    BOOST_TEST(queue->size() == 2u);
    BOOST_TEST(ended(2, 200).state == delivery_state::delivered);
}

BOOST_AUTO_TEST_CASE(a_message_that_is_hurried_goes_out_now_whatever_the_breaker_says)
{
    break_down();
    add(1);
    add(2);
    BOOST_TEST(sent().empty());
    queue->hurry({2, 1}, now);
    BOOST_TEST(sent() == jobs{2});
    BOOST_TEST(queue->hurry({2, 1}, now)); // nothing to hurry: it is under way
    BOOST_TEST(!queue->hurry({77, 1}, now));
    BOOST_TEST(sent().empty());
}

BOOST_AUTO_TEST_CASE(a_forgotten_message_leaves_nothing)
{
    add(1);
    add(2);
    sent();
    queue->forget({1, 1});
    queue->forget({1, 1});
    BOOST_TEST(!queue->ended({1, 1}, {200, std::nullopt, false}, now, 0).has_value());
    BOOST_TEST(queue->under_way() == 1u);
    ended(2, 500);
    queue->forget({2, 1}); // while it waits
    BOOST_TEST(queue->size() == 0u);
    BOOST_TEST(!queue->next_due().has_value());
    BOOST_TEST(!queue->oldest().has_value());
}

BOOST_AUTO_TEST_CASE(a_message_that_could_not_be_begun_keeps_its_tries)
{
    add(1);
    sent();
    queue->postpone({1, 1}, now + 1s);
    BOOST_TEST(sent().empty());
    BOOST_TEST((queue->next_due() == now + 1s));
    now += 1s;
    BOOST_TEST(sent() == jobs{1});
    BOOST_TEST(ended(1, 200).tries == 1u);
}

BOOST_AUTO_TEST_CASE(the_oldest_message_is_known)
{
    const auto first = now;
    add(1);
    now += 1s;
    add(2);
    BOOST_TEST((queue->oldest() == first));
    sent();
    ended(1, 200);
    BOOST_TEST((queue->oldest() == now));
}

BOOST_AUTO_TEST_CASE(thousands_of_messages_to_a_dead_receiver_are_cheap)
{
    break_down();
    for (core::job_key job = 1000; job < 21'000; ++job)
        add(job);
    add(1, other);
    BOOST_TEST(sent() == jobs{1});
    now += 5s;
    BOOST_TEST(sent().size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
