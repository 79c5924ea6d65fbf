#pragma once

// Model files on disk: written beside their place under a name that no WebUI lists, hashed on the
// way, and published in one step that never replaces anything (downloads.md §3.5–3.7, §4.2). All
// disk work is on one lane, hashing on another.

#include "core/model.hpp"
#include "core/ranges.hpp"
#include "net/async.hpp"
#include "store/file_system.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::store {

// Why a file could not be written or published, for people.
struct file_failure {
    std::string what;
    bool permanent = false; // e.g. another file has the name; more space or a retry would not help
};
template <class T> using file_result = boost::system::result<T, file_failure>;
[[noreturn]] void throw_exception_from_error(const file_failure& f,
                                             const boost::source_location& where);

using core::byte_range;

// One model file that is being written. Dropped without publish() or keep(), it leaves nothing
// behind.
class model_writer {
public:
    model_writer(model_writer&&) noexcept;
    model_writer& operator=(model_writer&&) noexcept;
    ~model_writer();

    // The next bytes after those that are there without a gap.
    net::task<error_code> append(std::string_view bytes);
    // Bytes at a place of their own, for files that come in segments; from several coroutines at
    // once if need be, but none twice (invalid_argument). `bytes` must live until it returns.
    // What comes in order is hashed from memory, the rest is read back when its turn has come.
    net::task<error_code> write(std::uint64_t offset, std::string_view bytes);
    std::uint64_t size() const;           // written so far
    std::uint64_t frontier() const;       // of it, without a gap from the start
    std::vector<byte_range> have() const; // merged, in order
    // What is written when it is called is on disk when it returns, and `note` beside it, in one
    // step: the note may tell of those bytes, and model_files::note() finds it (downloads.md §3.6).
    net::task<error_code> save(std::string note);
    // Removes the file and its note; when it returns, another one of that name can be created.
    net::task<> discard();
    // From now on the file and its note stay when this is dropped, to be taken up by resume().
    void keep();

    // Of the whole file, as lower-case hex; after the last byte.
    net::task<result<std::string>> sha256();
    // fsync, the final name without replacing anything, fsync of the folder. A file of that name
    // with the same content is a success; with another content, a permanent failure.
    net::task<file_result<std::filesystem::path>> publish(std::string file_name);
    const std::filesystem::path& part() const;

private:
    friend class model_files;
    struct state;
    explicit model_writer(std::shared_ptr<state> s);
    std::shared_ptr<state> state_;
};

struct found_file {
    std::filesystem::path path;
    std::string name; // stem
    std::uint64_t size = 0;
    wall_time modified{};
    std::uint64_t volume = 0; // device
    std::uint64_t inode = 0;
};

// Every model file below the folder (webui.md §5), links followed, in order of path; an empty list
// when there is no such folder. Blocks.
std::vector<found_file> list_models(file_system& fs, const std::filesystem::path& folder);

class model_files {
public:
    // `owner`: 8 hex digits of this gateway instance, in the names of its partial files.
    model_files(file_system& fs, net::lane& disk, net::lane& hash, std::string owner);

    // Makes the folder when missing. Refuses at once when `size` does not fit on the disk.
    net::task<file_result<model_writer>> create(std::filesystem::path folder, std::string name,
                                                std::optional<std::uint64_t> size);
    // Goes on with a file that was kept, of which these bytes are there. What they hold is hashed
    // again beside the writes to come.
    net::task<file_result<model_writer>> resume(std::filesystem::path folder, std::string name,
                                                std::uint64_t size, std::vector<byte_range> have);
    // What was saved with a file that was kept; an error when there is none.
    net::task<result<std::string>> note(std::filesystem::path folder, std::string name);
    net::task<std::vector<found_file>> list(std::filesystem::path folder);
    // Reads the whole file. operation_canceled soon after `stop` is asked for.
    net::task<result<std::string>> sha256_of(std::filesystem::path file, std::stop_token stop = {});
    net::task<result<std::uint64_t>> size_of(std::filesystem::path file);
    // At most `size` bytes from `offset`; fewer only at the end.
    net::task<result<std::string>> read(std::filesystem::path file, std::uint64_t offset,
                                        std::size_t size);
    // A small file as a whole, and its replacement in one step.
    net::task<result<std::string>> read_text(std::filesystem::path file);
    net::task<error_code> replace_text(std::filesystem::path file, std::string text);
    net::task<error_code> remove(std::filesystem::path file);
    // Where large files are read through and hashed: for other long work on them.
    net::lane& slow_lane();
    // Removes partial files that nobody will take up: our own without a note, and anybody's that
    // have not changed since `old`. Returns how many.
    net::task<std::size_t> sweep_partials(std::filesystem::path folder, wall_time old);

private:
    friend class model_writer;
    struct impl;
    net::task<file_result<model_writer>> open_part(std::filesystem::path folder, std::string name,
                                                   std::optional<std::uint64_t> size,
                                                   std::vector<byte_range> have);
    std::shared_ptr<impl> impl_;
};

} // namespace gateway::store
