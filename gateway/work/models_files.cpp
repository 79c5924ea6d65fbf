// What the model library does to files: finds, fetches, links, verifies and holds them.

#include "base/log.hpp"
#include "base/redact.hpp"
#include "base/text.hpp"
#include "work/models.hpp"

#include <algorithm>
#include <array>
#include <set>

namespace gateway::work {

namespace {

namespace errc = boost::system::errc;

// Each costs a descriptor; what is needed beyond is protected by its age alone.
constexpr std::size_t most_held = 256;
// A partial file that nobody has written to for so long is not taken up again (downloads.md §8).
constexpr auto partials_kept = std::chrono::hours(24);
constexpr std::size_t whole_sha256 = 64; // hex digits
// Of what is fetched: pickles only where download.allow_pickle lets them in.
constexpr std::array<std::string_view, 4> extensions{".safetensors", ".ckpt", ".pt", ".bin"};

core::model_change coming(const store::found_file& file, std::string url, std::string sha256,
                          wall_time when)
{
    core::model_change change;
    auto& record = change.came.emplace();
    record.url = std::move(url);
    record.path = file.path.string();
    record.sha256 = std::move(sha256);
    record.size = file.size;
    record.downloaded = when;
    return change;
}

core::model_change going()
{
    core::model_change change;
    change.gone = true;
    return change;
}

bool looks_same(const store::found_file& a, const store::found_file& b)
{
    return a.path == b.path && a.size == b.size && a.inode == b.inode && a.volume == b.volume &&
           a.modified == b.modified;
}

} // namespace

// --- what is in the folders ---

// At the start, and now and then: others put files there and delete them.
net::task<> model_library::look_around()
{
    std::set<key> seen;
    for (const auto kind : {core::model_kind::checkpoint, core::model_kind::lora,
                            core::model_kind::embedding, core::model_kind::vae}) {
        const auto folder = options_.folders.of(kind);
        const auto old = uses_.time.wall() - partials_kept;
        const auto swept = co_await uses_.files.sweep_partials(folder, old);
        if (swept > 0)
            log::info("partial downloads removed", {{"folder", folder.string()}, {"files", swept}});
        auto found = co_await uses_.files.list(folder);
        for (auto& file : found) {
            const key k{kind, file.name};
            seen.insert(k);
            auto& e = entries_[k];
            const bool replaced = e.status == status::present && !looks_same(e.found, file);
            if (e.status != status::absent && e.status != status::failed && !replaced)
                continue;
            auto sha256 = uses_.registry.verified(file);
            e.until = uses_.time.now() + options_.listing_interval; // it may be read just now
            if (uses_.registry.find(k) == nullptr || uses_.registry.find(k)->size != file.size)
                uses_.registry.note(k, coming(file, "", sha256, file.modified));
            is_there(k, e, std::move(file), std::move(sha256));
        }
    }
    for (auto& [file, e] : entries_) {
        if (e.status == status::present && !seen.contains(file)) {
            log::warning("a model file is gone", {{"file", e.found.path.string()}});
            has_gone(file, e);
        }
    }
    for (const auto& [file, record] : core::model_registry(uses_.registry.all())) {
        if (!seen.contains(file))
            uses_.registry.note(file, going());
    }
    changed();
}

void model_library::is_there(const key&, entry& e, store::found_file found, std::string sha256)
{
    e.status = status::present;
    e.found = std::move(found);
    e.sha256 = std::move(sha256);
    e.reason.clear();
    e.asked = 0;
    e.back = e.removed;
    e.removed = false;
    e.cannot_hold = false;
}

// Whoever deleted it: WebUIs may list it still.
void model_library::has_gone(const key& file, entry& e)
{
    uses_.registry.forget_verified(e.found.path);
    uses_.registry.note(file, going());
    e.status = status::absent;
    e.removed = true;
    e.looked = false;
    e.looks = uses_.looks();
    e.sha256.clear();
    held_ -= e.hold ? 1U : 0U;
    e.hold = {};
    uses_.arrived(file.kind == core::model_kind::checkpoint, file.kind == core::model_kind::lora);
    changed();
}

net::task<> model_library::hold_one(key file)
{
    auto& e = entries_[file];
    if (held_ >= most_held) {
        e.cannot_hold = true;
        e.holding = false;
        changed();
        co_return;
    }
    auto lock = co_await uses_.shared.hold(e.found.path);
    e.holding = false;
    if (lock && *lock) {
        e.hold = std::move(*lock);
        ++held_;
    } else if (!lock && lock.error() == errc::no_such_file_or_directory) {
        has_gone(file, e);
        co_return;
    } else if (!lock) {
        e.cannot_hold = true; // the WebUI may be able to read it
        log::warning("a model file cannot be locked",
                     {{"file", e.found.path.string()}, {"error", lock.error().message()}});
    } else {
        co_return; // somebody is deleting it: looked at again in a moment
    }
    changed();
}

// --- where content comes from ---

std::string model_library::source_of(const core::model_ref& file) const
{
    const auto source = proto::parse_model_source(file.url, options_.fetch.huggingface_endpoint);
    return redact(source ? source->url : file.url);
}

// Another hash of the same URL deserves a try of its own, and so does a corrected URL.
std::string model_library::failure_key(const core::model_ref& file) const
{
    auto what = file.url.empty() ? std::string(core::to_text(file.kind)) + ' ' + file.name
                                 : source_of(file);
    return what + ' ' + file.sha256;
}

// A file that is there under another name: of that sha256, or from that URL.
const model_library::entry* model_library::same_content(const core::model_ref& file,
                                                        const std::string& source) const
{
    for (const auto& [k, e] : entries_) {
        if (e.status != status::present || k == key{file.kind, file.name})
            continue;
        if (file.sha256.size() == whole_sha256 && e.sha256 == file.sha256)
            return &e;
        const auto* record = uses_.registry.find(k);
        const bool same_hash =
            file.sha256.empty() || (!e.sha256.empty() && e.sha256.starts_with(file.sha256));
        if (record != nullptr && record->url == source && same_hash)
            return &e;
    }
    return nullptr;
}

bool model_library::is_under_way(const core::model_ref& file, const std::string& source) const
{
    return std::any_of(entries_.begin(), entries_.end(), [&](const auto& known) {
        const auto& e = known.second;
        if (e.status != status::fetching)
            return false;
        if (file.sha256.size() == whole_sha256 && e.wanted_sha256 == file.sha256)
            return true;
        return e.source == source && e.wanted_sha256 == file.sha256;
    });
}

net::task<> model_library::link_one(core::model_ref file, std::filesystem::path from,
                                    std::string sha256)
{
    const key k{file.kind, file.name};
    auto& e = entries_[k];
    const auto as = options_.folders.of(file.kind) / (file.name + from.extension().string());
    const auto ec = co_await uses_.shared.share(from, as);
    const bool there = co_await find_on_disk(file, e);
    if (there) {
        if (!ec) {
            e.sha256 = sha256;
            uses_.registry.note(k, coming(e.found, source_of(file), sha256, uses_.time.wall()));
            uses_.registry.note_verified(e.found, sha256);
            ++counts_.files_shared;
            log::info("a model file got a further name",
                      {{"file", as.string()}, {"of", from.string()}});
        }
    } else {
        failed(file, e,
               "cannot give " + from.string() + " the name " + as.string() + ": " + ec.message(),
               false);
    }
    changed();
}

// --- transfers ---

net::task<> model_library::fetch_one(core::model_ref file)
{
    auto& e = entries_[{file.kind, file.name}];
    const auto folder = options_.folders.of(file.kind);
    auto claim = co_await uses_.shared.claim(folder, file.name);
    const bool there = co_await find_on_disk(file, e); // another gateway may have fetched it
    if (!there && !claim) {
        failed(file, e, "cannot use the folder " + folder.string() + ": " + claim.error().message(),
               false);
    } else if (!there && !*claim) {
        e.status = status::elsewhere;
        e.until = uses_.time.now() + options_.claim_interval;
    } else if (!there) {
        co_await transfer(file, e);
    }
    --counts_.downloads_active;
    changed();
}

net::task<bool> model_library::find_on_disk(const core::model_ref& file, entry& e)
{
    std::filesystem::path path;
    result<store::file_info> info(make_error_code(errc::no_such_file_or_directory));
    for (const auto extension : extensions) {
        path = options_.folders.of(file.kind) / (file.name + std::string(extension));
        info = co_await uses_.shared.look(path);
        if (info)
            break;
    }
    if (!info || info->is_folder)
        co_return false;
    const key k{file.kind, file.name};
    store::found_file found{path, file.name, info->size, info->modified, info->device, info->inode};
    auto sha256 = uses_.registry.verified(found);
    if (uses_.registry.find(k) == nullptr)
        uses_.registry.note(k, coming(found, "", sha256, found.modified));
    e.until = uses_.time.now(); // the WebUIs are told at once
    is_there(k, e, std::move(found), std::move(sha256));
    co_return true;
}

net::task<> model_library::transfer(const core::model_ref& file, entry& e)
{
    log::info("download begins",
              {{"kind", core::to_text(file.kind)}, {"file", file.name}, {"url", e.source}});
    const auto began = uses_.time.now();
    fetch_order order{file, options_.folders.of(file.kind), options_.limit_of.of(file.kind)};
    order.stop = e.stop.get_token();
    auto done = co_await fetcher_.fetch(std::move(order), e.progress);
    const auto took = uses_.time.now() - began;
    if (!done && done.error().cancelled) {
        e.status = status::absent;
        counts_.downloads_cancelled += e.paused ? 0U : 1U;
        log::info(e.paused ? "download waits: others come first"
                           : "download stopped: nobody wants it any more",
                  {{"file", file.name}});
        co_return;
    }
    if (!done) {
        failed(file, e, done.error().reason, done.error().permanent);
        co_return;
    }
    const bool there = co_await find_on_disk(file, e);
    if (!there) {
        failed(file, e, "'" + done->file_name + "' was deleted as soon as it had come", false);
        co_return;
    }
    e.sha256 = done->sha256;
    uses_.registry.note({file.kind, file.name},
                        coming(e.found, e.source, done->sha256, uses_.time.wall()));
    uses_.registry.note_verified(e.found, done->sha256);
    failures_.forget(failure_key(file));
    count_download(file, done->size, took);
    log::info("download done",
              {{"file", done->file_name}, {"bytes", done->size}, {"took", format_duration(took)}});
}

void model_library::count_download(const core::model_ref& file, std::uint64_t bytes, duration took)
{
    ++counts_.downloads_done;
    const auto source = proto::parse_model_source(file.url, options_.fetch.huggingface_endpoint);
    const auto from = source ? source->from : proto::hub::other;
    counts_.downloaded_bytes[std::string(proto::to_text(from))] += bytes;
    const auto seconds = std::chrono::duration<double>(took).count();
    const auto& bounds = core::download_bounds;
    const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), seconds) - bounds.begin();
    ++counts_.download_seconds[static_cast<std::size_t>(bucket)];
    counts_.download_seconds_sum += seconds;
}

void model_library::failed(const core::model_ref& file, entry& e, std::string reason,
                           bool permanent)
{
    e.status = status::failed;
    e.reason = reason;
    log::error("download failed", {{"file", file.name}, {"reason", reason}});
    failures_.failed(failure_key(file), std::move(reason), permanent, uses_.time.now());
    ++counts_.downloads_failed;
}

net::task<> model_library::verify_one(core::model_ref file)
{
    const key k{file.kind, file.name};
    auto& e = entries_[k];
    const auto sum = co_await uses_.files.sha256_of(e.found.path);
    if (sum) {
        e.sha256 = *sum;
        e.status = status::present;
        uses_.registry.note_verified(e.found, *sum);
        core::model_change known;
        known.sha256 = *sum;
        uses_.registry.note(k, std::move(known));
    } else if (sum.error() == errc::no_such_file_or_directory) {
        has_gone(k, e);
    } else {
        e.status = status::present;
        failures_.failed(failure_key(file),
                         "'" + e.found.path.string() + "' cannot be read: " + sum.error().message(),
                         false, uses_.time.now());
    }
    changed();
}

} // namespace gateway::work
