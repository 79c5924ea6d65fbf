#include "api/http_times.hpp"

#include <algorithm>

namespace gateway::api {

namespace {
// Methods are the client's to invent, series are not.
std::string_view known_method(std::string_view method)
{
    constexpr std::array<std::string_view, 7> known{"GET",   "POST",   "HEAD",   "PUT",
                                                    "PATCH", "DELETE", "OPTIONS"};
    return std::find(known.begin(), known.end(), method) != known.end() ? method : "other";
}
} // namespace

http_times::http_times(std::vector<std::string> routes)
{
    for (auto& route : routes)
        groups_.push_back({std::move(route), {}});
}

void http_times::add(std::size_t index, std::string_view method, int status, duration elapsed)
{
    auto& all = groups_.at(index).all;
    method = known_method(method);
    auto found = std::find_if(all.begin(), all.end(), [&](const series& s) {
        return s.status == status && s.method == method;
    });
    if (found == all.end()) {
        all.push_back({std::string(method), status, {}, 0});
        found = std::prev(all.end());
    }
    const double seconds = std::chrono::duration<double>(elapsed).count();
    const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), seconds) - bounds.begin();
    ++found->buckets[static_cast<std::size_t>(bucket)];
    found->sum += seconds;
}

} // namespace gateway::api
