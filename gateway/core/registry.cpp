#include "core/registry.hpp"

#include <algorithm>
#include <utility>

namespace gateway::core {

namespace {

// What is new about the file, beside what was known of its name.
void arrive(model_record& known, const model_record& now)
{
    const bool same_content =
        known.sha256.empty() || now.sha256.empty() || known.sha256 == now.sha256;
    if (!same_content)
        known.url.clear();
    if (!now.url.empty())
        known.url = now.url;
    known.path = now.path;
    if (!now.sha256.empty() || known.size != now.size)
        known.sha256 = now.sha256;
    known.size = now.size;
    known.adopted = known.adopted || now.adopted;
    known.pinned = known.pinned || now.pinned;
    if (!now.url.empty() || known.downloaded == wall_time{})
        known.downloaded = now.downloaded;
}

void apply_one(model_registry& to, const model_key& key, const model_change& c)
{
    if (c.gone)
        to.erase(key);
    if (c.came)
        arrive(to[key], *c.came);
    const auto at = to.find(key);
    if (at == to.end())
        return; // somebody else has deleted it meanwhile
    auto& known = at->second;
    known.uses += c.uses;
    known.last_used = std::max(known.last_used, c.used);
    known.sha256 = c.sha256.value_or(known.sha256);
    known.pinned = c.pinned.value_or(known.pinned);
    known.adopted = c.adopted.value_or(known.adopted);
}

} // namespace

void add_change(model_changes& into, const model_key& key, model_change later)
{
    auto& c = into[key];
    if (later.gone)
        c = {};
    c.gone = c.gone || later.gone;
    if (later.came)
        c.came = std::move(later.came);
    c.uses += later.uses;
    c.used = std::max(c.used, later.used);
    if (later.sha256)
        c.sha256 = std::move(later.sha256);
    if (later.pinned)
        c.pinned = later.pinned;
    if (later.adopted)
        c.adopted = later.adopted;
}

void apply_changes(model_registry& to, const model_changes& all)
{
    for (const auto& [key, change] : all)
        apply_one(to, key, change);
}

} // namespace gateway::core
