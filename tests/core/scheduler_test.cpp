#include "core/scheduler.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <map>
#include <random>

using namespace gateway;
using namespace gateway::core;
using namespace std::chrono_literals;

BOOST_TEST_DONT_PRINT_LOG_VALUE(gateway::core::scheduler::refusal)

namespace {

using ticket = scheduler::ticket;
using refusal = scheduler::refusal;

constexpr steady_time start{std::chrono::hours(1)};
const scheduler::runnable anything = [](set_id) { return true; };

void submit(scheduler& s, const ticket& t)
{
    BOOST_REQUIRE(s.reserve(t.bytes) == refusal::none);
    s.admit(t);
}

job_key leased(scheduler& s, const scheduler::runnable& can_run = anything, steady_time now = start)
{
    const auto t = s.lease(can_run, now);
    return t ? t->key : 0;
}

// The same queue, written so that it is right at a glance and slow.
class naive_queue {
public:
    explicit naive_queue(scheduler::limits allowed) : allowed_(allowed) {}

    refusal reserve(std::uint64_t bytes)
    {
        if (jobs_.size() + reserved_ >= allowed_.jobs)
            return refusal::too_many_jobs;
        if (this->bytes() + reserved_bytes_ + bytes > allowed_.bytes)
            return refusal::too_many_bytes;
        ++reserved_;
        reserved_bytes_ += bytes;
        return refusal::none;
    }
    void release(std::uint64_t bytes)
    {
        --reserved_;
        reserved_bytes_ -= bytes;
    }
    void admit(const ticket& t)
    {
        release(t.bytes);
        jobs_.emplace(t.key, t);
    }
    void requeue(const ticket& t) { jobs_.emplace(t.key, t); }
    bool remove(job_key key) { return jobs_.erase(key) == 1; }
    std::optional<ticket> lease(const scheduler::runnable& can_run, steady_time now)
    {
        for (const bool low : {false, true})
            for (const auto& [key, t] : jobs_)
                if (t.low_priority == low && t.not_before <= now && can_run(t.models)) {
                    const ticket found = t;
                    jobs_.erase(key);
                    return found;
                }
        return std::nullopt;
    }
    std::optional<steady_time> next_pause_end(steady_time now) const
    {
        std::optional<steady_time> first;
        for (const auto& [key, t] : jobs_)
            if (t.not_before > now && (!first || t.not_before < *first))
                first = t.not_before;
        return first;
    }
    std::vector<set_id> wanted() const
    {
        std::vector<set_id> sets;
        for (const bool low : {false, true})
            for (const auto& [key, t] : jobs_)
                if (t.low_priority == low &&
                    std::find(sets.begin(), sets.end(), t.models) == sets.end())
                    sets.push_back(t.models);
        return sets;
    }
    std::vector<job_key> waiting_for(set_id models) const
    {
        std::vector<job_key> all;
        for (const auto& [key, t] : jobs_)
            if (t.models == models)
                all.push_back(key);
        return all;
    }
    std::vector<job_key> waiting(job_key after, std::size_t limit) const
    {
        std::vector<job_key> some;
        for (auto at = jobs_.upper_bound(after); at != jobs_.end() && some.size() < limit; ++at)
            some.push_back(at->first);
        return some;
    }
    std::uint64_t bytes() const
    {
        std::uint64_t sum = 0;
        for (const auto& [key, t] : jobs_)
            sum += t.bytes;
        return sum;
    }
    std::size_t size() const { return jobs_.size(); }
    bool waits(job_key key) const { return jobs_.contains(key); }
    std::optional<job_key> oldest() const
    {
        return jobs_.empty() ? std::nullopt : std::optional(jobs_.begin()->first);
    }

private:
    scheduler::limits allowed_;
    std::map<job_key, ticket> jobs_;
    std::size_t reserved_ = 0;
    std::uint64_t reserved_bytes_ = 0;
};

// BOOST_REQUIRE takes longer than what is compared.
void same(bool as_expected)
{
    if (!as_expected)
        BOOST_FAIL("the two queues differ");
}

// Does the same to both queues, at random, and compares everything that can be asked.
class comparison {
public:
    comparison(unsigned seed, std::size_t most)
        : random_(seed), fast_({most, 5000}), slow_({most, 5000})
    {
    }

    void step()
    {
        now_ += std::chrono::milliseconds(random(0, 3));
        const unsigned dice = random(0, 99);
        if (dice < 35)
            submit_or_release();
        else if (dice < 65)
            lease();
        else if (dice < 80)
            requeue();
        else if (dice < 92)
            remove();
        else
            look();
    }

private:
    unsigned random(unsigned low, unsigned high)
    {
        return std::uniform_int_distribution<unsigned>(low, high)(random_);
    }

    void submit_or_release()
    {
        const std::uint64_t bytes = random(0, 20);
        const refusal got = fast_.reserve(bytes);
        same(got == slow_.reserve(bytes));
        if (got != refusal::none)
            return;
        if (random(0, 9) == 0) {
            fast_.release(bytes);
            slow_.release(bytes);
            return;
        }
        // Commits end in nearly the order in which keys were given.
        const job_key key = next_key_ + random(0, 3) * 2;
        next_key_ += random(0, 2);
        if (slow_.waits(key)) {
            fast_.release(bytes);
            slow_.release(bytes);
            return;
        }
        const ticket t{key, random(0, 9), bytes, random(0, 3) == 0, {}};
        fast_.admit(t);
        slow_.admit(t);
    }

    void lease()
    {
        const unsigned may = random(0, 1023);
        const scheduler::runnable can_run = [may](set_id s) { return (may >> s & 1u) != 0; };
        const auto got = fast_.lease(can_run, now_);
        const auto expected = slow_.lease(can_run, now_);
        same(got.has_value() == expected.has_value());
        if (!got)
            return;
        same(got->key == expected->key);
        same(got->models == expected->models);
        same(got->bytes == expected->bytes);
        same(got->low_priority == expected->low_priority);
        running_.push_back(*got);
    }

    void requeue()
    {
        if (running_.empty())
            return;
        const std::size_t which = random(0, static_cast<unsigned>(running_.size()) - 1);
        ticket t = running_[which];
        running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(which));
        t.not_before =
            random(0, 1) == 0 ? steady_time{} : now_ + std::chrono::milliseconds(random(0, 50));
        fast_.requeue(t);
        slow_.requeue(t);
    }

    void remove()
    {
        const job_key key = next_key_ - std::min<job_key>(next_key_, random(0, 400));
        same(fast_.remove(key) == slow_.remove(key));
        same(!fast_.waits(key));
    }

    void look()
    {
        same(fast_.size() == slow_.size());
        same(fast_.bytes() == slow_.bytes());
        same(fast_.oldest() == slow_.oldest());
        same(fast_.wanted() == slow_.wanted());
        same((fast_.next_pause_end(now_) == slow_.next_pause_end(now_)));
        const set_id models = random(0, 9);
        same(fast_.waiting_for(models) == slow_.waiting_for(models));
        const job_key after = random(0, 400);
        const std::size_t limit = random(0, 20);
        same(fast_.waiting(after, limit) == slow_.waiting(after, limit));
    }

    std::mt19937 random_;
    scheduler fast_;
    naive_queue slow_;
    std::vector<ticket> running_;
    job_key next_key_ = 1;
    steady_time now_ = start;
};

} // namespace

BOOST_AUTO_TEST_SUITE(scheduler_)

BOOST_AUTO_TEST_CASE(jobs_leave_in_the_order_in_which_they_came)
{
    scheduler s({});
    for (const job_key key : {3u, 1u, 2u})
        submit(s, {key, 0, 10, false, {}});

    BOOST_TEST(leased(s) == 1u);
    BOOST_TEST(leased(s) == 2u);
    BOOST_TEST(leased(s) == 3u);
    BOOST_TEST(leased(s) == 0u);
}

BOOST_AUTO_TEST_CASE(low_priority_goes_after_everybody_else)
{
    scheduler s({});
    submit(s, {1, 0, 0, true, {}});
    submit(s, {2, 1, 0, true, {}});
    submit(s, {3, 0, 0, false, {}});

    BOOST_TEST(leased(s) == 3u);
    BOOST_TEST(leased(s) == 1u);
    BOOST_TEST(leased(s) == 2u);
}

BOOST_AUTO_TEST_CASE(a_backend_gets_the_oldest_job_whose_models_it_has)
{
    scheduler s({});
    submit(s, {1, 5, 0, false, {}});
    submit(s, {2, 6, 0, false, {}});
    submit(s, {3, 5, 0, false, {}});
    const auto has_six = [](set_id models) { return models == 6; };

    BOOST_TEST(leased(s, has_six) == 2u);
    BOOST_TEST(leased(s, has_six) == 0u);
    BOOST_TEST(s.size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_requeued_job_has_its_old_place)
{
    scheduler s({});
    submit(s, {1, 0, 7, false, {}});
    submit(s, {2, 0, 7, false, {}});
    const auto first = s.lease(anything, start);
    s.requeue(*first);

    BOOST_TEST(s.bytes() == 14u);
    BOOST_TEST(leased(s) == 1u);
}

BOOST_AUTO_TEST_CASE(a_pause_holds_one_job_and_nobody_else)
{
    scheduler s({});
    s.requeue({1, 0, 0, false, start + 5s});
    s.requeue({2, 0, 0, false, {}});

    BOOST_TEST(leased(s) == 2u);
    BOOST_TEST(leased(s) == 0u);
    BOOST_TEST((s.next_pause_end(start) == start + 5s));
    BOOST_TEST(leased(s, anything, start + 5s - 1ns) == 0u);
    BOOST_TEST(leased(s, anything, start + 5s) == 1u);
    BOOST_TEST((s.next_pause_end(start + 5s) == std::nullopt));
}

BOOST_AUTO_TEST_CASE(a_paused_job_can_be_removed)
{
    scheduler s({});
    s.requeue({1, 4, 9, false, start + 5s});
    BOOST_TEST(s.wanted() == std::vector<set_id>{4});

    BOOST_TEST(s.remove(1));

    BOOST_TEST(!s.remove(1));
    BOOST_TEST(s.size() == 0u);
    BOOST_TEST(s.bytes() == 0u);
    BOOST_TEST(s.wanted().empty());
    BOOST_TEST((s.next_pause_end(start) == std::nullopt));
}

BOOST_AUTO_TEST_CASE(a_reserved_place_is_kept_until_it_is_used_or_given_back)
{
    scheduler s({.jobs = 2, .bytes = 1000});
    BOOST_TEST(s.reserve(1) == refusal::none);
    BOOST_TEST(s.reserve(1) == refusal::none);
    BOOST_TEST(s.reserve(1) == refusal::too_many_jobs);

    s.release(1);
    BOOST_TEST(s.reserve(1) == refusal::none);
    s.admit({1, 0, 1, false, {}});
    BOOST_TEST(s.reserve(1) == refusal::too_many_jobs);
    BOOST_TEST(leased(s) == 1u);
    BOOST_TEST(s.reserve(1) == refusal::none);
}

BOOST_AUTO_TEST_CASE(bytes_are_limited_too_without_overflow)
{
    scheduler s({.jobs = 10, .bytes = 100});
    BOOST_TEST(s.reserve(~std::uint64_t{0}) == refusal::too_many_bytes);
    BOOST_TEST(s.reserve(100) == refusal::none);
    BOOST_TEST(s.reserve(1) == refusal::too_many_bytes);
    BOOST_TEST(s.reserve(0) == refusal::none);
}

BOOST_AUTO_TEST_CASE(a_job_comes_back_even_when_the_queue_is_full)
{
    scheduler s({.jobs = 1, .bytes = 1});
    submit(s, {1, 0, 1, false, {}});
    const auto t = s.lease(anything, start);
    submit(s, {2, 0, 1, false, {}});

    s.requeue(*t);

    BOOST_TEST(s.size() == 2u);
    BOOST_TEST(s.reserve(0) == refusal::too_many_jobs);
}

BOOST_AUTO_TEST_CASE(a_job_that_waits_is_not_queued_twice)
{
    scheduler s({});
    submit(s, {1, 0, 5, false, {}});
    s.requeue({1, 0, 5, false, {}});

    BOOST_TEST(s.size() == 1u);
    BOOST_TEST(s.bytes() == 5u);
}

BOOST_AUTO_TEST_CASE(the_queue_behaves_as_a_plain_one_would)
{
    for (const unsigned seed : {1u, 2u, 3u, 4u}) {
        BOOST_TEST_CONTEXT("seed " << seed)
        {
            comparison both(seed, seed % 2 == 0 ? 40 : 200);
            for (int i = 0; i < 30'000; ++i)
                both.step();
        }
    }
}

BOOST_AUTO_TEST_CASE(a_million_jobs_fit_in_64_bytes_each)
{
    constexpr job_key jobs = 1'000'000;
    scheduler s({.jobs = jobs, .bytes = ~std::uint64_t{0}});
    for (job_key key = 1; key <= jobs; ++key)
        s.requeue({key, static_cast<set_id>(key % 10), 1000, key % 7 == 0, {}});

    BOOST_TEST(s.size() == jobs);
    BOOST_TEST(s.memory() < 64 * jobs);
}

BOOST_AUTO_TEST_CASE(the_memory_goes_with_the_jobs)
{
    constexpr job_key jobs = 50'000;
    scheduler s({});
    for (job_key key = 1; key <= jobs; ++key)
        s.requeue({key, static_cast<set_id>(key % 10), 1000, key % 7 == 0, {}});

    for (job_key key = 1; key <= jobs; key += 3) // from the middle
        s.remove(key);
    BOOST_TEST(s.memory() < 64 * jobs);
    std::size_t left = 0;
    while (s.lease(anything, start)) // and from the front
        ++left;
    BOOST_TEST(left == jobs - (jobs + 2) / 3);
    BOOST_TEST(s.memory() < jobs);
}

BOOST_AUTO_TEST_SUITE_END()
