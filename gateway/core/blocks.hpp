#pragma once

// A sorted set of small records in blocks of memory: as small as a vector, with insertion and
// removal anywhere in about log n. A million waiting jobs are kept in it.

#include <algorithm>
#include <cstddef>
#include <vector>

namespace gateway::core {

// `Key` turns a record into what it is sorted by; no two records have the same.
template <class Record, class Key> class sorted_blocks {
public:
    using key_type = decltype(Key{}(Record{}));

    bool empty() const { return blocks_.empty(); }
    std::size_t size() const { return size_; }
    const Record& front() const { return blocks_.front().front(); }

    // False, and nothing is changed, when the key is there already.
    bool insert(const Record& r)
    {
        const key_type key = Key{}(r);
        if (blocks_.empty()) {
            blocks_.emplace_back().push_back(r);
            ++size_;
            return true;
        }
        // Keys mostly arrive in order: the last record is the nearest.
        const bool beyond_all = Key{}(blocks_.back().back()) < key;
        std::size_t at = beyond_all ? blocks_.size() - 1 : block_of(key);
        auto place = lower(blocks_[at], key);
        if (place != blocks_[at].end() && Key{}(*place) == key)
            return false;
        if (blocks_[at].size() == block_size) {
            at = split(at, place == blocks_[at].end(), key);
            place = lower(blocks_[at], key);
        }
        blocks_[at].insert(place, r);
        ++size_;
        return true;
    }

    const Record* find(key_type key) const
    {
        const std::size_t at = block_of(key);
        if (at == blocks_.size())
            return nullptr;
        const auto place = lower(blocks_[at], key);
        return place != blocks_[at].end() && Key{}(*place) == key ? &*place : nullptr;
    }

    bool erase(key_type key)
    {
        const std::size_t at = block_of(key);
        if (at == blocks_.size())
            return false;
        auto& block = blocks_[at];
        const auto place = lower(block, key);
        if (place == block.end() || Key{}(*place) != key)
            return false;
        block.erase(place);
        --size_;
        if (block.empty())
            blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(at));
        else if (block.size() < block_size / 4)
            merge(at);
        return true;
    }

    template <class Visit> void for_each(Visit&& visit) const
    {
        for (const auto& block : blocks_)
            for (const Record& r : block)
                visit(r);
    }

    // The records whose keys are above `key`, in order, until `visit` returns false.
    template <class Visit> void for_each_above(key_type key, Visit&& visit) const
    {
        for (std::size_t at = block_of(key); at < blocks_.size(); ++at) {
            for (auto place = lower(blocks_[at], key); place != blocks_[at].end(); ++place) {
                if (key < Key{}(*place) && !visit(*place))
                    return;
            }
        }
    }

    // Bytes taken from the heap.
    std::size_t memory() const
    {
        std::size_t sum = blocks_.capacity() * sizeof(std::vector<Record>);
        for (const auto& block : blocks_)
            sum += block.capacity() * sizeof(Record);
        return sum;
    }

private:
    static constexpr std::size_t block_size = 256; // records; moving half of one costs about 100 ns

    template <class Block> static auto lower(Block& block, key_type key)
    {
        return std::lower_bound(block.begin(), block.end(), key,
                                [](const Record& r, key_type k) { return Key{}(r) < k; });
    }

    // The first block whose last record is not below the key.
    std::size_t block_of(key_type key) const
    {
        const auto at = std::lower_bound(
            blocks_.begin(), blocks_.end(), key,
            [](const std::vector<Record>& b, key_type k) { return Key{}(b.back()) < k; });
        return static_cast<std::size_t>(at - blocks_.begin());
    }

    // Makes room beside a full block; returns the block where the key belongs. Keys mostly arrive
    // in order: then the full block stays full.
    std::size_t split(std::size_t at, bool beyond_its_end, key_type key)
    {
        const auto next = blocks_.begin() + static_cast<std::ptrdiff_t>(at) + 1;
        if (beyond_its_end) {
            blocks_.insert(next, std::vector<Record>());
            return at + 1;
        }
        auto& full = blocks_[at];
        const auto middle = full.begin() + static_cast<std::ptrdiff_t>(block_size / 2);
        std::vector<Record> upper(middle, full.end());
        full.erase(middle, full.end());
        full.shrink_to_fit();
        const bool goes_up = key > Key{}(full.back());
        blocks_.insert(next, std::move(upper));
        return goes_up ? at + 1 : at;
    }

    // Joins a block that has become small with a neighbour, so that removals give memory back.
    void merge(std::size_t at)
    {
        if (at > 0 && fit_together(at - 1))
            --at;
        else if (at + 1 == blocks_.size() || !fit_together(at))
            return;
        auto& into = blocks_[at];
        into.insert(into.end(), blocks_[at + 1].begin(), blocks_[at + 1].end());
        blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }

    bool fit_together(std::size_t left) const
    {
        return blocks_[left].size() + blocks_[left + 1].size() <= block_size / 2;
    }

    std::vector<std::vector<Record>> blocks_; // none is empty
    std::size_t size_ = 0;
};

} // namespace gateway::core
