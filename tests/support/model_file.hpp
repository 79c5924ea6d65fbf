#pragma once

// A valid safetensors file with one tensor, for tests of downloads.

#include "store/sha256.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace gateway::test {

// `bytes` of tensor data, all of them `fill`.
inline std::string model_file(std::size_t bytes, char fill = 'w')
{
    const auto n = std::to_string(bytes);
    const std::string header =
        R"({"w":{"dtype":"U8","shape":[)" + n + R"(],"data_offsets":[0,)" + n + "]}}";
    std::string file;
    for (std::uint64_t left = header.size(), i = 0; i < 8; ++i, left >>= 8)
        file += static_cast<char>(left & 0xff);
    return file + header + std::string(bytes, fill);
}

inline std::string sha256_of(std::string_view bytes)
{
    store::sha256_sum sum;
    sum.add(bytes);
    return sum.hex();
}

} // namespace gateway::test
