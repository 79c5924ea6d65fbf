#pragma once

// The subcommand `store check`: is everything that is remembered whole?

#include <filesystem>
#include <iosfwd>

namespace gateway::tools {

// Verifies the journal and every stored result, and writes a report to `out`. Changes nothing; no
// gateway may be running in that directory. 0: all is well, 1: something is damaged, 2: it could
// not be checked.
int check_store(const std::filesystem::path& data_dir, std::ostream& out);

} // namespace gateway::tools
