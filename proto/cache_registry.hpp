#pragma once

// The texts in which a model library remembers its files: cache_registry.json, shared by all
// gateways on a volume and in the shape of handler.md §5, and the list of files whose content one
// gateway has verified itself.

#include "core/registry.hpp"
#include "proto/problem.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

// {"checkpoints": {NAME: {"url", "path", "hash", "downloaded_at", "last_used", "usage_count",
// "file_size"}}, "loras": …, "embeddings": …, "vae": …, "last_updated"}, with "pinned" and
// "adopted" where they are true; an entry a line.
std::string write_registry(const core::model_registry& all, wall_time now);
// Reads what the original handler wrote, too: times in seconds or without a zone, missing fields.
// An entry that makes no sense is left out; a text that is no registry at all is a problem.
parsed<core::model_registry> read_registry(std::string_view text);

// A file whose sha256 is known, for as long as it looks the same.
struct verified_file {
    std::string path;
    std::uint64_t size = 0;
    std::uint64_t inode = 0;
    wall_time modified{};
    std::string sha256;

    bool operator==(const verified_file&) const = default;
};
std::string write_verified(const std::vector<verified_file>& all);
parsed<std::vector<verified_file>> read_verified(std::string_view text);

} // namespace gateway::proto
