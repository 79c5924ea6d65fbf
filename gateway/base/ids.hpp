#pragma once

// Randomness, which is injected, and the ids made of it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include <sys/types.h>

namespace gateway {

class random_source {
public:
    virtual ~random_source() = default;
    virtual std::uint64_t next() = 0; // 64 bits, all of them random
    double fraction();                // [0, 1)
};

// The kernel's generator, asked for 512 bytes at a time.
class system_random final : public random_source {
public:
    using generator = ssize_t (*)(void* into, std::size_t size, unsigned flags);

    system_random();                                              // getrandom(2)
    explicit system_random(generator kernel) : kernel_(kernel) {} // for tests
    std::uint64_t next() override;

private:
    generator kernel_;
    std::array<std::uint64_t, 64> pool_{};
    std::size_t left_ = 0;
};

// The same numbers for the same seed, on every machine. For tests and simulations only.
class seeded_random final : public random_source {
public:
    explicit seeded_random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() override; // SplitMix64

private:
    std::uint64_t state_;
};

// "f81d4fae-7dec-4d0f-a765-00a0c91e6bf6": these 128 bits as they are, in the shape of a UUID.
std::string uuid_shape(std::uint64_t high, std::uint64_t low);
// A random (version 4) UUID.
std::string uuid4(random_source& random);
// "req_" and 16 hex digits.
std::string request_id(random_source& random);

} // namespace gateway
