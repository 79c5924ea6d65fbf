// Old journals: they come forward whole, or stay as they were.

#include "support/fault_vfs.hpp"
#include "support/journal_jobs.hpp"
#include "support/temp_folder.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>

#include <fstream>
#include <sstream>

using namespace gateway;
using namespace gateway::test;
using core::job_state;
using call = fault_vfs::call;

namespace {

std::string version_1()
{
    std::ifstream in(GATEWAY_SOURCE_DIR "/tests/store/golden/journal_v1.sql");
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

struct old_journal : world {
    temp_folder folder;
    fault_vfs vfs{"migrating"};
    net::lane inline_lane{"journal", 0};
    std::string file = (folder / "journal.db").string();

    old_journal()
    {
        vfs.skip_syncs();
        make(version_1());
    }

    void make(const std::string& sql)
    {
        for (const auto* suffix : {"", "-wal", "-shm"})
            std::filesystem::remove(file + suffix);
        SQLite::Database(file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec(sql);
    }

    std::unique_ptr<store::journal> open()
    {
        store::sqlite_options options;
        options.vfs = vfs.name();
        options.ballast = 0;
        return store::open_sqlite(file, inline_lane, options);
    }

    std::int64_t ask(const std::string& sql)
    {
        SQLite::Database db(file, SQLite::OPEN_READONLY);
        return db.execAndGet(sql).getInt64();
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(sqlite_schema_, old_journal)

BOOST_AUTO_TEST_CASE(a_journal_of_version_1_keeps_all_its_jobs)
{
    auto j = open();

    const auto all = everything(*this, *j);

    BOOST_REQUIRE_EQUAL(all.size(), 5u);
    BOOST_TEST((all[0].job.state == job_state::in_queue));
    BOOST_TEST((*all[0].files == core::model_set{{core::model_kind::checkpoint, "dream", "", ""}}));
    BOOST_TEST(*input(*this, *j, 1) == R"({"prompt":"cat 1"})");
    BOOST_TEST((all[1].job.state == job_state::in_progress));
    BOOST_TEST(all[1].job.sync);
    BOOST_REQUIRE_EQUAL(all[1].attempts.size(), 2u);
    BOOST_TEST((all[1].attempts[0].ended == core::outcome::lost_restarted));
    BOOST_TEST(!all[1].attempts[1].ended.has_value());
    BOOST_TEST((all[2].job.state == job_state::completed));
    BOOST_TEST(all[2].webhook == "https://client/hook");
    BOOST_REQUIRE(all[2].result.has_value());
    BOOST_TEST(all[2].result->file == "3-1");
    BOOST_TEST(all[2].result->index == "0 1 png\n");
    BOOST_TEST(!all[2].result->checksum.has_value());
    BOOST_TEST(all[3].error == "it broke");
    BOOST_TEST((all[4].job.state == job_state::cancelled));
    BOOST_TEST(j->next_key() == 8u);
    BOOST_TEST(ask("PRAGMA user_version") == 2);
    BOOST_TEST(ask("PRAGMA auto_vacuum") == 2);
    BOOST_TEST(ask("SELECT group_concat(uses, '') = '320' FROM model_sets ORDER BY id") == 1);
}

BOOST_AUTO_TEST_CASE(a_journal_that_came_forward_is_worked_with_like_a_new_one)
{
    auto j = open();
    BOOST_TEST(!commit(*this, *j, written(begun(1, 1))));
    BOOST_TEST(!commit(*this, *j, written(completed(1, 1), inserted(8))));
    BOOST_TEST(!commit(*this, *j, written(store::erase_job{3}, store::erase_job{4})));

    const auto all = everything(*this, *j);

    BOOST_REQUIRE_EQUAL(all.size(), 4u);
    BOOST_TEST((all[0].job.state == job_state::completed));
    BOOST_TEST(all[3].job.key == 8u);
    BOOST_TEST(ask("SELECT sum(uses) FROM model_sets") == 4);
}

// A database put together from a dump has lost the setting that lets it shrink.
BOOST_AUTO_TEST_CASE(a_journal_restored_from_a_dump_can_shrink_again)
{
    auto sql = version_1();
    sql.erase(sql.find("PRAGMA auto_vacuum"), sql.find(';') + 1 - sql.find("PRAGMA auto_vacuum"));
    make(sql);
    BOOST_REQUIRE_EQUAL(ask("PRAGMA auto_vacuum"), 0);

    const auto all = everything(*this, *open());

    BOOST_TEST(all.size() == 5u);
    BOOST_TEST(ask("PRAGMA auto_vacuum") == 2);
}

BOOST_AUTO_TEST_CASE(a_step_that_fails_anywhere_leaves_the_old_journal)
{
    int refused = 0;
    for (const auto what : {call::read, call::write, call::sync, call::map}) {
        bool failed = true;
        for (int nth = 1; failed; ++nth) {
            BOOST_TEST_CONTEXT("call " << static_cast<int>(what) << " failed at " << nth)
            {
                make(version_1());
                int left = nth;
                vfs.set([&left, what](call asked, const std::string&) {
                    return asked == what && --left == 0 ? SQLITE_IOERR : 0;
                });
                try {
                    open();
                } catch (const std::runtime_error&) {
                    ++refused;
                    const auto version = ask("PRAGMA user_version");
                    BOOST_TEST((version == 1 || version == 2));
                    BOOST_TEST(ask("SELECT count(*) FROM pragma_table_info('model_sets')") ==
                               (version == 1 ? 2 : 3));
                }
                failed = left <= 0;
                vfs.set({});
                BOOST_TEST(everything(*this, *open()).size() == 5u);
            }
        }
    }
    BOOST_TEST(refused > 4);
}

// What a machine would find that lost its power at any of the writes of the step.
BOOST_AUTO_TEST_CASE(a_crash_in_the_middle_of_a_step_leaves_the_old_journal)
{
    int copies = 0;
    vfs.set([&](call what, const std::string&) {
        if (what != call::write)
            return 0;
        const auto name = "copy-" + std::to_string(++copies);
        for (const auto* suffix : {"", "-wal"}) {
            if (std::filesystem::exists(file + suffix))
                std::filesystem::copy_file(file + suffix, folder / (name + suffix));
        }
        return 0;
    });
    open();
    vfs.set({});

    BOOST_TEST(copies > 5);
    for (int i = 1; i <= copies; ++i) {
        file = (folder / ("copy-" + std::to_string(i))).string();
        const auto version = ask("PRAGMA user_version");
        BOOST_TEST((version == 1 || version == 2));
        BOOST_TEST(ask("SELECT count(*) FROM pragma_table_info('model_sets')") ==
                   (version == 1 ? 2 : 3));
        BOOST_TEST(everything(*this, *open()).size() == 5u);
        BOOST_TEST(ask("PRAGMA user_version") == 2);
    }
}

BOOST_AUTO_TEST_SUITE_END()
