#pragma once

// Many things by growing numbers, in pages of consecutive ones: found by their number, walked in
// its order from any place. Costs 8 bytes each when few numbers are missing, and what is kept never
// moves.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace gateway::jobs {

template <class Value> class table {
public:
    using number = std::uint64_t;

    std::size_t size() const { return size_; }

    // Null when there is none.
    Value* find(number n) const
    {
        const auto at = page_from(n / page_size);
        return at < pages_.size() && pages_[at].index == n / page_size
                   ? pages_[at].places->values[n % page_size].get()
                   : nullptr;
    }

    // Replaces what is there.
    Value& put(number n, std::unique_ptr<Value> value)
    {
        const auto index = n / page_size;
        const auto at = page_from(index);
        if (at == pages_.size() || pages_[at].index != index) {
            page fresh{index, std::make_unique<slots>()};
            pages_.insert(place(at), std::move(fresh));
        }
        auto& to = *pages_[at].places;
        size_ += to.mark(n % page_size) ? 1U : 0U;
        auto& slot = to.values[n % page_size];
        slot = std::move(value);
        return *slot;
    }

    // False when there is none.
    bool erase(number n)
    {
        const auto at = page_from(n / page_size);
        if (at == pages_.size() || pages_[at].index != n / page_size ||
            !pages_[at].places->unmark(n % page_size))
            return false;
        --size_;
        auto& from = *pages_[at].places;
        from.values[n % page_size].reset();
        if (from.is_empty())
            pages_.erase(place(at));
        return true;
    }

    // The first one above `n`, or the last one below it; null when there is none.
    Value* next_above(number n) const
    {
        if (n == ~number{0})
            return nullptr;
        const auto first = n + 1;
        auto at = page_from(first / page_size);
        if (at == pages_.size())
            return nullptr;
        const auto from = pages_[at].index == first / page_size ? first % page_size : 0;
        if (auto* found = pages_[at].places->first_from(from))
            return found;
        return ++at == pages_.size() ? nullptr : pages_[at].places->first_from(0);
    }
    Value* next_below(number n) const
    {
        if (n == 0)
            return nullptr;
        const auto last = n - 1;
        auto at = page_from(last / page_size);
        if (at < pages_.size() && pages_[at].index == last / page_size) {
            if (auto* found = pages_[at].places->last_up_to(last % page_size))
                return found;
        }
        return at == 0 ? nullptr : pages_[at - 1].places->last_up_to(page_size - 1);
    }

private:
    static constexpr std::size_t page_size = 256;

    // Consecutive places, some of them taken; `taken` has a bit for each.
    struct slots {
        static constexpr std::size_t word = 64;
        std::array<std::unique_ptr<Value>, page_size> values;
        std::array<std::uint64_t, page_size / word> taken{};

        static constexpr std::uint64_t bit(std::size_t i) { return std::uint64_t{1} << (i % word); }
        bool has(std::size_t i) const { return (taken[i / word] & bit(i)) != 0; }
        bool mark(std::size_t i)
        {
            const bool fresh = !has(i);
            taken[i / word] |= bit(i);
            return fresh;
        }
        bool unmark(std::size_t i)
        {
            const bool was = has(i);
            taken[i / word] &= ~bit(i);
            return was;
        }
        bool is_empty() const
        {
            return std::all_of(taken.begin(), taken.end(), [](auto w) { return w == 0; });
        }
        Value* first_from(std::size_t i) const
        {
            auto w = i / word;
            auto rest = taken[w] & (~std::uint64_t{0} << (i % word));
            while (rest == 0 && ++w < taken.size())
                rest = taken[w];
            if (rest == 0)
                return nullptr;
            return values[w * word + static_cast<std::size_t>(std::countr_zero(rest))].get();
        }
        Value* last_up_to(std::size_t i) const
        {
            auto w = i / word;
            auto rest = taken[w] & (~std::uint64_t{0} >> (word - 1 - i % word));
            while (rest == 0 && w > 0)
                rest = taken[--w];
            if (rest == 0)
                return nullptr;
            const auto from_top = static_cast<std::size_t>(std::countl_zero(rest));
            return values[w * word + word - 1 - from_top].get();
        }
    };
    struct page {
        number index = 0; // of the numbers divided by the size of a page
        std::unique_ptr<slots> places;
    };

    // The place of the first page that is not before `index`. Mostly the newest is asked for.
    std::size_t page_from(number index) const
    {
        if (pages_.empty() || pages_.back().index < index)
            return pages_.size();
        if (pages_.size() == 1 || pages_[pages_.size() - 2].index < index)
            return pages_.size() - 1;
        const auto at =
            std::lower_bound(pages_.begin(), pages_.end(), index,
                             [](const page& p, number wanted) { return p.index < wanted; });
        return static_cast<std::size_t>(at - pages_.begin());
    }
    auto place(std::size_t at) { return pages_.begin() + static_cast<std::ptrdiff_t>(at); }

    std::vector<page> pages_; // by index; none is empty
    std::size_t size_ = 0;
};

} // namespace gateway::jobs
