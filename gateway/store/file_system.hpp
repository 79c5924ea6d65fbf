#pragma once

// The system calls that store makes on files, behind an interface so that tests can make each of
// them fail. All but read_cached() block: call them on a lane.

#include "base/result.hpp"
#include "base/time.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gateway::store {

struct file_info {
    std::uint64_t size = 0;
    wall_time modified{};
    std::uint64_t inode = 0;
    std::uint64_t device = 0;
    bool is_folder = false;
};

struct folder_entry {
    std::string name;
    bool is_folder = false; // a link counts as what it points to
};

class file_system {
public:
    virtual ~file_system() = default;

    // open(2): `flags` are O_RDONLY …; O_CLOEXEC is always added.
    virtual result<int> open(const std::filesystem::path& file, int flags) = 0;
    virtual error_code close(int fd) = 0;
    // At most bytes.size(), possibly less.
    virtual result<std::size_t> write(int fd, std::string_view bytes, std::uint64_t offset) = 0;
    // 0 only at the end.
    virtual result<std::size_t> read(int fd, char* into, std::size_t size,
                                     std::uint64_t offset) = 0;
    // The same, but only what is in memory already: this one never waits for the disk, and says
    // operation_would_block where it would.
    virtual result<std::size_t> read_cached(int fd, char* into, std::size_t size,
                                            std::uint64_t offset);
    virtual error_code sync(int fd) = 0; // fsync(2)
    // Starts to write back a range without waiting for it (sync_file_range(2)).
    virtual error_code start_sync(int fd, std::uint64_t offset, std::uint64_t size) = 0;
    virtual error_code truncate(int fd, std::uint64_t size) = 0;
    // Reserves blocks (fallocate(2)); operation_not_supported where the file system cannot.
    virtual error_code allocate(int fd, std::uint64_t size) = 0;
    virtual error_code rename(const std::filesystem::path& from,
                              const std::filesystem::path& to) = 0; // replaces
    virtual error_code link(const std::filesystem::path& from,
                            const std::filesystem::path& to) = 0; // fails when `to` exists
    virtual error_code remove(const std::filesystem::path& file) = 0;
    virtual result<file_info> stat(const std::filesystem::path& file) = 0;
    virtual result<file_info> stat(int fd) = 0;
    // For as long as the descriptor is open, without waiting (flock(2)); operation_would_block when
    // somebody else has it, in this process or another; see has_no_locks() for the rest.
    virtual error_code lock(int fd, bool exclusive) = 0;
    virtual result<std::uint64_t> free_bytes(const std::filesystem::path& folder) = 0; // for us
    virtual result<std::vector<folder_entry>> list(const std::filesystem::path& folder) = 0;
    // Creates the folder and those above it, as far as they are missing.
    virtual error_code make_folders(const std::filesystem::path& folder) = 0;
    virtual error_code sync_folder(const std::filesystem::path& folder) = 0;
};

// The operating system's.
file_system& real_files();

// Whether lock() failed because this file system has no locks (downloads.md §3.8).
bool has_no_locks(const error_code& ec);

// The folder that a file lies in; "." for a bare name.
std::filesystem::path folder_of(const std::filesystem::path& file);

// An open file: closes itself. close() says what close(2) said, which on NFS may be the first that
// is heard of a failed write.
class open_file {
public:
    open_file() = default;
    open_file(file_system& fs, int fd) : fs_(&fs), fd_(fd) {}
    open_file(open_file&& other) noexcept
        : fs_(std::exchange(other.fs_, nullptr)), fd_(std::exchange(other.fd_, -1))
    {
    }
    open_file& operator=(open_file&& other) noexcept
    {
        std::swap(fs_, other.fs_);
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~open_file() { close(); }

    explicit operator bool() const { return fd_ >= 0; }
    int fd() const { return fd_; }
    error_code close();
    // All of `bytes`, in as many calls as it takes.
    error_code write_all(std::string_view bytes, std::uint64_t offset);

private:
    file_system* fs_ = nullptr;
    int fd_ = -1;
};

result<open_file> open_in(file_system& fs, const std::filesystem::path& file, int flags);

// The whole of a small file (at most `limit` bytes), and its replacement in one step, synced.
result<std::string> read_small(file_system& fs, const std::filesystem::path& file,
                               std::size_t limit = 64 * 1024);
error_code replace_small(file_system& fs, const std::filesystem::path& file, std::string_view text);

} // namespace gateway::store
