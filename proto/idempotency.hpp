#pragma once

// Idempotency-Key: what may be one, and how keys and contents are remembered
// (draft-ietf-httpapi-idempotency-key-header-08).

#include "core/idempotency.hpp"
#include "proto/problem.hpp"

#include <initializer_list>
#include <string>
#include <string_view>

namespace gateway::proto {

constexpr std::size_t longest_idempotency_key = 255;

// 1 to 255 printable ASCII characters. The draft's form is a quoted string; most clients send the
// bare text, which means the same.
parsed<std::string> parse_idempotency_key(std::string_view text);

// No two lists of parts have the same digest, as far as anybody knows.
core::digest digest_of(std::initializer_list<std::string_view> parts);

} // namespace gateway::proto
