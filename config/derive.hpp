#pragma once

// What follows from several settings together: folders that depend on others, who may listen where.

#include "config/settings.hpp"

namespace gateway::config {

// Fills what was left open and adds what does not fit together to the problems.
void derive(loaded& into, const sources& from);

} // namespace gateway::config
