#pragma once

// Which bytes of a file are there: ranges that come in any order and grow together.

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <vector>

namespace gateway::core {

struct byte_range {
    std::uint64_t begin = 0;
    std::uint64_t end = 0; // one past the last byte
    std::uint64_t size() const { return end - begin; }
    bool operator==(const byte_range&) const = default;
};

class ranges {
public:
    // False, and nothing is changed, when a byte of it is there already.
    bool add(std::uint64_t begin, std::uint64_t end)
    {
        if (begin >= end)
            return begin == end;
        auto next = parts_.lower_bound(begin);
        if (next != parts_.end() && next->first < end)
            return false;
        if (next != parts_.begin() && std::prev(next)->second > begin)
            return false;
        size_ += end - begin;
        if (next != parts_.end() && next->first == end) {
            end = next->second;
            next = parts_.erase(next);
        }
        if (next != parts_.begin() && std::prev(next)->second == begin)
            std::prev(next)->second = end;
        else
            parts_.emplace_hint(next, begin, end);
        return true;
    }
    // How far it goes from the start without a gap.
    std::uint64_t frontier() const
    {
        return parts_.empty() || parts_.begin()->first != 0 ? 0 : parts_.begin()->second;
    }
    // The first gap at or after `from` that begins below `end`; empty when there is none.
    byte_range gap(std::uint64_t from, std::uint64_t end) const
    {
        auto next = parts_.upper_bound(from);
        if (next != parts_.begin() && std::prev(next)->second > from)
            from = std::prev(next)->second;
        while (next != parts_.end() && next->first == from)
            from = (next++)->second;
        if (from >= end)
            return {end, end};
        return {from, next == parts_.end() ? end : std::min(end, next->first)};
    }
    std::uint64_t size() const { return size_; } // of all together
    std::vector<byte_range> all() const
    {
        std::vector<byte_range> list;
        for (const auto& [begin, end] : parts_)
            list.push_back({begin, end});
        return list;
    }

private:
    std::map<std::uint64_t, std::uint64_t> parts_; // begin → end
    std::uint64_t size_ = 0;
};

} // namespace gateway::core
