#pragma once

// How long requests took, by route, method and status code.

#include "base/time.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace gateway::api {

class http_times {
public:
    // Upper bounds in seconds; one more bucket takes the rest. A held answer may take minutes.
    static constexpr std::array<double, 9> bounds{0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 90};
    struct series {
        std::string method;
        int status = 0;
        std::array<std::uint64_t, bounds.size() + 1> buckets{};
        double sum = 0;
    };
    struct group {
        std::string route; // the pattern; "other" for paths that lead nowhere
        std::vector<series> all;
    };

    // Groups are known by their index; there is no other way to make a series.
    explicit http_times(std::vector<std::string> routes);
    void add(std::size_t index, std::string_view method, int status, duration elapsed);
    const std::vector<group>& groups() const { return groups_; }

private:
    std::vector<group> groups_;
};

} // namespace gateway::api
