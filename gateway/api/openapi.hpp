#pragma once

// proto/openapi.yaml as the JSON that /openapi.json serves; the build makes it (embed_openapi.py).

#include <string_view>

namespace gateway::api {

std::string_view openapi_json();

} // namespace gateway::api
