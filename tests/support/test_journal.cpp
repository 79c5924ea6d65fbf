#include "support/test_journal.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace gateway::test {

using core::job_state;
using store::journal_errc;

namespace {

using rows = std::map<core::job_key, test_journal::row>;

// One operation on the rows; false when a job is not in the state that it asks for.
class applier {
public:
    explicit applier(rows& all) : rows_(all) {}

    bool operator()(const store::insert_job& op)
    {
        test_journal::row fresh;
        fresh.record.job = op.job;
        fresh.record.job.models = core::no_models;
        fresh.record.job.backend = core::no_backend;
        fresh.record.files = std::make_shared<const core::model_set>(op.files);
        fresh.record.webhook = op.webhook;
        fresh.record.once = op.once;
        fresh.input = op.input;
        return rows_.try_emplace(op.job.key, std::move(fresh)).second;
    }

    bool operator()(const store::begin_attempt& op)
    {
        auto* r = find(op.fence.job);
        if (r == nullptr || r->job.state != job_state::in_queue ||
            r->job.attempt + 1 != op.fence.attempt)
            return false;
        r->job.state = job_state::in_progress;
        r->job.attempt = op.fence.attempt;
        r->job.started = op.started;
        r->job.retries = op.retries;
        r->attempts.push_back({op.fence.attempt, op.backend, op.started, std::nullopt, {}, {}});
        return true;
    }

    bool operator()(const store::requeue_job& op)
    {
        auto* r = running(op.fence);
        if (r == nullptr)
            return false;
        r->job.state = job_state::in_queue;
        end_attempt(*r, op.ended, op.when, op.reason);
        return true;
    }

    bool operator()(const store::finish_job& op)
    {
        auto* r = op.fence.attempt == 0 ? waiting(op.fence.job) : running(op.fence);
        if (r == nullptr)
            return false;
        r->job.state = op.state;
        r->job.ended = op.when;
        r->error = op.error;
        r->result = op.result;
        if (op.fence.attempt != 0)
            end_attempt(*r, op.ended, op.when, op.error);
        else
            r->job.started = {};
        ++r->job.ends;
        if (!r->webhook.empty())
            post(rows_.at(op.fence.job), op.fence.attempt != 0);
        return true;
    }

    bool operator()(const store::restart_job& op)
    {
        auto* r = find(op.job);
        if (r == nullptr ||
            (r->job.state != job_state::failed && r->job.state != job_state::timed_out))
            return false;
        auto& past = rows_.at(op.job).past;
        past.retries.push_back({r->job.attempt, r->job.state, r->job.ended, r->error, op.queued});
        past.attempts.insert(past.attempts.end(), r->attempts.begin(), r->attempts.end());
        r->job.state = job_state::in_queue;
        r->job.queued = op.queued;
        r->job.started = {};
        r->job.ended = {};
        r->job.cancel_asked = false;
        r->error.clear();
        r->result.reset();
        r->attempts.clear();
        return true;
    }

    bool operator()(const store::erase_job& op)
    {
        rows_.erase(op.job);
        return true;
    }

    bool operator()(const store::record_try& op)
    {
        auto* m = message(op.id);
        if (m == nullptr || m->state != core::delivery_state::pending)
            return false;
        m->state = op.state;
        m->tries = op.tries;
        m->next = op.next;
        m->tried.push_back(op.tried);
        if (m->tried.size() > store::tries_kept)
            m->tried.erase(m->tried.begin());
        return true;
    }

    bool operator()(const store::reopen_message& op)
    {
        auto* m = message(op.id);
        if (m == nullptr || m->state == core::delivery_state::pending)
            return false;
        m->state = core::delivery_state::pending;
        m->tries = 0;
        m->opened = m->next = op.when;
        return true;
    }

private:
    store::message_record* message(core::message_id id)
    {
        const auto it = rows_.find(id.job);
        if (it == rows_.end())
            return nullptr;
        const auto m = it->second.messages.find(id.number);
        return m == it->second.messages.end() ? nullptr : &m->second.record;
    }

    // The job has just ended.
    static void post(test_journal::row& of, bool in_attempt)
    {
        const auto& r = of.record;
        const auto number = std::uint32_t{r.job.ends};
        auto& m = of.messages[number];
        m.record.id = {r.job.key, number};
        m.record.told = r.job.state;
        m.record.url = m.content.url = r.webhook;
        m.record.opened = m.record.next = r.job.ended;
        m.content.job = r.job;
        m.content.worker = in_attempt ? r.attempts.back().backend : "";
        m.content.error = r.error;
        for (auto it = of.messages.begin();
             it != of.messages.end() && it->first + store::messages_kept <= number;) {
            const bool settled = it->second.record.state != core::delivery_state::pending;
            it = settled ? of.messages.erase(it) : std::next(it);
        }
    }

    store::job_record* find(core::job_key key)
    {
        const auto it = rows_.find(key);
        return it == rows_.end() ? nullptr : &it->second.record;
    }

    store::job_record* waiting(core::job_key key)
    {
        auto* r = find(key);
        return r != nullptr && r->job.state == job_state::in_queue ? r : nullptr;
    }

    store::job_record* running(core::fence f)
    {
        auto* r = find(f.job);
        const bool it_is =
            r != nullptr && r->job.state == job_state::in_progress && r->job.attempt == f.attempt;
        return it_is ? r : nullptr;
    }

    static void end_attempt(store::job_record& r, core::outcome how, wall_time when,
                            const std::string& reason)
    {
        if (r.attempts.empty())
            return;
        r.attempts.back().ended = how;
        r.attempts.back().ended_at = when;
        r.attempts.back().reason = reason;
    }

    rows& rows_;
};

core::job_key key_of(const store::operation& op)
{
    struct visitor {
        core::job_key operator()(const store::insert_job& o) const { return o.job.key; }
        core::job_key operator()(const store::begin_attempt& o) const { return o.fence.job; }
        core::job_key operator()(const store::requeue_job& o) const { return o.fence.job; }
        core::job_key operator()(const store::finish_job& o) const { return o.fence.job; }
        core::job_key operator()(const store::restart_job& o) const { return o.job; }
        core::job_key operator()(const store::erase_job& o) const { return o.job; }
        core::job_key operator()(const store::record_try& o) const { return o.id.job; }
        core::job_key operator()(const store::reopen_message& o) const { return o.id.job; }
    };
    return std::visit(visitor{}, op);
}

net::task<> yield()
{
    const auto ex = co_await net::current_executor();
    co_await net::asio::post(ex, net::asio::use_awaitable);
}

} // namespace

net::task<error_code> test_journal::commit(store::write w)
{
    if (closed_)
        co_return journal_errc::closed;
    auto mine = std::make_shared<entry>();
    mine->w = std::move(w);
    mine->due = schedule();
    if (failing_next_) {
        mine->failure = std::exchange(failing_next_, std::nullopt);
        mine->happens = failing_happens_;
    } else if (failing_when_ && std::any_of(mine->w.begin(), mine->w.end(), failing_when_)) {
        mine->failure = failing_when_with_;
        mine->happens = false;
    }
    queue_.push_back(mine);
    co_await pass();
    // A cancelled caller is not made to wait: the answer just comes early.
    const auto ec = co_await time_.sleep_until(mine->due);
    (void)ec;
    if (!mine->answered)
        apply_through(*mine);
    co_return mine->answer;
}

// A batch is on its way until batch_end_; who comes before that is in the next one.
steady_time test_journal::schedule()
{
    const auto now = time_.now();
    if (now > batch_start_ || now >= batch_end_) {
        batch_start_ = std::max(now, batch_end_);
        batch_end_ = batch_start_ + delay_;
        ++stats_.commits;
    }
    return batch_end_;
}

// The loop turns at least once, and a held journal lets nobody through.
net::task<> test_journal::pass()
{
    co_await yield();
    while (held_) {
        const auto held = held_;
        co_await held->wait();
    }
}

// Writes take effect in the order they were asked for, whoever wakes first.
void test_journal::apply_through(const entry& last)
{
    while (!queue_.empty()) {
        const auto next = queue_.front();
        queue_.pop_front();
        next->answered = true;
        ++stats_.writes;
        if (next->happens)
            next->answer = apply(next->w);
        stats_.trouble = next->failure ? error_code(*next->failure).message() : "";
        if (next->failure) {
            next->answer = *next->failure;
            ++stats_.failures;
            stats_.last_failure = next->answer.message();
        }
        next->done.come();
        if (next.get() == &last)
            return;
    }
}

error_code test_journal::apply(const store::write& w)
{
    std::map<core::job_key, std::optional<row>> before;
    for (const auto& op : w) {
        const auto key = key_of(op);
        const auto it = rows_.find(key);
        before.try_emplace(key, it == rows_.end() ? std::nullopt : std::optional<row>(it->second));
    }
    applier one(rows_);
    for (const auto& op : w) {
        if (std::visit(one, op))
            continue;
        for (auto& [key, old] : before) {
            rows_.erase(key);
            if (old)
                rows_.emplace(key, std::move(*old));
        }
        return journal_errc::conflict;
    }
    history_.push_back(w);
    return {};
}

net::task<result<std::string>> test_journal::read_input(core::job_key job)
{
    co_await pass();
    if (failing_read_) {
        const error_code ec = *std::exchange(failing_read_, std::nullopt);
        co_return ec;
    }
    const auto it = rows_.find(job);
    if (it == rows_.end())
        co_return error_code(journal_errc::missing);
    co_return it->second.input;
}

net::task<result<store::job_history>> test_journal::read_history(core::job_key job)
{
    co_await pass();
    if (failing_read_) {
        const error_code ec = *std::exchange(failing_read_, std::nullopt);
        co_return ec;
    }
    const auto it = rows_.find(job);
    if (it == rows_.end())
        co_return store::job_history{};
    auto all = it->second.past;
    const auto& latest = it->second.record.attempts;
    all.attempts.insert(all.attempts.end(), latest.begin(), latest.end());
    co_return all;
}

net::task<result<std::vector<store::job_record>>> test_journal::replay(core::job_key after,
                                                                       std::size_t limit)
{
    co_await pass();
    if (failing_read_) {
        const error_code ec = *std::exchange(failing_read_, std::nullopt);
        co_return ec;
    }
    std::vector<store::job_record> page;
    for (auto it = rows_.upper_bound(after); it != rows_.end() && page.size() < limit; ++it)
        page.push_back(it->second.record);
    co_return page;
}

net::task<result<std::vector<core::message_id>>>
test_journal::pending_messages(core::message_id after, std::size_t limit)
{
    co_await pass();
    std::vector<core::message_id> page;
    for (const auto& [key, of_job] : rows_) {
        for (const auto& [number, m] : of_job.messages) {
            const bool is_pending = m.record.state == core::delivery_state::pending;
            if (is_pending && m.record.id > after && page.size() < limit)
                page.push_back(m.record.id);
        }
    }
    co_return page;
}

net::task<result<std::vector<store::message_record>>> test_journal::read_messages(core::job_key job)
{
    co_await pass();
    if (failing_read_) {
        const error_code ec = *std::exchange(failing_read_, std::nullopt);
        co_return ec;
    }
    std::vector<store::message_record> all;
    const auto it = rows_.find(job);
    if (it != rows_.end()) {
        for (const auto& [number, m] : it->second.messages)
            all.push_back(m.record);
    }
    co_return all;
}

net::task<result<store::message_content>> test_journal::read_message(core::message_id id)
{
    co_await pass();
    if (failing_read_) {
        const error_code ec = *std::exchange(failing_read_, std::nullopt);
        co_return ec;
    }
    const auto it = rows_.find(id.job);
    const auto missing = error_code(journal_errc::missing);
    if (it == rows_.end() || !it->second.messages.contains(id.number))
        co_return missing;
    auto content = it->second.messages.at(id.number).content;
    content.input = it->second.input;
    if (content.job.state == job_state::completed)
        content.result = it->second.record.result;
    co_return content;
}

net::task<> test_journal::close()
{
    closed_ = true;
    if (queue_.empty())
        co_return;
    const auto last = queue_.back();
    co_await last->done.wait();
}

void test_journal::fail_next(journal_errc e, bool happens)
{
    failing_next_ = e;
    failing_happens_ = happens;
}

void test_journal::fail_when(condition when, journal_errc e)
{
    failing_when_ = std::move(when);
    failing_when_with_ = e;
}

void test_journal::hold()
{
    if (!held_)
        held_ = std::make_shared<net::arrival>();
}

void test_journal::release()
{
    const auto held = std::exchange(held_, nullptr);
    if (held)
        held->come();
}

std::unique_ptr<test_journal> test_journal::crashed(std::size_t survivors)
{
    for (const auto& one : std::exchange(queue_, {})) {
        if (one->happens && survivors > 0) {
            --survivors;
            apply(one->w);
        }
        one->answered = true;
        one->answer = journal_errc::unknown;
        one->done.come();
    }
    closed_ = true;
    release();
    auto next = std::make_unique<test_journal>(time_);
    next->rows_ = rows_;
    next->last_key_ = last_key_;
    return next;
}

} // namespace gateway::test
