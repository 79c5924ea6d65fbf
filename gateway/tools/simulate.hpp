#pragma once

// The subcommand `simulate`: a process that looks like a Stable Diffusion WebUI from outside.

#include "tools/simulator/settings.hpp"

namespace CLI {
class App;
}

namespace gateway::tools {

// Adds the subcommand's options to `command`; they are stored in `into` when it is parsed.
void add_simulate_options(CLI::App& command, simulator::settings& into);

// Runs until a signal ends it or the simulated process dies. Returns the exit status.
int simulate_main(const simulator::settings& set);

} // namespace gateway::tools
