#pragma once

// A model set as the journal keeps it: text that is equal when the files, in their order, are.

#include "core/model.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace gateway::store {

std::string write_models(const core::model_set& files);
// Nothing when the text is damaged.
std::optional<core::model_set> read_models(std::string_view text);

} // namespace gateway::store
