#pragma once

// The subcommand `models pull`: brings model files into the folders without a running gateway.

#include "config/settings.hpp"
#include "core/model.hpp"

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace gateway::tools {

struct pull_options {
    core::model_kind kind = core::model_kind::checkpoint;
    std::string name;   // only with one URL; empty: what the URL ends with
    std::string sha256; // only with one URL
    bool stats = false;
    std::vector<std::string> urls;
};

// Adds the subcommand's own flags to `command`; they are stored in `into` when it is parsed.
void add_pull_flags(CLI::App& command, pull_options& into);

// Prints a line for each file that has come. Returns the exit status: 0 when all have, 1 when one
// has not, 130 when a signal ended it; what has come by then is kept for the next time.
int pull(const pull_options& options, const config::settings& settings);

} // namespace gateway::tools
