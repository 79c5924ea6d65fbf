#pragma once

// Literal texts from the specification, kept as files beside the tests.

#include <boost/test/unit_test.hpp>

#include <fstream>
#include <iterator>
#include <string>

namespace gateway::proto {

inline std::string golden(const std::string& name)
{
    const std::string path = std::string(GATEWAY_SOURCE_DIR "/tests/proto/golden/") + name;
    std::ifstream file(path, std::ios::binary);
    BOOST_REQUIRE_MESSAGE(file, "golden file " << path << " is missing");
    std::string text(std::istreambuf_iterator<char>(file), {});
    if (text.ends_with('\n'))
        text.pop_back();
    return text;
}

} // namespace gateway::proto
