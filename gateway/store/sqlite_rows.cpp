#include "store/sqlite_rows.hpp"

#include "store/model_text.hpp"

namespace gateway::store {

namespace {

using core::job_state;

// Numbers that stay in databases.
static_assert(static_cast<int>(job_state::in_queue) == 0);
static_assert(static_cast<int>(job_state::in_progress) == 1);
static_assert(static_cast<int>(job_state::completed) == 2);
static_assert(static_cast<int>(job_state::failed) == 3);
static_assert(static_cast<int>(job_state::cancelled) == 4);
static_assert(static_cast<int>(job_state::timed_out) == 5);

constexpr std::size_t most_sets_remembered = 10'000;

constexpr auto insert_job_sql = R"sql(
INSERT INTO jobs (key, secret, state, attempt, retries, flags, submitted, queued, started, ended,
                  execution_timeout, ttl, input_bytes, models, webhook, error, ends)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?) ON CONFLICT DO NOTHING)sql";

constexpr auto begin_job_sql = R"sql(
UPDATE jobs SET state = 1, attempt = ?, started = ?, retries = ?
WHERE key = ? AND state = 0 AND attempt = ?)sql";

constexpr auto finish_running_sql = R"sql(
UPDATE jobs SET state = ?, ended = ?, error = ?, ends = ends + 1
WHERE key = ? AND state = 1 AND attempt = ?)sql";

constexpr auto finish_waiting_sql = R"sql(
UPDATE jobs SET state = ?, ended = ?, error = ?, ends = ends + 1, started = 0
WHERE key = ? AND state = 0)sql";

constexpr auto restart_job_sql = R"sql(
UPDATE jobs SET state = 0, queued = ?, started = 0, ended = 0, error = '', flags = flags & ~4
WHERE key = ? AND state IN (3, 5))sql";

constexpr auto put_result_sql = R"sql(
INSERT OR REPLACE INTO results (key, file, size, splice, extra, layout, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?))sql";

constexpr auto erase_sets_sql = R"sql(
DELETE FROM model_sets WHERE id IN (SELECT id FROM model_sets WHERE uses = 0 LIMIT ?))sql";

constexpr auto read_jobs_sql = R"sql(
SELECT key, secret, state, attempt, retries, flags, submitted, queued, started, ended,
       execution_timeout, ttl, input_bytes, models, webhook, error, ends
FROM jobs WHERE key > ? ORDER BY key LIMIT ?)sql";

constexpr auto end_attempt_sql = R"sql(
UPDATE attempts SET ended = ?, ended_at = ?, reason = ? WHERE job = ? AND attempt = ?)sql";

constexpr auto note_retry_sql = R"sql(
INSERT INTO retries (job, attempt, state, ended, error, queued)
SELECT key, attempt, state, ended, error, ? FROM jobs WHERE key = ? AND state IN (3, 5))sql";

constexpr auto read_attempts_sql = R"sql(
SELECT attempt, backend, started, ended, ended_at, reason, job FROM attempts
WHERE job > ? AND job <= ? AND aside = 0 ORDER BY job, attempt)sql";

constexpr auto read_past_attempts_sql = R"sql(
SELECT attempt, backend, started, ended, ended_at, reason FROM attempts
WHERE job = ? ORDER BY attempt)sql";

constexpr auto read_retries_sql = R"sql(
SELECT attempt, state, ended, error, queued FROM retries WHERE job = ? ORDER BY rowid)sql";

constexpr auto read_once_sql = R"sql(
SELECT job, key_1, key_2, content_1, content_2 FROM idempotency
WHERE job > ? AND job <= ? ORDER BY job)sql";

constexpr auto read_result_sql = R"sql(
SELECT key, file, size, splice, extra, layout, checksum FROM results WHERE key = ?)sql";

constexpr auto read_results_sql = R"sql(
SELECT key, file, size, splice, extra, layout, checksum FROM results
WHERE key > ? AND key <= ? ORDER BY key)sql";

std::int64_t flags_of(const core::job& job)
{
    return (job.sync ? flag_sync : 0) | (job.policy.low_priority ? flag_low_priority : 0) |
           (job.cancel_asked ? flag_cancel_asked : 0);
}

core::job read_job(prepared& row)
{
    core::job job;
    const auto key = row.integer(0);
    job.key = static_cast<core::job_key>(key);
    job.secret = static_cast<std::uint64_t>(row.integer(1));
    job.state = checked(row.integer(2), job_state::timed_out, "jobs", key);
    job.attempt = static_cast<std::uint32_t>(row.integer(3));
    job.retries = static_cast<std::uint16_t>(row.integer(4));
    const auto flags = row.integer(5);
    job.sync = (flags & flag_sync) != 0;
    job.policy.low_priority = (flags & flag_low_priority) != 0;
    job.cancel_asked = (flags & flag_cancel_asked) != 0;
    job.submitted = time(row.integer(6));
    job.queued = time(row.integer(7));
    job.started = time(row.integer(8));
    job.ended = time(row.integer(9));
    job.policy.execution_timeout = std::chrono::milliseconds(row.integer(10));
    job.policy.ttl = std::chrono::milliseconds(row.integer(11));
    job.input_bytes = static_cast<std::uint64_t>(row.integer(12));
    return job;
}

result_record result_in(prepared& row)
{
    result_record r;
    r.file = row.text(1);
    r.size = static_cast<std::uint64_t>(row.integer(2));
    r.splice = static_cast<std::uint64_t>(row.integer(3));
    r.extra = row.text(4);
    r.index = row.text(5);
    if (!row.is_null(6))
        r.checksum = static_cast<std::uint32_t>(row.integer(6));
    return r;
}

} // namespace

prepared::blob_view as_blob(const std::string& bytes) { return {bytes}; }

rows::rows(SQLite::Database& db)
    : messages_(db),
      savepoint_(db, "SAVEPOINT one_write"),
      release_(db, "RELEASE one_write"),
      undo_(db, "ROLLBACK TO one_write"),
      find_set_(db, "SELECT id FROM model_sets WHERE text = ?"),
      add_set_(db, "INSERT INTO model_sets (text) VALUES (?) RETURNING id"),
      read_set_(db, "SELECT text FROM model_sets WHERE id = ?"),
      erase_sets_(db, erase_sets_sql),
      insert_job_(db, insert_job_sql),
      insert_input_(db, "INSERT INTO inputs VALUES (?, ?)"),
      insert_once_(db, "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?)"),
      begin_job_(db, begin_job_sql),
      insert_attempt_(db,
                      "INSERT INTO attempts (job, attempt, backend, started) VALUES (?, ?, ?, ?)"),
      requeue_job_(db, "UPDATE jobs SET state = 0 WHERE key = ? AND state = 1 AND attempt = ?"),
      end_attempt_(db, end_attempt_sql),
      finish_running_(db, finish_running_sql),
      finish_waiting_(db, finish_waiting_sql),
      put_result_(db, put_result_sql),
      note_retry_(db, note_retry_sql),
      restart_job_(db, restart_job_sql),
      set_attempts_aside_(db, "UPDATE attempts SET aside = 1 WHERE job = ?"),
      erase_job_(db, "DELETE FROM jobs WHERE key = ?"),
      erase_input_(db, "DELETE FROM inputs WHERE key = ?"),
      erase_attempts_(db, "DELETE FROM attempts WHERE job = ?"),
      erase_result_(db, "DELETE FROM results WHERE key = ?"),
      erase_retries_(db, "DELETE FROM retries WHERE job = ?"),
      erase_once_(db, "DELETE FROM idempotency WHERE job = ?"),
      stamp_(db, "UPDATE meta SET batch = ?, last_key = max(last_key, ?)"),
      read_stamp_(db, "SELECT batch FROM meta"),
      read_last_key_(db, "SELECT max(last_key, (SELECT ifnull(max(key), 0) FROM jobs)) FROM meta"),
      read_input_(db, "SELECT text FROM inputs WHERE key = ?"),
      read_jobs_(db, read_jobs_sql),
      read_attempts_(db, read_attempts_sql),
      read_results_(db, read_results_sql),
      read_once_(db, read_once_sql),
      read_past_attempts_(db, read_past_attempts_sql),
      read_retries_(db, read_retries_sql),
      read_result_(db, read_result_sql)
{
}

// --- writing ---

void rows::intern(const write& w)
{
    for (const auto& op : w) {
        const auto* inserted = std::get_if<insert_job>(&op);
        if (inserted == nullptr)
            continue;
        if (set_ids_.size() >= most_sets_remembered)
            set_ids_.clear();
        auto text = write_models(inserted->files);
        if (set_ids_.contains(text))
            continue;
        find_set_.start(text);
        if (find_set_.next()) {
            set_ids_.emplace(text, find_set_.integer(0));
            find_set_.stop();
            continue;
        }
        add_set_.start(text);
        add_set_.next();
        set_ids_.emplace(text, add_set_.integer(0));
        add_set_.stop();
    }
}

bool rows::apply(const write& w)
{
    // Each operation begins with the statement that may find a conflict, so one alone needs no
    // undo.
    if (w.size() == 1)
        return apply(w.front());
    savepoint_.run();
    for (const auto& op : w) {
        if (apply(op))
            continue;
        undo_.run();
        release_.run();
        return false;
    }
    release_.run();
    return true;
}

bool rows::apply(const operation& op)
{
    return std::visit([this](const auto& o) { return apply(o); }, op);
}

bool rows::apply(const insert_job& op)
{
    const auto& job = op.job;
    const auto key = number(job.key);
    const int added = insert_job_.run(
        key, number(job.secret), number(job.state), std::int64_t{job.attempt},
        std::int64_t{job.retries}, flags_of(job), number(job.submitted), number(job.queued),
        number(job.started), number(job.ended), std::int64_t{job.policy.execution_timeout.count()},
        std::int64_t{job.policy.ttl.count()}, number(job.input_bytes),
        set_ids_.at(write_models(op.files)), op.webhook, std::int64_t{job.ends});
    if (added != 1)
        return false;
    insert_input_.run(key, op.input);
    if (op.once)
        insert_once_.run(key, number(op.once->key[0]), number(op.once->key[1]),
                         number(op.once->content[0]), number(op.once->content[1]));
    return true;
}

bool rows::apply(const begin_attempt& op)
{
    const auto key = number(op.fence.job);
    const auto attempt = std::int64_t{op.fence.attempt};
    if (begin_job_.run(attempt, number(op.started), std::int64_t{op.retries}, key, attempt - 1) !=
        1)
        return false;
    insert_attempt_.run(key, attempt, op.backend, number(op.started));
    return true;
}

bool rows::apply(const requeue_job& op)
{
    const auto key = number(op.fence.job);
    const auto attempt = std::int64_t{op.fence.attempt};
    if (requeue_job_.run(key, attempt) != 1)
        return false;
    end_attempt_.run(number(op.ended), number(op.when), op.reason, key, attempt);
    return true;
}

bool rows::apply(const finish_job& op)
{
    const auto key = number(op.fence.job);
    const auto attempt = std::int64_t{op.fence.attempt};
    const auto state = number(op.state);
    const auto when = number(op.when);
    const int ended = attempt == 0 ? finish_waiting_.run(state, when, op.error, key)
                                   : finish_running_.run(state, when, op.error, key, attempt);
    if (ended != 1)
        return false;
    if (attempt != 0)
        end_attempt_.run(number(op.ended), when, op.error, key, attempt);
    if (op.result)
        put_result_.run(key, op.result->file, number(op.result->size), number(op.result->splice),
                        op.result->extra, as_blob(op.result->index), op.result->checksum);
    messages_.post(key, attempt);
    return true;
}

bool rows::apply(const restart_job& op)
{
    const auto key = number(op.job);
    if (note_retry_.run(number(op.queued), key) != 1)
        return false;
    restart_job_.run(number(op.queued), key);
    set_attempts_aside_.run(key);
    erase_result_.run(key);
    return true;
}

bool rows::apply(const erase_job& op)
{
    const auto key = number(op.job);
    erase_job_.run(key);
    erase_input_.run(key);
    erase_attempts_.run(key);
    erase_result_.run(key);
    erase_retries_.run(key);
    erase_once_.run(key);
    messages_.erase(key);
    return true;
}

void rows::stamp(std::int64_t batch, core::job_key last_key)
{
    stamp_.run(batch, number(last_key));
}

int rows::forget_sets(std::int64_t limit)
{
    const int gone = erase_sets_.run(limit);
    if (gone > 0)
        forget_interned();
    return gone;
}

// --- reading ---

std::int64_t rows::last_batch()
{
    read_stamp_.start();
    if (!read_stamp_.next())
        damaged("meta", 1);
    const auto batch = read_stamp_.integer(0);
    read_stamp_.stop();
    return batch;
}

core::job_key rows::last_key()
{
    read_last_key_.start();
    if (!read_last_key_.next())
        damaged("meta", 1);
    const auto key = read_last_key_.integer(0);
    read_last_key_.stop();
    return static_cast<core::job_key>(key);
}

std::optional<std::string> rows::input(core::job_key job)
{
    std::optional<std::string> text;
    read_input_.start(number(job));
    if (read_input_.next())
        text = read_input_.text(0);
    read_input_.stop();
    return text;
}

std::optional<message_content> rows::message(core::message_id id)
{
    auto found = messages_.content(id);
    if (!found)
        return found;
    const auto text = input(id.job);
    if (!text)
        damaged("inputs", number(id.job));
    found->input = *text;
    if (found->job.state != job_state::completed)
        return found;
    read_result_.start(number(id.job));
    if (read_result_.next())
        found->result = result_in(read_result_);
    read_result_.stop();
    return found;
}

std::vector<job_record> rows::page(core::job_key after, std::size_t limit)
{
    std::vector<job_record> page;
    read_jobs_.start(number(after), number(std::uint64_t{limit}));
    while (read_jobs_.next()) {
        auto& record = page.emplace_back();
        record.job = read_job(read_jobs_);
        record.files = model_set(read_jobs_.integer(13));
        record.webhook = read_jobs_.text(14);
        record.error = read_jobs_.text(15);
        record.job.ends = static_cast<std::uint16_t>(read_jobs_.integer(16));
    }
    read_jobs_.stop();
    if (page.empty()) {
        sets_.clear(); // everything has been read back
        return page;
    }
    read_attempts(page, after);
    read_results(page, after);
    read_once(page, after);
    return page;
}

namespace {

// The columns of read_attempts_sql and read_past_attempts_sql.
attempt_record read_attempt(prepared& row, std::int64_t job)
{
    attempt_record a;
    a.attempt = static_cast<std::uint32_t>(row.integer(0));
    a.backend = row.text(1);
    a.started = time(row.integer(2));
    if (!row.is_null(3))
        a.ended = checked(row.integer(3), core::outcome::preparation, "attempts", job);
    a.ended_at = time(row.integer(4));
    a.reason = row.text(5);
    return a;
}

// Walks over a page, which is in key order, with rows in the same order.
class owners {
public:
    owners(std::vector<job_record>& page, const char* table)
        : at_(page.begin()), end_(page.end()), table_(table)
    {
    }
    job_record& of(std::int64_t key)
    {
        while (at_ != end_ && number(at_->job.key) < key)
            ++at_;
        if (at_ == end_ || number(at_->job.key) != key)
            damaged(table_, key);
        return *at_;
    }

private:
    std::vector<job_record>::iterator at_, end_;
    const char* table_;
};

} // namespace

job_history rows::history(core::job_key job)
{
    job_history past;
    const auto key = number(job);
    read_past_attempts_.start(key);
    while (read_past_attempts_.next())
        past.attempts.push_back(read_attempt(read_past_attempts_, key));
    read_past_attempts_.stop();
    read_retries_.start(key);
    while (read_retries_.next()) {
        auto& r = past.retries.emplace_back();
        r.attempt = static_cast<std::uint32_t>(read_retries_.integer(0));
        r.state = checked(read_retries_.integer(1), job_state::timed_out, "retries", key);
        r.ended = time(read_retries_.integer(2));
        r.error = read_retries_.text(3);
        r.queued = time(read_retries_.integer(4));
    }
    read_retries_.stop();
    return past;
}

void rows::read_attempts(std::vector<job_record>& page, core::job_key after)
{
    owners owner(page, "attempts");
    read_attempts_.start(number(after), number(page.back().job.key));
    while (read_attempts_.next()) {
        const auto key = read_attempts_.integer(6);
        owner.of(key).attempts.push_back(read_attempt(read_attempts_, key));
    }
    read_attempts_.stop();
}

void rows::read_once(std::vector<job_record>& page, core::job_key after)
{
    owners owner(page, "idempotency");
    const auto half = [this](int column) {
        return static_cast<std::uint64_t>(read_once_.integer(column));
    };
    read_once_.start(number(after), number(page.back().job.key));
    while (read_once_.next()) {
        auto& once = owner.of(read_once_.integer(0)).once.emplace();
        once.key = {half(1), half(2)};
        once.content = {half(3), half(4)};
    }
    read_once_.stop();
}

void rows::read_results(std::vector<job_record>& page, core::job_key after)
{
    owners owner(page, "results");
    read_results_.start(number(after), number(page.back().job.key));
    while (read_results_.next()) {
        owner.of(read_results_.integer(0)).result = result_in(read_results_);
    }
    read_results_.stop();
}

std::shared_ptr<const core::model_set> rows::model_set(std::int64_t id)
{
    auto& known = sets_[id];
    if (known)
        return known;
    read_set_.start(id);
    if (!read_set_.next())
        damaged("model_sets", id);
    auto files = read_models(read_set_.text(0));
    read_set_.stop();
    if (!files)
        damaged("model_sets", id);
    known = std::make_shared<const core::model_set>(std::move(*files));
    return known;
}

} // namespace gateway::store
