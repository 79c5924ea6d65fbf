#pragma once

// The recent events of one job, numbered, in bounded memory. Readers hold a cursor; /stream's own
// cursor, the drained one, moves only when a reply has really been written (decisions.md 13).

#include "core/progress.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace gateway::core {

struct feed_item {
    std::uint64_t version = 0;
    bool is_progress = true;
    progress_view progress;
    std::string text; // of other items: e.g. where the result is
};

class feed {
public:
    explicit feed(std::size_t bound = 64) : bound_(bound < 2 ? 2 : bound) {}

    // Progress gives way when there is no room: every second item is dropped, never the newest.
    void add(const progress_view& p);
    // What is not progress stays; only when nothing else is left does the oldest go.
    void add(std::string text);
    // The last item; nothing is added after it.
    void close(std::string text);

    std::vector<feed_item> since(std::uint64_t cursor) const; // items with a greater version
    std::vector<feed_item> undrained() const { return since(drained_); }
    // The drained cursor never goes back, and never beyond what exists.
    void acknowledge(std::uint64_t cursor);

    std::uint64_t version() const { return version_; } // of the newest item; 0: there is none
    std::uint64_t drained() const { return drained_; }
    bool closed() const { return closed_; }
    std::size_t size() const { return items_.size(); }

private:
    void push(feed_item item);
    void make_room();

    std::size_t bound_;
    std::deque<feed_item> items_;
    std::uint64_t version_ = 0;
    std::uint64_t drained_ = 0;
    bool closed_ = false;
};

} // namespace gateway::core
