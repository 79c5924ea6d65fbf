#include "core/feed.hpp"

#include <algorithm>
#include <utility>

namespace gateway::core {

void feed::add(const progress_view& p) { push({.progress = p, .text = {}}); }

void feed::add(std::string text)
{
    push({.is_progress = false, .progress = {}, .text = std::move(text)});
}

void feed::close(std::string text)
{
    add(std::move(text));
    closed_ = true;
}

void feed::push(feed_item item)
{
    if (closed_)
        return;
    if (items_.size() >= bound_)
        make_room();
    item.version = ++version_;
    items_.push_back(std::move(item));
}

void feed::make_room()
{
    // What has been delivered goes first.
    const auto delivered = std::find_if(
        items_.begin(), items_.end(), [this](const feed_item& i) { return i.version > drained_; });
    if (delivered != items_.begin()) {
        items_.erase(items_.begin(), delivered);
        return;
    }
    bool drop = false;
    std::deque<feed_item> kept;
    for (feed_item& i : items_) {
        drop = i.is_progress && !drop;
        if (!drop)
            kept.push_back(std::move(i));
    }
    if (kept.size() == items_.size())
        kept.pop_front();
    items_ = std::move(kept);
}

std::vector<feed_item> feed::since(std::uint64_t cursor) const
{
    const auto first = std::find_if(items_.begin(), items_.end(),
                                    [=](const feed_item& i) { return i.version > cursor; });
    return {first, items_.end()};
}

void feed::acknowledge(std::uint64_t cursor)
{
    drained_ = std::max(drained_, std::min(cursor, version_));
}

} // namespace gateway::core
