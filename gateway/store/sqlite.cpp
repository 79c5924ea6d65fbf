// The journal over SQLite: writes are gathered while a batch is on its way and go together into the
// next one.

#include "store/sqlite_database.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

namespace gateway::store {

namespace {

// A batch that is larger is cut, so that no commit takes long.
constexpr std::size_t most_writes = 1024;
constexpr std::size_t most_bytes = std::size_t{8} << 20;

// Only inputs are large.
std::size_t bytes_of(const write& w)
{
    std::size_t bytes = 0;
    for (const auto& op : w) {
        if (const auto* inserted = std::get_if<insert_job>(&op))
            bytes += inserted->input.size();
    }
    return bytes;
}

struct batch {
    std::vector<pending_write> writes;
    std::size_t bytes = 0;
    core::job_key last_key = 0;
    net::arrival done;
    // Told by the lane:
    duration took{};
    std::uint64_t transactions = 0;
    std::uint64_t database_bytes = 0;
    std::string last_failure;
    std::string trouble;
    bool wants_tidying = false;
};

class sqlite_journal final : public journal {
public:
    sqlite_journal(const std::string& file, net::lane& lane, const sqlite_options& options)
        : lane_(lane), db_(std::make_shared<database>(file, options)), last_key_(db_->last_key())
    {
        stats_.bytes = db_->bytes();
    }

    core::job_key next_key() override { return ++last_key_; }

    net::task<error_code> commit(write w) override
    {
        if (closed_)
            co_return journal_errc::closed;
        auto [mine, place] = join(std::move(w));
        if (place == 0)
            co_await carry(mine);
        else
            co_await mine->done.wait();
        co_return mine->writes[place].answer;
    }

    net::task<result<std::string>> read_input(core::job_key job) override
    {
        if (closed_)
            co_return error_code(journal_errc::closed);
        auto read = [db = db_, job] { return db->read_input(job); };
        co_return co_await lane_.run(std::move(read));
    }

    net::task<result<job_history>> read_history(core::job_key job) override
    {
        if (closed_)
            co_return error_code(journal_errc::closed);
        auto read = [db = db_, job] { return db->read_history(job); };
        co_return co_await lane_.run(std::move(read));
    }

    net::task<result<std::vector<job_record>>> replay(core::job_key after,
                                                      std::size_t limit) override
    {
        if (closed_)
            co_return error_code(journal_errc::closed);
        auto read = [db = db_, after, limit] { return db->read_page(after, limit); };
        co_return co_await lane_.run(std::move(read));
    }

    net::task<result<std::vector<core::message_id>>> pending_messages(core::message_id after,
                                                                      std::size_t limit) override
    {
        if (closed_)
            co_return error_code(journal_errc::closed);
        auto read = [db = db_, after, limit] { return db->pending_messages(after, limit); };
        co_return co_await lane_.run(std::move(read));
    }

    net::task<result<std::vector<message_record>>> read_messages(core::job_key job) override
    {
        if (closed_)
            co_return error_code(journal_errc::closed);
        auto read = [db = db_, job] { return db->read_messages(job); };
        co_return co_await lane_.run(std::move(read));
    }

    net::task<result<message_content>> read_message(core::message_id id) override
    {
        if (closed_)
            co_return error_code(journal_errc::closed);
        auto read = [db = db_, id] { return db->read_message(id); };
        co_return co_await lane_.run(std::move(read));
    }

    // The lane is a queue: what was begun before is over when this runs.
    net::task<> close() override
    {
        closed_ = true;
        auto last = [db = db_] { db->close(); };
        co_await lane_.run(std::move(last));
    }

    const stats& counters() const override { return stats_; }

private:
    // The batch that is still taking writes, and the place in it. Place 0 has to carry it.
    std::pair<std::shared_ptr<batch>, std::size_t> join(write w)
    {
        const auto bytes = bytes_of(w);
        const std::lock_guard lock(mutex_);
        if (open_ && (open_->writes.size() >= most_writes || open_->bytes + bytes > most_bytes))
            open_.reset();
        if (!open_)
            open_ = std::make_shared<batch>();
        open_->writes.push_back({std::move(w), {}});
        open_->bytes += bytes;
        open_->last_key = last_key_;
        return {open_, open_->writes.size() - 1};
    }

    // The first writer of a batch takes it to the lane, where it stays open until the batches
    // before it are done.
    net::task<> carry(std::shared_ptr<batch> b)
    {
        auto work = [this, b] {
            {
                const std::lock_guard lock(mutex_);
                if (open_ == b)
                    open_.reset();
            }
            run(*b);
        };
        co_await lane_.run(std::move(work));
        account(*b);
        b->done.come();
        if (b->wants_tidying)
            tidy(lane_, db_);
    }

    // Step by step, so that batches come in between.
    static void tidy(net::lane& lane, std::shared_ptr<database> db)
    {
        lane.post([&lane, db = std::move(db)] {
            db->tidy();
            if (db->has_more_to_tidy())
                tidy(lane, db);
        });
    }

    // On the lane.
    void run(batch& b)
    {
        const auto start = clock_.now();
        const auto before = db_->transactions();
        db_->commit(b.writes, b.last_key);
        b.took = clock_.now() - start;
        b.transactions = db_->transactions() - before;
        b.database_bytes = db_->bytes();
        b.last_failure = db_->last_failure();
        b.trouble = db_->trouble();
        b.wants_tidying = db_->wants_tidying();
        for (auto& w : b.writes)
            w.operations = {}; // freeing a thousand inputs is not for the loop
    }

    void account(const batch& b)
    {
        stats_.writes += b.writes.size();
        stats_.commits += b.transactions;
        stats_.commit_time += b.took;
        stats_.longest_commit = std::max(stats_.longest_commit, b.took);
        stats_.bytes = b.database_bytes;
        stats_.last_failure = b.last_failure;
        stats_.trouble = b.trouble;
        for (const auto& w : b.writes)
            stats_.failures += w.answer && w.answer != journal_errc::conflict ? 1U : 0U;
    }

    net::lane& lane_;
    net::real_time clock_; // only to measure
    std::shared_ptr<database> db_;
    core::job_key last_key_;
    std::mutex mutex_; // of open_ and what it holds until it is closed
    std::shared_ptr<batch> open_;
    bool closed_ = false;
    stats stats_;
};

} // namespace

std::unique_ptr<journal> open_sqlite(const std::string& file, net::lane& lane,
                                     const sqlite_options& options)
{
    return std::make_unique<sqlite_journal>(file, lane, options);
}

} // namespace gateway::store
