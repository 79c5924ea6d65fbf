#include "core/model.hpp"

#include <algorithm>

namespace gateway::core {

std::string_view to_text(model_kind kind)
{
    switch (kind) {
    case model_kind::checkpoint: return "checkpoint";
    case model_kind::lora: return "lora";
    case model_kind::embedding: return "embedding";
    case model_kind::vae: return "vae";
    }
    return "model";
}

model_sets::model_sets() { intern({}); }

set_id model_sets::intern(model_set files)
{
    std::sort(files.begin(), files.end());
    files.erase(std::unique(files.begin(), files.end()), files.end());
    const auto next = static_cast<set_id>(by_id_.size());
    const auto [place, added] = ids_.try_emplace(std::move(files), next);
    if (added)
        by_id_.push_back(&place->first);
    return place->second;
}

} // namespace gateway::core
