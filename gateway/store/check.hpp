#pragma once

// Reads all that the journal remembers and says what does not fit together. Changes nothing. Blocks
// for as long as it takes to read everything: for the command line, not for a running gateway.

#include "store/journal.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace gateway::store {

// One kind of damage: what is wrong, and the rows it was found in (the first few of them).
struct damage {
    std::string what;              // "jobs without their input"
    std::vector<std::string> rows; // "7", or the words of SQLite
    std::uint64_t count = 0;
};

struct journal_report {
    int schema = 0;
    std::uint64_t bytes = 0;                        // of the database, without its log
    std::map<core::job_state, std::uint64_t> jobs;  // how many in each state
    std::map<core::job_key, result_record> results; // without `extra` and `index`
    std::vector<damage> found;
};

// Throws std::runtime_error that says what to do when the file cannot be read at all. Nobody may
// have it open (data_dir, or hold_quietly()).
journal_report check_journal(const std::string& file);

} // namespace gateway::store
