#include "proto/cache_registry.hpp"

#include "base/text.hpp"
#include "proto/json.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

namespace gateway::proto {

namespace {

using core::model_kind;

constexpr std::array<std::pair<model_kind, std::string_view>, 4> sections{{
    {model_kind::checkpoint, "checkpoints"},
    {model_kind::lora, "loras"},
    {model_kind::embedding, "embeddings"},
    {model_kind::vae, "vae"},
}};

// "2026-01-02T07:45:12.034Z", and Python's isoformat() without a zone; unset when it is neither.
wall_time time_of_text(const std::string& text)
{
    int year = 0;
    unsigned month = 0, day = 0, hour = 0, minute = 0;
    double second = 0;
    const int found = std::sscanf(text.c_str(), "%d-%u-%u%*1[T ]%u:%u:%lf", &year, &month, &day,
                                  &hour, &minute, &second);
    const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                           std::chrono::day(day)};
    if (found != 6 || !date.ok() || hour > 23 || minute > 59 || second < 0 || second > 60)
        return {};
    return wall_time(std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(hour) +
                     std::chrono::minutes(minute) +
                     std::chrono::milliseconds(static_cast<std::int64_t>(second * 1000 + 0.5)));
}

wall_time time_of(const json::value* found)
{
    if (found == nullptr)
        return {};
    if (found->is_string())
        return time_of_text(std::string(found->get_string()));
    complaints none;
    json::object one;
    one["t"] = *found;
    const auto seconds = reader(one, "", none).number("t", 0, 1e11);
    return wall_time(wall_duration(static_cast<std::int64_t>(seconds.value_or(0) * 1000)));
}

void write_time(object_writer& into, std::string_view key, wall_time when)
{
    if (when == wall_time{})
        into.raw(key, "null");
    else
        into.text(key, format_time(when));
}

std::uint64_t count_of(reader& from, std::string_view key)
{
    return static_cast<std::uint64_t>(from.integer(key, 0).value_or(0));
}

void write_record(std::string& out, const core::model_record& r)
{
    object_writer entry(out);
    entry.text("url", r.url)
        .text("path", r.path)
        .text("hash", r.sha256)
        .integer("file_size", static_cast<std::int64_t>(r.size))
        .integer("usage_count", static_cast<std::int64_t>(r.uses));
    write_time(entry, "downloaded_at", r.downloaded);
    write_time(entry, "last_used", r.last_used);
    if (r.pinned)
        entry.boolean("pinned", true);
    if (r.adopted)
        entry.boolean("adopted", true);
    entry.close();
}

// Complaints about single fields are not worth the loss of the entry.
core::model_record read_record(const json::object& from)
{
    complaints ignored;
    reader entry(from, "", ignored);
    core::model_record r;
    r.url = entry.text("url").value_or("");
    r.path = entry.text("path").value_or("");
    r.sha256 = to_lower(entry.text("hash").value_or(""));
    r.size = count_of(entry, "file_size");
    r.uses = count_of(entry, "usage_count");
    r.downloaded = time_of(entry.find("downloaded_at"));
    r.last_used = time_of(entry.find("last_used"));
    r.pinned = entry.boolean("pinned").value_or(false);
    r.adopted = entry.boolean("adopted").value_or(false);
    return r;
}

problem unreadable(std::string why)
{
    return make_problem(problem_code::malformed_json, std::move(why));
}

// A member a line.
class lines {
public:
    explicit lines(std::string& out) : out_(out) {}
    std::string& next(std::string_view key)
    {
        out_ += first_ ? "\n" : ",\n";
        first_ = false;
        append_quoted(out_, key);
        out_ += ": ";
        return out_;
    }

private:
    std::string& out_;
    bool first_ = true;
};

} // namespace

std::string write_registry(const core::model_registry& all, wall_time now)
{
    std::string out = "{";
    lines parts(out);
    for (const auto& [kind, name] : sections) {
        parts.next(name) += '{';
        lines entries(out);
        for (const auto& [key, record] : all) {
            if (key.kind == kind)
                write_record(entries.next(key.name), record);
        }
        out += '}';
    }
    append_quoted(parts.next("last_updated"), format_time(now));
    return out + "\n}\n";
}

parsed<core::model_registry> read_registry(std::string_view text)
{
    const document doc(text);
    if (!doc.ok())
        return unreadable(doc.error());
    const auto* root = doc.root().if_object();
    if (root == nullptr)
        return unreadable("it is " + describe(&doc.root()) + ", not an object");
    core::model_registry all;
    for (const auto& [kind, name] : sections) {
        const auto* section = root->if_contains(name);
        const auto* entries = section != nullptr ? section->if_object() : nullptr;
        if (entries == nullptr)
            continue;
        for (const auto& [entry, value] : *entries) {
            if (const auto* record = value.if_object())
                all.emplace(core::model_key{kind, std::string(entry)}, read_record(*record));
        }
    }
    return all;
}

std::string write_verified(const std::vector<verified_file>& all)
{
    std::string out = "{";
    lines entries(out);
    for (const auto& file : all) {
        object_writer(entries.next(file.path))
            .integer("size", static_cast<std::int64_t>(file.size))
            .integer("inode", static_cast<std::int64_t>(file.inode))
            .integer("modified_ms", file.modified.time_since_epoch().count())
            .text("sha256", file.sha256)
            .close();
    }
    return out + "\n}\n";
}

parsed<std::vector<verified_file>> read_verified(std::string_view text)
{
    const document doc(text);
    if (!doc.ok())
        return unreadable(doc.error());
    const auto* root = doc.root().if_object();
    if (root == nullptr)
        return unreadable("it is " + describe(&doc.root()) + ", not an object");
    std::vector<verified_file> all;
    for (const auto& [path, value] : *root) {
        const auto* about = value.if_object();
        if (about == nullptr)
            continue;
        complaints wrong;
        reader entry(*about, "", wrong);
        verified_file f;
        f.path = std::string(path);
        f.size = count_of(entry, "size");
        f.inode = count_of(entry, "inode");
        f.modified = wall_time(wall_duration(entry.integer("modified_ms").value_or(0)));
        f.sha256 = entry.required_text("sha256").value_or("");
        if (wrong.none())
            all.push_back(std::move(f));
    }
    return all;
}

} // namespace gateway::proto
