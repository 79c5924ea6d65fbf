#include "store/sqlite_messages.hpp"

#include <algorithm>

namespace gateway::store {

namespace {

using core::delivery_state;

// Numbers that stay in databases.
static_assert(static_cast<int>(delivery_state::pending) == 0);
static_assert(static_cast<int>(delivery_state::delivered) == 1);
static_assert(static_cast<int>(delivery_state::given_up) == 2);
static_assert(static_cast<int>(delivery_state::gone) == 3);

constexpr auto post_sql = R"sql(
INSERT INTO messages (job, number, state, tries, opened, next,
                      told, retries, queued, started, ended, worker, error)
SELECT key, ends, 0, 0, ended, ended, state, retries, queued, started, ended,
       ifnull((SELECT backend FROM attempts WHERE job = key AND attempt = ?), ''), error
FROM jobs WHERE key = ? AND webhook <> '' RETURNING number)sql";

constexpr auto forget_old_tries_sql = R"sql(
DELETE FROM message_tries WHERE job = ?1 AND number <= ?2
    AND number NOT IN (SELECT number FROM messages WHERE job = ?1))sql";

constexpr auto update_sql = R"sql(
UPDATE messages SET state = ?, tries = ?, next = ?
WHERE job = ? AND number = ? AND state = 0)sql";

constexpr auto add_try_sql = R"sql(
INSERT INTO message_tries (job, number, place, time, took, status, error)
SELECT ?1, ?2, 1 + ifnull(max(place), 0), ?3, ?4, ?5, ?6
FROM message_tries WHERE job = ?1 AND number = ?2 RETURNING place)sql";

constexpr auto reopen_sql = R"sql(
UPDATE messages SET state = 0, tries = 0, opened = ?1, next = ?1
WHERE job = ?2 AND number = ?3 AND state <> 0)sql";

constexpr auto read_pending_sql = R"sql(
SELECT job, number FROM messages
WHERE state = 0 AND (job, number) > (?, ?) ORDER BY job, number LIMIT ?)sql";

constexpr auto read_messages_sql = R"sql(
SELECT number, m.state, tries, opened, next, told, webhook
FROM messages AS m JOIN jobs ON key = job WHERE job = ? ORDER BY number)sql";

constexpr auto read_tries_sql = R"sql(
SELECT number, time, took, status, error FROM message_tries
WHERE job = ? ORDER BY number, place)sql";

constexpr auto read_content_sql = R"sql(
SELECT secret, flags, told, m.retries, m.queued, m.started, m.ended, worker, m.error, webhook,
       submitted
FROM messages AS m JOIN jobs ON key = job WHERE job = ? AND number = ?)sql";

} // namespace

message_rows::message_rows(SQLite::Database& db)
    : post_(db, post_sql),
      forget_old_(db, "DELETE FROM messages WHERE job = ? AND number <= ? AND state <> 0"),
      forget_old_tries_(db, forget_old_tries_sql),
      update_(db, update_sql),
      add_try_(db, add_try_sql),
      forget_tries_(db, "DELETE FROM message_tries WHERE job = ? AND number = ? AND place <= ?"),
      reopen_(db, reopen_sql),
      erase_(db, "DELETE FROM messages WHERE job = ?"),
      erase_tries_(db, "DELETE FROM message_tries WHERE job = ?"),
      read_pending_(db, read_pending_sql),
      read_messages_(db, read_messages_sql),
      read_tries_(db, read_tries_sql),
      read_content_(db, read_content_sql)
{
}

void message_rows::post(std::int64_t job, std::int64_t attempt)
{
    post_.start(attempt, job);
    const bool posted = post_.next();
    const auto number = posted ? post_.integer(0) : 0;
    post_.stop();
    const auto old = number - std::int64_t{messages_kept};
    if (old <= 0)
        return;
    forget_old_.run(job, old);
    forget_old_tries_.run(job, old);
}

bool message_rows::apply(const record_try& op)
{
    const auto job = number(op.id.job);
    const auto message = std::int64_t{op.id.number};
    if (update_.run(number(op.state), std::int64_t{op.tries}, number(op.next), job, message) != 1)
        return false;
    add_try_.start(job, message, number(op.tried.when), std::int64_t{op.tried.took.count()},
                   std::int64_t{op.tried.status}, op.tried.error);
    add_try_.next();
    const auto old = add_try_.integer(0) - std::int64_t{tries_kept};
    add_try_.stop();
    if (old > 0)
        forget_tries_.run(job, message, old);
    return true;
}

bool message_rows::apply(const reopen_message& op)
{
    return reopen_.run(number(op.when), number(op.id.job), std::int64_t{op.id.number}) == 1;
}

void message_rows::erase(std::int64_t job)
{
    if (erase_.run(job) > 0)
        erase_tries_.run(job);
}

std::vector<core::message_id> message_rows::pending(core::message_id after, std::size_t limit)
{
    std::vector<core::message_id> page;
    read_pending_.start(number(after.job), std::int64_t{after.number},
                        number(std::uint64_t{limit}));
    while (read_pending_.next())
        page.push_back({static_cast<core::job_key>(read_pending_.integer(0)),
                        static_cast<std::uint32_t>(read_pending_.integer(1))});
    read_pending_.stop();
    return page;
}

std::vector<message_record> message_rows::of_job(core::job_key job)
{
    std::vector<message_record> all;
    const auto key = number(job);
    read_messages_.start(key);
    while (read_messages_.next()) {
        auto& m = all.emplace_back();
        m.id = {job, static_cast<std::uint32_t>(read_messages_.integer(0))};
        m.state = checked(read_messages_.integer(1), delivery_state::gone, "messages", key);
        m.tries = static_cast<std::uint32_t>(read_messages_.integer(2));
        m.opened = time(read_messages_.integer(3));
        m.next = time(read_messages_.integer(4));
        m.told = checked(read_messages_.integer(5), core::job_state::timed_out, "messages", key);
        m.url = read_messages_.text(6);
    }
    read_messages_.stop();
    read_tries(all);
    return all;
}

void message_rows::read_tries(std::vector<message_record>& of_one_job)
{
    if (of_one_job.empty())
        return;
    auto owner = of_one_job.begin();
    read_tries_.start(number(owner->id.job));
    while (read_tries_.next()) {
        const auto message = read_tries_.integer(0);
        while (owner != of_one_job.end() && std::int64_t{owner->id.number} < message)
            ++owner;
        if (owner == of_one_job.end() || std::int64_t{owner->id.number} != message)
            damaged("message_tries", message);
        auto& t = owner->tried.emplace_back();
        t.when = time(read_tries_.integer(1));
        t.took = std::chrono::milliseconds(read_tries_.integer(2));
        t.status = static_cast<int>(read_tries_.integer(3));
        t.error = read_tries_.text(4);
    }
    read_tries_.stop();
}

std::optional<message_content> message_rows::content(core::message_id id)
{
    std::optional<message_content> found;
    read_content_.start(number(id.job), std::int64_t{id.number});
    if (read_content_.next()) {
        auto& c = found.emplace();
        c.job.key = id.job;
        c.job.secret = static_cast<std::uint64_t>(read_content_.integer(0));
        c.job.sync = (read_content_.integer(1) & flag_sync) != 0;
        c.job.state = checked(read_content_.integer(2), core::job_state::timed_out, "messages",
                              number(id.job));
        c.job.retries = static_cast<std::uint16_t>(read_content_.integer(3));
        c.job.queued = time(read_content_.integer(4));
        c.job.started = time(read_content_.integer(5));
        c.job.ended = time(read_content_.integer(6));
        c.worker = read_content_.text(7);
        c.error = read_content_.text(8);
        c.url = read_content_.text(9);
        c.job.submitted = time(read_content_.integer(10));
        c.job.ends = static_cast<std::uint16_t>(id.number);
    }
    read_content_.stop();
    return found;
}

} // namespace gateway::store
