#include "net/async.hpp"

#include "support/world.hpp"

#include <boost/test/unit_test.hpp>

#include <thread>

using namespace gateway;
using namespace gateway::net;
using namespace std::chrono_literals;
using gateway::test::world;

BOOST_FIXTURE_TEST_SUITE(async_, world)

namespace {

task<> note_after(time_source& time, duration d, int& out)
{
    const auto ec = co_await time.sleep_for(d);
    out = ec ? -1 : 1;
}

task<> pass(gate& door, int& passed)
{
    const auto ec = co_await door.wait();
    passed += ec ? 0 : 1;
}

task<> see(versions& v, std::uint64_t seen, time_source& time, duration patience, int& out)
{
    const bool moved = co_await v.past(seen, time, time.now() + patience);
    out = moved ? 1 : 0;
}

task<> group_body(time_source& time, int& a, int& b, bool& joined)
{
    const auto ex = co_await current_executor();
    task_group group(ex);
    group.spawn(note_after(time, 1s, a));
    group.spawn(note_after(time, 1h, b));
    const auto ec = co_await time.sleep_for(2s);
    (void)ec;
    group.cancel();
    co_await group.join();
    joined = true;
}

// Learns of its cancellation in a sleep, and must still wait for its own child.
task<> late_joiner(time_source& time, int& child, bool& joined)
{
    const auto ex = co_await current_executor();
    task_group group(ex);
    group.spawn(note_after(time, 1h, child));
    const auto ec = co_await time.sleep_for(1h);
    if (ec)
        group.cancel();
    co_await group.join();
    joined = true;
}

task<> outer_group(time_source& time, int& child, bool& inner_joined, bool& outer_joined)
{
    const auto ex = co_await current_executor();
    task_group group(ex);
    group.spawn(late_joiner(time, child, inner_joined));
    const auto ec = co_await time.sleep_for(1s);
    (void)ec;
    group.cancel();
    co_await group.join();
    outer_joined = true;
}

task<> sleep_again_and_again(time_source& time, int& naps)
{
    for (;;) {
        const auto ec = co_await time.sleep_for(1s);
        if (ec)
            co_return;
        ++naps;
    }
}

task<> stop_after(time_source& time, int& naps, versions& v, int& seen)
{
    const auto ex = co_await current_executor();
    task_group group(ex);
    group.spawn(sleep_again_and_again(time, naps));
    group.spawn(see(v, 0, time, 1h, seen));
    const auto ec = co_await time.sleep_for(3500ms);
    (void)ec;
    group.cancel();
    co_await group.join();
}

task<> read_all(inbox<int>& box, std::vector<int>& out)
{
    for (;;) {
        auto item = co_await box.next();
        if (!item || *item == 0)
            co_return;
        out.push_back(*item);
    }
}

task<> await_arrival(arrival& event, int& seen)
{
    co_await event.wait();
    ++seen;
}

task<> cancel_while_waiting(arrival& event, time_source& time, int& seen, bool& joined)
{
    const auto ex = co_await current_executor();
    task_group group(ex);
    group.spawn(await_arrival(event, seen));
    group.spawn(await_arrival(event, seen));
    co_await time.sleep_for(1s);
    group.cancel();
    co_await group.join();
    joined = true;
}

task<> off_loop(lane& beside, std::thread::id& where, int& answer, bool& threw)
{
    auto work = [&where] {
        where = std::this_thread::get_id();
        return 42;
    };
    answer = co_await beside.run(std::move(work));
    auto bad = [] { throw std::runtime_error("disk on fire"); };
    try {
        co_await beside.run(std::move(bad));
    } catch (const std::runtime_error&) {
        threw = true;
    }
}

} // namespace

BOOST_AUTO_TEST_CASE(a_sleeper_wakes_when_the_hands_reach_it)
{
    int woke = 0;
    run(note_after(time, 24h, woke));
    advance(23h);
    BOOST_TEST(woke == 0);
    advance(1h);
    BOOST_TEST(woke == 1);
}

BOOST_AUTO_TEST_CASE(an_open_gate_lets_everyone_through)
{
    gate door(ex());
    int passed = 0;
    run(pass(door, passed));
    run(pass(door, passed));
    BOOST_TEST(passed == 0);
    door.open();
    settle();
    run(pass(door, passed));
    BOOST_TEST(passed == 3);
}

BOOST_AUTO_TEST_CASE(what_is_sure_to_come_is_waited_for_even_when_cancelled)
{
    arrival event;
    int seen = 0;
    bool joined = false;
    run(cancel_while_waiting(event, time, seen, joined));
    advance(1s);
    BOOST_TEST(!joined);
    event.come();
    settle();
    BOOST_TEST(joined);
    BOOST_TEST(seen == 2);
    run(await_arrival(event, seen));
    BOOST_TEST(seen == 3);
}

BOOST_AUTO_TEST_CASE(a_version_that_moved_on_is_never_missed)
{
    versions v(ex());
    int out = -1;
    v.bump();
    run(see(v, 0, time, 10s, out));
    BOOST_TEST(out == 1);
    out = -1;
    run(see(v, 1, time, 10s, out));
    BOOST_TEST(out == -1);
    v.bump();
    settle();
    BOOST_TEST(out == 1);
    BOOST_TEST(time.sleepers() == 0u);
}

BOOST_AUTO_TEST_CASE(waiting_for_a_version_ends_on_time)
{
    versions v(ex());
    int out = -1;
    run(see(v, 0, time, 10s, out));
    advance(9s);
    BOOST_TEST(out == -1);
    advance(1s);
    BOOST_TEST(out == 0);
}

BOOST_AUTO_TEST_CASE(a_cancelled_group_stops_the_slow_child_and_joins)
{
    int a = 0, b = 0;
    bool joined = false;
    run(group_body(time, a, b, joined));
    advance(1s);
    BOOST_TEST(a == 1);
    BOOST_TEST(!joined);
    advance(1s);
    BOOST_TEST(b == -1);
    BOOST_TEST(joined);
    BOOST_TEST(time.sleepers() == 0u);
}

BOOST_AUTO_TEST_CASE(cancelling_a_group_drains_the_groups_inside_it)
{
    int child = 0;
    bool inner_joined = false, outer_joined = false;
    run(outer_group(time, child, inner_joined, outer_joined));
    advance(1s);
    BOOST_TEST(child == -1);
    BOOST_TEST(inner_joined);
    BOOST_TEST(outer_joined);
    BOOST_TEST(time.sleepers() == 0u);
}

BOOST_AUTO_TEST_CASE(a_cancelled_loop_ends_at_its_next_wait)
{
    versions v(ex());
    int naps = 0, seen = -1;
    run(stop_after(time, naps, v, seen));
    for (int i = 0; i < 8; ++i)
        advance(500ms);
    BOOST_TEST(naps == 3);
    BOOST_TEST(seen == 0);
    BOOST_TEST(time.sleepers() == 0u);
}

BOOST_AUTO_TEST_CASE(an_inbox_keeps_what_arrives_before_the_reader)
{
    inbox<int> box(ex());
    std::vector<int> out;
    box.post(1);
    box.post(2);
    run(read_all(box, out));
    box.post(3);
    box.post(0);
    settle();
    BOOST_TEST(out == (std::vector{1, 2, 3}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_deadline_fires_once_and_only_when_late)
{
    deadline_wheel wheel(ex(), time);
    int fired = 0;
    deadline limit(wheel, [&fired] { ++fired; });
    limit.set(30s);
    settle();
    advance(29s);
    BOOST_TEST(fired == 0);
    limit.set(30s);
    advance(29s);
    BOOST_TEST(fired == 0);
    advance(1500ms);
    BOOST_TEST(fired == 1);
    BOOST_TEST(limit.expired());
    advance(1h);
    BOOST_TEST(fired == 1);
    BOOST_TEST(wheel.armed() == 0u);
}

BOOST_AUTO_TEST_CASE(a_deadline_longer_than_the_wheel_is_kept)
{
    deadline_wheel wheel(ex(), time);
    int fired = 0;
    deadline limit(wheel, [&fired] { ++fired; });
    limit.set(1h);
    settle();
    BOOST_TEST(run_until([&] { return fired > 0; }, 2h));
    BOOST_TEST((time.now() >= steady_time(1h)));
    BOOST_TEST((time.now() <= steady_time(1h + 1s)));
}

BOOST_AUTO_TEST_CASE(a_lane_works_on_another_thread_and_answers_on_the_loop)
{
    lane beside("test", 1);
    std::thread::id where;
    int answer = 0;
    bool threw = false;
    start(off_loop(beside, where, answer, threw));
    loop.run();
    BOOST_TEST(answer == 42);
    BOOST_TEST(threw);
    BOOST_TEST((where != std::this_thread::get_id()));
}

BOOST_AUTO_TEST_CASE(a_lane_finishes_posted_work_before_it_dies)
{
    int done = 0;
    {
        lane beside("test", 1);
        for (int i = 0; i < 100; ++i)
            beside.post([&done] { ++done; });
    }
    BOOST_TEST(done == 100);
}

BOOST_AUTO_TEST_CASE(a_lane_without_threads_works_inline)
{
    lane beside("test", 0);
    std::thread::id where;
    int answer = 0;
    bool threw = false;
    run(off_loop(beside, where, answer, threw));
    BOOST_TEST(answer == 42);
    BOOST_TEST(threw);
    BOOST_TEST((where == std::this_thread::get_id()));
}

BOOST_AUTO_TEST_SUITE_END()
