#pragma once

// A folder of its own for a test that needs real files; gone when the test is over.

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace gateway::test {

class temp_folder {
public:
    temp_folder()
    {
        auto pattern = (std::filesystem::temp_directory_path() / "gateway-test-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr)
            throw std::runtime_error("no temporary folder");
        path_ = pattern;
    }
    temp_folder(const temp_folder&) = delete;
    temp_folder& operator=(const temp_folder&) = delete;
    ~temp_folder()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

} // namespace gateway::test
