#include "core/ports.hpp"

namespace gateway::core {

std::optional<double> model_wait::eta_seconds() const
{
    if (total == 0 || bytes > total || bytes_per_second <= 0)
        return std::nullopt;
    return static_cast<double>(total - bytes) / bytes_per_second;
}

} // namespace gateway::core
