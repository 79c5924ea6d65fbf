#pragma once

// What core says to people in more than one place.

#include "base/time.hpp"

#include <string>

namespace gateway::core {

inline std::string in_seconds(duration d)
{
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(d).count()) + " s";
}

// handler.md §2
constexpr const char* four_causes =
    " Usual causes: the WebUI process crashed; the model failed to load; trouble with CUDA or the "
    "GPU; not enough memory.";

// webui.md §1.3
constexpr const char* unregistered_advice =
    "The port is open, but POST /sdapi/v1/txt2img does not exist. The WebUI was started without "
    "--api, or an HTTP request at the wrong moment of its start kept the API from being "
    "registered: restart it with --api, best with --nowebui too.";

constexpr const char* unauthorized_advice =
    "The WebUI refuses the gateway's credentials (401): set webui.api_auth to what its --api-auth "
    "says.";

} // namespace gateway::core
