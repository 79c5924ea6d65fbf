#pragma once

// Reads a whole model file for a person who waits: its sha256, whether it is what it says, and how
// far it is, on standard error.

#include "store/file_system.hpp"

#include <filesystem>
#include <string>

namespace gateway::tools {

struct hashed_file {
    std::string sha256;
    std::string trouble; // empty: it was read, and its header fits its size
};
hashed_file hash_file(const std::filesystem::path& file, std::uint64_t size);

} // namespace gateway::tools
