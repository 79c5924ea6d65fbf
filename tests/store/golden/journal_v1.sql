-- A journal as version 1 wrote it: a job in every state, two model sets, attempts and a result.
PRAGMA auto_vacuum = INCREMENTAL;
CREATE TABLE meta (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    batch    INTEGER NOT NULL,
    last_key INTEGER NOT NULL
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
    flags     INTEGER NOT NULL,
    submitted INTEGER NOT NULL,
    queued    INTEGER NOT NULL,
    started   INTEGER NOT NULL,
    ended     INTEGER NOT NULL,
    execution_timeout INTEGER NOT NULL,
    ttl       INTEGER NOT NULL,
    input_bytes INTEGER NOT NULL,
    models    INTEGER NOT NULL,
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
    ended   INTEGER,
    PRIMARY KEY (job, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE results (
    key    INTEGER PRIMARY KEY,
    file   TEXT NOT NULL,
    size   INTEGER NOT NULL,
    splice INTEGER NOT NULL,
    extra  TEXT NOT NULL,
    layout BLOB NOT NULL
) STRICT;
INSERT INTO model_sets VALUES (1, 'c5:dream0:0:'), (2, ''), (3, 'l7:nobodys0:0:');

-- key, secret, state, attempt, retries, flags, submitted, queued, started, ended,
-- execution_timeout, ttl, input_bytes, models, webhook, error
INSERT INTO jobs VALUES
    (1, 11, 0, 0, 0, 0, 1700000000001, 1700000000001, 0, 0, 600000, 86400000, 18, 1, '', ''),
    (2, 12, 1, 2, 1, 1, 1700000000002, 1700000000002, 1700000001002, 0, 600000, 86400000, 18, 1, '', ''),
    (3, 13, 2, 1, 0, 0, 1700000000003, 1700000000003, 1700000001003, 1700000002003, 600000, 86400000, 18, 2, 'https://client/hook', ''),
    (4, 14, 3, 1, 0, 2, 1700000000004, 1700000000004, 1700000001004, 1700000002004, 600000, 86400000, 18, 1, '', 'it broke'),
    (5, 15, 4, 0, 0, 0, 1700000000005, 1700000000005, 0, 1700000002005, 600000, 86400000, 18, 2, '', '');
INSERT INTO inputs VALUES
    (1, '{"prompt":"cat 1"}'), (2, '{"prompt":"cat 2"}'), (3, '{"prompt":"cat 3"}'),
    (4, '{"prompt":"cat 4"}'), (5, '{"prompt":"cat 5"}');
INSERT INTO attempts VALUES
    (2, 1, 'webui-0', 1700000000902, 5), (2, 2, 'webui-1', 1700000001002, NULL),
    (3, 1, 'webui-0', 1700000001003, 0), (4, 1, 'webui-0', 1700000001004, 11);
INSERT INTO results VALUES (3, '3-1', 20, 19, '"cache_info":{}', x'30203120706e670a');
UPDATE meta SET batch = 9, last_key = 7;

PRAGMA application_id = 0x57554757;
PRAGMA user_version = 1;
