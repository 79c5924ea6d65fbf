#pragma once

// Decides which model files are deleted: those that nobody has used for long, and the least
// recently used ones when the library is over its budget or a disk runs short (downloads.md §6.4).
// Names that share their bytes (hard links) go together or not at all.

#include "core/registry.hpp"

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace gateway::core {

// One file in a model folder.
struct stored_model {
    model_key key;
    std::uint64_t volume = 0; // device
    std::uint64_t inode = 0;  // the same number on the same volume: the same bytes
    std::uint64_t size = 0;
    std::uint64_t uses = 0;
    wall_time last_used{}; // or when it came, if that is later
    bool ours = false;     // fetched by a gateway, or handed over to it
    bool pinned = false;
    bool needed = false; // by a job that waits or runs, or loaded by a WebUI
};

struct volume_state {
    std::uint64_t id = 0;
    std::uint64_t free = 0;
    std::uint64_t incoming = 0; // bytes that are about to be written and not yet taken from `free`
};

struct eviction_limits {
    std::uint64_t budget = 0;                       // bytes of files of ours; 0: no limit
    double high_water = 0.95;                       // of the budget: more than this makes room
    double low_water = 0.85;                        // of the budget: down to this
    std::uint64_t min_free = 0;                     // bytes, on each volume
    wall_duration unused_after{};                   // 0: files do not age
    std::size_t keep_most_used = 0;                 // of all files: do not age either
    wall_duration grace = std::chrono::minutes(10); // used or placed since: not touched
};

enum class eviction_reason : std::uint8_t {
    unused, // for longer than unused_after
    disk,   // less than min_free, or no room for what is coming
    budget, // over the budget
};
constexpr std::size_t eviction_reasons = 3;
std::string_view to_text(eviction_reason reason); // "unused", "disk", "budget"

struct eviction {
    model_key key;
    eviction_reason why = eviction_reason::unused;
    std::uint64_t bytes = 0; // that this frees: 0 for the further names of the same bytes
};

// In the order in which they should go. `incoming`: bytes on their way that count for the budget.
std::vector<eviction> choose_evictions(const std::vector<stored_model>& files,
                                       const std::vector<volume_state>& volumes,
                                       std::uint64_t incoming, const eviction_limits& limits,
                                       wall_time now);

} // namespace gateway::core
