// One model file while it is written: the first half of files.hpp.

#include "store/model_part.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace gateway::store {

namespace {

// How much is read back to be hashed, as a multiple of what is written meanwhile.
constexpr std::uint64_t read_back = 4;

} // namespace

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

std::filesystem::path note_beside(std::filesystem::path part)
{
    part += ".meta";
    return part;
}

void remove_part(file_system& fs, const std::filesystem::path& part)
{
    fs.remove(note_beside(part));
    fs.remove(part);
}

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
        if (!stays)
            remove_part(s->fs, part);
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
    // One write of a file at a time: the kernel would let the others spin for its lock.
    const auto mine = std::make_shared<net::arrival>();
    const auto before = std::exchange(s->last_put, mine);
    if (before)
        co_await before->wait();
    auto ec = co_await s->owner->disk.run(std::move(work));
    mine->come();
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

net::task<> model_writer::discard()
{
    const auto s = state_;
    s->stays = true;
    auto work = [s] {
        remove_part(s->owner->fs, s->part);
        s->file.close();
    };
    co_await s->owner->disk.run(std::move(work));
    s->owner->writing.erase(s->part);
    s->discarded = true;
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

} // namespace gateway::store
