// Random sequences of calls on jobs, against the reference model. One that fails is cut down to
// what it takes and printed. GATEWAY_SIM_SEED=… runs that one alone, GATEWAY_SIM_RUNS=… more of
// them.

#include "base/ids.hpp"
#include "support/lifecycle_sim.hpp"
#include "support/sequences.hpp"

#include <boost/test/unit_test.hpp>

#include <sstream>

using namespace gateway;
using namespace gateway::test;
using step = lifecycle_step;

namespace {

std::vector<step> random_steps(std::uint64_t seed, std::size_t how_many)
{
    using kind = step::kind;
    static constexpr std::pair<kind, unsigned> weights[] = {
        {kind::submit, 20}, {kind::lease, 22}, {kind::complete, 12}, {kind::end, 14},
        {kind::cancel, 12}, {kind::retry, 6},  {kind::purge, 1},     {kind::fail_waiting, 2},
        {kind::settle, 12}, {kind::fault, 5},  {kind::crash, 2},     {kind::shorten, 1},
        {kind::pass, 2},    {kind::jump, 1},
    };
    unsigned sum = 0;
    for (const auto& [what, weight] : weights)
        sum += weight;
    seeded_random random(seed);
    std::vector<step> steps;
    while (steps.size() < how_many) {
        auto pick = random.next() % sum;
        for (const auto& [what, weight] : weights) {
            if (pick < weight) {
                steps.push_back({what, random.next() >> 8});
                break;
            }
            pick -= weight;
        }
    }
    return steps;
}

// What went wrong; nothing when all is well.
std::string outcome_of(const std::vector<step>& steps, std::size_t& calls)
{
    try {
        lifecycle_simulation s;
        s.run(steps);
        calls += s.calls_made();
        return {};
    } catch (const std::exception& e) {
        return e.what();
    }
}

std::string report(std::uint64_t seed, std::vector<step> steps)
{
    static constexpr const char* names[] = {"submit", "lease",   "complete",     "end",    "cancel",
                                            "retry",  "purge",   "fail_waiting", "settle", "fault",
                                            "crash",  "shorten", "pass",         "jump"};
    std::size_t ignored = 0;
    const auto first = outcome_of(steps, ignored);
    const auto fails = [&](const auto& fewer) { return !outcome_of(fewer, ignored).empty(); };
    steps = cut_down(std::move(steps), fails);
    std::ostringstream text;
    text << "seed " << seed << ": " << first << "\ncut down to:";
    for (const auto& s : steps)
        text << "\n  " << names[static_cast<std::size_t>(s.what)] << " " << s.dice;
    text << "\nwhich ends with: " << outcome_of(steps, ignored);
    return text.str();
}

} // namespace

BOOST_AUTO_TEST_SUITE(lifecycle_)

BOOST_AUTO_TEST_CASE(jobs_answer_and_keep_what_some_order_of_the_calls_explains)
{
    constexpr std::size_t length = 500;
    const auto alone = number_from("GATEWAY_SIM_SEED", 0);
    const auto runs = alone != 0 ? 1 : number_from("GATEWAY_SIM_RUNS", 280);
    std::size_t calls = 0;
    for (std::uint64_t n = 1; n <= runs; ++n) {
        const auto seed = alone != 0 ? alone : n;
        auto steps = random_steps(seed, length);
        if (!outcome_of(steps, calls).empty()) {
            BOOST_ERROR(report(seed, std::move(steps)));
            return;
        }
    }
    BOOST_TEST_MESSAGE(calls << " calls in " << runs << " sequences");
    BOOST_TEST((alone != 0 || calls >= 100'000 * runs / 280));
}

BOOST_AUTO_TEST_SUITE_END()
