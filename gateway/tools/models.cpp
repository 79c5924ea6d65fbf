#include "tools/models.hpp"

#include "base/text.hpp"
#include "core/eviction.hpp"
#include "net/loop.hpp"
#include "proto/model_view.hpp"
#include "store/shared_files.hpp"
#include "tools/hashing.hpp"
#include "work/registry.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <iomanip>
#include <iostream>
#include <map>
#include <set>

namespace gateway::tools {

namespace {

using core::model_key;
using core::model_kind;

constexpr std::size_t short_hash = 10; // as the WebUI shows it

struct found_model {
    model_key key;
    store::found_file file;
    core::model_record record;
};

wall_time now() { return net::real_time().wall(); }

std::string called(const found_model& m)
{
    return std::string(core::to_text(m.key.kind)) + " '" + m.key.name + "'";
}

// The folders and the registry, as they are now.
class shelf {
public:
    shelf(const config::settings& s, const models_options& o)
        : file_(std::filesystem::path(s.models.dir) / work::registry_name)
    {
        const auto merged = merge({});
        read_ = !merged.ec;
        if (merged.ec)
            std::cerr << "the registry " << file_.string()
                      << " cannot be read: " << merged.ec.message() << '\n';
        const std::array<std::pair<model_kind, std::string>, 4> folders{
            {{model_kind::checkpoint, s.models.checkpoints},
             {model_kind::lora, s.models.loras},
             {model_kind::embedding, s.models.embeddings},
             {model_kind::vae, s.models.vae}}};
        for (const auto& [kind, folder] : folders)
            look_into(kind, folder, merged.all, o);
        for (const auto& name : o.names) {
            if (std::none_of(all.begin(), all.end(),
                             [&](const auto& m) { return m.key.name == name; }))
                missing_.push_back(name);
        }
    }

    // Says what names stand for no file. False: there are some, or there is no registry.
    bool is_usable() const
    {
        for (const auto& name : missing_)
            std::cerr << "there is no model file called " << name << '\n';
        return missing_.empty() && read_;
    }

    // Applies the changes to the registry. False: it could not be written, which was said.
    bool write(const core::model_changes& changes) const
    {
        net::loop loop;
        net::task_group group(loop.ex());
        work::merge_result done;
        group.spawn(merge_soon(loop, changes, done));
        loop.run();
        if (!done.busy && !done.ec)
            return true;
        std::cerr << "the registry " << file_.string() << " cannot be written: "
                  << (done.busy ? "another process is at it" : done.ec.message()) << '\n';
        return false;
    }

    std::vector<found_model> all;
    std::map<std::uint64_t, core::volume_state> volumes;

private:
    work::merge_result merge(const core::model_changes& changes) const
    {
        return work::merge_registry(store::real_files(), file_, changes, {}, now());
    }

    net::task<> merge_soon(net::loop& loop, core::model_changes changes,
                           work::merge_result& done) const
    {
        net::real_time time;
        net::lane here("disk", 0);
        done = co_await work::merge_when_free(store::real_files(), here, time, file_,
                                              std::move(changes));
        loop.finish();
    }

    void look_into(model_kind kind, const std::filesystem::path& folder,
                   const core::model_registry& registry, const models_options& o)
    {
        auto& fs = store::real_files();
        const auto info = fs.stat(folder);
        const auto free = fs.free_bytes(folder);
        if (info && free)
            volumes[info->device] = {info->device, *free, 0};
        if (o.kind && *o.kind != kind)
            return;
        for (auto& file : store::list_models(fs, folder)) {
            const bool wanted = o.names.empty() || std::find(o.names.begin(), o.names.end(),
                                                             file.name) != o.names.end();
            if (!wanted)
                continue;
            const model_key key{kind, file.name};
            const auto known = registry.find(key);
            core::model_record record;
            if (known != registry.end())
                record = known->second;
            all.push_back({key, std::move(file), std::move(record)});
        }
    }

    std::filesystem::path file_;
    std::vector<std::string> missing_;
    bool read_ = false;
};

// What the registry is told of a file, whether it knew of it or not.
core::model_change seen(const found_model& m, std::string sha256)
{
    core::model_change change;
    auto& record = change.came.emplace();
    record.path = m.file.path.string();
    record.size = m.file.size;
    record.sha256 = std::move(sha256);
    record.downloaded = m.file.modified;
    return change;
}

core::stored_model stored(const found_model& m, const std::set<std::string>& pinned)
{
    core::stored_model s;
    s.key = m.key;
    s.volume = m.file.volume;
    s.inode = m.file.inode;
    s.size = m.file.size;
    s.uses = m.record.uses;
    s.last_used = std::max(m.record.last_used, m.record.downloaded);
    s.ours = m.record.is_ours();
    s.pinned = m.record.pinned || pinned.contains(m.key.name);
    return s;
}

core::eviction_limits limits_of(const config::models_settings& from)
{
    core::eviction_limits l;
    l.budget = from.budget;
    l.min_free = from.min_free;
    l.unused_after = from.unused_after;
    l.keep_most_used = static_cast<std::size_t>(from.keep_most_used);
    return l;
}

void print_row(const found_model& m, std::ostream& out)
{
    const auto used =
        m.record.last_used == wall_time{} ? std::string("never") : format_time(m.record.last_used);
    std::string marks = m.record.pinned ? "pinned" : "";
    if (!m.record.is_ours())
        marks += marks.empty() ? "not ours" : ", not ours";
    const auto hash =
        m.record.sha256.empty() ? std::string("-") : m.record.sha256.substr(0, short_hash);
    out << std::left << std::setw(11) << core::to_text(m.key.kind) << std::setw(12)
        << format_bytes(m.file.size) << std::setw(12) << hash << std::setw(6) << m.record.uses
        << std::setw(26) << used << m.key.name << (marks.empty() ? "" : "  (" + marks + ")")
        << '\n';
}

core::model_status status_of(const found_model& m)
{
    core::model_status s;
    s.kind = m.key.kind;
    s.name = m.key.name;
    s.state = "present";
    s.path = m.file.path.string();
    s.source = m.record.url;
    s.sha256 = m.record.sha256;
    s.size = m.file.size;
    s.uses = m.record.uses;
    s.downloaded = m.record.downloaded;
    s.last_used = m.record.last_used;
    s.pinned = m.record.pinned;
    s.ours = m.record.is_ours();
    return s;
}

} // namespace

void add_models_flags(CLI::App& command, models_options& into, const std::string& subcommand)
{
    command
        .add_option_function<std::string>(
            "--kind",
            [&into](const std::string& text) { into.kind = proto::parse_model_kind(text); },
            "only files of this kind: checkpoint, lora, embedding or vae")
        ->check(CLI::IsMember({"checkpoint", "lora", "embedding", "vae"}));
    if (subcommand == "prune")
        command.add_flag("--dry-run", into.dry_run, "say what would go, and delete nothing");
    else
        command.add_option("NAME", into.names, "names of files, without folder and extension");
    if (subcommand == "adopt")
        command.add_flag("--all", into.all, "every file that no gateway fetched");
    if (subcommand == "list")
        command.add_flag("--json", into.json, "as GET /api/v1/models answers");
}

int list_models(const models_options& o, const config::settings& s, std::ostream& out)
{
    const shelf here(s, o);
    if (!here.is_usable())
        return 1;
    if (o.json) {
        std::vector<core::model_status> all;
        for (const auto& m : here.all)
            all.push_back(status_of(m));
        proto::model_page page;
        page.limit = all.size();
        out << proto::model_list_body(all, page) << '\n';
        return 0;
    }
    out << "KIND       SIZE        SHA256      USES  LAST USED                 NAME\n";
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> contents;
    for (const auto& m : here.all) {
        print_row(m, out);
        contents[{m.file.volume, m.file.inode}] = m.file.size;
    }
    std::uint64_t bytes = 0;
    for (const auto& [inode, size] : contents)
        bytes += size;
    out << here.all.size() << " files, " << format_bytes(bytes) << '\n';
    return 0;
}

int verify_models(const models_options& o, const config::settings& s, std::ostream& out)
{
    const shelf here(s, o);
    if (!here.is_usable())
        return 1;
    core::model_changes changes;
    int wrong = 0;
    for (const auto& m : here.all) {
        auto found = hash_file(m.file.path, m.file.size);
        const auto& known = m.record.sha256;
        if (found.trouble.empty() && !known.empty() && known != found.sha256)
            found.trouble = "its sha256 is " + found.sha256 + ", the registry says " + known;
        if (!found.trouble.empty()) {
            ++wrong;
            out << "WRONG  " << called(m) << ": " << found.trouble << " (" << m.file.path.string()
                << ")\n";
            continue;
        }
        out << "ok     " << called(m) << ' ' << found.sha256 << (known.empty() ? "  (new)" : "")
            << std::endl;
        if (known.empty())
            core::add_change(changes, m.key, seen(m, found.sha256));
    }
    out << here.all.size() << " files, " << wrong << " wrong\n";
    const bool kept = changes.empty() || here.write(changes);
    return wrong > 0 || !kept ? 1 : 0;
}

int prune_models(const models_options& o, const config::settings& s, std::ostream& out)
{
    const shelf here(s, o);
    if (!here.is_usable())
        return 1;
    const std::set<std::string> pinned(s.models.pinned.begin(), s.models.pinned.end());
    std::vector<core::stored_model> files;
    for (const auto& m : here.all)
        files.push_back(stored(m, pinned));
    std::vector<core::volume_state> volumes;
    for (const auto& [id, state] : here.volumes)
        volumes.push_back(state);
    core::model_changes changes;
    std::uint64_t freed = 0;
    for (const auto& one : core::choose_evictions(files, volumes, 0, limits_of(s.models), now())) {
        const auto at = std::find_if(here.all.begin(), here.all.end(),
                                     [&](const auto& m) { return m.key == one.key; });
        const auto ec =
            o.dry_run ? error_code{} : store::remove_unused(store::real_files(), at->file.path);
        if (ec) {
            out << "kept     " << called(*at) << ": "
                << (ec == boost::system::errc::device_or_resource_busy ? "a gateway needs it"
                                                                       : ec.message())
                << '\n';
            continue;
        }
        out << (o.dry_run ? "would go " : "deleted  ") << called(*at) << " ("
            << core::to_text(one.why) << ", " << format_bytes(one.bytes) << ")\n";
        freed += one.bytes;
        changes[one.key].gone = true;
    }
    out << format_bytes(freed) << (o.dry_run ? " would be freed\n" : " freed\n");
    return o.dry_run || changes.empty() || here.write(changes) ? 0 : 1;
}

int adopt_models(const models_options& o, const config::settings& s, std::ostream& out)
{
    if (o.names.empty() && !o.all) {
        std::cerr
            << "name the files, or say --all: adopted files are deleted when room is needed\n";
        return 2;
    }
    const shelf here(s, o);
    if (!here.is_usable())
        return 1;
    core::model_changes changes;
    int wrong = 0;
    for (const auto& m : here.all) {
        if (m.record.is_ours())
            continue;
        const auto found = hash_file(m.file.path, m.file.size);
        if (!found.trouble.empty()) {
            ++wrong;
            out << "WRONG    " << called(m) << ": " << found.trouble << '\n';
            continue;
        }
        auto change = seen(m, found.sha256);
        change.adopted = true;
        core::add_change(changes, m.key, std::move(change));
        out << "adopted  " << called(m) << ' ' << found.sha256 << std::endl;
    }
    if (changes.empty() && wrong == 0)
        out << "nothing to adopt\n";
    const bool kept = changes.empty() || here.write(changes);
    return wrong > 0 || !kept ? 1 : 0;
}

int pin_models(const models_options& o, const config::settings& s, bool on, std::ostream& out)
{
    if (o.names.empty()) {
        std::cerr << "name the files\n";
        return 2;
    }
    const shelf here(s, o);
    if (!here.is_usable())
        return 1;
    core::model_changes changes;
    for (const auto& m : here.all) {
        auto change = seen(m, m.record.sha256);
        change.pinned = on;
        core::add_change(changes, m.key, std::move(change));
        out << (on ? "pinned   " : "unpinned ") << called(m) << '\n';
    }
    return here.write(changes) ? 0 : 1;
}

} // namespace gateway::tools
