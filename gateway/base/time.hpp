#pragma once

// The two clocks. Machines count in steady time; wall time is for what goes to disk or to people.

#include <chrono>

namespace gateway {

using duration = std::chrono::steady_clock::duration;
using steady_time = std::chrono::steady_clock::time_point;

// Wall time in milliseconds, the resolution of every timestamp on the wire and in the journal.
using wall_duration = std::chrono::milliseconds;
using wall_time = std::chrono::time_point<std::chrono::system_clock, wall_duration>;

} // namespace gateway
