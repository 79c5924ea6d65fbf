#pragma once

// What is written beside a partial file so that it can be taken up again (downloads.md §3.6): which
// bytes are there, and of what. No URL and no token; only a hash that says whether it is the same.

#include "base/time.hpp"
#include "core/ranges.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

struct part_note {
    std::string url_hash; // sha256 of the URL without secrets
    std::uint64_t size = 0;
    std::string sha256; // that the whole must have; empty: not known
    std::string etag;   // a strong one, and who said it
    std::string etag_host;
    std::string commit; // Hugging Face: what the revision points at
    std::vector<core::byte_range> have;
    wall_time written{};
};

// Two lines of JSON: length and CRC-32 of the second one, and that.
std::string to_text(const part_note& note);
// Nothing when it is damaged, from another version, or contradicts itself: then nothing is there.
std::optional<part_note> parse_part_note(std::string_view text);

} // namespace gateway::proto
