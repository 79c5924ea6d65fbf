#pragma once

// Small texts that more than one part needs: numbers for people, and bytes as letters.

#include "base/time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

// The shortest decimal that reads back as the same number, never without a point: "0.8", "1.0".
std::string shortest_decimal(double number);
// "512 B", "1.5 GiB".
std::string format_bytes(std::uint64_t bytes);
// "250 ms", "12 s", "1 m 5 s", "2 h 10 m".
std::string format_duration(duration d);
// "2026-01-02T07:45:12.034Z".
std::string format_time(wall_time when);

std::string to_lower(std::string_view ascii);
std::string_view trim(std::string_view text); // spaces, tabs and line breaks at both ends
bool iequals(std::string_view a, std::string_view b);

std::string hex(std::string_view bytes);
std::string base64_encode(std::string_view bytes);
// Nothing when it is not base64. Padding may be missing; for small inputs (pictures go to a lane).
std::optional<std::string> base64_decode(std::string_view text);

// As a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
std::string json_quoted(std::string_view text);

} // namespace gateway
