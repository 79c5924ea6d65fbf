// What the model library deletes, and what it shows and does for operators.

#include "base/log.hpp"
#include "base/text.hpp"
#include "work/models.hpp"

#include <algorithm>

namespace gateway::work {

namespace {
namespace errc = boost::system::errc;
}

// --- making room ---

// A transfer knows its size and has not begun to write: it may be waiting for room.
bool model_library::is_short_of_room() const
{
    return std::any_of(entries_.begin(), entries_.end(), [](const auto& known) {
        const auto& e = known.second;
        return e.status == status::fetching && e.progress.total > 0 && e.progress.bytes == 0;
    });
}

net::task<> model_library::clean()
{
    co_await uses_.registry.refresh(); // somebody may have used or pinned a file
    std::map<std::uint64_t, core::volume_state> volumes;
    for (const auto kind : {core::model_kind::checkpoint, core::model_kind::lora,
                            core::model_kind::embedding, core::model_kind::vae}) {
        const auto folder = options_.folders.of(kind);
        const auto info = co_await uses_.shared.look(folder);
        const auto free = co_await uses_.shared.free_bytes(folder);
        if (!info || !free)
            continue;
        auto& volume = volumes[info->device];
        volume.id = info->device;
        volume.free = *free;
        for (const auto& [file, e] : entries_) {
            if (file.kind == kind && e.status == status::fetching && e.progress.bytes == 0)
                volume.incoming += e.progress.total;
        }
    }
    std::vector<core::stored_model> stored;
    std::uint64_t incoming = 0;
    for (const auto& [file, e] : entries_) {
        if (e.status == status::fetching)
            incoming += e.progress.total;
        if (e.status == status::present)
            stored.push_back(stored_as(file, e));
    }
    std::vector<core::volume_state> states;
    for (const auto& [id, state] : volumes)
        states.push_back(state);
    const auto chosen =
        core::choose_evictions(stored, states, incoming, options_.eviction, uses_.time.wall());
    for (const auto& one : chosen)
        co_await remove_one(one.key, std::string(core::to_text(one.why)), one.bytes);
    const auto doomed = std::exchange(doomed_, {});
    for (const auto& file : doomed)
        co_await remove_one(file, "asked", entries_[file].found.size);
}

core::stored_model model_library::stored_as(const key& file, const entry& e) const
{
    core::stored_model s;
    s.key = file;
    s.volume = e.found.volume;
    s.inode = e.found.inode;
    s.size = e.found.size;
    s.needed = is_needed(e) || wishes_.contains(file);
    if (const auto* record = uses_.registry.find(file)) {
        s.uses = record->uses;
        s.last_used = std::max(record->last_used, record->downloaded);
        s.ours = record->is_ours();
        s.pinned = is_pinned(file);
    }
    return s;
}

net::task<> model_library::remove_one(key file, std::string why, std::uint64_t bytes)
{
    auto& e = entries_[file];
    const bool wanted_again = e.status != status::removing && is_needed(e);
    if (!is_on_disk(e) || e.status == status::verifying || wanted_again)
        co_return;
    e.status = status::removing;
    held_ -= e.hold ? 1U : 0U;
    auto hold = std::exchange(e.hold, {});
    co_await uses_.shared.release(std::move(hold));
    const auto path = e.found.path;
    const auto ec = co_await uses_.shared.remove_unused(path);
    if (ec) {
        e.status = status::present;
        log::warning("a model file was not deleted",
                     {{"file", path.string()},
                      {"reason", ec == errc::device_or_resource_busy ? "another process uses it"
                                                                     : ec.message()}});
        changed();
        co_return;
    }
    ++counts_.evictions[why];
    counts_.evicted_bytes += bytes;
    log::info("model file deleted",
              {{"file", path.string()}, {"reason", why}, {"freed", format_bytes(bytes)}});
    has_gone(file, e);
}

// --- for operators ---

core::model_counts model_library::models() const
{
    auto counts = counts_;
    std::set<std::pair<std::uint64_t, std::uint64_t>> contents;
    for (const auto& [file, e] : entries_) {
        if (!is_on_disk(e))
            continue;
        switch (file.kind) {
        case core::model_kind::checkpoint: ++counts.checkpoints; break;
        case core::model_kind::lora: ++counts.loras; break;
        case core::model_kind::embedding: ++counts.embeddings; break;
        case core::model_kind::vae: ++counts.vaes; break;
        }
        if (contents.emplace(e.found.volume, e.found.inode).second)
            counts.bytes += e.found.size;
    }
    return counts;
}

std::string_view model_library::state_of(const entry& e)
{
    switch (e.status) {
    case status::absent: return "queued";
    case status::elsewhere: return "elsewhere";
    case status::fetching: return "fetching";
    case status::verifying: return "verifying";
    case status::present: return "present";
    case status::removing: return "removing";
    case status::failed: return "failed";
    }
    return "";
}

std::vector<core::model_wait> model_library::missing(core::set_id set) const
{
    std::vector<core::model_wait> waits;
    for (const auto& file : uses_.jobs.sets().at(set)) {
        const auto at = entries_.find({file.kind, file.name});
        if (at == entries_.end() || at->second.status == status::present)
            continue;
        const auto& e = at->second;
        if (e.status == status::absent && !e.removed && uses_.listed(file))
            continue; // a WebUI has it of its own
        waits.push_back({file.name, e.progress.bytes, e.progress.total, e.progress.bytes_per_second,
                         std::string(state_of(e))});
    }
    return waits;
}

core::model_status model_library::shown(const key& file, const entry& e) const
{
    core::model_status s;
    s.kind = file.kind;
    s.name = file.name;
    s.state = state_of(e);
    s.reason = e.status == status::failed ? e.reason : "";
    s.source = e.source;
    s.needed = is_needed(e) || wishes_.contains(file);
    if (is_on_disk(e)) {
        s.path = e.found.path.string();
        s.size = e.found.size;
        s.sha256 = e.sha256;
        s.listed_by = uses_.listed_by({file.kind, file.name, "", ""});
    } else {
        s.progress = {file.name, e.progress.bytes, e.progress.total, e.progress.bytes_per_second,
                      s.state};
        s.size = e.progress.total;
    }
    const auto* record = uses_.registry.find(file);
    if (record == nullptr)
        return s;
    s.source = record->url;
    if (s.sha256.empty())
        s.sha256 = record->sha256;
    s.uses = record->uses;
    s.downloaded = record->downloaded;
    s.last_used = record->last_used;
    s.pinned = is_pinned(file);
    s.ours = record->is_ours();
    return s;
}

std::vector<core::model_status> model_library::files() const
{
    std::vector<core::model_status> all;
    for (const auto& [file, e] : entries_) {
        const bool stands_for_something =
            e.status != status::absent || wishes_.contains(file) ||
            (is_needed(e) && !uses_.listed({file.kind, file.name, "", ""}));
        if (stands_for_something)
            all.push_back(shown(file, e));
    }
    return all;
}

std::optional<core::model_status> model_library::file(core::model_kind kind,
                                                      const std::string& name) const
{
    const auto at = entries_.find({kind, name});
    if (at == entries_.end())
        return std::nullopt;
    const auto& e = at->second;
    if (e.status == status::absent && !wishes_.contains(at->first) && !is_needed(e))
        return std::nullopt;
    return shown(at->first, e);
}

core::library_port::reply model_library::pull(const core::model_ref& file)
{
    const key k{file.kind, file.name};
    const auto at = entries_.find(k);
    if (at != entries_.end() && is_on_disk(at->second) && !file.sha256.empty() &&
        !at->second.sha256.empty() && !at->second.sha256.starts_with(file.sha256))
        return {answer::refused, "a file of that name is there with another content (sha256 " +
                                     at->second.sha256 + "); give it another name"};
    failures_.forget(failure_key(file));
    wishes_[k] = file;
    entries_[k].wanted = uses_.time.now();
    changed();
    return {};
}

core::library_port::reply model_library::remove(core::model_kind kind, const std::string& name)
{
    const key k{kind, name};
    const auto at = entries_.find(k);
    if (at == entries_.end())
        return {answer::unknown, {}};
    auto& e = at->second;
    const bool wished = wishes_.erase(k) > 0;
    if (is_needed_by_jobs(k))
        return {answer::refused, "a job that waits or runs needs it, or a WebUI has loaded it"};
    if (!is_on_disk(e)) {
        e.stop.request_stop();
        e.status = e.status == status::failed ? status::absent : e.status;
        e.wanted = {};
        changed();
        return {e.status == status::fetching || wished ? answer::done : answer::unknown, {}};
    }
    const auto* record = uses_.registry.find(k);
    if (record == nullptr || !record->is_ours())
        return {answer::refused, "no gateway put it there; hand it over first "
                                 "(webui-gateway models adopt)"};
    if (is_pinned(k))
        return {answer::refused, "it is pinned; unpin it first"};
    e.wanted = {};
    e.status = status::removing;
    doomed_.insert(k);
    changed();
    return {};
}

bool model_library::is_pinned(const key& file) const
{
    const auto* record = uses_.registry.find(file);
    return options_.pinned.contains(file.name) || (record != nullptr && record->pinned);
}

// Now, and not a moment ago as is_needed() says.
bool model_library::is_needed_by_jobs(const key& file) const
{
    const auto names_it = [&](core::set_id set) {
        const auto& files = uses_.jobs.sets().at(set);
        return std::any_of(files.begin(), files.end(), [&](const core::model_ref& one) {
            return one.kind == file.kind && one.name == file.name;
        });
    };
    const auto waiting = uses_.jobs.wanted_models();
    const auto running = uses_.jobs.running_models();
    return std::any_of(waiting.begin(), waiting.end(), names_it) ||
           std::any_of(running.begin(), running.end(), names_it) || is_loaded(file);
}

core::library_port::reply model_library::pin(core::model_kind kind, const std::string& name,
                                             bool on)
{
    const key k{kind, name};
    const auto at = entries_.find(k);
    if (at == entries_.end() || !is_on_disk(at->second))
        return {answer::unknown, {}};
    core::model_change change;
    change.pinned = on;
    uses_.registry.note(k, std::move(change));
    changed();
    return {};
}

} // namespace gateway::work
