#pragma once

// Takes a TOML text apart into keys with values and lines. Knows TOML and nothing about settings.

#include "config/value.hpp"

#include <string>
#include <vector>

namespace gateway::config {

struct file_entry {
    std::string table; // empty: the key stands outside of any table
    std::string key;   // empty: the table itself, which may be unknown
    found value;
    std::uint32_t line = 0;
};

struct file_reading {
    std::vector<file_entry> entries;
    std::vector<problem> problems; // at most one: TOML's reader stops at the first
};

file_reading read_toml(const std::string& name, const std::string& text);

} // namespace gateway::config
