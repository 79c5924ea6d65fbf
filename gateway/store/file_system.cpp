#include "store/file_system.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

namespace gateway::store {

namespace {

error_code last_error() { return {errno, boost::system::system_category()}; }

error_code answer(int returned) { return returned == 0 ? error_code{} : last_error(); }

template <class Call> auto without_interruption(Call call)
{
    for (;;) {
        const auto returned = call();
        if (returned >= 0 || errno != EINTR)
            return returned;
    }
}

file_info info_of(const struct ::stat& s)
{
    const auto since_epoch =
        std::chrono::seconds(s.st_mtim.tv_sec) + std::chrono::nanoseconds(s.st_mtim.tv_nsec);
    return {static_cast<std::uint64_t>(s.st_size),
            wall_time(std::chrono::duration_cast<wall_duration>(since_epoch)),
            static_cast<std::uint64_t>(s.st_ino), static_cast<std::uint64_t>(s.st_dev),
            S_ISDIR(s.st_mode)};
}

class system_files final : public file_system {
public:
    result<int> open(const std::filesystem::path& file, int flags) override
    {
        constexpr mode_t by_umask = 0666;
        const int fd =
            without_interruption([&] { return ::open(file.c_str(), flags | O_CLOEXEC, by_umask); });
        if (fd < 0)
            return last_error();
        return fd;
    }

    // EINTR from close means closed, on Linux; doing it again would close somebody else's file.
    error_code close(int fd) override
    {
        const int returned = ::close(fd);
        return returned < 0 && errno != EINTR ? last_error() : error_code{};
    }

    result<std::size_t> write(int fd, std::string_view bytes, std::uint64_t offset) override
    {
        const auto n = without_interruption(
            [&] { return ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
        if (n < 0)
            return last_error();
        return static_cast<std::size_t>(n);
    }

    result<std::size_t> read(int fd, char* into, std::size_t size, std::uint64_t offset) override
    {
        const auto n = without_interruption(
            [&] { return ::pread(fd, into, size, static_cast<off_t>(offset)); });
        if (n < 0)
            return last_error();
        return static_cast<std::size_t>(n);
    }

    result<std::size_t> read_cached(int fd, char* into, std::size_t size,
                                    std::uint64_t offset) override
    {
        const ::iovec room{into, size};
        const auto n = without_interruption(
            [&] { return ::preadv2(fd, &room, 1, static_cast<off_t>(offset), RWF_NOWAIT); });
        if (n < 0) // EAGAIN, or a file system that cannot tell
            return make_error_code(boost::system::errc::operation_would_block);
        return static_cast<std::size_t>(n);
    }

    error_code sync(int fd) override { return answer(::fsync(fd)); }

    error_code start_sync(int fd, std::uint64_t offset, std::uint64_t size) override
    {
        return answer(::sync_file_range(fd, static_cast<off_t>(offset), static_cast<off_t>(size),
                                        SYNC_FILE_RANGE_WRITE));
    }

    error_code truncate(int fd, std::uint64_t size) override
    {
        return answer(::ftruncate(fd, static_cast<off_t>(size)));
    }

    error_code allocate(int fd, std::uint64_t size) override
    {
        return answer(::fallocate(fd, 0, 0, static_cast<off_t>(size)));
    }

    error_code rename(const std::filesystem::path& from, const std::filesystem::path& to) override
    {
        return answer(::rename(from.c_str(), to.c_str()));
    }

    error_code link(const std::filesystem::path& from, const std::filesystem::path& to) override
    {
        return answer(::link(from.c_str(), to.c_str()));
    }

    error_code remove(const std::filesystem::path& file) override
    {
        return answer(::unlink(file.c_str()));
    }

    result<file_info> stat(const std::filesystem::path& file) override
    {
        struct ::stat s = {};
        if (::stat(file.c_str(), &s) != 0)
            return last_error();
        return info_of(s);
    }

    result<file_info> stat(int fd) override
    {
        struct ::stat s = {};
        if (::fstat(fd, &s) != 0)
            return last_error();
        return info_of(s);
    }

    error_code lock(int fd, bool exclusive) override
    {
        const int how = exclusive ? LOCK_EX : LOCK_SH;
        return answer(without_interruption([&] { return ::flock(fd, how | LOCK_NB); }));
    }

    // f_bavail, not f_bfree: some blocks are only for root (downloads.md §3.5).
    result<std::uint64_t> free_bytes(const std::filesystem::path& folder) override
    {
        struct ::statvfs s = {};
        if (::statvfs(folder.c_str(), &s) != 0)
            return last_error();
        return static_cast<std::uint64_t>(s.f_bavail) * s.f_frsize;
    }

    result<std::vector<folder_entry>> list(const std::filesystem::path& folder) override
    {
        const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), &::closedir);
        if (!open)
            return last_error();
        std::vector<folder_entry> all;
        for (;;) {
            errno = 0;
            const auto* entry = ::readdir(open.get());
            if (entry == nullptr)
                break;
            const std::string name = entry->d_name;
            if (name != "." && name != "..")
                all.push_back({name, is_folder(folder, *entry)});
        }
        if (errno != 0)
            return last_error();
        return all;
    }

    error_code make_folders(const std::filesystem::path& folder) override
    {
        std::error_code ec;
        std::filesystem::create_directories(folder, ec);
        return {ec.value(), boost::system::system_category()};
    }

    error_code sync_folder(const std::filesystem::path& folder) override
    {
        const auto fd = open(folder, O_RDONLY | O_DIRECTORY);
        if (!fd)
            return fd.error();
        const auto ec = sync(*fd);
        close(*fd);
        // Some network file systems cannot sync a folder, and need not.
        return ec == boost::system::errc::invalid_argument ? error_code{} : ec;
    }

private:
    bool is_folder(const std::filesystem::path& folder, const ::dirent& entry)
    {
        if (entry.d_type == DT_DIR)
            return true;
        if (entry.d_type == DT_REG)
            return false;
        const auto info = stat(folder / entry.d_name);
        return info && info->is_folder;
    }
};

} // namespace

result<std::size_t> file_system::read_cached(int, char*, std::size_t, std::uint64_t)
{
    return make_error_code(boost::system::errc::operation_would_block);
}

bool has_no_locks(const error_code& ec)
{
    namespace errc = boost::system::errc;
    return ec == errc::operation_not_supported || ec == errc::function_not_supported ||
           ec == errc::no_lock_available || ec == errc::invalid_argument;
}

file_system& real_files()
{
    static system_files instance;
    return instance;
}

std::filesystem::path folder_of(const std::filesystem::path& file)
{
    return file.has_parent_path() ? file.parent_path() : ".";
}

error_code open_file::close()
{
    if (fd_ < 0)
        return {};
    return fs_->close(std::exchange(fd_, -1));
}

error_code open_file::write_all(std::string_view bytes, std::uint64_t offset)
{
    while (!bytes.empty()) {
        const auto n = fs_->write(fd_, bytes, offset);
        if (!n)
            return n.error();
        if (*n == 0)
            return make_error_code(boost::system::errc::io_error);
        bytes.remove_prefix(*n);
        offset += *n;
    }
    return {};
}

result<open_file> open_in(file_system& fs, const std::filesystem::path& file, int flags)
{
    const auto fd = fs.open(file, flags);
    if (!fd)
        return fd.error();
    return open_file(fs, *fd);
}

result<std::string> read_small(file_system& fs, const std::filesystem::path& file,
                               std::size_t limit)
{
    auto in = open_in(fs, file, O_RDONLY);
    if (!in)
        return in.error();
    std::string text;
    for (std::size_t have = 0;;) {
        text.resize(have + std::size_t{4096} + have / 2);
        const auto n = fs.read(in->fd(), text.data() + have, text.size() - have, have);
        if (!n)
            return n.error();
        have += *n;
        if (have > limit)
            return make_error_code(boost::system::errc::file_too_large);
        if (*n > 0)
            continue;
        text.resize(have);
        return text;
    }
}

error_code replace_small(file_system& fs, const std::filesystem::path& file, std::string_view text)
{
    auto fresh = file;
    fresh += ".new";
    auto out = open_in(fs, fresh, O_WRONLY | O_CREAT | O_TRUNC);
    if (!out)
        return out.error();
    auto ec = out->write_all(text, 0);
    if (!ec)
        ec = fs.sync(out->fd());
    if (!ec)
        ec = out->close();
    if (!ec)
        ec = fs.rename(fresh, file);
    if (!ec)
        return fs.sync_folder(folder_of(file));
    fs.remove(fresh);
    return ec;
}

} // namespace gateway::store
