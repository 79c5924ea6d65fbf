#pragma once

// The inside of files.hpp, for files.cpp and model_writer.cpp: what a partial file is, and what the
// writers of one model_files share.

#include "store/files.hpp"
#include "store/sha256.hpp"

#include <map>
#include <set>

namespace gateway::store {

namespace errc = boost::system::errc;

// A file name and nothing more, and short enough for the part's own name.
bool is_plain(std::string_view name);
file_failure failed(const std::string& tried, const std::filesystem::path& on,
                    const error_code& ec);
std::filesystem::path note_beside(std::filesystem::path part);
void remove_part(file_system& fs, const std::filesystem::path& part); // and its note
// Both block; on the hash lane.
error_code add_from_file(file_system& fs, int fd, std::uint64_t from, std::uint64_t to,
                         sha256_sum& hash);
result<std::string> hash_whole(file_system& fs, const std::filesystem::path& file,
                               const std::stop_token& stop);

struct model_files::impl {
    std::filesystem::path part_of(const std::filesystem::path& folder,
                                  const std::string& name) const
    {
        return folder / (name + "." + owner + ".part");
    }

    file_system& fs;
    net::lane& disk;
    net::lane& hash;
    std::string owner;
    std::set<std::filesystem::path> writing;         // part files of live writers
    std::map<std::uint64_t, std::uint64_t> promised; // device → bytes announced but not yet taken
};

// --- one file ---

struct model_writer::state {
    state(std::shared_ptr<model_files::impl> o, std::filesystem::path f, std::filesystem::path p)
        : owner(std::move(o)), folder(std::move(f)), part(std::move(p))
    {
        owner->writing.insert(part);
    }
    state(const state&) = delete;
    state& operator=(const state&) = delete;
    ~state()
    {
        if (!discarded)
            owner->writing.erase(part);
        take_back(promised);
    }

    void take_back(std::uint64_t bytes)
    {
        bytes = std::min(bytes, promised);
        promised -= bytes;
        owner->promised[device] -= bytes;
    }

    // Larger pieces cost the kernel more (downloads.md §7.4).
    static constexpr std::size_t write_unit = std::size_t{256} << 10;
    // Write-back is started in such steps, so that the last fsync is short (downloads.md §7.4).
    static constexpr std::uint64_t step_size = std::uint64_t{32} << 20;

    // What to start writing back, now that these bytes have been added: every step that is full.
    std::vector<std::uint64_t> note_dirty(std::uint64_t offset, std::uint64_t bytes)
    {
        std::vector<std::uint64_t> full;
        while (bytes > 0) {
            const auto step = offset / step_size;
            const auto piece = std::min(bytes, (step + 1) * step_size - offset);
            auto& dirty = dirty_steps[step];
            dirty += piece;
            if (dirty == step_size) {
                full.push_back(step * step_size);
                dirty_steps.erase(step);
            }
            offset += piece;
            bytes -= piece;
        }
        return full;
    }

    // Everything is written, and nothing is under way.
    bool is_whole() const
    {
        return written.frontier() == size && claimed.frontier() == size && !hashing &&
               size == announced.value_or(size);
    }

    // On the disk lane.
    error_code put(std::uint64_t offset, std::string_view bytes,
                   const std::vector<std::uint64_t>& steps)
    {
        error_code ec;
        for (std::size_t at = 0; !ec && at < bytes.size(); at += write_unit)
            ec = file.write_all(bytes.substr(at, write_unit), offset + at);
        for (const auto step : steps) {
            if (!ec)
                ec = owner->fs.start_sync(file.fd(), step, step_size);
        }
        return ec;
    }

    std::shared_ptr<model_files::impl> owner;
    std::filesystem::path folder;
    std::filesystem::path part;
    std::uint64_t device = 0;
    std::uint64_t promised = 0;
    open_file file;
    std::optional<std::uint64_t> announced; // size
    core::ranges claimed;                   // being written or written
    core::ranges written;
    std::shared_ptr<net::arrival> last_put; // the write that is done last of those under way
    std::uint64_t size = 0;
    std::map<std::uint64_t, std::uint64_t> dirty_steps; // bytes per step not yet being written back
    sha256_sum hash;
    std::uint64_t hashed = 0; // from the start
    bool hashing = false;
    std::string digest;     // once it is whole
    error_code failure;     // the first one; nothing is done after it
    bool stays = false;     // published, or kept
    bool discarded = false; // another writer may have the name by now
};

} // namespace gateway::store
