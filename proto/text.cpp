#include "proto/text.hpp"

#include <algorithm>
#include <array>

namespace gateway::proto {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool contains_ignoring_case(std::string_view text, std::string_view part)
{
    const auto found = std::search(text.begin(), text.end(), part.begin(), part.end(),
                                   [](char x, char y) { return lower(x) == lower(y); });
    return found != text.end() || part.empty();
}

std::string_view base_name(std::string_view path)
{
    const std::size_t slash = path.find_last_of("/\\");
    return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string_view without_model_extension(std::string_view name)
{
    constexpr std::array<std::string_view, 6> known{".safetensors", ".ckpt", ".pt",
                                                    ".pth",         ".bin",  ".gguf"};
    for (const auto extension : known)
        if (name.size() > extension.size() &&
            iequals(name.substr(name.size() - extension.size()), extension))
            return name.substr(0, name.size() - extension.size());
    return name;
}

std::size_t edit_distance(std::string_view a, std::string_view b)
{
    constexpr std::size_t longest = 64;
    if (a.size() > longest || b.size() > longest)
        return longest;
    std::array<std::array<std::size_t, longest + 1>, 3> rows{}; // two lines back, one back, this
    for (std::size_t j = 0; j <= b.size(); ++j)
        rows[1][j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        rows[2][0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const bool same = lower(a[i - 1]) == lower(b[j - 1]);
            std::size_t best =
                std::min({rows[1][j] + 1, rows[2][j - 1] + 1, rows[1][j - 1] + (same ? 0U : 1U)});
            const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                                 lower(a[i - 2]) == lower(b[j - 1]);
            if (swapped)
                best = std::min(best, rows[0][j - 2] + 1);
            rows[2][j] = best;
        }
        rows[0] = rows[1];
        rows[1] = rows[2];
    }
    return rows[1][b.size()];
}

std::string_view nearest(std::string_view wanted, std::span<const std::string_view> candidates)
{
    std::string_view best;
    std::size_t fewest = 64;
    for (const auto candidate : candidates) {
        const std::size_t distance = edit_distance(wanted, candidate);
        if (distance < fewest && distance * 3 <= candidate.size()) {
            fewest = distance;
            best = candidate;
        }
    }
    return best;
}

} // namespace gateway::proto
