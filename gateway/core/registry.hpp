#pragma once

// What is remembered of each model file: where it came from, how often and when it was used.
// Several gateways share one registry on one volume, so each keeps what it has seen happen as
// changes, and applies them to the newest state when it writes.

#include "base/time.hpp"
#include "core/model.hpp"

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace gateway::core {

struct model_key {
    model_kind kind = model_kind::checkpoint;
    std::string name; // stem of the file

    auto operator<=>(const model_key&) const = default;
};

struct model_record {
    std::string url;    // it was fetched from, without secrets; empty: somebody put it there
    std::string path;   // where it lies
    std::string sha256; // empty: not known yet
    std::uint64_t size = 0;
    std::uint64_t uses = 0; // dispatches of jobs that name it
    wall_time downloaded{}; // or first seen
    wall_time last_used{};  // unset: never
    bool pinned = false;    // never deleted by itself
    bool adopted = false;   // somebody put it there and handed it over

    // Whether the gateway may delete it when room is needed (downloads.md §6.4).
    bool is_ours() const { return adopted || !url.empty(); }
    bool operator==(const model_record&) const = default;
};

using model_registry = std::map<model_key, model_record>;

// What has happened to one file, in this order: it went, it came, and the rest.
struct model_change {
    bool gone = false;
    std::optional<model_record> came; // fetched or found; uses and pins already kept stay
    std::uint64_t uses = 0;
    wall_time used{};
    std::optional<std::string> sha256;
    std::optional<bool> pinned;
    std::optional<bool> adopted;
};

using model_changes = std::map<model_key, model_change>;

// Both changes in one.
void add_change(model_changes& into, const model_key& key, model_change later);
void apply_changes(model_registry& to, const model_changes& all);

} // namespace gateway::core
