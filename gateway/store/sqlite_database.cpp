#include "store/sqlite_database.hpp"

#include "store/sqlite_schema.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <unordered_set>

namespace gateway::store {

namespace {

constexpr std::size_t page_size = 4096; // SQLite's default
constexpr std::size_t erased_before_vacuum = 256;
constexpr int vacuum_pages = 256; // per step: a megabyte
constexpr int sets_at_once = 256;

core::job_key key_of(const operation& op)
{
    struct visitor {
        core::job_key operator()(const insert_job& o) const { return o.job.key; }
        core::job_key operator()(const begin_attempt& o) const { return o.fence.job; }
        core::job_key operator()(const requeue_job& o) const { return o.fence.job; }
        core::job_key operator()(const finish_job& o) const { return o.fence.job; }
        core::job_key operator()(const restart_job& o) const { return o.job; }
        core::job_key operator()(const erase_job& o) const { return o.job; }
        core::job_key operator()(const record_try& o) const { return o.id.job; }
        core::job_key operator()(const reopen_message& o) const { return o.id.job; }
    };
    return std::visit(visitor{}, op);
}

template <class Operation> bool contains(const write& w)
{
    return std::any_of(w.begin(), w.end(),
                       [](const operation& op) { return std::holds_alternative<Operation>(op); });
}

bool ends_jobs(const write& w) { return contains<finish_job>(w) || contains<erase_job>(w); }

// Takes on new obligations, which is refused while there is no room for the ends of the old ones.
bool takes_on(const write& w) { return contains<insert_job>(w) || contains<restart_job>(w); }

void answer_all(const std::vector<pending_write*>& all, journal_errc answer)
{
    for (auto* w : all)
        w->answer = answer;
}

int count_log_pages(void* pages, sqlite3*, const char*, int in_log)
{
    *static_cast<std::size_t*>(pages) = static_cast<std::size_t>(in_log);
    return SQLITE_OK;
}

} // namespace

std::vector<pending_write*> ends_first(const std::vector<pending_write*>& all)
{
    std::unordered_set<core::job_key> keys;
    std::unordered_set<const pending_write*> first;
    for (bool grew = true; grew;) {
        grew = false;
        for (const auto* w : all) {
            const auto touches = [&keys](const operation& op) { return keys.contains(key_of(op)); };
            const auto& ops = w->operations;
            if (first.contains(w) ||
                !(ends_jobs(ops) || std::any_of(ops.begin(), ops.end(), touches)))
                continue;
            first.insert(w);
            for (const auto& op : ops)
                keys.insert(key_of(op));
            grew = true;
        }
    }
    std::vector<pending_write*> order;
    for (const bool leading : {true, false}) {
        for (auto* w : all) {
            if (first.contains(w) == leading)
                order.push_back(w);
        }
    }
    return order;
}

// --- opening ---

database::database(std::string file, sqlite_options options)
    : file_(std::move(file)),
      options_(std::move(options)),
      files_(options_.files != nullptr ? *options_.files : real_files()),
      ballast_(files_, file_ + ".ballast", options_.ballast)
{
    try {
        const bool left_open = was_left_open(file_);
        open();
        if (left_open)
            check_tables(*db_, file_);
        last_key_ = rows_->last_key();
    } catch (const SQLite::Exception& e) {
        refuse_to_open(file_, e);
    }
    // SQLite syncs what is in its files; that a new file is in the folder is for us to see to.
    const auto ec = files_.sync_folder(folder_of(file_));
    if (ec)
        throw std::runtime_error("cannot sync the folder of the journal " + file_ + ": " +
                                 ec.message() + "; check the disk");
}

void database::open()
{
    db_ = open_database(file_, options_.vfs);
    log_pages_ = 0;
    sqlite3_wal_hook(db_->getHandle(), &count_log_pages, &log_pages_);
    rows_ = std::make_unique<rows>(*db_);
    batch_ = std::max(batch_, rows_->last_batch());
    pages_ = db_->execAndGet("PRAGMA page_count").getUInt();
}

void database::shut() noexcept
{
    rows_.reset();
    db_.reset();
}

bool database::open_again() noexcept
{
    shut();
    log_is_sound_ = false;
    try {
        open();
        return true;
    } catch (const std::exception& e) {
        note(e);
        shut();
        return false;
    }
}

// After an I/O error nothing that the log holds can be trusted to be on disk, even if it can be
// read: only what a checkpoint has written and synced anew counts. Until that has worked, there is
// reading but no writing.
bool database::settle() noexcept
{
    if (log_is_sound_)
        return true;
    try {
        carry_over();
        log_is_sound_ = true;
        return true;
    } catch (const std::exception& e) {
        note(e);
        return false;
    }
}

void database::carry_over()
{
    int in_log = 0;
    int carried = 0;
    const int rc = sqlite3_wal_checkpoint_v2(db_->getHandle(), nullptr, SQLITE_CHECKPOINT_TRUNCATE,
                                             &in_log, &carried);
    if (rc != SQLITE_OK)
        throw SQLite::Exception(db_->getHandle(), rc);
    log_pages_ = 0;
}

void database::note(const std::exception& e)
{
    const auto* ours = dynamic_cast<const SQLite::Exception*>(&e);
    failure_ = ours != nullptr ? meaning_of(*ours, db_.get()) : journal_errc::io;
    last_failure_ = file_ + ": " + e.what();
}

// --- writing ---

void database::commit(std::span<pending_write> batch, core::job_key last_key) noexcept
{
    last_key_ = std::max(last_key_, last_key);
    writes all;
    try {
        ballast_.restore();
        for (auto& w : batch) {
            if (ballast_.in_place() || !takes_on(w.operations))
                all.push_back(&w);
            else
                w.answer = journal_errc::full;
        }
        const auto what = all.empty() ? fate::happened : attempt(all);
        if (what == fate::failed)
            one_by_one(all);
        else if (what == fate::unknown)
            answer_all(all, journal_errc::unknown);
        judge(batch);
    } catch (const std::exception& e) { // out of memory
        note(e);
        rollback();
        answer_all(all, journal_errc::unknown);
    }
}

// Conflicts are the callers' business; all other failures are the disk's.
void database::judge(std::span<const pending_write> batch)
{
    const bool failed = std::any_of(batch.begin(), batch.end(), [](const pending_write& w) {
        return w.answer && w.answer != journal_errc::conflict;
    });
    if (!ballast_.in_place())
        trouble_ = file_ + ": the disk is full; only ends of jobs are written until there is room";
    else
        trouble_ = failed ? last_failure_ : "";
}

database::fate database::attempt(const writes& all)
{
    if ((!is_open() && !open_again()) || !settle())
        return fate::failed;
    ++batch_;
    try {
        db_->exec("BEGIN IMMEDIATE");
        for (const auto* w : all)
            rows_->intern(w->operations);
        for (auto* w : all)
            w->answer = rows_->apply(w->operations) ? error_code{} : journal_errc::conflict;
        rows_->stamp(batch_, last_key_);
    } catch (const std::exception& e) {
        note(e);
        rollback();
        return fate::failed;
    }
    ++transactions_;
    const int rc = db_->tryExec("COMMIT");
    if (rc != SQLITE_OK)
        return look_back(SQLite::Exception(db_->getHandle(), rc));
    for (const auto* w : all)
        erased_ += contains<erase_job>(w->operations) ? w->operations.size() : 0;
    return fate::happened;
}

// An error at COMMIT does not say whether it happened; the stamp in the database does. Only when
// there was no room for the log, nothing has reached the point where it could count.
database::fate database::look_back(const SQLite::Exception& e)
{
    note(e);
    const auto why = failure_;
    if (why == journal_errc::full && (e.getExtendedErrorCode() & 0xff) != SQLITE_IOERR) {
        rollback();
        return fate::failed;
    }
    if (!open_again())
        return fate::unknown;
    if (rows_->last_batch() < batch_) {
        failure_ = why;
        return fate::failed;
    }
    return settle() ? fate::happened : fate::unknown;
}

void database::one_by_one(const writes& all)
{
    for (auto* w : ends_first(all)) {
        auto what = attempt({w});
        if (what == fate::failed && failure_ == journal_errc::full && ends_jobs(w->operations) &&
            ballast_.release())
            what = attempt({w});
        if (what == fate::failed)
            w->answer = failure_;
        else if (what == fate::unknown)
            w->answer = journal_errc::unknown;
    }
}

void database::rollback() noexcept
{
    if (!is_open())
        return;
    rows_->forget_interned();
    // SQLite has already rolled back by itself after some errors.
    if (sqlite3_get_autocommit(db_->getHandle()) != 0)
        return;
    if (db_->tryExec("ROLLBACK") != SQLITE_OK)
        shut();
}

// --- reading ---

template <class Read> auto database::reading(Read read) noexcept -> result<decltype(read())>
{
    if (!is_open() && !open_again())
        return error_code(failure_);
    try {
        return read();
    } catch (const SQLite::Exception& e) {
        note(e);
        return error_code(failure_);
    } catch (const std::exception& e) {
        last_failure_ = file_ + ": " + e.what();
        return error_code(journal_errc::corrupt);
    }
}

result<std::string> database::read_input(core::job_key job) noexcept
{
    auto text = reading([this, job] { return rows_->input(job); });
    if (!text)
        return text.error();
    if (!*text)
        return error_code(journal_errc::missing);
    return std::move(**text);
}

result<job_history> database::read_history(core::job_key job) noexcept
{
    return reading([this, job] { return rows_->history(job); });
}

result<std::vector<job_record>> database::read_page(core::job_key after, std::size_t limit) noexcept
{
    return reading([this, after, limit] { return rows_->page(after, limit); });
}

result<std::vector<core::message_id>> database::pending_messages(core::message_id after,
                                                                 std::size_t limit) noexcept
{
    return reading([this, after, limit] { return rows_->pending_messages(after, limit); });
}

result<std::vector<message_record>> database::read_messages(core::job_key job) noexcept
{
    return reading([this, job] { return rows_->messages(job); });
}

result<message_content> database::read_message(core::message_id id) noexcept
{
    auto found = reading([this, id] { return rows_->message(id); });
    if (!found)
        return found.error();
    if (!*found)
        return error_code(journal_errc::missing);
    return std::move(**found);
}

// --- keeping house ---

bool database::wants_tidying() const
{
    return is_open() && (log_pages_ >= options_.checkpoint_pages ||
                         erased_ >= erased_before_vacuum || more_to_give_back_);
}

void database::tidy() noexcept
{
    if (!wants_tidying())
        return;
    try {
        if (erased_ >= erased_before_vacuum || more_to_give_back_)
            give_back();
        if (log_pages_ >= options_.checkpoint_pages) {
            // What cannot be carried over now is tried again after the next batch.
            int in_log = 0;
            int carried = 0;
            const int rc = sqlite3_wal_checkpoint_v2(db_->getHandle(), nullptr,
                                                     SQLITE_CHECKPOINT_PASSIVE, &in_log, &carried);
            if (rc != SQLITE_OK)
                throw SQLite::Exception(db_->getHandle(), rc);
            if (in_log == carried)
                log_pages_ = 0;
        }
        pages_ = db_->execAndGet("PRAGMA page_count").getUInt();
    } catch (const std::exception& e) {
        note(e);
        rollback();
    }
}

// One step. Free pages are used again by new rows; only when they are a quarter of the file do they
// go back.
void database::give_back()
{
    erased_ = 0;
    const bool more_sets = rows_->forget_sets(sets_at_once) == sets_at_once;
    const auto free_pages = db_->execAndGet("PRAGMA freelist_count").getUInt();
    const auto pages = db_->execAndGet("PRAGMA page_count").getUInt();
    more_to_give_back_ = free_pages > vacuum_pages && free_pages > pages / 4;
    if (more_to_give_back_)
        db_->exec("PRAGMA incremental_vacuum(" + std::to_string(vacuum_pages) + ")");
    more_to_give_back_ = more_to_give_back_ || more_sets;
}

void database::close() noexcept
{
    if (!is_open())
        return;
    try {
        carry_over();
    } catch (const std::exception& e) {
        note(e); // the log stays, and is read at the next start
    }
    shut();
}

std::uint64_t database::bytes() const { return (pages_ + log_pages_) * page_size; }

} // namespace gateway::store
