// Long random histories over a disk that fails at random: what was answered is true, whatever else
// went wrong. A failing seed can be run again.

#include "support/fault_files.hpp"
#include "support/fault_vfs.hpp"
#include "support/journal_jobs.hpp"
#include "support/temp_folder.hpp"

#include <sqlite3.h>

#include <array>
#include <random>
#include <set>

using namespace gateway;
using namespace gateway::test;
using core::job_state;
using store::journal_errc;
using call = fault_vfs::call;

namespace {

constexpr core::job_key most_jobs = 12;
constexpr int steps = 400;

// A job as the ten-line model sees it; nothing: it is not there.
struct known {
    job_state state = job_state::in_queue;
    std::uint32_t attempt = 0;
    auto operator<=>(const known&) const = default;
};
using truth = std::optional<known>;

// What the operation makes of a job; nothing: it is refused.
std::optional<truth> after(const store::operation& op, const truth& job)
{
    std::optional<truth> then;
    const auto runs = [&job](core::fence by) {
        return job && job->state == job_state::in_progress && job->attempt == by.attempt;
    };
    if (std::holds_alternative<store::insert_job>(op) && !job)
        then.emplace(known{});
    if (std::holds_alternative<store::erase_job>(op))
        then.emplace();
    const auto* begin = std::get_if<store::begin_attempt>(&op);
    if (begin != nullptr && job && job->state == job_state::in_queue &&
        job->attempt + 1 == begin->fence.attempt)
        then.emplace(known{job_state::in_progress, begin->fence.attempt});
    const auto* requeue = std::get_if<store::requeue_job>(&op);
    if (requeue != nullptr && runs(requeue->fence))
        then.emplace(known{job_state::in_queue, job->attempt});
    const auto* finish = std::get_if<store::finish_job>(&op);
    const bool waits = job && job->state == job_state::in_queue; // attempt 0 ends what waits
    if (finish != nullptr && (finish->fence.attempt == 0 ? waits : runs(finish->fence)))
        then.emplace(known{finish->state, job->attempt});
    return then;
}

struct random_disk : world {
    temp_folder folder;
    fault_vfs vfs{"random"};
    fault_files files;
    net::lane inline_lane{"journal", 0};
    std::mt19937_64 random;
    int odds = 0; // of 1000 calls, so many fail
    std::unique_ptr<store::journal> j;
    // What may be true of each job: more than one thing after a commit of which nobody knows.
    std::map<core::job_key, std::set<truth>> possible;
    int unknown = 0;
    int failed = 0;

    int below(int n) { return static_cast<int>(random() % static_cast<std::uint64_t>(n)); }

    void begin(std::uint64_t seed)
    {
        vfs.skip_syncs();
        random.seed(seed);
        possible.clear();
        for (core::job_key key = 1; key <= most_jobs; ++key)
            possible[key] = {truth()};
        vfs.set(
            [this](call what, const std::string&) { return below(1000) < odds ? code(what) : 0; });
    }

    int code(call what)
    {
        switch (what) {
        case call::read: return SQLITE_IOERR_READ;
        case call::write: return below(2) == 0 ? SQLITE_IOERR_WRITE : SQLITE_FULL;
        case call::sync: return SQLITE_IOERR_FSYNC;
        case call::truncate: return SQLITE_IOERR_TRUNCATE;
        case call::remove: return SQLITE_IOERR_DELETE;
        case call::map: return SQLITE_IOERR_SHMMAP;
        case call::open: return SQLITE_CANTOPEN;
        }
        return SQLITE_IOERR;
    }

    void open()
    {
        store::sqlite_options options;
        options.vfs = vfs.name();
        options.files = &files;
        options.ballast = 0;
        options.checkpoint_pages = 8;
        j.reset();
        j = store::open_sqlite((folder / "journal.db").string(), inline_lane, options);
    }

    store::operation any_operation(core::job_key key)
    {
        const auto& job = *possible[key].begin();
        const auto attempt = job ? job->attempt : 0;
        switch (below(6)) {
        case 0: return inserted(key, std::string(static_cast<std::size_t>(below(9000)), 'x'));
        case 1: return begun(key, attempt + 1);
        case 2: return requeued(key, attempt);
        case 3: return completed(key, attempt);
        case 4: return ended(key, attempt, job_state::failed);
        default: return store::erase_job{key};
        }
    }

    void step()
    {
        const auto key = 1 + random() % most_jobs;
        const auto op = any_operation(key);
        const auto answer = commit(*this, *j, written(op));
        std::set<truth> now;
        for (const auto& job : possible[key]) {
            const auto then = after(op, job);
            if (answer == error_code{} && then)
                now.insert(*then);
            if (answer == journal_errc::unknown && then)
                now.insert(*then);
            if (answer == journal_errc::conflict ? !then : answer != error_code{})
                now.insert(job);
        }
        unknown += answer == journal_errc::unknown ? 1 : 0;
        failed += answer && answer != journal_errc::conflict ? 1 : 0;
        BOOST_TEST(!now.empty(), "job " << key << " was answered: " << answer.message());
        possible[key] = now;
    }

    // With a disk that works, as a process finds it that starts now.
    void look()
    {
        odds = 0;
        open();
        std::map<core::job_key, truth> found;
        for (const auto& record : everything(*this, *j)) {
            found[record.job.key] = known{record.job.state, record.job.attempt};
            BOOST_TEST((record.result.has_value() == (record.job.state == job_state::completed)));
            BOOST_TEST(input(*this, *j, record.job.key)->size() == record.job.input_bytes);
        }
        for (auto& [key, may_be] : possible) {
            BOOST_TEST(may_be.contains(found[key]), "job " << key << " is not as it was answered");
            may_be = {found[key]};
        }
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(sqlite_random_, random_disk)

BOOST_AUTO_TEST_CASE(every_answer_is_true_however_the_disk_fails)
{
    constexpr std::array<int, 5> weathers{0, 2, 20, 100, 400};
    for (std::uint64_t seed = 1; seed <= 25; ++seed) {
        BOOST_TEST_CONTEXT("seed " << seed)
        {
            std::filesystem::remove(folder / "journal.db");
            begin(seed);
            odds = 0;
            open();
            for (int i = 0; i < steps; ++i) {
                if (below(20) == 0)
                    odds = weathers[static_cast<std::size_t>(below(5))];
                step();
                if (below(40) == 0)
                    look();
            }
            look();
            j.reset();
        }
    }
    // The weather was bad enough to mean something, and not so bad that nothing was ever known.
    BOOST_TEST(failed > 500);
    BOOST_TEST(unknown > 20);
    BOOST_TEST(failed < 25 * steps / 2);
}

BOOST_AUTO_TEST_SUITE_END()
