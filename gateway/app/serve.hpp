#pragma once

// The whole program behind `serve`: builds every part in order, wires them, starts them, and takes
// them down in the opposite order.

#include "config/settings.hpp"

namespace gateway::app {

// Returns the process's exit code. Throws std::exception, with a text for people, when it cannot
// start.
int serve(config::loaded settings);

} // namespace gateway::app
