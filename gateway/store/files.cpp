#include "store/files.hpp"

#include "store/model_part.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>
#include <utility>

namespace gateway::store {

namespace {

// What the disk must have to spare beside the file itself (downloads.md §3.5).
constexpr std::uint64_t headroom = std::uint64_t{64} << 20;
constexpr std::size_t longest_name = 200; // bytes; the part's name must stay below 255
constexpr int deepest_folder = 32;
// webui.md §5. Preview pictures lie beside models, so picture embeddings are not counted as models.
constexpr std::array<std::string_view, 5> extensions{".safetensors", ".ckpt", ".pt", ".bin",
                                                     ".gguf"};

// A try later may do better, unless it is about rights, names or what is there already.
bool is_permanent(const error_code& ec)
{
    return ec == errc::permission_denied || ec == errc::operation_not_permitted ||
           ec == errc::read_only_file_system || ec == errc::filename_too_long ||
           ec == errc::not_a_directory || ec == errc::file_exists || ec == errc::invalid_argument;
}

std::string mebibytes(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

// Calls found(path, info) for every file below the folder, each folder once however it is linked.
template <class Found>
void walk(file_system& fs, const std::filesystem::path& folder, const Found& found,
          std::set<std::pair<std::uint64_t, std::uint64_t>>& seen, int depth = 0)
{
    const auto self = fs.stat(folder);
    if (!self || depth > deepest_folder || !seen.emplace(self->device, self->inode).second)
        return;
    auto entries = fs.list(folder);
    if (!entries)
        return;
    std::sort(entries->begin(), entries->end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    for (const auto& entry : *entries) {
        const auto path = folder / entry.name;
        if (entry.is_folder)
            walk(fs, path, found, seen, depth + 1);
        else
            found(path);
    }
}

} // namespace

void throw_exception_from_error(const file_failure& f, const boost::source_location&)
{
    throw std::runtime_error(f.what);
}

bool is_plain(std::string_view name)
{
    return !name.empty() && name.size() <= longest_name && name != "." && name != ".." &&
           name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

file_failure failed(const std::string& tried, const std::filesystem::path& on, const error_code& ec)
{
    return {"cannot " + tried + " " + on.string() + ": " + ec.message(), is_permanent(ec)};
}

model_files::model_files(file_system& fs, net::lane& disk, net::lane& hash, std::string owner)
    : impl_(std::shared_ptr<impl>(new impl{fs, disk, hash, std::move(owner), {}, {}}))
{
}

net::task<file_result<model_writer>> model_files::create(std::filesystem::path folder,
                                                         std::string name,
                                                         std::optional<std::uint64_t> size)
{
    std::vector<byte_range> nothing;
    co_return co_await open_part(std::move(folder), std::move(name), size, std::move(nothing));
}

net::task<file_result<model_writer>> model_files::resume(std::filesystem::path folder,
                                                         std::string name, std::uint64_t size,
                                                         std::vector<byte_range> have)
{
    co_return co_await open_part(std::move(folder), std::move(name), size, std::move(have));
}

namespace {

// Ours alone, and long enough for what is said to be there; or empty, when nothing is.
error_code take_part(file_system& fs, const std::filesystem::path& part,
                     const core::ranges& written, open_file& into)
{
    const bool fresh = written.size() == 0;
    auto opened = open_in(fs, part, fresh ? O_RDWR | O_CREAT : O_RDWR);
    if (!opened)
        return opened.error();
    auto ec = fs.lock(opened->fd(), true);
    if (has_no_locks(ec))
        ec = {};
    if (!ec && fresh) {
        ec = fs.truncate(opened->fd(), 0);
        fs.remove(note_beside(part)); // it told of another file
    } else if (!ec) {
        const auto info = fs.stat(part);
        if (!info)
            ec = info.error();
        else if (info->size < written.all().back().end)
            ec = make_error_code(errc::io_error);
    }
    into = std::move(*opened);
    return ec;
}

// RunPod's volumes, NFS and FUSE cannot; the promise stands in for it.
bool cannot_allocate(const error_code& ec)
{
    return ec == errc::operation_not_supported || ec == errc::function_not_supported ||
           ec == errc::invalid_argument;
}

file_failure no_room(const std::filesystem::path& part, std::uint64_t wanted,
                     std::uint64_t promised, std::uint64_t there)
{
    return {"no room for " + part.string() + ": " + mebibytes(wanted) + " are to come, " +
                mebibytes(promised) + " are promised to other downloads, " + mebibytes(headroom) +
                " must stay free, and " + mebibytes(there) + " are free",
            false};
}

} // namespace

net::task<file_result<model_writer>> model_files::open_part(std::filesystem::path folder,
                                                            std::string name,
                                                            std::optional<std::uint64_t> size,
                                                            std::vector<byte_range> have)
{
    const auto self = impl_;
    const auto part = self->part_of(folder, name);
    if (!is_plain(name))
        co_return file_failure{"\"" + name + "\" is not a file name", true};
    if (self->writing.contains(part))
        co_return file_failure{part.string() + " is being written already", false};
    const auto s = std::make_shared<model_writer::state>(self, folder, part);
    s->announced = size;
    for (const auto& piece : have) {
        s->claimed.add(piece.begin, piece.end);
        s->written.add(piece.begin, piece.end);
    }
    s->size = s->written.size();

    std::uint64_t free_bytes = 0;
    auto look = [self, s, folder, &free_bytes]() -> error_code {
        auto ec = self->fs.make_folders(folder);
        if (ec)
            return ec;
        const auto info = self->fs.stat(folder);
        const auto spare = self->fs.free_bytes(folder);
        if (!info || !spare)
            return info ? spare.error() : info.error();
        s->device = info->device;
        free_bytes = *spare;
        return {};
    };
    auto ec = co_await self->disk.run(std::move(look));
    if (ec)
        co_return failed("use the folder", folder, ec);
    auto& promised = self->promised[s->device];
    const auto wanted = size.value_or(0) - std::min(size.value_or(0), s->size);
    if (free_bytes < wanted + headroom + promised && wanted > 0)
        co_return no_room(part, wanted, promised, free_bytes);
    s->promised = wanted;
    promised += s->promised;

    bool has_room = false;
    auto open = [self, s, size, &has_room]() -> error_code {
        auto opened = take_part(self->fs, s->part, s->written, s->file);
        if (opened == errc::resource_unavailable_try_again)
            return opened; // it is somebody else's
        if (!opened && size && *size > 0) {
            const auto taken = self->fs.allocate(s->file.fd(), *size);
            has_room = !taken;
            opened = cannot_allocate(taken) ? error_code{} : taken;
        }
        if (opened)
            remove_part(self->fs, s->part);
        return opened;
    };
    ec = co_await self->disk.run(std::move(open));
    if (ec == errc::resource_unavailable_try_again)
        co_return file_failure{part.string() + " is being written by another process", false};
    if (ec)
        co_return failed(have.empty() ? "create" : "go on with", part, ec);
    if (has_room)
        s->take_back(s->promised);
    co_return model_writer(s);
}

std::vector<found_file> list_models(file_system& fs, const std::filesystem::path& folder)
{
    std::vector<found_file> all;
    std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
    const auto found = [&](const std::filesystem::path& path) {
        const auto extension = path.extension().string();
        if (std::find(extensions.begin(), extensions.end(), extension) == extensions.end())
            return;
        const auto info = fs.stat(path);
        if (info && !info->is_folder)
            all.push_back({path, path.stem().string(), info->size, info->modified, info->device,
                           info->inode});
    };
    walk(fs, folder, found, seen);
    return all;
}

net::lane& model_files::slow_lane() { return impl_->hash; }

net::task<result<std::string>> model_files::note(std::filesystem::path folder, std::string name)
{
    auto work = [self = impl_, part = impl_->part_of(folder, name)] {
        return read_small(self->fs, note_beside(part));
    };
    co_return co_await impl_->disk.run(std::move(work));
}

net::task<std::vector<found_file>> model_files::list(std::filesystem::path folder)
{
    auto work = [self = impl_, folder = std::move(folder)] {
        return list_models(self->fs, folder);
    };
    co_return co_await impl_->disk.run(std::move(work));
}

net::task<result<std::string>> model_files::sha256_of(std::filesystem::path file,
                                                      std::stop_token stop)
{
    auto work = [self = impl_, file = std::move(file), stop = std::move(stop)] {
        return hash_whole(self->fs, file, stop);
    };
    co_return co_await impl_->hash.run(std::move(work));
}

net::task<result<std::uint64_t>> model_files::size_of(std::filesystem::path file)
{
    auto work = [self = impl_, file = std::move(file)]() -> result<std::uint64_t> {
        const auto info = self->fs.stat(file);
        if (!info)
            return info.error();
        if (info->is_folder)
            return make_error_code(errc::is_a_directory);
        return info->size;
    };
    co_return co_await impl_->disk.run(std::move(work));
}

net::task<result<std::string>> model_files::read(std::filesystem::path file, std::uint64_t offset,
                                                 std::size_t size)
{
    auto work = [self = impl_, file = std::move(file), offset, size]() -> result<std::string> {
        auto in = open_in(self->fs, file, O_RDONLY);
        if (!in)
            return in.error();
        std::string bytes(size, '\0');
        std::size_t have = 0;
        while (have < size) {
            const auto n = self->fs.read(in->fd(), bytes.data() + have, size - have, offset + have);
            if (!n)
                return n.error();
            if (*n == 0)
                break;
            have += *n;
        }
        bytes.resize(have);
        return bytes;
    };
    co_return co_await impl_->disk.run(std::move(work));
}

net::task<result<std::string>> model_files::read_text(std::filesystem::path file)
{
    constexpr std::size_t limit = std::size_t{16} << 20;
    auto work = [self = impl_, file = std::move(file)] {
        return read_small(self->fs, file, limit);
    };
    co_return co_await impl_->disk.run(std::move(work));
}

net::task<error_code> model_files::replace_text(std::filesystem::path file, std::string text)
{
    auto work = [self = impl_, file = std::move(file), text = std::move(text)] {
        return replace_small(self->fs, file, text);
    };
    co_return co_await impl_->disk.run(std::move(work));
}

net::task<error_code> model_files::remove(std::filesystem::path file)
{
    auto work = [self = impl_, file = std::move(file)] { return self->fs.remove(file); };
    co_return co_await impl_->disk.run(std::move(work));
}

net::task<std::size_t> model_files::sweep_partials(std::filesystem::path folder, wall_time old)
{
    const auto self = impl_;
    const auto live = self->writing;
    auto work = [self, folder = std::move(folder), live, old] {
        std::size_t removed = 0;
        std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
        const auto found = [&](const std::filesystem::path& path) {
            const auto name = path.filename().string();
            if (!name.ends_with(".part") || live.contains(path))
                return;
            const bool ours = name.ends_with("." + self->owner + ".part");
            const auto note = self->fs.stat(note_beside(path));
            const auto data = self->fs.stat(path);
            const bool unused = data && data->modified < old && (!note || note->modified < old);
            if (!unused && !(ours && !note))
                return;
            self->fs.remove(note_beside(path));
            removed += self->fs.remove(path) ? 0U : 1U;
        };
        walk(self->fs, folder, found, seen);
        return removed;
    };
    co_return co_await self->disk.run(std::move(work));
}

} // namespace gateway::store