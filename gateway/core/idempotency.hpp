#pragma once

// What is remembered of an Idempotency-Key: enough to know the key and its content again, and
// nothing that tells what they were (draft-ietf-httpapi-idempotency-key-header-08).

#include <array>
#include <cstddef>
#include <cstdint>

namespace gateway::core {

// The first 128 bits of a SHA-256.
using digest = std::array<std::uint64_t, 2>;

struct digest_hash {
    std::size_t operator()(const digest& d) const { return static_cast<std::size_t>(d[0]); }
};

struct idempotency {
    digest key{};     // of who asks and the key
    digest content{}; // of what is asked for
    bool operator==(const idempotency&) const = default;
};

} // namespace gateway::core
