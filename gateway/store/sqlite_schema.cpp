#include "store/sqlite_schema.hpp"

#include <sqlite3.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <stdexcept>

namespace gateway::store {

namespace {

constexpr int application_id = 0x57554757; // "WUGW"; file(1) and other versions know it by this

// Headers that scheduling needs are apart from inputs, so that reading a long queue back touches
// little. Times are milliseconds since 1970, 0 for none; numbers of enums are as in core.
constexpr auto version_1 = R"sql(
CREATE TABLE meta (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    batch    INTEGER NOT NULL,  -- number of the last transaction: tells whether a COMMIT happened
    last_key INTEGER NOT NULL   -- of jobs, handed out so far; keys are never used again
) STRICT;
INSERT INTO meta VALUES (1, 0, 0);

CREATE TABLE model_sets (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE jobs (
    key       INTEGER PRIMARY KEY,
    secret    INTEGER NOT NULL,
    state     INTEGER NOT NULL,
    attempt   INTEGER NOT NULL,
    retries   INTEGER NOT NULL,
    flags     INTEGER NOT NULL, -- 1 sync, 2 low priority, 4 cancel asked
    submitted INTEGER NOT NULL,
    queued    INTEGER NOT NULL,
    started   INTEGER NOT NULL,
    ended     INTEGER NOT NULL,
    execution_timeout INTEGER NOT NULL,
    ttl       INTEGER NOT NULL,
    input_bytes INTEGER NOT NULL,
    models    INTEGER NOT NULL, -- model_sets.id
    webhook   TEXT NOT NULL,
    error     TEXT NOT NULL
) STRICT;

CREATE TABLE inputs (
    key  INTEGER PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;

CREATE TABLE attempts (
    job     INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    backend TEXT NOT NULL,
    started INTEGER NOT NULL,
    ended   INTEGER,            -- outcome; NULL while it runs
    PRIMARY KEY (job, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE results (
    key    INTEGER PRIMARY KEY,
    file   TEXT NOT NULL,
    size   INTEGER NOT NULL,
    splice INTEGER NOT NULL,
    extra  TEXT NOT NULL,
    layout BLOB NOT NULL        -- where the images lie
) STRICT;
)sql";

// All that this release adds is in this one step, whichever part needs it: it has not been in
// anybody's database yet, so append here. Once it has been released it is as fixed as version 1.
constexpr auto version_2 = R"sql(
-- How many jobs want each set, so that those that none wants can go.
ALTER TABLE model_sets ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;
UPDATE model_sets SET uses = used.jobs
FROM (SELECT models, count(*) AS jobs FROM jobs GROUP BY models) AS used
WHERE used.models = model_sets.id;
CREATE INDEX unused_sets ON model_sets (id) WHERE uses = 0;
CREATE TRIGGER set_taken AFTER INSERT ON jobs BEGIN
    UPDATE model_sets SET uses = uses + 1 WHERE id = NEW.models;
END;
CREATE TRIGGER set_given_back AFTER DELETE ON jobs BEGIN
    UPDATE model_sets SET uses = uses - 1 WHERE id = OLD.models;
END;

ALTER TABLE results ADD COLUMN checksum INTEGER; -- CRC-32 of the file; NULL: written before v2

ALTER TABLE attempts ADD COLUMN ended_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN aside INTEGER NOT NULL DEFAULT 0; -- 1: before the last /retry

-- Each /retry, with what had become of the job until then.
CREATE TABLE retries (
    job     INTEGER NOT NULL,
    attempt INTEGER NOT NULL, -- the last one before
    state   INTEGER NOT NULL,
    ended   INTEGER NOT NULL,
    error   TEXT NOT NULL,
    queued  INTEGER NOT NULL  -- when it was asked for
) STRICT;
CREATE INDEX retries_of ON retries (job);

-- Two digests of 128 bits each, of the jobs that came with an Idempotency-Key.
CREATE TABLE idempotency (
    job       INTEGER PRIMARY KEY,
    key_1     INTEGER NOT NULL,
    key_2     INTEGER NOT NULL,
    content_1 INTEGER NOT NULL,
    content_2 INTEGER NOT NULL
) STRICT;

ALTER TABLE jobs ADD COLUMN ends INTEGER NOT NULL DEFAULT 0; -- how often the job has ended

-- The outbox: for each end of a job that has a webhook, what is to be told of it.
CREATE TABLE messages (
    job     INTEGER NOT NULL,
    number  INTEGER NOT NULL,   -- jobs.ends
    state   INTEGER NOT NULL,   -- 0: pending
    tries   INTEGER NOT NULL,   -- made since it was opened
    opened  INTEGER NOT NULL,
    next    INTEGER NOT NULL,   -- of pending ones: not tried before
    told    INTEGER NOT NULL,   -- from here on as it was in jobs; told is its state
    retries INTEGER NOT NULL,
    queued  INTEGER NOT NULL,
    started INTEGER NOT NULL,
    ended   INTEGER NOT NULL,
    worker  TEXT NOT NULL,
    error   TEXT NOT NULL,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_messages ON messages (job, number) WHERE state = 0;

CREATE TABLE message_tries (
    job    INTEGER NOT NULL,
    number INTEGER NOT NULL,
    place  INTEGER NOT NULL,    -- counts from 1
    time   INTEGER NOT NULL,
    took   INTEGER NOT NULL,    -- milliseconds
    status INTEGER NOT NULL,    -- of the reply; 0: there was none
    error  TEXT NOT NULL,
    PRIMARY KEY (job, number, place)
) STRICT, WITHOUT ROWID;
)sql";

// migrations[v] takes a database from version v to v + 1, in one transaction.
constexpr std::array<const char*, schema_version> migrations{version_1, version_2};

int number(SQLite::Database& db, const char* query) { return db.execAndGet(query).getInt(); }

[[noreturn]] void refuse(const std::string& file, const std::string& what,
                         const std::string& advice)
{
    throw std::runtime_error("cannot open the journal " + file + ": " + what + "; " + advice);
}

[[noreturn]] void refuse_damaged(const std::string& file, const std::string& what)
{
    refuse(file, "it is damaged (" + what + ")",
           "`webui-gateway store check` says how badly; restore it from a copy, or move it and "
           "its -wal and -shm files away to start with an empty queue");
}

// True when there is nothing in it yet.
bool check_owner(SQLite::Database& db, const std::string& file)
{
    const int version = number(db, "PRAGMA user_version");
    if (version > schema_version)
        refuse(file,
               "it was written by a newer webui-gateway (schema " + std::to_string(version) +
                   ", this one knows up to " + std::to_string(schema_version) + ")",
               "run that version, or give another data directory");
    const bool is_ours = number(db, "PRAGMA application_id") == application_id;
    const bool is_empty = number(db, "SELECT count(*) FROM sqlite_master") == 0;
    if (!is_ours && !is_empty)
        refuse(file, "it is the database of another program",
               "give another data directory, or move the file away");
    return is_empty;
}

// Before the first table it costs nothing. A database without it was put together from a dump.
void let_it_shrink(SQLite::Database& db, bool is_empty)
{
    constexpr int incremental = 2;
    if (number(db, "PRAGMA auto_vacuum") == incremental)
        return;
    db.exec("PRAGMA auto_vacuum = INCREMENTAL");
    if (!is_empty)
        db.exec("VACUUM");
}

void apply_settings(SQLite::Database& db)
{
    db.exec("PRAGMA journal_mode = WAL");
    db.exec("PRAGMA synchronous = FULL");
    // Checkpoints are taken between batches, never inside a COMMIT.
    db.exec("PRAGMA wal_autocheckpoint = 0");
    db.exec("PRAGMA journal_size_limit = 67108864");
    db.exec("PRAGMA cache_size = -16384"); // KiB
    db.exec("PRAGMA temp_store = MEMORY");
    db.exec("PRAGMA trusted_schema = OFF");
}

void migrate(SQLite::Database& db)
{
    for (int v = number(db, "PRAGMA user_version"); v < schema_version; ++v) {
        SQLite::Transaction step(db, SQLite::TransactionBehavior::IMMEDIATE);
        db.exec(migrations[static_cast<std::size_t>(v)]);
        db.exec("PRAGMA application_id = " + std::to_string(application_id));
        db.exec("PRAGMA user_version = " + std::to_string(v + 1));
        step.commit();
    }
}

} // namespace

void refuse_to_open(const std::string& file, const SQLite::Exception& e)
{
    const std::string what = e.what();
    switch (e.getErrorCode() & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT: refuse_damaged(file, what);
    case SQLITE_FULL: refuse(file, "the disk is full", "make room and start again");
    case SQLITE_BUSY:
        refuse(file, "another program has locked it", "close that program and start again");
    default: refuse(file, what, "check that its folder exists and that this user may write there");
    }
}

std::unique_ptr<SQLite::Database> open_database(const std::string& file, const std::string& vfs)
{
    constexpr int patience_ms = 2000; // with somebody's sqlite3 shell
    try {
        const int flags = SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_NOMUTEX;
        auto db = std::make_unique<SQLite::Database>(file, flags, patience_ms, vfs);
        const bool is_empty = check_owner(*db, file);
        let_it_shrink(*db, is_empty);
        apply_settings(*db);
        migrate(*db);
        return db;
    } catch (const SQLite::Exception& e) {
        refuse_to_open(file, e);
    }
}

std::unique_ptr<SQLite::Database> open_to_look(const std::string& file)
{
    auto db = std::make_unique<SQLite::Database>(file, SQLite::OPEN_READONLY);
    if (check_owner(*db, file))
        refuse(file, "it is empty", "start the gateway once, or give another data directory");
    return db;
}

bool was_left_open(const std::string& file)
{
    std::error_code ignored;
    const auto log = std::filesystem::file_size(file + "-wal", ignored);
    return !ignored && log > 0;
}

void check_tables(SQLite::Database& db, const std::string& file)
{
    SQLite::Statement found(db, "SELECT t.name, c.quick_check FROM sqlite_master AS t"
                                " JOIN pragma_quick_check(t.name) AS c"
                                " WHERE t.type = 'table' AND t.name <> 'inputs'");
    while (found.executeStep()) {
        const auto said = found.getColumn(1).getString();
        if (said != "ok")
            refuse_damaged(file, "table " + found.getColumn(0).getString() + ": " + said);
    }
}

journal_errc meaning_of(const SQLite::Exception& e, const SQLite::Database* db)
{
    const int primary = e.getErrorCode() & 0xff;
    if (primary == SQLITE_FULL)
        return journal_errc::full;
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB)
        return journal_errc::corrupt;
    // SQLite says FULL for ENOSPC at a write only; quotas and syncs come as I/O errors.
    if (primary == SQLITE_IOERR && db != nullptr) {
        const int system = sqlite3_system_errno(db->getHandle());
        if (system == ENOSPC || system == EDQUOT)
            return journal_errc::full;
    }
    return journal_errc::io;
}

} // namespace gateway::store
