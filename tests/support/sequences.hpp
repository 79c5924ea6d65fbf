#pragma once

// For tests that try random sequences: cutting down the one that failed, and numbers from outside.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace gateway::test {

// What is left of `steps` when everything is left out that it does not take to fail.
template <class Step, class Fails>
std::vector<Step> cut_down(std::vector<Step> steps, const Fails& fails)
{
    for (auto piece = steps.size() / 2; piece > 0; piece /= 2) {
        for (std::size_t from = 0; from + piece <= steps.size();) {
            auto fewer = steps;
            const auto at = fewer.begin() + static_cast<std::ptrdiff_t>(from);
            fewer.erase(at, at + static_cast<std::ptrdiff_t>(piece));
            if (fails(fewer))
                steps = std::move(fewer);
            else
                from += piece;
        }
    }
    return steps;
}

// From the environment, e.g. GATEWAY_SIM_SEED.
inline std::uint64_t number_from(const char* variable, std::uint64_t standard)
{
    const char* text = std::getenv(variable);
    return text == nullptr ? standard : std::strtoull(text, nullptr, 10);
}

} // namespace gateway::test
