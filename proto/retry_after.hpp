#pragma once

// The Retry-After header (RFC 9110 §10.2.3): seconds, or the date when it is over.

#include "base/time.hpp"

#include <chrono>
#include <optional>
#include <string_view>

namespace gateway::proto {

// Nothing when it says neither; never negative.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view text, wall_time now);

} // namespace gateway::proto
