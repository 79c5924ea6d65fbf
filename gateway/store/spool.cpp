#include "store/spool.hpp"

#include <fcntl.h>
#include <zlib.h>

#include <algorithm>
#include <list>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace gateway::store {

namespace {

// Large enough to make few calls, small enough to stay out of the kernel's slow path for huge units
// (downloads.md §7.4).
constexpr std::size_t write_unit = 256 * 1024;
constexpr std::string_view unfinished = ".part";
constexpr std::size_t longest_name = 200;
// Files that stay open for their next read: those that are being sent, or have just been written.
constexpr std::size_t most_open = 128;

bool is_plain(const std::string& name)
{
    return !name.empty() && name.size() <= longest_name && name.front() != '.' &&
           name.find('/') == std::string::npos && name.find('\0') == std::string::npos &&
           !name.ends_with(unfinished);
}

error_code failure(boost::system::errc::errc_t e) { return make_error_code(e); }

} // namespace

void checksum::add(std::string_view bytes)
{
    const auto* data = reinterpret_cast<const Bytef*>(bytes.data());
    value_ = static_cast<std::uint32_t>(crc32_z(value_, data, bytes.size()));
}

struct spool::impl {
    impl(std::filesystem::path f, net::lane& d, file_system& s)
        : folder(std::move(f)), disk(d), fs(s)
    {
    }

    std::filesystem::path folder;
    net::lane& disk;
    file_system& fs;
    stats counters;
    std::unordered_map<std::string, int> held; // names of live files and writers: never swept
    std::list<spool_file::state*> open;        // those with a descriptor, the oldest first

    std::filesystem::path finished_path(const std::string& name) const { return folder / name; }
    std::filesystem::path part_path(const std::string& name) const
    {
        return folder / (name + std::string(unfinished));
    }
    void hold(const std::string& name) { ++held[name]; }
    void let_go(const std::string& name)
    {
        const auto it = held.find(name);
        if (--it->second == 0)
            held.erase(it);
    }
    // Of a finished write, or of one that failed.
    error_code wrote(error_code ec)
    {
        counters.failures += ec ? 1U : 0U;
        counters.trouble =
            ec ? "the spool " + folder.string() + " cannot be written: " + ec.message() : "";
        return ec;
    }
    void count_out(std::uint64_t size)
    {
        counters.files -= std::min<std::uint64_t>(counters.files, 1);
        counters.bytes -= std::min(counters.bytes, size);
    }
};

// --- files ---

struct spool_file::state {
    state(std::shared_ptr<spool::impl> o, std::string n, std::uint64_t s,
          std::optional<std::uint32_t> c)
        : owner(std::move(o)), name(std::move(n)), size(s), checksum(c), verified(!c)
    {
        owner->hold(name);
    }
    state(const state&) = delete;
    state& operator=(const state&) = delete;

    // The last holder lets go. Deleting a large file takes long: the lane does it.
    ~state()
    {
        owner->let_go(name);
        auto last = close();
        if (!discarded)
            return;
        owner->count_out(size);
        owner->disk.post([owner = owner, file = owner->finished_path(name), last] {
            owner->fs.remove(file); // if that fails, the next start sweeps it
        });
    }

    void keep_open(std::shared_ptr<open_file> file)
    {
        if (in)
            return; // another reader was quicker
        in = std::move(file);
        place = owner->open.insert(owner->open.end(), this);
        if (owner->open.size() > most_open)
            owner->open.front()->close();
    }

    std::shared_ptr<open_file> close()
    {
        if (in)
            owner->open.erase(place);
        return std::exchange(in, nullptr);
    }

    std::shared_ptr<spool::impl> owner;
    std::string name;
    std::uint64_t size;
    std::optional<std::uint32_t> checksum;
    bool verified;
    std::shared_ptr<open_file> in; // null: it has to be opened
    std::list<state*>::iterator place{};
    bool discarded = false;

    // On the lane.
    error_code compare() const;
};

const std::string& spool_file::name() const { return state_->name; }
std::uint64_t spool_file::size() const { return state_->size; }
std::optional<std::uint32_t> spool_file::checksum() const { return state_->checksum; }

error_code spool_file::state::compare() const
{
    auto source = open_in(owner->fs, owner->finished_path(name), O_RDONLY);
    if (!source)
        return source.error();
    std::vector<char> piece(write_unit);
    store::checksum sum;
    std::uint64_t at = 0;
    for (;;) {
        const auto n = owner->fs.read(source->fd(), piece.data(), piece.size(), at);
        if (!n)
            return n.error();
        if (*n == 0)
            break;
        sum.add({piece.data(), *n});
        at += *n;
    }
    return at == size && sum.value() == checksum ? error_code{}
                                                 : failure(boost::system::errc::bad_message);
}

net::task<error_code> spool_file::verify() const
{
    const auto held = state_;
    if (held->verified)
        co_return error_code{};
    auto work = [held] { return held->compare(); };
    const auto ec = co_await held->owner->disk.run(std::move(work));
    held->verified = !ec;
    if (ec)
        ++held->owner->counters.failures;
    co_return ec;
}

// A gateway holds thousands of results, and few are read at a time. What has just been written, or
// read ahead, is in the kernel's memory: it takes no lane and no thread.
net::task<result<std::size_t>> spool_file::read(std::uint64_t offset, std::span<char> into) const
{
    const auto held = state_;
    auto& fs = held->owner->fs;
    auto in = held->in;
    if (in) {
        const auto n = fs.read_cached(in->fd(), into.data(), into.size(), offset);
        if (n)
            co_return n;
    }
    auto work = [&held, &fs, &in, offset, into]() -> result<std::size_t> {
        if (!in) {
            auto opened = open_in(fs, held->owner->finished_path(held->name), O_RDONLY);
            if (!opened)
                return opened.error();
            in = std::make_shared<open_file>(std::move(*opened));
        }
        return fs.read(in->fd(), into.data(), into.size(), offset);
    };
    auto n = co_await held->owner->disk.run(std::move(work));
    if (n)
        held->keep_open(std::move(in));
    else
        ++held->owner->counters.failures;
    co_return n;
}

// --- writing ---

struct spool_writer::state {
    state(std::shared_ptr<spool::impl> o, std::string n) : owner(std::move(o)), name(std::move(n))
    {
        owner->hold(name);
    }
    state(const state&) = delete;
    state& operator=(const state&) = delete;
    ~state() { owner->let_go(name); }

    // On the lane from here.
    error_code open()
    {
        const auto there = owner->fs.stat(owner->finished_path(name));
        if (there)
            return failure(boost::system::errc::file_exists);
        auto opened = open_in(owner->fs, owner->part_path(name), O_RDWR | O_CREAT | O_EXCL);
        if (!opened)
            return opened.error();
        file = std::move(*opened);
        return {};
    }

    error_code flush()
    {
        auto ec = file ? error_code{} : open();
        if (!ec)
            ec = file.write_all(buffer, written);
        sum.add(buffer);
        written += buffer.size();
        buffer.clear();
        return ec;
    }

    // The bytes and the name that they get, synced together, then the folder that holds the name.
    // Nothing depends on either before all of it is on disk: a file that the journal does not name
    // is nobody's.
    error_code publish()
    {
        auto& fs = owner->fs;
        auto ec = flush();
        if (!ec)
            ec = fs.rename(owner->part_path(name), owner->finished_path(name));
        if (ec)
            return ec;
        ec = fs.sync(file.fd());
        if (!ec)
            ec = fs.sync_folder(owner->folder);
        if (ec)
            fs.remove(owner->finished_path(name));
        return ec;
    }

    void remove()
    {
        file.close();
        owner->fs.remove(owner->part_path(name));
    }

    std::shared_ptr<spool::impl> owner;
    std::string name;
    std::string buffer;
    open_file file;
    std::uint64_t written = 0; // without what is in the buffer
    checksum sum;              // of what is written
    error_code failed;         // the first error; nothing is written after it
    bool finished = false;
};

spool_writer::spool_writer(std::shared_ptr<state> s) : state_(std::move(s)) {}
spool_writer::spool_writer(spool_writer&&) noexcept = default;

spool_writer& spool_writer::operator=(spool_writer&& other) noexcept
{
    std::swap(state_, other.state_);
    return *this;
}

spool_writer::~spool_writer()
{
    if (!state_ || state_->finished || !state_->file)
        return;
    auto& disk = state_->owner->disk;
    // The name is let go on the loop, when it is certain that nothing is left under it: after this
    // only a new process sweeps.
    disk.post([abandoned = std::make_shared<open_file>(std::move(state_->file)),
               part = state_->owner->part_path(state_->name), owner = state_->owner] {
        abandoned->close();
        owner->fs.remove(part);
    });
}

std::uint64_t spool_writer::size() const { return state_->written + state_->buffer.size(); }

net::task<error_code> spool_writer::append(std::string_view bytes)
{
    const auto s = state_;
    while (!s->failed && !bytes.empty()) {
        if (s->buffer.capacity() < write_unit)
            s->buffer.reserve(write_unit);
        const auto piece = bytes.substr(0, write_unit - s->buffer.size());
        s->buffer += piece;
        bytes.remove_prefix(piece.size());
        if (s->buffer.size() < write_unit)
            break;
        auto work = [s] { return s->flush(); };
        s->failed = co_await s->owner->disk.run(std::move(work));
        if (s->failed)
            s->owner->wrote(s->failed);
    }
    co_return s->failed;
}

net::task<result<spool_file>> spool_writer::finish()
{
    const auto s = state_;
    const auto size = s->written + s->buffer.size();
    if (!s->failed) {
        auto work = [s] { return s->publish(); };
        s->failed = co_await s->owner->disk.run(std::move(work));
        s->owner->wrote(s->failed);
    }
    if (s->failed)
        co_return s->failed;
    s->finished = true;
    s->buffer = {};
    ++s->owner->counters.files;
    s->owner->counters.bytes += size;
    spool_file file;
    file.state_ = std::make_shared<spool_file::state>(s->owner, s->name, size, s->sum.value());
    file.state_->verified = true; // as it went through our hands
    file.state_->keep_open(std::make_shared<open_file>(std::move(s->file)));
    co_return file;
}

// --- the spool ---

spool::spool(std::filesystem::path folder, net::lane& disk, file_system& fs)
    : impl_(std::make_shared<impl>(std::move(folder), disk, fs))
{
    auto ec = fs.make_folders(impl_->folder);
    if (!ec)
        ec = fs.sync_folder(folder_of(impl_->folder));
    if (ec)
        throw std::system_error(ec, "cannot use the spool folder " + impl_->folder.string() +
                                        "; make it writable for this user");
}

spool::~spool() = default;

net::task<result<spool_writer>> spool::create(std::string name)
{
    if (!is_plain(name))
        co_return failure(boost::system::errc::invalid_argument);
    auto s = std::make_shared<spool_writer::state>(impl_, std::move(name));
    co_return spool_writer(std::move(s));
}

net::task<> spool::probe()
{
    auto work = [self = impl_] {
        const auto file = self->folder / ".probe";
        const auto ec = replace_small(self->fs, file, std::string(4096, '\n'));
        self->fs.remove(file);
        return ec;
    };
    const auto ec = co_await impl_->disk.run(std::move(work));
    impl_->wrote(ec);
}

net::task<result<spool_file>> spool::open(std::string name, std::uint64_t size,
                                          std::optional<std::uint32_t> checksum)
{
    if (!is_plain(name))
        co_return failure(boost::system::errc::invalid_argument);
    spool_file file;
    file.state_ = std::make_shared<spool_file::state>(impl_, std::move(name), size, checksum);
    auto work = [s = file.state_] { return s->owner->fs.stat(s->owner->finished_path(s->name)); };
    const auto found = co_await impl_->disk.run(std::move(work));
    if (!found)
        co_return found.error();
    if (found->size != size)
        co_return failure(boost::system::errc::bad_message);
    co_return file;
}

void spool::discard(const spool_file& file)
{
    if (file.state_)
        file.state_->discarded = true;
}

net::task<error_code> spool::remove(std::string name)
{
    if (!is_plain(name))
        co_return failure(boost::system::errc::invalid_argument);
    const auto self = impl_;
    auto work = [self, name]() -> result<std::uint64_t> {
        const auto file = self->finished_path(name);
        const auto found = self->fs.stat(file);
        if (!found)
            return found.error();
        const auto ec = self->fs.remove(file);
        if (ec)
            return ec;
        return found->size;
    };
    const auto size = co_await self->disk.run(std::move(work));
    if (size)
        self->count_out(*size);
    else if (size.error() != boost::system::errc::no_such_file_or_directory)
        co_return size.error();
    co_return error_code{};
}

net::task<result<std::size_t>> spool::sweep(std::vector<std::string> known)
{
    const auto self = impl_;
    std::unordered_set<std::string> keep(std::make_move_iterator(known.begin()),
                                         std::make_move_iterator(known.end()));
    for (const auto& [name, holders] : self->held) {
        keep.insert(name);
        keep.insert(name + std::string(unfinished));
    }
    stats found;
    std::size_t removed = 0;
    auto work = [self, &keep, &found, &removed]() -> error_code {
        const auto all = self->fs.list(self->folder);
        if (!all)
            return all.error();
        for (const auto& entry : *all) {
            const auto file = self->folder / entry.name;
            if (entry.is_folder)
                continue;
            if (!keep.contains(entry.name)) {
                removed += self->fs.remove(file) ? 0U : 1U;
                continue;
            }
            const auto info = self->fs.stat(file);
            found.files += 1;
            found.bytes += info ? info->size : 0;
        }
        return {};
    };
    const auto ec = co_await self->disk.run(std::move(work));
    if (ec)
        co_return ec;
    self->counters.files = found.files;
    self->counters.bytes = found.bytes;
    co_return removed;
}

const spool::stats& spool::counters() const { return impl_->counters; }

} // namespace gateway::store
