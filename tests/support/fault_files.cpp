#include "support/fault_files.hpp"

#include <algorithm>

namespace gateway::test {

void fault_files::fail(call what, int nth, int error, bool for_ever)
{
    const std::lock_guard lock(mutex_);
    auto& f = faults_.at(static_cast<std::size_t>(what));
    f.left = nth;
    f.error = error;
    f.for_ever = for_ever;
}

void fault_files::heal()
{
    const std::lock_guard lock(mutex_);
    for (auto& f : faults_)
        f.left = 0;
    longest_ = 0;
    free_bytes_.reset();
}

int fault_files::calls(call what) const
{
    const std::lock_guard lock(mutex_);
    return faults_.at(static_cast<std::size_t>(what)).calls;
}

error_code fault_files::ask(call what)
{
    const std::lock_guard lock(mutex_);
    auto& f = faults_.at(static_cast<std::size_t>(what));
    ++f.calls;
    if (f.left == 0)
        return {};
    if (f.left > 1) {
        --f.left;
        return {};
    }
    f.left = f.for_ever ? 1 : 0;
    return {f.error, boost::system::system_category()};
}

std::size_t fault_files::shortened(std::size_t size) const
{
    return longest_ == 0 ? size : std::min(size, longest_);
}

result<int> fault_files::open(const std::filesystem::path& file, int flags)
{
    const auto ec = ask(call::open);
    return ec ? result<int>(ec) : real_.open(file, flags);
}

// Whatever it says, the file is closed, as with the real one.
error_code fault_files::close(int fd)
{
    const auto ec = ask(call::close);
    const auto real = real_.close(fd);
    return ec ? ec : real;
}

result<std::size_t> fault_files::write(int fd, std::string_view bytes, std::uint64_t offset)
{
    const auto ec = ask(call::write);
    if (ec)
        return ec;
    return real_.write(fd, bytes.substr(0, shortened(bytes.size())), offset);
}

result<std::size_t> fault_files::read(int fd, char* into, std::size_t size, std::uint64_t offset)
{
    const auto ec = ask(call::read);
    if (ec)
        return ec;
    return real_.read(fd, into, shortened(size), offset);
}

error_code fault_files::sync(int fd)
{
    const auto ec = ask(call::sync);
    return ec || !syncs_ ? ec : real_.sync(fd);
}

error_code fault_files::start_sync(int fd, std::uint64_t offset, std::uint64_t size)
{
    const auto ec = ask(call::start_sync);
    return ec || !syncs_ ? ec : real_.start_sync(fd, offset, size);
}

error_code fault_files::truncate(int fd, std::uint64_t size)
{
    const auto ec = ask(call::truncate);
    return ec ? ec : real_.truncate(fd, size);
}

error_code fault_files::allocate(int fd, std::uint64_t size)
{
    const auto ec = ask(call::allocate);
    return ec ? ec : real_.allocate(fd, size);
}

error_code fault_files::rename(const std::filesystem::path& from, const std::filesystem::path& to)
{
    const auto ec = ask(call::rename);
    return ec ? ec : real_.rename(from, to);
}

error_code fault_files::link(const std::filesystem::path& from, const std::filesystem::path& to)
{
    const auto ec = ask(call::link);
    return ec ? ec : real_.link(from, to);
}

error_code fault_files::remove(const std::filesystem::path& file)
{
    const auto ec = ask(call::remove);
    return ec ? ec : real_.remove(file);
}

result<store::file_info> fault_files::stat(const std::filesystem::path& file)
{
    const auto ec = ask(call::stat);
    if (ec)
        return ec;
    return real_.stat(file);
}

result<store::file_info> fault_files::stat(int fd)
{
    const auto ec = ask(call::stat);
    return ec ? result<store::file_info>(ec) : real_.stat(fd);
}

error_code fault_files::lock(int fd, bool exclusive)
{
    const auto ec = ask(call::lock);
    return ec ? ec : real_.lock(fd, exclusive);
}

result<std::uint64_t> fault_files::free_bytes(const std::filesystem::path& folder)
{
    const auto ec = ask(call::free_bytes);
    if (ec)
        return ec;
    if (free_bytes_)
        return *free_bytes_;
    return real_.free_bytes(folder);
}

result<std::vector<store::folder_entry>> fault_files::list(const std::filesystem::path& folder)
{
    const auto ec = ask(call::list);
    if (ec)
        return ec;
    return real_.list(folder);
}

error_code fault_files::make_folders(const std::filesystem::path& folder)
{
    const auto ec = ask(call::make_folders);
    return ec ? ec : real_.make_folders(folder);
}

error_code fault_files::sync_folder(const std::filesystem::path& folder)
{
    const auto ec = ask(call::sync_folder);
    return ec || !syncs_ ? ec : real_.sync_folder(folder);
}

} // namespace gateway::test
