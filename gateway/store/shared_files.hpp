#pragma once

// What several processes on one volume do to the same model files: who fetches one, who needs one,
// who may delete one. The locks are the kernel's (flock), so none is left behind by a crash. Where
// a file system has none they are held in name only, so nothing but bandwidth may depend on them
// (downloads.md §3.8): files are published without replacing anything, and deleted only when they
// have not been used for a while.

#include "net/async.hpp"
#include "store/file_system.hpp"

#include <filesystem>
#include <memory>
#include <string>

namespace gateway::store {

// Held until the last copy of it is gone.
class shared_lock {
public:
    shared_lock() = default; // none
    explicit operator bool() const { return held_ != nullptr; }

private:
    friend class shared_files;
    explicit shared_lock(std::shared_ptr<void> held) : held_(std::move(held)) {}
    std::shared_ptr<void> held_;
};

// Deletes a file; device_or_resource_busy when somebody holds it. That it is gone already is a
// success. Blocks.
error_code remove_unused(file_system& fs, const std::filesystem::path& file);

class shared_files {
public:
    // All of it on `disk`.
    shared_files(file_system& fs, net::lane& disk) : fs_(fs), disk_(disk) {}

    // The right to fetch the model of that name into the folder, which is made when it is missing;
    // none while somebody else has it. NAME.lock stands for it, and goes with it.
    net::task<result<shared_lock>> claim(std::filesystem::path folder, std::string name);
    // While it is held, remove_unused() leaves the file alone, in whichever process. None while the
    // file is being removed; no_such_file_or_directory when there is none.
    net::task<result<shared_lock>> hold(std::filesystem::path file);
    // Ends a hold or a claim before it returns, if no copy of it is left; else that happens soon.
    net::task<> release(shared_lock lock);
    net::task<error_code> remove_unused(std::filesystem::path file);
    // Gives the file a further name: a hard link, or a copy on another volume and where there are
    // no links. Both are on disk when it returns. file_exists when the name is taken.
    net::task<error_code> share(std::filesystem::path file, std::filesystem::path as);
    net::task<result<file_info>> look(std::filesystem::path file);
    net::task<result<std::uint64_t>> free_bytes(std::filesystem::path folder);

private:
    file_system& fs_;
    net::lane& disk_;
};

} // namespace gateway::store
