#include "api/event_stream.hpp"

#include "base/log.hpp"
#include "proto/native.hpp"

#include <algorithm>
#include <charconv>

namespace gateway::api {

namespace {

constexpr std::chrono::seconds heartbeat_interval{15};
constexpr std::chrono::seconds look_around{1}; // is the client still there, do we stop?

std::uint64_t number(std::string_view text)
{
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

bool same_moment(const core::job& a, const core::job& b)
{
    return a.state == b.state && a.attempt == b.attempt && a.queued == b.queued;
}

} // namespace

std::uint64_t number_in(std::string_view last_event_id)
{
    return number(last_event_id.substr(0, last_event_id.find('.')));
}

net::task<result<std::vector<core::job_event>>> read_log(jobs::jobs& all, net::time_source& time,
                                                         proto::job_ref job)
{
    // Jobs that an older version has retried never agree: what there is must do.
    constexpr int tries = 3;
    for (int left = tries;; --left) {
        auto past = co_await all.history(job.key);
        if (!past)
            co_return past.error();
        const auto v = all.find(job.key, job.secret);
        if (!v)
            co_return std::vector<core::job_event>{};
        const bool same = core::agrees(*past, *v->job);
        if (same || left == 1) {
            const auto error = v->error != nullptr ? std::string_view(*v->error) : "";
            co_return core::events_of(*v->job, *past, error);
        }
        const auto seen = v->version;
        const auto until = time.now() + look_around;
        co_await all.changed(job.key, seen, until);
        const bool stopping = co_await net::cancelled();
        if (stopping)
            co_return std::vector<core::job_event>{};
    }
}

event_stream::event_stream(parts with, proto::job_ref job, std::string_view last_id)
    : with_(std::move(with)),
      job_(job),
      id_(proto::to_text(job)),
      told_(number_in(last_id)),
      heartbeat_(with_.time.now() + heartbeat_interval)
{
    if (const auto dot = last_id.find('.'); dot != std::string_view::npos)
        progress_ = number(last_id.substr(dot + 1));
}

net::task<result<std::size_t>> event_stream::read(std::span<char> into)
{
    while (ready_.empty() && !ended_)
        co_await go_on();
    const auto n = std::min(ready_.size(), into.size());
    ready_.copy(into.data(), n);
    ready_.erase(0, n);
    co_return n;
}

std::optional<jobs::view> event_stream::look() const
{
    return with_.jobs.find(job_.key, job_.secret);
}

// Tells what is new, or waits a little for something new.
net::task<> event_stream::go_on()
{
    auto v = look();
    if (!v) {
        tell("deleted", std::to_string(told_), "{}");
        ended_ = true;
        co_return;
    }
    if (!known_ || !same_moment(*known_, *v->job)) {
        co_await tell_log();
        co_return;
    }
    if (v->version > seen_) {
        seen_ = v->version;
        tell_progress(*v);
        co_return;
    }
    const auto now = with_.time.now();
    if (!*with_.open || with_.client.abandoned()) {
        ended_ = true;
        co_return;
    }
    if (now >= heartbeat_) {
        heartbeat_ = now + heartbeat_interval;
        ready_ += ": still here\n\n";
        co_return;
    }
    const auto until = std::min(heartbeat_, now + look_around);
    co_await with_.jobs.changed(job_.key, seen_, until);
    const bool stopping = co_await net::cancelled();
    ended_ = stopping;
}

net::task<> event_stream::tell_log()
{
    const auto before = *look()->job;
    const auto log = co_await read_log(with_.jobs, with_.time, job_);
    if (!log) {
        log::warning("the history of a job could not be read",
                     {{"job_id", id_}, {"error", log.error().message()}});
        ended_ = true; // the client comes back
        co_return;
    }
    if (log->empty())
        co_return; // it is gone, or we are
    known_ = before;
    told_ = std::min<std::uint64_t>(told_, log->size());
    for (; told_ < log->size(); ++told_) {
        const auto& event = (*log)[told_];
        tell(core::to_text(event.what), std::to_string(told_ + 1),
             proto::event_object(id_, told_ + 1, event));
    }
    ended_ = core::is_final(log->back().what);
}

void event_stream::tell_progress(const jobs::view& v)
{
    if (v.job->state != core::job_state::in_progress || v.last_progress == nullptr ||
        v.version <= progress_)
        return;
    progress_ = v.version;
    tell("progress", std::to_string(told_) + "." + std::to_string(v.version),
         proto::progress_event(*v.last_progress, v.job->attempt, v.worker));
}

void event_stream::tell(std::string_view event, std::string id, std::string_view data)
{
    heartbeat_ = with_.time.now() + heartbeat_interval;
    ready_ += "event: ";
    ready_ += event;
    ready_ += "\nid: " + std::move(id) + "\ndata: ";
    ready_ += data;
    ready_ += "\n\n";
}

} // namespace gateway::api
