#pragma once

// The subcommand `simulate`: a process that looks like a Stable Diffusion WebUI from outside.

#include "tools/simulator/settings.hpp"

namespace CLI {
class App;
}

namespace gateway::tools {

using simulate_options = simulator::settings;

// Adds the subcommand's flags to `command`; they are stored in `into` when it is parsed.
void add_simulate_flags(CLI::App& command, simulate_options& into);

// Runs until a signal ends it or the simulated process dies. Returns the exit status.
int simulate(const simulate_options& options);

} // namespace gateway::tools
