// What replies and troubles mean for a download: the second half of download.hpp, and the table of
// downloads.md §3.1.

#include "core/download.hpp"

#include <algorithm>
#include <utility>

namespace gateway::core {

namespace {

constexpr int most_changes = 1;         // of the file while it is fetched
constexpr int most_protocol_errors = 1; // then Range is not used any more
constexpr int fresh_links = 2;          // that may be refused before a byte has come by them

bool may_mean_expiry(int status)
{
    return status == 400 || status == 401 || status == 403 || status == 404 || status == 410;
}

} // namespace

void download::changed(std::string what)
{
    if (++changes_ > most_changes)
        return fail({std::move(what), true});
    state_ = download_state::restart;
    trouble_ = {std::move(what)};
}

bool download::is_same(const reply_facts& head) const
{
    return etag_.empty() || head.etag.empty() || head.host != etag_host_ || head.etag == etag_;
}

void download::take_validators(const reply_facts& head)
{
    if (!head.etag.empty() && (etag_.empty() || head.host != etag_host_)) {
        etag_ = head.etag;
        etag_host_ = head.host;
    }
    if (std::exchange(from_source_, false))
        at_refresh_ = received_.size();
    resolving_ = 0;
}

bool download::on_reply(int id, const reply_facts& head, steady_time now, double random)
{
    auto& c = connections_.at(id);
    c.reply_end = 0;
    if (state_ != download_state::fetching || !c.lease)
        return false;
    bool read = false;
    if (head.status == 206)
        read = judge_part(c, head, now, random);
    else if (head.status == 200)
        read = judge_whole(c, head);
    else if (head.status == 412)
        changed("it changed on its server while it was fetched");
    else if (head.status == 416 && !size_)
        fail({"it answered 416 to a request for the whole file", true});
    else if (head.status == 416 && head.total != size_)
        changed("its server says that it has " +
                (head.total ? std::to_string(*head.total) : std::string("another number of")) +
                " bytes, and not " + std::to_string(*size_));
    else
        protocol_error(c, "it answered " + std::to_string(head.status), now, random);
    if (resolving_ == id)
        resolving_ = 0;
    if (!read)
        c.lease.reset();
    return read;
}

// 206: only when it is exactly the part that was asked for.
bool download::judge_part(connection& c, const reply_facts& head, steady_time now, double random)
{
    const auto wrong = [&](const char* what) {
        protocol_error(c, std::string("it was asked for a part and sent another one: ") + what, now,
                       random);
        return false;
    };
    if (head.multipart || !head.range)
        return wrong(head.multipart ? "several parts" : "no usable Content-Range");
    const auto& range = *head.range;
    if (range.begin != c.lease->begin)
        return wrong("another beginning");
    if (head.length && *head.length != range.size())
        return wrong("Content-Length and Content-Range disagree");
    const auto total = head.total ? head.total : size_;
    if (size_ && total != size_) {
        changed("its size changed from " + std::to_string(*size_) + " to " +
                std::to_string(*total) + " bytes while it was fetched");
        return false;
    }
    if (!is_same(head)) {
        changed("it changed on its server while it was fetched");
        return false;
    }
    if (!total)
        return wrong("no size of the whole");
    if (range.size() == 0 || range.end > std::min(c.asked_end, *total))
        return wrong("another end");
    size_ = total;
    c.lease->end = std::min(c.lease->end, range.end);
    c.reply_at = c.lease->begin;
    c.reply_end = range.end;
    ranges_ = ranged::yes;
    take_validators(head);
    return true;
}

// 200: the whole file from its first byte, whatever was asked for.
bool download::judge_whole(connection& c, const reply_facts& head)
{
    const auto size = head.length ? head.length : head.known;
    if (c.lease->begin > 0 || anybody_else_receives(c)) {
        ranges_ = ranged::no; // next() begins anew unless another reply goes on to the end
        plain_ = true;
        return false;
    }
    if (size_ && size != size_) {
        changed("its size changed while it was fetched");
        return false;
    }
    ranges_ = ranged::no;
    received_ = {};
    counted_ = at_trouble_ = at_refresh_ = 0;
    size_ = size;
    c.lease = byte_range{0, end_of_file()};
    c.reply_at = 0;
    c.reply_end = end_of_file();
    take_validators(head);
    check_complete();
    return state_ == download_state::fetching;
}

void download::protocol_error(connection& c, std::string what, steady_time now, double random)
{
    if (++protocol_errors_ > most_protocol_errors && !plain_) {
        plain_ = true;
        state_ = download_state::restart;
        trouble_ = {std::move(what)};
        return;
    }
    strike(c, {std::move(what)}, now, random);
}

void download::on_refusal(int id, const reply_facts& head, download_trouble why, steady_time now,
                          double random)
{
    auto& c = connections_.at(id);
    const bool was_fresh = resolving_ == id;
    if (was_fresh)
        resolving_ = 0;
    if (state_ != download_state::fetching)
        return;
    const bool by_link = head.from_storage && may_mean_expiry(head.status);
    const bool has_served =
        received_.size() - at_refresh_ >= limits_.progress || refreshed_ < fresh_links;
    if (by_link && from_source_ && !was_fresh) {
        c.lease.reset(); // another connection has found that out already
        return;
    }
    if (by_link && has_served && refreshed_ < limits_.refreshes) {
        c.lease.reset();
        from_source_ = true;
        ++refreshed_;
        at_refresh_ = received_.size();
        return;
    }
    // One more than it likes: the others have what they need.
    if (why.permanent && anybody_else_receives(c)) {
        why.permanent = false;
        why.crowded = true;
    }
    strike(c, std::move(why), now, random);
}

void download::on_trouble(int id, download_trouble why, steady_time now, double random)
{
    const auto at = connections_.find(id);
    if (at == connections_.end())
        return;
    if (resolving_ == id)
        resolving_ = 0;
    strike(at->second, std::move(why), now, random);
}

void download::strike(connection& c, download_trouble why, steady_time now, double random)
{
    c.drop();
    c.rate = {};
    c.since_strike = 0;
    ++c.strikes;
    if (state_ != download_state::fetching)
        return;
    if (why.permanent)
        return fail(std::move(why));
    if (why.crowded)
        pace_.on_trouble(now);
    ++troubles_;
    at_trouble_ = received_.size();
    if (troubles_ > limits_.retries && !anybody_else_receives(c)) {
        why.reason += " (tried " + std::to_string(troubles_) + " times)";
        return fail(std::move(why));
    }
    c.not_before = now + backoff_delay(limits_.backoff, c.strikes, random);
    if (why.wait > duration::zero())
        hold_until_ = std::max(hold_until_, now + std::min(why.wait, limits_.longest_wait));
    trouble_ = std::move(why);
}

} // namespace gateway::core
