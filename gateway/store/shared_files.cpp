#include "store/shared_files.hpp"

#include <fcntl.h>

#include <utility>

namespace gateway::store {

namespace {

namespace errc = boost::system::errc;

constexpr std::size_t copy_piece = std::size_t{1} << 20;

// An open file with a lock on it.
struct locked_file {
    file_system& fs;
    open_file file;
    std::filesystem::path remove_first; // empty: nothing

    // Blocks.
    void end()
    {
        if (!remove_first.empty())
            fs.remove(remove_first); // while we have the lock, so it is ours
        file.close();
    }
};

// Ends on the lane, as closing may block.
class held_file {
public:
    held_file(file_system& fs, net::lane& disk, open_file file, std::filesystem::path remove_first)
        : disk_(disk),
          locked_(std::make_shared<locked_file>(
              locked_file{fs, std::move(file), std::move(remove_first)}))
    {
    }
    held_file(const held_file&) = delete;
    held_file& operator=(const held_file&) = delete;
    ~held_file()
    {
        if (locked_)
            disk_.post([last = std::move(locked_)] { last->end(); });
    }
    std::shared_ptr<locked_file> take() { return std::move(locked_); }

private:
    net::lane& disk_;
    std::shared_ptr<locked_file> locked_;
};

// What became of an attempt to lock the file of that name.
struct locking {
    error_code ec;
    bool busy = false;
    open_file file; // when neither
};

// Opens and locks; what has been unlinked or replaced meanwhile is not the file of that name any
// more, and is left.
locking lock_file(file_system& fs, const std::filesystem::path& path, int flags, bool exclusive)
{
    auto opened = open_in(fs, path, flags);
    if (!opened)
        return {opened.error(), false, {}};
    const auto taken = fs.lock(opened->fd(), exclusive);
    if (taken == errc::operation_would_block)
        return {{}, true, {}};
    if (taken && !has_no_locks(taken))
        return {taken, false, {}};
    const auto named = fs.stat(path);
    const auto ours = fs.stat(opened->fd());
    if (!named || !ours)
        return {named ? ours.error() : named.error(), false, {}};
    if (named->inode != ours->inode || named->device != ours->device)
        return {{}, true, {}};
    return {{}, false, std::move(*opened)};
}

error_code copy_content(file_system& fs, int from, open_file& to)
{
    std::string piece(copy_piece, '\0');
    for (std::uint64_t at = 0;;) {
        const auto n = fs.read(from, piece.data(), piece.size(), at);
        if (!n)
            return n.error();
        if (*n == 0)
            return {};
        const auto ec = to.write_all(std::string_view(piece).substr(0, *n), at);
        if (ec)
            return ec;
        at += *n;
    }
}

// Under a name that no WebUI lists, then published.
error_code copy_file(file_system& fs, const std::filesystem::path& file,
                     const std::filesystem::path& as)
{
    const auto part = std::filesystem::path(as).concat(".copy.part");
    auto from = open_in(fs, file, O_RDONLY);
    if (!from)
        return from.error();
    auto to = open_in(fs, part, O_WRONLY | O_CREAT | O_TRUNC);
    if (!to)
        return to.error();
    auto ec = copy_content(fs, from->fd(), *to);
    if (!ec)
        ec = fs.sync(to->fd());
    if (!ec)
        ec = to->close();
    if (!ec && fs.stat(as))
        ec = make_error_code(errc::file_exists);
    if (!ec)
        ec = fs.rename(part, as);
    if (ec)
        fs.remove(part);
    return ec;
}

error_code link_or_copy(file_system& fs, const std::filesystem::path& file,
                        const std::filesystem::path& as)
{
    auto ec = fs.make_folders(folder_of(as));
    if (ec)
        return ec;
    ec = fs.link(file, as);
    const bool cannot_link = ec == errc::cross_device_link || ec == errc::operation_not_permitted ||
                             ec == errc::operation_not_supported ||
                             ec == errc::function_not_supported || ec == errc::too_many_links;
    if (cannot_link)
        ec = copy_file(fs, file, as);
    return ec ? ec : fs.sync_folder(folder_of(as));
}

} // namespace

net::task<result<shared_lock>> shared_files::claim(std::filesystem::path folder, std::string name)
{
    const auto path = folder / (name + ".lock");
    auto work = [this, folder, path]() -> locking {
        const auto ec = fs_.make_folders(folder);
        if (ec)
            return {ec, false, {}};
        return lock_file(fs_, path, O_RDWR | O_CREAT, true);
    };
    auto locked = co_await disk_.run(std::move(work));
    if (locked.ec)
        co_return locked.ec;
    if (locked.busy)
        co_return shared_lock();
    co_return shared_lock(std::make_shared<held_file>(fs_, disk_, std::move(locked.file), path));
}

net::task<result<shared_lock>> shared_files::hold(std::filesystem::path file)
{
    auto work = [this, file = std::move(file)] { return lock_file(fs_, file, O_RDONLY, false); };
    auto locked = co_await disk_.run(std::move(work));
    if (locked.ec)
        co_return locked.ec;
    if (locked.busy)
        co_return shared_lock();
    co_return shared_lock(std::make_shared<held_file>(fs_, disk_, std::move(locked.file), ""));
}

net::task<> shared_files::release(shared_lock lock)
{
    auto held = std::static_pointer_cast<held_file>(std::move(lock.held_));
    lock.held_ = nullptr;
    if (!held || held.use_count() > 1)
        co_return;
    auto work = [last = held->take()] { last->end(); };
    co_await disk_.run(std::move(work));
}

error_code remove_unused(file_system& fs, const std::filesystem::path& file)
{
    const auto locked = lock_file(fs, file, O_RDONLY, true);
    if (locked.busy)
        return make_error_code(errc::device_or_resource_busy);
    const auto ec = locked.ec ? locked.ec : fs.remove(file);
    return ec == errc::no_such_file_or_directory ? error_code{} : ec;
}

net::task<error_code> shared_files::remove_unused(std::filesystem::path file)
{
    auto work = [this, file = std::move(file)] { return store::remove_unused(fs_, file); };
    co_return co_await disk_.run(std::move(work));
}

net::task<error_code> shared_files::share(std::filesystem::path file, std::filesystem::path as)
{
    auto work = [this, file = std::move(file), as = std::move(as)] {
        return link_or_copy(fs_, file, as);
    };
    co_return co_await disk_.run(std::move(work));
}

net::task<result<file_info>> shared_files::look(std::filesystem::path file)
{
    auto work = [this, file = std::move(file)] { return fs_.stat(file); };
    co_return co_await disk_.run(std::move(work));
}

net::task<result<std::uint64_t>> shared_files::free_bytes(std::filesystem::path folder)
{
    auto work = [this, folder = std::move(folder)] { return fs_.free_bytes(folder); };
    co_return co_await disk_.run(std::move(work));
}

} // namespace gateway::store
