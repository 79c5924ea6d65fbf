#pragma once

// From settings to what downloads want to know: names on the left, names on the right.

#include "config/settings.hpp"
#include "work/fetch.hpp"

namespace gateway::work {

fetch_options fetch_options_from(const config::download_settings& from);
std::uint64_t size_limit_from(const config::download_settings& from, core::model_kind kind);
const std::string& folder_from(const config::models_settings& from, core::model_kind kind);

} // namespace gateway::work
