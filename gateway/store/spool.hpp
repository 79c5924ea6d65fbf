#pragma once

// Result bytes on disk. A file is written once, synced, and read in ranges by anybody; it is
// deleted when its job is, but not before the last reader has closed it. All disk work is on a
// lane.

#include "net/async.hpp"
#include "store/file_system.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::store {

class spool;

// CRC-32 of bytes that come in pieces.
class checksum {
public:
    void add(std::string_view bytes);
    std::uint32_t value() const { return value_; }

private:
    std::uint32_t value_ = 0;
};

// A stored result. Copies share the file; discard() deletes it once nobody holds it any more.
class spool_file {
public:
    spool_file() = default;
    const std::string& name() const; // within the spool, what the journal remembers
    std::uint64_t size() const;
    std::optional<std::uint32_t> checksum() const; // CRC-32 of the whole; nothing: not known
    explicit operator bool() const { return state_ != nullptr; }
    // Are these the bytes that were stored? Reads all of a file that an earlier process wrote,
    // once; answers at once ever after. bad_message: it has been changed or cut short. To be asked
    // before the first byte goes to anybody.
    net::task<error_code> verify() const;
    // Reads at most into.size() bytes at `offset`; 0 only at the end.
    net::task<result<std::size_t>> read(std::uint64_t offset, std::span<char> into) const;

private:
    friend class spool;
    friend class spool_writer;
    struct state;
    std::shared_ptr<state> state_;
};

// One result being written. Dropped without finish(), it leaves nothing behind.
class spool_writer {
public:
    spool_writer(spool_writer&&) noexcept;
    spool_writer& operator=(spool_writer&&) noexcept;
    ~spool_writer();
    // Bytes are gathered and written in large units.
    net::task<error_code> append(std::string_view bytes);
    std::uint64_t size() const;
    // Everything is on disk, file and folder synced, when this returns. Then the journal may name
    // it.
    net::task<result<spool_file>> finish();

private:
    friend class spool;
    struct state;
    explicit spool_writer(std::shared_ptr<state> s);
    std::shared_ptr<state> state_;
};

class spool {
public:
    // `folder` is created when missing. Throws std::system_error when it cannot be used.
    spool(std::filesystem::path folder, net::lane& disk, file_system& fs = real_files());
    ~spool();
    spool(const spool&) = delete;
    spool& operator=(const spool&) = delete;

    // A name is used once: file_exists when there is such a file.
    net::task<result<spool_writer>> create(std::string name);
    // A file the journal names; an error when it is missing (no_such_file_or_directory) or its size
    // differs (bad_message). Its bytes are looked at by verify().
    net::task<result<spool_file>> open(std::string name, std::uint64_t size,
                                       std::optional<std::uint32_t> checksum = std::nullopt);
    // Deletes the file when its last holder lets go.
    void discard(const spool_file& file);
    // Deletes a file by name, e.g. of a job that ended before this process began. No error when it
    // is gone already.
    net::task<error_code> remove(std::string name);
    // Deletes every file that is not in `known` and that nobody holds (left over from a crash).
    // Returns how many. Counts the bytes that stay.
    net::task<result<std::size_t>> sweep(std::vector<std::string> known);

    // Writes, syncs and removes a small file; counters().trouble tells what came of it.
    net::task<> probe();

    struct stats {
        std::uint64_t bytes = 0; // in finished files
        std::uint64_t files = 0;
        std::uint64_t failures = 0;
        std::string trouble; // why nothing can be written now; empty when the last write went well
    };
    const stats& counters() const;

private:
    friend class spool_file;
    friend class spool_writer;
    struct impl;
    std::shared_ptr<impl> impl_;
};

} // namespace gateway::store
