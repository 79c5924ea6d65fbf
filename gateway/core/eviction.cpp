#include "core/eviction.hpp"

#include <algorithm>
#include <map>

namespace gateway::core {

namespace {

// The bytes that one or more names stand for.
struct content {
    std::vector<const stored_model*> names;
    std::uint64_t volume = 0;
    std::uint64_t size = 0;
    std::uint64_t uses = 0;
    wall_time last_used{};
    bool ours = false;      // any of its names is
    bool may_go = true;     // none of its names forbids it
    bool most_used = false; // among those that do not age
    bool chosen = false;
};

std::vector<content> group(const std::vector<stored_model>& files, const eviction_limits& limits,
                           wall_time now)
{
    std::map<std::pair<std::uint64_t, std::uint64_t>, content> by_inode;
    for (const auto& file : files) {
        auto& c = by_inode[{file.volume, file.inode}];
        c.names.push_back(&file);
        c.volume = file.volume;
        c.size = file.size;
        c.uses += file.uses;
        c.last_used = std::max(c.last_used, file.last_used);
        c.ours = c.ours || file.ours;
        c.may_go = c.may_go && file.ours && !file.pinned && !file.needed;
    }
    std::vector<content> all;
    for (auto& [inode, c] : by_inode) {
        c.may_go = c.may_go && now - c.last_used >= limits.grace;
        all.push_back(std::move(c));
    }
    return all;
}

void mark_most_used(std::vector<content>& all, std::size_t how_many)
{
    std::vector<content*> ranked;
    for (auto& c : all) {
        if (c.uses > 0)
            ranked.push_back(&c);
    }
    std::sort(ranked.begin(), ranked.end(), [](const content* a, const content* b) {
        return std::pair(a->uses, a->last_used) > std::pair(b->uses, b->last_used);
    });
    for (std::size_t i = 0; i < ranked.size() && i < how_many; ++i)
        ranked[i]->most_used = true;
}

// Least recently used first; among equals the largest, so that fewer go.
bool goes_before(const content& a, const content& b)
{
    if (a.last_used != b.last_used)
        return a.last_used < b.last_used;
    if (a.size != b.size)
        return a.size > b.size;
    return a.names.front()->key < b.names.front()->key;
}

std::uint64_t share(std::uint64_t bytes, double part)
{
    return static_cast<std::uint64_t>(static_cast<double>(bytes) * part);
}

// Choosing, with the sums that depend on what has been chosen.
class choice {
public:
    explicit choice(std::vector<content> all) : all_(std::move(all))
    {
        std::sort(all_.begin(), all_.end(), goes_before);
        for (const auto& c : all_)
            used_ += c.ours ? c.size : 0;
    }

    void aged(const eviction_limits& limits, wall_time now)
    {
        if (limits.unused_after <= wall_duration::zero())
            return;
        mark_most_used(all_, limits.keep_most_used);
        for (auto& c : all_) {
            if (!c.most_used && now - c.last_used >= limits.unused_after)
                take(c, eviction_reason::unused);
        }
    }

    void make_room(const volume_state& on, std::uint64_t min_free)
    {
        const auto wanted = min_free + on.incoming;
        for (auto& c : all_) {
            if (on.free + freed_[on.id] >= wanted)
                return;
            if (c.volume == on.id)
                take(c, eviction_reason::disk);
        }
    }

    void keep_budget(const eviction_limits& limits, std::uint64_t incoming)
    {
        if (limits.budget == 0 || used_ + incoming <= share(limits.budget, limits.high_water))
            return;
        for (auto& c : all_) {
            if (used_ + incoming <= share(limits.budget, limits.low_water))
                return;
            take(c, eviction_reason::budget);
        }
    }

    std::vector<eviction> result() && { return std::move(result_); }

private:
    void take(content& c, eviction_reason why)
    {
        if (!c.may_go || c.chosen)
            return;
        c.chosen = true;
        used_ -= c.size;
        freed_[c.volume] += c.size;
        for (const auto* name : c.names)
            result_.push_back({name->key, why, name == c.names.back() ? c.size : 0});
    }

    std::vector<content> all_; // in the order in which they go
    std::uint64_t used_ = 0;
    std::map<std::uint64_t, std::uint64_t> freed_; // by volume
    std::vector<eviction> result_;
};

} // namespace

std::string_view to_text(eviction_reason reason)
{
    switch (reason) {
    case eviction_reason::unused: return "unused";
    case eviction_reason::disk: return "disk";
    case eviction_reason::budget: return "budget";
    }
    return "";
}

std::vector<eviction> choose_evictions(const std::vector<stored_model>& files,
                                       const std::vector<volume_state>& volumes,
                                       std::uint64_t incoming, const eviction_limits& limits,
                                       wall_time now)
{
    choice chosen(group(files, limits, now));
    chosen.aged(limits, now);
    for (const auto& volume : volumes)
        chosen.make_room(volume, limits.min_free);
    chosen.keep_budget(limits, incoming);
    return std::move(chosen).result();
}

} // namespace gateway::core
