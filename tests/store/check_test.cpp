#include "store/check.hpp"

#include "support/fault_vfs.hpp"
#include "support/journal_jobs.hpp"
#include "support/temp_folder.hpp"

#include <SQLiteCpp/SQLiteCpp.h>

#include <fstream>
#include <sstream>

using namespace gateway;
using namespace gateway::test;
using core::job_state;

namespace {

// A journal with a job in every state, closed as a gateway closes it.
struct closed_journal : world {
    temp_folder folder;
    fault_vfs quick{"unhurried"};
    net::lane inline_lane{"journal", 0};
    std::string file = (folder / "journal.db").string();

    closed_journal()
    {
        quick.skip_syncs();
        auto j = open();
        BOOST_TEST(!commit(*this, *j, written(inserted(1), inserted(2), inserted(3))));
        BOOST_TEST(!commit(*this, *j, written(begun(2, 1), requeued(2, 1), begun(2, 2))));
        BOOST_TEST(!commit(*this, *j, written(begun(3, 1), completed(3, 1), inserted(4))));
        BOOST_TEST(!commit(*this, *j, written(ended(4, 0, job_state::cancelled), inserted(5))));
        BOOST_TEST(!commit(*this, *j, written(begun(5, 1), ended(5, 1, job_state::failed))));
        for (int i = 0; i < 5; ++i)
            j->next_key();
        BOOST_TEST(!commit(*this, *j, {}));
        run(j->close());
    }

    std::unique_ptr<store::journal> open()
    {
        store::sqlite_options options;
        options.vfs = quick.name();
        options.ballast = 0;
        return store::open_sqlite(file, inline_lane, options);
    }

    void say(const std::string& sql)
    {
        SQLite::Database(file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec(sql);
    }

    // "what: row, row" of every finding, in lines.
    std::string found()
    {
        std::string text;
        for (const auto& d : store::check_journal(file).found) {
            text += d.what + ":";
            for (const auto& row : d.rows)
                text += " " + row;
            text += "\n";
        }
        return text;
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(check_, closed_journal)

BOOST_AUTO_TEST_CASE(a_sound_journal_is_counted_and_left_as_it_is)
{
    const auto size = std::filesystem::file_size(file);
    const auto when = std::filesystem::last_write_time(file);

    const auto report = store::check_journal(file);

    BOOST_TEST(found() == "");
    BOOST_TEST(report.schema == 2);
    BOOST_TEST(report.bytes == size);
    BOOST_TEST(report.jobs.size() == 5u);
    BOOST_TEST(report.jobs.at(job_state::completed) == 1u);
    BOOST_REQUIRE_EQUAL(report.results.size(), 1u);
    BOOST_TEST(report.results.at(3).file == "file-3");
    BOOST_TEST(report.results.at(3).checksum.value() == 0xfedc'ba98u);
    BOOST_TEST((std::filesystem::last_write_time(file) == when));
}

BOOST_AUTO_TEST_CASE(a_journal_of_version_1_is_checked_as_what_it_is)
{
    std::filesystem::remove(file);
    std::ifstream in(GATEWAY_SOURCE_DIR "/tests/store/golden/journal_v1.sql");
    std::ostringstream sql;
    sql << in.rdbuf();
    say(sql.str());

    BOOST_TEST(found() == "");
    const auto report = store::check_journal(file);
    BOOST_TEST(report.schema == 1);
    BOOST_TEST(!report.results.at(3).checksum.has_value());
    SQLite::Database db(file, SQLite::OPEN_READONLY);
    BOOST_TEST(db.execAndGet("PRAGMA user_version").getInt() == 1);
}

BOOST_AUTO_TEST_CASE(every_rule_finds_what_breaks_it)
{
    const std::vector<std::pair<std::string, std::string>> cases{
        {"UPDATE jobs SET state = 9 WHERE key = 1", "jobs in a state that does not exist: 1"},
        {"DELETE FROM attempts WHERE attempt = 2",
         "running jobs without an open attempt of their fence: 2"},
        {"UPDATE attempts SET ended = NULL WHERE job = 5",
         "open attempts of jobs that do not run them: 5"},
        {"INSERT INTO attempts (job, attempt, backend, started, ended) VALUES (1, 7, 'webui-0', 1, "
         "2)",
         "attempts above the fence of their job: 1"},
        {"UPDATE attempts SET ended = 99 WHERE job = 5", "attempts that ended in no known way: 5"},
        {"UPDATE jobs SET ended = 0 WHERE key = 4", "ended jobs without the time of their end: 4"},
        {"UPDATE jobs SET ended = 5 WHERE key = 1",
         "jobs that have a time of their end but go on: 1"},
        {"DELETE FROM inputs WHERE key = 1", "jobs without their input: 1"},
        {"UPDATE inputs SET text = 'short' WHERE key = 1",
         "inputs of another size than their job says: 1"},
        {"INSERT INTO inputs VALUES (77, '')", "inputs of no job: 77"},
        {"INSERT INTO attempts (job, attempt, backend, started, ended) VALUES (77, 1, 'webui-0', "
         "1, 2)",
         "attempts of no job: 77"},
        {"INSERT INTO results VALUES (77, 'f', 1, 0, '', x'', 0)", "results of no job: 77"},
        {"DELETE FROM results", "completed jobs without a result: 3"},
        {"INSERT INTO results VALUES (5, 'f', 1, 0, '', x'', 0)",
         "results of jobs that are not completed: 5"},
        {"UPDATE results SET splice = size + 1", "results spliced behind their end: 3"},
        {"INSERT INTO results SELECT 77, file, 1, 0, '', x'', 0 FROM results",
         "files that are the result of two jobs: file-3"},
        {"UPDATE jobs SET models = 99 WHERE key = 1", "jobs whose model set is missing: 1"},
        {"UPDATE meta SET last_key = 4", "keys above the last one handed out: 5"},
        {"INSERT INTO retries VALUES (77, 1, 3, 5, '', 6)", "retries of no job: 77"},
        {"INSERT INTO idempotency VALUES (77, 1, 2, 3, 4)", "Idempotency-Keys of no job: 77"},
        {"UPDATE model_sets SET uses = 4", "model sets whose users are miscounted: 1"},
        {"UPDATE model_sets SET text = 'c5:x'", "model sets that cannot be read: 1"},
    };
    for (const auto& [sql, line] : cases) {
        const auto copy = (folder / "copy.db").string();
        std::filesystem::copy_file(file, copy, std::filesystem::copy_options::overwrite_existing);
        const auto sound = std::exchange(file, copy);
        say(sql);
        BOOST_TEST(found().find(line + "\n") != std::string::npos, sql << ": " << found());
        file = sound;
    }
}

BOOST_AUTO_TEST_CASE(of_many_broken_rows_the_first_are_named_and_all_counted)
{
    say("WITH RECURSIVE n(k) AS (SELECT 100 UNION ALL SELECT k + 1 FROM n WHERE k < 199)"
        " INSERT INTO inputs SELECT k, '' FROM n");
    const auto report = store::check_journal(file);
    BOOST_REQUIRE_EQUAL(report.found.size(), 1u);
    BOOST_TEST(report.found[0].count == 100u);
    BOOST_TEST(report.found[0].rows.size() == 5u);
}

BOOST_AUTO_TEST_CASE(damaged_pages_are_found_wherever_they_are)
{
    {
        auto j = open();
        store::write w;
        for (core::job_key key = 100; key < 200; ++key)
            w.emplace_back(inserted(key, std::string(5000, 'x')));
        BOOST_TEST(!commit(*this, *j, w));
        run(j->close());
    }
    std::int64_t page = 0;
    {
        SQLite::Database db(file, SQLite::OPEN_READONLY);
        page = db.execAndGet("SELECT max(pageno) FROM dbstat WHERE name = 'inputs'"
                             " AND pagetype = 'leaf'")
                   .getInt64();
    }
    {
        std::fstream raw(file, std::ios::in | std::ios::out | std::ios::binary);
        raw.seekp((page - 1) * 4096);
        raw << std::string(4096, '\xee');
    }
    BOOST_TEST(found().starts_with("damaged pages:"), found());
}

BOOST_AUTO_TEST_CASE(what_cannot_be_read_at_all_is_refused_with_what_to_do)
{
    const auto refusal = [this] {
        try {
            store::check_journal(file);
        } catch (const std::runtime_error& e) {
            return std::string(e.what());
        }
        return std::string("read");
    };
    say("PRAGMA user_version = 7");
    BOOST_TEST(refusal().find("a newer webui-gateway") != std::string::npos, refusal());
    std::ofstream(file, std::ios::trunc) << std::string(9000, 'x');
    BOOST_TEST(refusal().find("file is not a database") != std::string::npos, refusal());
    std::filesystem::remove(file);
    BOOST_TEST(refusal().find("cannot open the journal") != std::string::npos, refusal());
    BOOST_TEST(!std::filesystem::exists(file));
}

BOOST_AUTO_TEST_SUITE_END()
