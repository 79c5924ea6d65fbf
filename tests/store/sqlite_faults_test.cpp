// Disks that fail under the journal: nobody is told that something happened when it did not, or the
// other way round.

#include "support/fault_files.hpp"
#include "support/fault_vfs.hpp"
#include "support/journal_jobs.hpp"
#include "support/temp_folder.hpp"

#include <sqlite3.h>

using namespace gateway;
using namespace gateway::test;
using core::job_state;
using store::journal_errc;
using call = fault_vfs::call;

namespace {

struct faulty_disk : world {
    temp_folder folder;
    fault_vfs vfs{"faulty"};
    fault_files files;
    net::lane inline_lane{"journal", 0};
    std::string file = (folder / "journal.db").string();
    std::unique_ptr<store::journal> j;

    faulty_disk()
    {
        vfs.skip_syncs();
        open(0);
    }

    void open(std::uint64_t ballast)
    {
        j.reset();
        store::sqlite_options options;
        options.vfs = vfs.name();
        options.files = &files;
        options.ballast = ballast;
        options.checkpoint_pages = 4;
        j = store::open_sqlite(file, inline_lane, options);
    }

    error_code put(const store::write& w) { return commit(*this, *j, w); }

    // The truth, with a disk that works again.
    std::vector<store::job_record> after_restart()
    {
        vfs.set({});
        files.heal();
        open(0);
        return everything(*this, *j);
    }
};

bool is_log(const std::string& path) { return path.ends_with("-wal"); }

net::task<> ask(store::journal& j, store::write w, std::optional<error_code>& out)
{
    out = co_await j.commit(std::move(w));
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(sqlite_faults_, faulty_disk)

BOOST_AUTO_TEST_CASE(one_failed_call_anywhere_costs_no_job_and_tells_no_lie)
{
    for (const auto what : {call::open, call::read, call::write, call::truncate, call::sync,
                            call::remove, call::map}) {
        for (int nth = 1; nth <= 12; ++nth) {
            std::filesystem::remove(file);
            vfs.set({});
            open(0);
            vfs.fail(what, nth, what == call::sync ? SQLITE_IOERR_FSYNC : SQLITE_IOERR);
            std::map<core::job_key, error_code> answers;
            for (core::job_key key = 1; key <= 6; ++key)
                answers[key] = put(written(inserted(key), begun(key, 1)));

            std::map<core::job_key, job_state> found;
            for (const auto& record : after_restart())
                found[record.job.key] = record.job.state;

            for (const auto& [key, ec] : answers) {
                BOOST_TEST_CONTEXT("call " << static_cast<int>(what) << " failed at " << nth
                                           << ", job " << key << ": " << ec.message())
                {
                    if (!ec)
                        BOOST_TEST((found.contains(key) && found[key] == job_state::in_progress));
                    else if (ec != journal_errc::unknown)
                        BOOST_TEST(!found.contains(key));
                }
            }
            j.reset();
            std::filesystem::remove(file + "-wal");
            std::filesystem::remove(file + "-shm");
        }
    }
}

BOOST_AUTO_TEST_CASE(a_batch_that_fails_once_is_run_again_and_succeeds)
{
    vfs.fail(call::sync, 1, SQLITE_IOERR_FSYNC);
    BOOST_TEST(put(written(inserted(1))) == error_code{});
    BOOST_TEST(j->counters().last_failure.empty() == false);
    BOOST_TEST(after_restart().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_full_disk_says_so_and_takes_nothing)
{
    BOOST_TEST(!put(written(inserted(1))));
    vfs.set([](call what, const std::string&) { return what == call::write ? SQLITE_FULL : 0; });

    BOOST_TEST((put(written(inserted(2))) == journal_errc::full));
    BOOST_TEST((put(written(begun(1, 1))) == journal_errc::full));
    BOOST_TEST(input(*this, *j, 1).has_value()); // reading goes on

    vfs.set({});
    BOOST_TEST(!put(written(begun(1, 1))));
    BOOST_TEST(after_restart().size() == 1u);
}

BOOST_AUTO_TEST_CASE(with_a_full_disk_jobs_can_still_end_for_the_ballast_makes_room)
{
    open(std::uint64_t{1} << 20);
    BOOST_TEST(!put(written(inserted(1), begun(1, 1))));
    BOOST_TEST(std::filesystem::file_size(file + ".ballast") == std::uint64_t{1} << 20);
    const auto ballast = file + ".ballast";
    vfs.set([ballast](call what, const std::string&) {
        return what == call::write && std::filesystem::exists(ballast) ? SQLITE_FULL : 0;
    });
    files.set_free_bytes(0);

    BOOST_TEST((put(written(inserted(2))) == journal_errc::full));
    BOOST_TEST(put(written(completed(1, 1))) == error_code{});

    // The room is for more ends, not for more jobs, until there is enough again.
    BOOST_TEST((put(written(inserted(2))) == journal_errc::full));
    files.heal();
    vfs.set({});
    BOOST_TEST(!put(written(inserted(2))));
    BOOST_TEST(std::filesystem::exists(ballast));
    BOOST_TEST(after_restart().size() == 2u);
}

BOOST_AUTO_TEST_CASE(in_a_batch_that_does_not_fit_the_ends_of_jobs_get_the_room)
{
    net::lane beside("journal", 1);
    {
        store::sqlite_options options;
        options.vfs = vfs.name();
        options.files = &files;
        options.ballast = std::uint64_t{1} << 20;
        auto shared = store::open_sqlite(file, beside, options);
        std::optional<error_code> first;
        start(ask(*shared, written(inserted(1), begun(1, 1)), first));
        loop.run();
        loop.restart();
        BOOST_REQUIRE((first && !*first));

        files.set_free_bytes(0);
        const auto ballast = file + ".ballast";
        vfs.set([ballast](call what, const std::string&) {
            return what == call::write && std::filesystem::exists(ballast) ? SQLITE_FULL : 0;
        });
        std::vector<std::optional<error_code>> answers(4);
        start(ask(*shared, written(inserted(2)), answers[0]));
        start(ask(*shared, written(inserted(3)), answers[1]));
        start(ask(*shared, written(completed(1, 1)), answers[2]));
        start(ask(*shared, written(inserted(4)), answers[3]));
        loop.run();

        BOOST_TEST((answers[2] && !*answers[2]));
    }
    const auto all = after_restart();
    BOOST_REQUIRE(!all.empty());
    BOOST_TEST((all[0].job.state == job_state::completed));
}

// The commit is in the log, but the call that should make it durable fails, and so does every
// attempt to look: then nothing is claimed.
BOOST_AUTO_TEST_CASE(what_cannot_be_looked_up_is_answered_as_unknown)
{
    BOOST_TEST(!put(written(inserted(1))));
    bool broken = false;
    vfs.set([&broken](call what, const std::string& path) {
        if (what == call::sync && is_log(path))
            broken = true;
        return broken ? SQLITE_IOERR : 0;
    });

    BOOST_TEST((put(written(inserted(2))) == journal_errc::unknown));
    BOOST_TEST((put(written(inserted(3))) == journal_errc::io)); // certain: it was never tried
    BOOST_TEST(!j->counters().last_failure.empty());

    vfs.set({});
    BOOST_TEST(!put(written(inserted(4)))); // and it heals by itself
    const auto all = after_restart();
    BOOST_TEST(all.front().job.key == 1u);
    BOOST_TEST(all.back().job.key == 4u);
    for (const auto& record : all)
        BOOST_TEST(record.job.key != 3u);
}

BOOST_AUTO_TEST_CASE(a_checkpoint_that_fails_is_only_put_off)
{
    vfs.set([](call what, const std::string& path) {
        return what == call::write && !is_log(path) ? SQLITE_IOERR_WRITE : 0;
    });
    for (core::job_key key = 1; key <= 20; ++key)
        BOOST_TEST(!put(written(inserted(key))));
    vfs.set({});
    BOOST_TEST(!put(written(inserted(21))));
    BOOST_TEST(after_restart().size() == 21u);
}

BOOST_AUTO_TEST_CASE(a_disk_that_fails_while_reading_is_told_and_read_again)
{
    BOOST_TEST(!put(written(inserted(1, std::string(50'000, 'x')))));
    open(0);
    vfs.set(
        [](call what, const std::string&) { return what == call::read ? SQLITE_IOERR_READ : 0; });
    const auto failed = input(*this, *j, 1);
    BOOST_REQUIRE(!failed.has_value());
    BOOST_TEST((failed.error() == journal_errc::io));
    vfs.set({});
    BOOST_TEST(input(*this, *j, 1)->size() == 50'000u);
}

BOOST_AUTO_TEST_CASE(a_folder_that_cannot_be_synced_is_no_place_for_a_journal)
{
    files.fail(fault_files::call::sync_folder, 1, EIO);
    BOOST_CHECK_EXCEPTION(open(0), std::runtime_error, [](const std::runtime_error& e) {
        return std::string(e.what()).find("cannot sync the folder") != std::string::npos;
    });
}

BOOST_AUTO_TEST_SUITE_END()
