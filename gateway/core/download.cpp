#include "core/download.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace gateway::core {

namespace {

constexpr auto without_end = std::numeric_limits<std::uint64_t>::max();
constexpr double worth_splitting = 1; // second that the slower connection would still need
constexpr double much_faster = 4;

} // namespace

// --- speed ---

void download::speed::add(std::uint64_t n, steady_time now)
{
    constexpr auto window = std::chrono::milliseconds(500);
    if (mark == steady_time{})
        mark = now;
    bytes += n;
    const auto elapsed = now - mark;
    if (elapsed < window)
        return;
    const auto recent = static_cast<double>(bytes) / std::chrono::duration<double>(elapsed).count();
    rate = rate > 0 ? 0.5 * rate + 0.5 * recent : recent;
    mark = now;
    bytes = 0;
}

double download::speed::at(steady_time now) const
{
    const auto elapsed = std::chrono::duration<double>(now - mark).count();
    if (mark == steady_time{} || elapsed < 1)
        return rate;
    return std::min(rate, static_cast<double>(bytes) / elapsed);
}

// --- the whole ---

download::download(download_limits limits, const beginning& from, steady_time now)
    : limits_(limits),
      pace_(limits.pace),
      size_(from.size),
      etag_(from.etag),
      etag_host_(from.etag_host),
      last_progress_(now)
{
    if (size_) {
        for (const auto& part : from.have)
            received_.add(part.begin, std::min(part.end, *size_));
    }
    counted_ = at_trouble_ = received_.size();
    check_complete();
}

std::uint64_t download::end_of_file() const { return size_.value_or(without_end); }

void download::check_complete()
{
    if (state_ == download_state::fetching && size_ && received_.frontier() == *size_ &&
        (*size_ > 0 || ranges_ == ranged::no))
        state_ = download_state::complete;
}

void download::fail(download_trouble why)
{
    state_ = download_state::failed;
    trouble_ = std::move(why);
}

void download::on_wrong_content(std::string reason) { changed(std::move(reason)); }

void download::restarted(steady_time now)
{
    state_ = download_state::fetching;
    received_ = {};
    connections_.clear();
    size_.reset();
    etag_.clear();
    etag_host_.clear();
    ranges_ = ranged::unknown;
    from_source_ = true;
    resolving_ = 0;
    at_refresh_ = at_trouble_ = counted_ = 0;
    last_progress_ = now;
}

void download::on_tick(steady_time now)
{
    if (state_ != download_state::fetching)
        return;
    const auto missing = end_of_file() - received_.size();
    const bool may_grow = ranges_ == ranged::yes && missing >= limits_.lease;
    pace_.on_sample(received_.size(), receiving(), may_grow, now);
    if (received_.size() != counted_) {
        counted_ = received_.size();
        last_progress_ = now;
    }
    const auto waited = now - std::max(last_progress_, hold_until_);
    if (waited >= limits_.without_progress)
        return fail(
            {"not a byte has come for " +
             std::to_string(std::chrono::duration_cast<std::chrono::minutes>(waited).count()) +
             " minutes"});
    double fastest = 0;
    for (const auto& [id, c] : connections_)
        fastest = std::max(fastest, c.lease ? c.rate.at(now) : 0);
    for (auto& [id, c] : connections_) {
        const auto rate = c.rate.at(now);
        if (!c.lease || rate >= limits_.slow || fastest <= 10 * rate)
            c.slow_since = now;
        else if (now - c.slow_since >= limits_.slow_for)
            c.drop(); // its reader finds no room, and asks
    }
}

int download::receiving() const
{
    return static_cast<int>(
        std::count_if(connections_.begin(), connections_.end(), [](const auto& item) {
            const auto& c = item.second;
            return c.lease && c.reply_end > 0 && c.rate.mark != steady_time{};
        }));
}

int download::wanted() const { return ranges_ == ranged::yes ? pace_.wanted() : 1; }

bool download::anybody_else_receives(const connection& c) const
{
    return std::any_of(connections_.begin(), connections_.end(), [&c](const auto& item) {
        return &item.second != &c && item.second.lease && item.second.reply_end > 0;
    });
}

// --- connections ---

bool download::wants_more() const
{
    if (state_ != download_state::fetching || static_cast<int>(connections_.size()) >= wanted())
        return false;
    return connections_.empty() || free_gap().size() > 0;
}

int download::join(steady_time now)
{
    auto& c = connections_[next_id_];
    c.slow_since = now;
    return next_id_++;
}

void download::leave(int id)
{
    connections_.erase(id);
    if (resolving_ == id)
        resolving_ = 0;
}

// The first bytes that are neither there nor on their way.
byte_range download::free_gap() const
{
    const auto end = end_of_file();
    for (std::uint64_t from = 0; from < end;) {
        auto gap = received_.gap(from, end);
        if (gap.size() == 0)
            break;
        auto next = gap.begin;
        for (const auto& [id, c] : connections_) {
            if (!c.lease || c.lease->end <= gap.begin)
                continue;
            if (c.lease->begin <= gap.begin)
                next = std::max(next, c.lease->end);
            else
                gap.end = std::min(gap.end, c.lease->begin);
        }
        if (next == gap.begin)
            return gap;
        from = next;
    }
    return {end, end};
}

download_step download::next(int id, steady_time now)
{
    using action = download_step::action;
    auto& c = connections_.at(id);
    download_step step;
    if (state_ != download_state::fetching || static_cast<int>(connections_.size()) > wanted()) {
        step.what = action::leave;
        return step;
    }
    c.lease.reset();
    const auto earliest = std::max(c.not_before, hold_until_);
    if (now < earliest) {
        step.until = earliest;
        return step;
    }
    auto gap = free_gap();
    if (c.reply_end > c.reply_at && c.reply_at == gap.begin && gap.size() > 0)
        return grant(c, {gap.begin, std::min(gap.end, c.reply_end)}, now);
    c.reply_end = 0;
    if (from_source_ && resolving_ != 0 && resolving_ != id)
        return step; // until there is a link
    if (gap.size() == 0) {
        const auto taken = steal(c, now);
        if (!taken) {
            step.until = now + limits_.silent_for;
            return step;
        }
        gap = *taken;
    }
    if (gap.begin > 0 && ranges_ == ranged::no) {
        // The one reply that there was has ended early, and another can only begin at the start.
        if (!anybody_else_receives(c)) {
            state_ = download_state::restart;
            trouble_ = {"its server cannot go on in the middle of a file"};
        }
        step.what = action::leave;
        return step;
    }
    if (from_source_)
        resolving_ = id;
    return grant(c, gap, now);
}

download_step download::grant(connection& c, byte_range range, steady_time now)
{
    using action = download_step::action;
    download_step step;
    const bool goes_on = c.reply_end > c.reply_at;
    // One connection alone asks for all that is missing and reads it lease by lease.
    const bool alone = pace_.wanted() == 1 || ranges_ == ranged::no;
    step.to_the_end = alone && range.end == end_of_file();
    range.end =
        std::min(range.end, range.begin + std::min(limits_.lease, without_end - range.begin));
    step.what = goes_on ? action::go_on : action::request;
    step.range = range;
    step.from_source = from_source_;
    step.plain = plain_;
    c.lease = range;
    c.since = now;
    if (!goes_on) {
        c.asked_end = step.to_the_end ? end_of_file() : range.end;
        c.rate.mark = {};
        c.rate.bytes = 0;
    }
    return step;
}

double download::seconds_left(const connection& c, steady_time now) const
{
    const auto rate = c.rate.mark == steady_time{} ? 0 : c.rate.at(now);
    const auto left = static_cast<double>(c.lease->size());
    if (rate > 0)
        return left / rate;
    // It has not brought anything yet: the longer that takes, the less is expected of it.
    const auto waited = std::chrono::duration<double>(now - c.since);
    return waited < limits_.silent_for ? 0 : std::numeric_limits<double>::infinity();
}

// Nothing is free: half of what the slowest has left, or all of it when it hardly moves.
std::optional<byte_range> download::steal(connection& c, steady_time now)
{
    connection* slowest = nullptr;
    double longest = worth_splitting;
    for (auto& [id, other] : connections_) {
        if (&other == &c || !other.lease || ranges_ != ranged::yes)
            continue;
        const auto left = seconds_left(other, now);
        if (left > longest) {
            longest = left;
            slowest = &other;
        }
    }
    if (slowest == nullptr)
        return std::nullopt;
    auto& theirs = *slowest->lease;
    const auto own_rate = c.rate.at(now);
    const double alone = own_rate > 0 ? static_cast<double>(theirs.size()) / own_rate : 1;
    const bool hardly_moves = std::chrono::duration<double>(longest) > limits_.silent_for &&
                              longest > much_faster * (alone + 1);
    byte_range taken = theirs;
    if (hardly_moves) {
        slowest->drop();
        return taken;
    }
    if (theirs.size() < 2 * limits_.smallest_split)
        return std::nullopt;
    taken.begin += theirs.size() / 2;
    theirs.end = taken.begin;
    return taken;
}

std::uint64_t download::room(int id) const
{
    const auto at = connections_.find(id);
    if (state_ != download_state::fetching || at == connections_.end() || !at->second.lease)
        return 0;
    const auto& c = at->second;
    return std::min(c.lease->end, std::max(c.reply_end, c.lease->begin)) - c.lease->begin;
}

std::uint64_t download::position(int id) const
{
    const auto& lease = connections_.at(id).lease;
    return lease ? lease->begin : 0;
}

std::uint64_t download::on_bytes(int id, std::uint64_t n, steady_time now)
{
    n = std::min(n, room(id));
    if (n == 0)
        return 0;
    auto& c = connections_.at(id);
    received_.add(c.lease->begin, c.lease->begin + n);
    c.lease->begin += n;
    c.reply_at = c.lease->begin;
    c.rate.add(n, now);
    c.since_strike += n;
    if (c.since_strike >= limits_.progress)
        c.strikes = 0;
    // What cannot be taken up again is no progress.
    if (ranges_ == ranged::yes && received_.size() - at_trouble_ >= limits_.progress)
        troubles_ = 0;
    check_complete();
    return n;
}

void download::on_end(int id, steady_time now, double random)
{
    const auto at = connections_.find(id);
    if (at == connections_.end() || !at->second.lease)
        return;
    auto& c = at->second;
    if (size_)
        return strike(c,
                      {"it ended after " + std::to_string(received_.size()) + " of " +
                       std::to_string(*size_) + " bytes"},
                      now, random);
    size_ = c.lease->begin; // the end of the connection is the end of the file
    c.lease.reset();
    check_complete();
}

} // namespace gateway::core
