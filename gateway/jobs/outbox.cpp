#include "jobs/outbox.hpp"

#include "jobs/commit.hpp"

#include <algorithm>

namespace gateway::jobs {

namespace {
constexpr std::size_t replay_page = 10'000;
}

outbox::outbox(net::executor ex, net::time_source& time, store::journal& journal,
               std::function<void(core::job_key)> settled)
    : time_(time), journal_(journal), settled_(std::move(settled)), notes_(std::move(ex))
{
}

net::task<error_code> outbox::replay()
{
    core::message_id last;
    for (;;) {
        const auto page = co_await journal_.pending_messages(last, replay_page);
        if (!page)
            co_return page.error();
        if (page->empty())
            co_return error_code{};
        last = page->back();
        for (const auto id : *page)
            posted(id);
    }
}

void outbox::posted(core::message_id id)
{
    ++pending_[id.job];
    notes_.post({id, false});
}

net::task<result<std::optional<store::message_record>>> outbox::find(core::message_id id)
{
    auto all = co_await journal_.read_messages(id.job);
    if (!all)
        co_return all.error();
    const auto it = std::find_if(all->begin(), all->end(), [id](const auto& m) {
        return m.id == id && m.state == core::delivery_state::pending;
    });
    if (it == all->end())
        co_return std::nullopt;
    co_return std::move(*it);
}

net::task<result<store::message_content>> outbox::read(core::message_id id)
{
    return journal_.read_message(id);
}

net::task<error_code> outbox::tried(store::record_try what)
{
    const auto id = what.id;
    const bool is_settled = what.state != core::delivery_state::pending;
    store::write w;
    w.emplace_back(std::move(what));
    const auto ec = co_await commit_surely(journal_, time_, std::move(w));
    const auto mine = pending_.find(id.job);
    if (ec || !is_settled || mine == pending_.end() || --mine->second > 0)
        co_return ec;
    pending_.erase(mine);
    settled_(id.job);
    co_return ec;
}

net::task<result<std::vector<store::message_record>>> outbox::log(core::job_key job)
{
    return journal_.read_messages(job);
}

net::task<result<std::optional<core::message_id>>> outbox::redeliver(core::job_key job)
{
    for (;;) {
        const auto all = co_await journal_.read_messages(job);
        if (!all)
            co_return all.error();
        if (all->empty())
            co_return std::nullopt;
        const auto newest = all->back().id;
        if (all->back().state == core::delivery_state::pending) {
            notes_.post({newest, true});
            co_return newest;
        }
        store::write w;
        w.emplace_back(store::reopen_message{newest, time_.wall()});
        const auto ec = co_await commit_known(journal_, time_, std::move(w));
        if (ec == store::journal_errc::conflict)
            continue; // something else has happened to it: look again
        if (ec)
            co_return ec;
        ++pending_[job];
        notes_.post({newest, true});
        co_return newest;
    }
}

} // namespace gateway::jobs
