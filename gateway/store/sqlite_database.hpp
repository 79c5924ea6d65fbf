#pragma once

// The journal's database with what may go wrong with it: batches that fail and are run again one
// write at a time, commits whose outcome must be looked up, a full disk. Blocks; used on the
// journal's lane only. Private to store.

#include "store/ballast.hpp"
#include "store/journal.hpp"
#include "store/sqlite_rows.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace gateway::store {

// One call of journal::commit() and what became of it.
struct pending_write {
    write operations;
    error_code answer;
};

class database {
public:
    // Throws std::runtime_error that says what to do.
    database(std::string file, sqlite_options options);

    // Answers every write: it is durable, or nothing of it has happened, or that is unknown. They
    // take effect in their order.
    void commit(std::span<pending_write> writes, core::job_key last_key) noexcept;
    result<std::string> read_input(core::job_key job) noexcept;
    result<job_history> read_history(core::job_key job) noexcept;
    result<std::vector<job_record>> read_page(core::job_key after, std::size_t limit) noexcept;
    result<std::vector<core::message_id>> pending_messages(core::message_id after,
                                                           std::size_t limit) noexcept;
    result<std::vector<message_record>> read_messages(core::job_key job) noexcept;
    result<message_content> read_message(core::message_id id) noexcept;
    core::job_key last_key() const { return last_key_; }

    // Work to be done between batches, in bounded steps.
    bool wants_tidying() const;
    void tidy() noexcept;
    bool has_more_to_tidy() const { return is_open() && more_to_give_back_; }
    // Carries everything into the database file.
    void close() noexcept;

    std::uint64_t bytes() const; // of database and log
    std::uint64_t transactions() const { return transactions_; }
    const std::string& last_failure() const { return last_failure_; }
    const std::string& trouble() const { return trouble_; } // as journal::stats::trouble

private:
    // What became of a transaction.
    enum class fate {
        happened,
        failed,  // it did not happen; failure_ says why
        unknown, // the database cannot be read back
    };
    using writes = std::vector<pending_write*>;

    bool is_open() const { return rows_ != nullptr; }
    void open();
    bool open_again() noexcept;
    void shut() noexcept;
    bool settle() noexcept;
    fate attempt(const writes& all);
    fate look_back(const SQLite::Exception& e);
    void one_by_one(const writes& all);
    void rollback() noexcept;
    void carry_over();
    void give_back();
    void note(const std::exception& e);
    void judge(std::span<const pending_write> batch);
    template <class Read> auto reading(Read read) noexcept -> result<decltype(read())>;

    std::string file_;
    sqlite_options options_;
    file_system& files_;
    std::unique_ptr<SQLite::Database> db_;
    std::unique_ptr<rows> rows_;
    ballast ballast_;
    // False after an I/O error: what the log seems to hold may not be on disk.
    bool log_is_sound_ = true;
    journal_errc failure_ = journal_errc::io; // the last one
    std::string last_failure_;
    std::string trouble_;
    std::int64_t batch_ = 0; // of the last transaction tried; never tried again
    core::job_key last_key_ = 0;
    std::uint64_t transactions_ = 0;
    std::size_t log_pages_ = 0;
    std::size_t erased_ = 0; // since free pages were last given back
    std::uint64_t pages_ = 0;
    bool more_to_give_back_ = false;
};

// The order to run the writes of a failed batch in: those that end jobs come first, with all that
// touch the same jobs, each kind in its own order.
std::vector<pending_write*> ends_first(const std::vector<pending_write*>& all);

} // namespace gateway::store
