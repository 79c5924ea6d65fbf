#pragma once

// The system's files with faults: any call may be made to fail, and writes and reads to do less
// than they were asked to.

#include "store/file_system.hpp"

#include <array>
#include <mutex>
#include <optional>

namespace gateway::test {

class fault_files final : public store::file_system {
public:
    enum class call : std::uint8_t {
        open,
        close,
        write,
        read,
        sync,
        start_sync,
        truncate,
        allocate,
        lock,
        rename,
        link,
        remove,
        stat,
        free_bytes,
        list,
        make_folders,
        sync_folder,
        count_, // of kinds
    };

    // The n-th such call from now on (1 is the next) fails with this errno, once, or for ever.
    void fail(call what, int nth, int error, bool for_ever = false);
    void heal(); // nothing fails any more
    // Writes and reads at most this many bytes at a time; 0: no limit.
    void set_longest(std::size_t bytes) { longest_ = bytes; }
    void set_free_bytes(std::optional<std::uint64_t> bytes) { free_bytes_ = bytes; }
    int calls(call what) const;
    // Nothing is synced from now on: for tests that pull no plug.
    void skip_syncs() { syncs_ = false; }

    result<int> open(const std::filesystem::path& file, int flags) override;
    error_code close(int fd) override;
    result<std::size_t> write(int fd, std::string_view bytes, std::uint64_t offset) override;
    result<std::size_t> read(int fd, char* into, std::size_t size, std::uint64_t offset) override;
    error_code sync(int fd) override;
    error_code start_sync(int fd, std::uint64_t offset, std::uint64_t size) override;
    error_code truncate(int fd, std::uint64_t size) override;
    error_code allocate(int fd, std::uint64_t size) override;
    error_code rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
    error_code link(const std::filesystem::path& from, const std::filesystem::path& to) override;
    error_code remove(const std::filesystem::path& file) override;
    result<store::file_info> stat(const std::filesystem::path& file) override;
    result<store::file_info> stat(int fd) override;
    error_code lock(int fd, bool exclusive) override;
    result<std::uint64_t> free_bytes(const std::filesystem::path& folder) override;
    result<std::vector<store::folder_entry>> list(const std::filesystem::path& folder) override;
    error_code make_folders(const std::filesystem::path& folder) override;
    error_code sync_folder(const std::filesystem::path& folder) override;

private:
    struct fault {
        int left = 0; // calls until it fails; 0: never
        int error = 0;
        bool for_ever = false;
        int calls = 0;
    };
    error_code ask(call what);
    std::size_t shortened(std::size_t size) const;

    store::file_system& real_ = store::real_files();
    mutable std::mutex mutex_; // lanes may have several threads
    std::array<fault, static_cast<std::size_t>(call::count_)> faults_;
    bool syncs_ = true;
    std::size_t longest_ = 0;
    std::optional<std::uint64_t> free_bytes_;
};

} // namespace gateway::test
