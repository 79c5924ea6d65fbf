#include "store/files.hpp"

#include "core/ranges.hpp"
#include "store/sha256.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <stdexcept>
#include <utility>

namespace gateway::store {

namespace {

namespace errc = boost::system::errc;

// What the disk must have to spare beside the file itself (downloads.md §3.5).
constexpr std::uint64_t headroom = std::uint64_t{64} << 20;
// Write-back is started in such steps, so that the last fsync is short (downloads.md §7.4).
constexpr std::uint64_t sync_step = std::uint64_t{32} << 20;
// How much is read back to be hashed, as a multiple of what is written meanwhile.
constexpr std::uint64_t read_back = 4;
constexpr std::size_t longest_name = 200; // bytes; the part's name must stay below 255
constexpr int deepest_folder = 32;
// webui.md §5. Preview pictures lie beside models, so picture embeddings are not counted as models.
constexpr std::array<std::string_view, 5> extensions{".safetensors", ".ckpt", ".pt", ".bin",
                                                     ".gguf"};

bool is_plain(std::string_view name)
{
    return !name.empty() && name.size() <= longest_name && name != "." && name != ".." &&
           name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

// A try later may do better, unless it is about rights, names or what is there already.
bool is_permanent(const error_code& ec)
{
    return ec == errc::permission_denied || ec == errc::operation_not_permitted ||
           ec == errc::read_only_file_system || ec == errc::filename_too_long ||
           ec == errc::not_a_directory || ec == errc::file_exists || ec == errc::invalid_argument;
}

file_failure failed(const std::string& tried, const std::filesystem::path& on, const error_code& ec)
{
    return {"cannot " + tried + " " + on.string() + ": " + ec.message(), is_permanent(ec)};
}

std::string mebibytes(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

// Hashes [from, to) of an open file. Blocks; on the hash lane.
error_code add_from_file(file_system& fs, int fd, std::uint64_t from, std::uint64_t to,
                         sha256_sum& hash)
{
    std::string piece(sha256_sum::best_piece, '\0');
    while (from < to) {
        const auto want =
            static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), to - from));
        const auto n = fs.read(fd, piece.data(), want, from);
        if (!n)
            return n.error();
        if (*n == 0)
            return make_error_code(errc::io_error); // shorter than what was written
        hash.add(std::string_view(piece).substr(0, *n));
        from += *n;
    }
    return {};
}

result<std::string> hash_whole(file_system& fs, const std::filesystem::path& file,
                               const std::stop_token& stop)
{
    auto in = open_in(fs, file, O_RDONLY);
    if (!in)
        return in.error();
    sha256_sum hash;
    std::string piece(sha256_sum::best_piece, '\0');
    for (std::uint64_t at = 0;;) {
        if (stop.stop_requested())
            return make_error_code(errc::operation_canceled);
        const auto n = fs.read(in->fd(), piece.data(), piece.size(), at);
        if (!n)
            return n.error();
        if (*n == 0)
            return hash.hex();
        hash.add(std::string_view(piece).substr(0, *n));
        at += *n;
    }
}

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

namespace {

std::filesystem::path note_beside(std::filesystem::path part)
{
    part += ".meta";
    return part;
}

} // namespace

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
        owner->writing.erase(part);
        take_back(promised);
    }

    void take_back(std::uint64_t bytes)
    {
        bytes = std::min(bytes, promised);
        promised -= bytes;
        owner->promised[device] -= bytes;
    }

    // What to start writing back, now that these bytes have been added: every step that is full.
    std::vector<std::uint64_t> note_dirty(std::uint64_t offset, std::uint64_t bytes)
    {
        std::vector<std::uint64_t> full;
        while (bytes > 0) {
            const auto step = offset / sync_step;
            const auto piece = std::min(bytes, (step + 1) * sync_step - offset);
            auto& dirty = dirty_steps[step];
            dirty += piece;
            if (dirty == sync_step) {
                full.push_back(step * sync_step);
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
        auto ec = file.write_all(bytes, offset);
        for (const auto step : steps) {
            if (!ec)
                ec = owner->fs.start_sync(file.fd(), step, sync_step);
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
    std::uint64_t size = 0;
    std::map<std::uint64_t, std::uint64_t> dirty_steps; // bytes per step not yet being written back
    sha256_sum hash;
    std::uint64_t hashed = 0; // from the start
    bool hashing = false;
    std::string digest; // once it is whole
    error_code failure; // the first one; nothing is done after it
    bool stays = false; // published, or kept
};

namespace {

// Beside the write of the same bytes.
net::task<> add_from_memory(net::lane& lane, sha256_sum& hash, std::string_view bytes)
{
    auto work = [&hash, bytes] { hash.add(bytes); };
    co_await lane.run(std::move(work));
}

// What came out of order is read back, a bounded piece beside each write, so that little is left to
// do after the last one.
net::task<> add_from_disk(net::lane& lane, file_system& fs, int fd, byte_range piece,
                          sha256_sum& hash, error_code& out)
{
    auto work = [&fs, fd, piece, &hash] {
        return add_from_file(fs, fd, piece.begin, piece.end, hash);
    };
    out = co_await lane.run(std::move(work));
}

} // namespace

model_writer::model_writer(std::shared_ptr<state> s) : state_(std::move(s)) {}
model_writer::model_writer(model_writer&&) noexcept = default;

model_writer& model_writer::operator=(model_writer&& other) noexcept
{
    std::swap(state_, other.state_);
    return *this;
}

model_writer::~model_writer()
{
    if (!state_ || (state_->stays && !state_->file))
        return;
    state_->owner->disk.post([s = state_->owner, part = state_->part, stays = state_->stays,
                              file = std::make_shared<open_file>(std::move(state_->file))] {
        if (!stays) {
            s->fs.remove(note_beside(part));
            s->fs.remove(part);
        }
        file->close(); // which gives the lock back, so it comes last
    });
}

std::uint64_t model_writer::size() const { return state_->size; }
std::uint64_t model_writer::frontier() const { return state_->written.frontier(); }
const std::filesystem::path& model_writer::part() const { return state_->part; }

std::vector<byte_range> model_writer::have() const { return state_->written.all(); }

net::task<error_code> model_writer::append(std::string_view bytes)
{
    const auto end = frontier();
    co_return co_await write(end, bytes);
}

net::task<error_code> model_writer::write(std::uint64_t offset, std::string_view bytes)
{
    const auto s = state_;
    if (s->failure)
        co_return s->failure;
    if (!s->digest.empty() || !s->claimed.add(offset, offset + bytes.size()))
        co_return make_error_code(errc::invalid_argument);
    const auto ex = co_await net::current_executor();
    net::task_group beside(ex);
    // Hashed from memory when it is next; else whatever is next and already there, read back.
    byte_range piece{s->hashed, s->hashed};
    error_code hash_ec;
    if (!s->hashing && offset == s->hashed) {
        piece.end = offset + bytes.size();
        beside.spawn(add_from_memory(s->owner->hash, s->hash, bytes));
    } else if (!s->hashing && s->hashed < s->written.frontier()) {
        piece.end = std::min(s->written.frontier(), s->hashed + read_back * bytes.size());
        beside.spawn(
            add_from_disk(s->owner->hash, s->owner->fs, s->file.fd(), piece, s->hash, hash_ec));
    }
    const bool hashes = piece.end > piece.begin;
    s->hashing = s->hashing || hashes;
    auto steps = s->note_dirty(offset, bytes.size());
    auto work = [s, offset, bytes, steps = std::move(steps)] {
        return s->put(offset, bytes, steps);
    };
    auto ec = co_await s->owner->disk.run(std::move(work));
    co_await beside.join();
    if (hashes) {
        s->hashing = false;
        s->hashed = piece.end;
    }
    if (!ec)
        ec = hash_ec;
    if (ec) {
        s->failure = ec;
        co_return ec;
    }
    s->written.add(offset, offset + bytes.size());
    s->size += bytes.size();
    s->take_back(bytes.size());
    co_return error_code{};
}

net::task<error_code> model_writer::save(std::string note)
{
    const auto s = state_;
    if (s->failure)
        co_return s->failure;
    auto work = [s, note = std::move(note)] {
        const auto ec = s->owner->fs.sync(s->file.fd());
        return ec ? ec : replace_small(s->owner->fs, note_beside(s->part), note);
    };
    const auto ec = co_await s->owner->disk.run(std::move(work));
    if (ec)
        s->failure = ec;
    co_return ec;
}

void model_writer::keep() { state_->stays = true; }

net::task<result<std::string>> model_writer::sha256()
{
    const auto s = state_;
    if (!s->failure && !s->is_whole())
        co_return make_error_code(errc::message_size);
    if (!s->failure && s->digest.empty()) {
        s->hashing = true;
        auto work = [s]() -> error_code {
            const auto ec = add_from_file(s->owner->fs, s->file.fd(), s->hashed, s->size, s->hash);
            if (!ec)
                s->digest = s->hash.hex();
            return ec;
        };
        s->failure = co_await s->owner->hash.run(std::move(work));
        s->hashed = s->size;
        s->hashing = false;
    }
    if (s->failure)
        co_return s->failure;
    co_return s->digest;
}

namespace {

// What taking a name came to.
struct naming {
    error_code ec;
    bool taken = false; // there is a file of that name
    std::string tried;
};

naming take_name(file_system& fs, const std::filesystem::path& part,
                 const std::filesystem::path& target)
{
    auto ec = fs.link(part, target);
    if (!ec) {
        fs.remove(part); // if that fails it is only untidy: the next start sweeps it
        return {};
    }
    if (ec == errc::file_exists)
        return {{}, true, {}};
    // Some FUSE and SMB mounts have no links (downloads.md §3.7). Then a race with another program
    // cannot be excluded, only made unlikely.
    const bool cannot_link = ec == errc::operation_not_permitted ||
                             ec == errc::operation_not_supported ||
                             ec == errc::function_not_supported || ec == errc::too_many_links;
    if (!cannot_link)
        return {ec, false, "name"};
    if (fs.stat(target))
        return {{}, true, {}};
    ec = fs.rename(part, target);
    return {ec, false, "name"};
}

} // namespace

net::task<file_result<std::filesystem::path>> model_writer::publish(std::string file_name)
{
    const auto s = state_;
    const auto target = s->folder / file_name;
    if (!is_plain(file_name))
        co_return file_failure{
            "cannot publish a model as \"" + file_name + "\": that is not a file name", true};
    if (!s->failure && !s->is_whole())
        co_return file_failure{
            s->part.string() + " is not complete: " + std::to_string(s->size) + " of " +
                (s->announced ? std::to_string(*s->announced) : "unknown many") + " bytes, " +
                std::to_string(s->written.frontier()) + " of them from the start without a gap",
            false};
    const auto digest = co_await sha256();
    if (!digest)
        co_return failed("finish", s->part, digest.error());
    auto work = [s, target]() -> naming {
        auto& fs = s->owner->fs;
        auto ec = fs.truncate(s->file.fd(), s->size); // room may have been taken for more
        if (!ec)
            ec = fs.sync(s->file.fd());
        if (!ec)
            ec = s->file.close();
        if (ec)
            return {ec, false, "write"};
        auto named = take_name(fs, s->part, target);
        if (!named.ec && !named.taken)
            named = {fs.sync_folder(s->folder), false, "sync the folder of"};
        if (!named.ec && !named.taken)
            fs.remove(note_beside(s->part));
        return named;
    };
    const auto named = co_await s->owner->disk.run(std::move(work));
    if (named.ec) {
        s->failure = named.ec;
        co_return failed(named.tried, target, named.ec);
    }
    if (!named.taken) {
        s->stays = true;
        file_result<std::filesystem::path> done(boost::system::in_place_value, target);
        co_return done;
    }
    auto compare = [s, target] { return hash_whole(s->owner->fs, target, {}); };
    const auto theirs = co_await s->owner->hash.run(std::move(compare));
    if (!theirs)
        co_return failed("read", target, theirs.error());
    if (*theirs != *digest)
        co_return file_failure{"another file is already called " + target.string() +
                                   " (its sha256 is " + *theirs + ", ours " + *digest +
                                   "); remove it or give the model another name",
                               true};
    file_result<std::filesystem::path> done(boost::system::in_place_value, target);
    co_return done; // the destructor removes ours
}

// --- the folders ---

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
    auto ec = fs.lock(opened->fd());
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
        const auto opened = take_part(self->fs, s->part, s->written, s->file);
        if (opened || !size || *size == 0)
            return opened;
        const auto taken = self->fs.allocate(s->file.fd(), *size);
        has_room = !taken;
        return cannot_allocate(taken) ? error_code{} : taken;
    };
    ec = co_await self->disk.run(std::move(open));
    if (ec == errc::resource_unavailable_try_again)
        co_return file_failure{part.string() + " is being written by another process", false};
    model_writer writer(s); // from here it cleans up
    if (ec)
        co_return failed(have.empty() ? "create" : "go on with", part, ec);
    if (has_room)
        s->take_back(s->promised);
    co_return writer;
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
        std::vector<found_file> all;
        std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
        const auto found = [&](const std::filesystem::path& path) {
            const auto extension = path.extension().string();
            if (std::find(extensions.begin(), extensions.end(), extension) == extensions.end())
                return;
            const auto info = self->fs.stat(path);
            if (info && !info->is_folder)
                all.push_back({path, path.stem().string(), info->size, info->modified});
        };
        walk(self->fs, folder, found, seen);
        return all;
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
