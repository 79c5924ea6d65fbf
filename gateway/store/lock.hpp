#pragma once

// The data directory: one process at a time holds it, and it has an identity that stays
// (decisions.md 16). The lock goes when the process does, however it ends.

#include "store/file_system.hpp"

#include <filesystem>
#include <string>

namespace gateway::store {

class data_dir {
public:
    // Creates the folder when it is missing. Throws std::runtime_error saying what to do: when
    // another process holds it (naming its pid), or when it cannot be written to.
    explicit data_dir(std::filesystem::path folder, file_system& fs = real_files());

    const std::filesystem::path& folder() const { return folder_; }
    std::filesystem::path journal_file() const { return folder_ / "journal.db"; }
    std::filesystem::path spool_folder() const { return folder_ / "spool"; }
    // 16 hex digits, made at the first start in this directory.
    const std::string& instance() const { return instance_; }
    // What our partial model files are called by (downloads.md §3.6).
    std::string owner() const { return instance_.substr(0, 8); }

private:
    void take_lock();
    void read_instance();

    std::filesystem::path folder_;
    file_system& fs_;
    open_file lock_;
    std::string instance_;
};

// Takes the lock for looking only, and leaves the directory as it is; nothing to hold where no
// gateway has ever been. Throws std::runtime_error when a gateway holds it.
open_file hold_quietly(const std::filesystem::path& folder, file_system& fs);

} // namespace gateway::store
