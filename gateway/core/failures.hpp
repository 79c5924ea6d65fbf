#pragma once

// Remembers for a while what could not be had, so that a broken URL is not asked for again by every
// job that names it. Each further failure is remembered for twice as long (downloads.md §6.5).

#include "base/time.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <string>

namespace gateway::core {

class failure_memory {
public:
    struct limits {
        duration permanent = std::chrono::minutes(10); // the first time; doubles
        duration longest = std::chrono::hours(6);
        duration passing = std::chrono::seconds(30);
        std::size_t entries = 10'000; // the one that ends first makes room
    };

    explicit failure_memory(limits allowed) : limits_(allowed) {}

    void failed(const std::string& what, std::string reason, bool permanent, steady_time now);
    // It worked, or somebody wants it tried again at once.
    void forget(const std::string& what) { all_.erase(what); }
    // Why it is not worth a try now; nothing when it is.
    std::optional<std::string> reason(const std::string& what, steady_time now) const;
    std::size_t size() const { return all_.size(); }

private:
    struct entry {
        std::string reason;
        steady_time until{};
        int times = 0; // permanent failures in a row
    };
    void make_room(steady_time now);

    limits limits_;
    std::map<std::string, entry> all_;
};

} // namespace gateway::core
