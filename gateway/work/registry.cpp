#include "work/registry.hpp"

#include "base/log.hpp"

#include <fcntl.h>

#include <utility>

namespace gateway::work {

namespace {

namespace errc = boost::system::errc;

constexpr std::size_t longest_registry = std::size_t{64} << 20;
// At the end another process is waited for a little; then it is written all the same: what its
// writer and ours do at the same moment costs a few counts of uses, not more.
constexpr int last_tries = 10;
constexpr int most_tries = 50;
constexpr auto last_pause = std::chrono::milliseconds(100);

struct reading {
    core::model_registry all;
    error_code ec;
    std::string damage;
    bool there = false;
};

reading read_now(store::file_system& fs, const std::filesystem::path& file)
{
    const auto text = store::read_small(fs, file, longest_registry);
    if (!text) {
        const bool missing = text.error() == errc::no_such_file_or_directory;
        return {{}, missing ? error_code{} : text.error(), {}, false};
    }
    auto all = proto::read_registry(*text);
    if (!all)
        return {{}, {}, all.error().detail, false};
    return {std::move(*all), {}, {}, true};
}

// False: another process has it. Where there are no locks, everybody goes on.
bool take_lock(store::file_system& fs, const std::filesystem::path& file, store::open_file& into)
{
    auto lock = store::open_in(fs, std::filesystem::path(file).replace_extension(".lock"),
                               O_RDWR | O_CREAT);
    if (!lock)
        return true; // the write says what is wrong with the folder
    if (fs.lock(lock->fd(), true) == errc::operation_would_block)
        return false;
    into = std::move(*lock);
    return true;
}

} // namespace

merge_result merge_registry(store::file_system& fs, const std::filesystem::path& file,
                            const core::model_changes& changes, const core::model_registry& known,
                            wall_time now, bool alone)
{
    merge_result done;
    if (!changes.empty())
        done.ec = fs.make_folders(store::folder_of(file));
    if (done.ec)
        return done;
    store::open_file lock;
    if (alone && !changes.empty() && !take_lock(fs, file, lock)) {
        done.busy = true;
        return done;
    }
    auto before = read_now(fs, file);
    done.ec = before.ec;
    if (done.ec)
        return done;
    done.damage = std::move(before.damage);
    if (!done.damage.empty())
        fs.rename(file, std::filesystem::path(file).concat(".bad"));
    done.all = before.there ? before.all : known;
    core::apply_changes(done.all, changes);
    if (changes.empty() || (before.there && done.all == before.all))
        return done;
    done.ec = store::replace_small(fs, file, proto::write_registry(done.all, now));
    return done;
}

net::task<merge_result> merge_when_free(store::file_system& fs, net::lane& disk,
                                        net::time_source& time, std::filesystem::path file,
                                        core::model_changes changes)
{
    for (int tries = 1;; ++tries) {
        auto work = [&fs, &file, &changes, now = time.wall()] {
            return merge_registry(fs, file, changes, {}, now);
        };
        auto done = co_await disk.run(std::move(work));
        if (!done.busy || tries == most_tries)
            co_return done;
        const auto stopped = co_await time.sleep_for(last_pause);
        if (stopped)
            co_return done;
    }
}

registry::registry(net::executor ex, store::file_system& fs, net::lane& disk,
                   net::time_source& time, options chosen)
    : fs_(fs), disk_(disk), time_(time), options_(std::move(chosen)), noted_(std::move(ex))
{
}

net::task<> registry::load()
{
    co_await write_changes(true); // nothing to write: it only reads
    if (options_.verified.empty())
        co_return;
    auto work = [this] { return store::read_small(fs_, options_.verified, longest_registry); };
    const auto text = co_await disk_.run(std::move(work));
    if (!text)
        co_return; // none yet; if it cannot be read, files are hashed once more
    auto all = proto::read_verified(*text);
    if (!all)
        co_return;
    for (auto& file : *all) {
        auto path = file.path;
        verified_.emplace(std::move(path), std::move(file));
    }
}

net::task<> registry::refresh() { co_await write_changes(true); }

net::task<> registry::run()
{
    for (;;) {
        if (pending_.empty() && !verified_changed_) {
            const auto stopped = co_await noted_.past(noted_.current());
            if (stopped)
                break;
        }
        const auto stopped = co_await time_.sleep_for(options_.write_after);
        if (stopped)
            break;
        co_await write_changes(true);
        co_await write_verified();
    }
    co_await net::shield();
    for (int tries = 1; !pending_.empty() && tries <= last_tries; ++tries) {
        co_await write_changes(tries < last_tries);
        if (!pending_.empty())
            co_await time_.sleep_for(last_pause);
    }
    co_await write_verified();
}

const core::model_record* registry::find(const core::model_key& key) const
{
    const auto at = all_.find(key);
    return at == all_.end() ? nullptr : &at->second;
}

void registry::note(const core::model_key& key, core::model_change change)
{
    core::apply_changes(all_, {{key, change}});
    core::add_change(pending_, key, std::move(change));
    noted_.bump();
}

net::task<> registry::write_changes(bool alone)
{
    if (writing_)
        co_return;
    writing_ = true;
    auto changes = std::exchange(pending_, {});
    auto work = [this, &changes, known = base_, now = time_.wall(), alone] {
        return merge_registry(fs_, options_.file, changes, known, now, alone);
    };
    auto done = co_await disk_.run(std::move(work));
    writing_ = false;
    tell(done);
    if (done.busy || done.ec) { // once more, later, with what has been noted meanwhile
        for (auto& [key, later] : pending_)
            core::add_change(changes, key, std::move(later));
        pending_ = std::move(changes);
        co_return;
    }
    writes_ += changes.empty() ? 0 : 1;
    base_ = std::move(done.all);
    all_ = base_;
    core::apply_changes(all_, pending_);
}

void registry::tell(const merge_result& done)
{
    if (!done.damage.empty())
        log::error(
            "the model registry was damaged and is being rebuilt; what it knew of files is in "
            "the copy. Files that it cannot tell whether we fetched are not deleted by "
            "themselves (webui-gateway models adopt)",
            {{"copy", options_.file.string() + ".bad"}, {"damage", done.damage}});
    const auto trouble = done.ec ? done.ec.message() : std::string();
    if (trouble != last_trouble_ && !trouble.empty())
        log::error("the model registry cannot be kept; trying again",
                   {{"file", options_.file.string()}, {"error", trouble}});
    last_trouble_ = trouble;
}

// --- what was verified ---

std::string registry::verified(const store::found_file& file) const
{
    const auto at = verified_.find(file.path.string());
    if (at == verified_.end())
        return {};
    const auto& known = at->second;
    const bool same =
        known.size == file.size && known.inode == file.inode && known.modified == file.modified;
    return same ? known.sha256 : std::string();
}

void registry::note_verified(const store::found_file& file, const std::string& sha256)
{
    const auto path = file.path.string();
    verified_[path] = {path, file.size, file.inode, file.modified, sha256};
    verified_changed_ = true;
    noted_.bump();
}

void registry::forget_verified(const std::filesystem::path& file)
{
    verified_changed_ = verified_.erase(file.string()) > 0 || verified_changed_;
}

net::task<> registry::write_verified()
{
    if (!std::exchange(verified_changed_, false) || options_.verified.empty())
        co_return;
    std::vector<proto::verified_file> all;
    all.reserve(verified_.size());
    for (const auto& [path, file] : verified_)
        all.push_back(file);
    auto work = [this, all = std::move(all)] {
        return store::replace_small(fs_, options_.verified, proto::write_verified(all));
    };
    const auto ec = co_await disk_.run(std::move(work));
    if (ec)
        log::warning("the list of verified model files cannot be written",
                     {{"file", options_.verified.string()}, {"error", ec.message()}});
}

} // namespace gateway::work
