#include "base/ids.hpp"

#include <cerrno>
#include <cstdio>
#include <span>
#include <system_error>
#include <utility>

#include <sys/random.h>

namespace gateway {

namespace {

std::string printed(const char* format, auto... numbers)
{
    std::array<char, 48> text{};
    const int size = std::snprintf(text.data(), text.size(), format, numbers...);
    return {text.data(), static_cast<std::size_t>(size)};
}

} // namespace

system_random::system_random() : kernel_(::getrandom) {}

double random_source::fraction() { return static_cast<double>(next() >> 11) * 0x1p-53; }

std::uint64_t system_random::next()
{
    if (left_ == 0) {
        std::span<std::byte> rest = std::as_writable_bytes(std::span(pool_));
        while (!rest.empty()) {
            const auto got = kernel_(rest.data(), rest.size(), 0);
            if (got < 0 && errno == EINTR)
                continue;
            if (got < 0)
                throw std::system_error(errno, std::generic_category(),
                                        "no randomness from the kernel (getrandom)");
            rest = rest.subspan(static_cast<std::size_t>(got));
        }
        left_ = pool_.size();
    }
    return std::exchange(pool_[--left_], 0);
}

std::uint64_t seeded_random::next()
{
    state_ += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return mixed ^ mixed >> 31;
}

std::string uuid_shape(std::uint64_t high, std::uint64_t low)
{
    using word = unsigned long long;
    return printed("%08llx-%04llx-%04llx-%04llx-%012llx", word{high >> 32},
                   word{high >> 16 & 0xffff}, word{high & 0xffff}, word{low >> 48},
                   word{low & 0xffff'ffff'ffff});
}

std::string uuid4(random_source& random)
{
    const std::uint64_t high = random.next();
    const std::uint64_t low = random.next();
    constexpr std::uint64_t version = 0x4000;
    constexpr std::uint64_t variant = 0x8000'0000'0000'0000;
    return uuid_shape((high & ~std::uint64_t{0xf000}) | version, low >> 2 | variant);
}

std::string request_id(random_source& random)
{
    // By hand: every request gets one, and printf would be the dearest part of many of them.
    constexpr std::string_view digits = "0123456789abcdef";
    std::string id = "req_0000000000000000";
    auto bits = random.next();
    for (auto at = id.size(); at > 4; bits >>= 4)
        id[--at] = digits[bits & 0xf];
    return id;
}

} // namespace gateway
