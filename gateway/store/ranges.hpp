#pragma once

// Which bytes of a file are there: ranges that come in any order and grow together.

#include <cstdint>
#include <iterator>
#include <map>

namespace gateway::store {

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
    const std::map<std::uint64_t, std::uint64_t>& all() const { return parts_; } // begin → end

private:
    std::map<std::uint64_t, std::uint64_t> parts_;
};

} // namespace gateway::store
