#include "store/check.hpp"

#include "store/model_text.hpp"
#include "store/sqlite_schema.hpp"

#include <array>
#include <filesystem>

namespace gateway::store {

namespace {

constexpr std::size_t rows_told = 5;

// What must be true of the rows: the query finds those of which it is not, by name.
struct rule {
    int since; // the schema that has the tables
    const char* broken;
    const char* query;
};

// Numbers of states: 0 in queue, 1 in progress, 2 completed, 3 failed, 4 cancelled, 5 timed out.
constexpr std::array rules{
    rule{1, "jobs in a state that does not exist",
         "SELECT key FROM jobs WHERE state NOT BETWEEN 0 AND 5"},
    rule{1, "running jobs without an open attempt of their fence",
         "SELECT key FROM jobs WHERE state = 1 AND NOT EXISTS (SELECT 1 FROM attempts"
         " WHERE job = key AND attempts.attempt = jobs.attempt AND ended IS NULL)"},
    rule{1, "open attempts of jobs that do not run them",
         "SELECT job FROM attempts LEFT JOIN jobs ON key = job"
         " WHERE attempts.ended IS NULL AND (state IS NOT 1 OR jobs.attempt <> attempts.attempt)"},
    rule{1, "attempts above the fence of their job",
         "SELECT job FROM attempts JOIN jobs ON key = job WHERE attempts.attempt > jobs.attempt"},
    rule{1, "attempts that ended in no known way",
         "SELECT job FROM attempts WHERE ended NOT BETWEEN 0 AND 24"},
    rule{1, "ended jobs without the time of their end",
         "SELECT key FROM jobs WHERE state > 1 AND ended = 0"},
    rule{1, "jobs that have a time of their end but go on",
         "SELECT key FROM jobs WHERE state <= 1 AND ended <> 0"},
    rule{1, "jobs without their input",
         "SELECT key FROM jobs WHERE key NOT IN (SELECT key FROM inputs)"},
    rule{1, "inputs of another size than their job says",
         "SELECT key FROM jobs JOIN inputs USING (key)"
         " WHERE length(CAST(text AS BLOB)) <> input_bytes"},
    rule{1, "inputs of no job", "SELECT key FROM inputs WHERE key NOT IN (SELECT key FROM jobs)"},
    rule{1, "attempts of no job",
         "SELECT DISTINCT job FROM attempts WHERE job NOT IN (SELECT key FROM jobs)"},
    rule{1, "results of no job", "SELECT key FROM results WHERE key NOT IN (SELECT key FROM jobs)"},
    rule{1, "completed jobs without a result",
         "SELECT key FROM jobs WHERE state = 2 AND key NOT IN (SELECT key FROM results)"},
    rule{1, "results of jobs that are not completed",
         "SELECT key FROM results JOIN jobs USING (key) WHERE state <> 2"},
    rule{1, "results spliced behind their end", "SELECT key FROM results WHERE splice > size"},
    rule{1, "files that are the result of two jobs",
         "SELECT file FROM results GROUP BY file HAVING count(*) > 1"},
    rule{1, "jobs whose model set is missing",
         "SELECT key FROM jobs WHERE models NOT IN (SELECT id FROM model_sets)"},
    rule{1, "keys above the last one handed out",
         "SELECT key FROM jobs WHERE key > (SELECT last_key FROM meta)"},
    rule{2, "Idempotency-Keys of no job",
         "SELECT job FROM idempotency WHERE job NOT IN (SELECT key FROM jobs)"},
    rule{2, "retries of no job",
         "SELECT DISTINCT job FROM retries WHERE job NOT IN (SELECT key FROM jobs)"},
    rule{2, "retries of no job",
         "SELECT DISTINCT job FROM retries WHERE job NOT IN"
         " (SELECT key FROM jobs)"},
    rule{2, "Idempotency-Keys of no job",
         "SELECT job FROM idempotency WHERE job NOT IN (SELECT key FROM jobs)"},
    rule{2, "model sets whose users are miscounted",
         "SELECT id FROM model_sets LEFT JOIN (SELECT models, count(*) AS jobs FROM jobs"
         " GROUP BY models) ON models = id WHERE uses <> ifnull(jobs, 0)"},
    rule{2, "messages of no job",
         "SELECT DISTINCT job FROM messages WHERE job NOT IN (SELECT key FROM jobs)"},
    rule{2, "messages in a state that does not exist, or of a job that goes on",
         "SELECT job FROM messages WHERE state NOT BETWEEN 0 AND 3 OR told NOT BETWEEN 2 AND 5"},
    rule{2, "messages of ends that their job has not had",
         "SELECT job FROM messages JOIN jobs ON key = job WHERE number NOT BETWEEN 1 AND ends"},
    rule{2, "tries of no message",
         "SELECT DISTINCT job FROM message_tries AS t WHERE NOT EXISTS (SELECT 1 FROM messages AS m"
         " WHERE m.job = t.job AND m.number = t.number)"},
};

void add(damage& d, std::string row)
{
    ++d.count;
    if (d.rows.size() < rows_told)
        d.rows.push_back(std::move(row));
}

void keep(journal_report& report, damage d)
{
    if (d.count > 0)
        report.found.push_back(std::move(d));
}

void read_all(SQLite::Database& db, const char* query, damage& into)
{
    SQLite::Statement rows(db, query);
    while (rows.executeStep())
        add(into, rows.getColumn(0).getString());
}

void check_pages(SQLite::Database& db, journal_report& report)
{
    damage d{"damaged pages", {}, 0};
    try {
        read_all(db,
                 "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
                 d);
    } catch (const SQLite::Exception& e) { // so bad that SQLite gives up looking
        if (meaning_of(e, &db) != journal_errc::corrupt)
            throw;
        add(d, e.what());
    }
    keep(report, std::move(d));
}

void check_rows(SQLite::Database& db, journal_report& report)
{
    for (const auto& r : rules) {
        if (r.since > report.schema)
            continue;
        damage d{r.broken, {}, 0};
        read_all(db, r.query, d);
        keep(report, std::move(d));
    }
    damage unread{"model sets that cannot be read", {}, 0};
    SQLite::Statement sets(db, "SELECT id, text FROM model_sets");
    while (sets.executeStep()) {
        if (!read_models(sets.getColumn(1).getString()))
            add(unread, sets.getColumn(0).getString());
    }
    keep(report, std::move(unread));
}

void count_jobs(SQLite::Database& db, journal_report& report)
{
    SQLite::Statement rows(db, "SELECT state, count(*) FROM jobs WHERE state BETWEEN 0 AND 5"
                               " GROUP BY state");
    while (rows.executeStep())
        report.jobs[static_cast<core::job_state>(rows.getColumn(0).getInt())] =
            static_cast<std::uint64_t>(rows.getColumn(1).getInt64());
}

void read_results(SQLite::Database& db, journal_report& report)
{
    const std::string checksum = report.schema < 2 ? "NULL" : "checksum";
    SQLite::Statement rows(db, "SELECT key, file, size, splice, " + checksum + " FROM results");
    while (rows.executeStep()) {
        const auto key = static_cast<core::job_key>(rows.getColumn(0).getInt64());
        auto& r = report.results[key];
        r.file = rows.getColumn(1).getString();
        r.size = static_cast<std::uint64_t>(rows.getColumn(2).getInt64());
        r.splice = static_cast<std::uint64_t>(rows.getColumn(3).getInt64());
        if (!rows.isColumnNull(4))
            r.checksum = static_cast<std::uint32_t>(rows.getColumn(4).getInt64());
    }
}

} // namespace

journal_report check_journal(const std::string& file)
{
    journal_report report;
    try {
        const auto db = open_to_look(file);
        report.schema = db->execAndGet("PRAGMA user_version").getInt();
        report.bytes = static_cast<std::uint64_t>(
            db->execAndGet("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
                .getInt64());
        check_pages(*db, report);
        // Rows of a damaged tree are no news.
        if (report.found.empty()) {
            count_jobs(*db, report);
            check_rows(*db, report);
            read_results(*db, report);
        }
    } catch (const SQLite::Exception& e) {
        refuse_to_open(file, e);
    }
    return report;
}

} // namespace gateway::store
