#pragma once

// The bytes around an answer, as uvicorn and Starlette's middleware lay them out (webui.md §2.8).

#include "net/async.hpp"
#include "tools/simulator/answer.hpp"

namespace gateway::tools::simulator {

// Lower-case names in uvicorn's order; cut and stalled deliveries become a body that fails.
net::response as_uvicorn(answer what, net::time_source& time, net::stream* connection);

// Starlette's GZipMiddleware: asked for, and at least a thousand bytes.
bool wants_gzip(std::string_view accept_encoding, std::size_t body_size);
std::string gzipped(std::string_view body);

// str(round(seconds, 4)).
std::string process_time(duration taken);

} // namespace gateway::tools::simulator
