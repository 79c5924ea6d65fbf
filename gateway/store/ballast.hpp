#pragma once

// A file that does nothing but take up room, so that the ends of jobs can still be written down
// when the disk is full: it is given up for them and taken back when there is room again.

#include "store/file_system.hpp"

#include <cstdint>
#include <filesystem>

namespace gateway::store {

class ballast {
public:
    ballast(file_system& fs, std::filesystem::path file, std::uint64_t size);

    bool in_place() const { return in_place_; }
    // Gives the room up. False when there was none.
    bool release();
    // Takes the room back when the disk has twice as much to spare.
    void restore();

private:
    error_code fill();

    file_system& fs_;
    std::filesystem::path file_;
    std::uint64_t size_;
    bool in_place_ = false;
};

} // namespace gateway::store
