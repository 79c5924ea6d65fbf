#include "proto/webui_lists.hpp"

#include "proto/json.hpp"

#include <algorithm>

namespace gateway::proto {

namespace {

problem unreadable(std::string_view what, std::string_view why)
{
    return make_problem(problem_code::bad_backend_reply,
                        std::string(what) + ": " + std::string(why));
}

// Text of a member, or nothing when it is absent, null or something else: what a WebUI says about
// itself is never refused for a field we can do without.
std::string text_or_empty(const json::object& from, std::string_view key)
{
    const json::value* found = from.if_contains({key.data(), key.size()});
    const json::string* text = found == nullptr ? nullptr : found->if_string();
    return text == nullptr ? std::string() : std::string(text->data(), text->size());
}

bool bool_or_false(const json::object& from, std::string_view key)
{
    const json::value* found = from.if_contains({key.data(), key.size()});
    return found != nullptr && found->is_bool() && found->get_bool();
}

std::optional<double> number_of(const json::object& from, std::string_view key)
{
    complaints nobody;
    return reader(from, {}, nobody).number(key);
}

double number_or_zero(const json::object& from, std::string_view key)
{
    return number_of(from, key).value_or(0);
}

int int_or_zero(const json::object& from, std::string_view key)
{
    return static_cast<int>(std::clamp(number_or_zero(from, key), -1e6, 1e9));
}

std::optional<std::uint64_t> bytes_of(const json::object* from, std::string_view key)
{
    if (from == nullptr)
        return std::nullopt;
    const auto number = number_of(*from, key);
    if (!number || *number < 0 || *number > 1e18)
        return std::nullopt;
    return static_cast<std::uint64_t>(*number);
}

const json::object* object_of(const json::object& from, std::string_view key)
{
    const json::value* found = from.if_contains({key.data(), key.size()});
    return found == nullptr ? nullptr : found->if_object();
}

std::vector<std::string> texts_of(const json::object& from, std::string_view key)
{
    std::vector<std::string> texts;
    const json::value* found = from.if_contains({key.data(), key.size()});
    const json::array* array = found == nullptr ? nullptr : found->if_array();
    if (array == nullptr)
        return texts;
    for (const auto& item : *array)
        if (const auto* text = item.if_string())
            texts.emplace_back(text->data(), text->size());
    return texts;
}

// Reads a list of objects, each by `entry_of`. Entries without a name are left out.
template <class Entry, class Read>
parsed<std::vector<Entry>> parse_list(std::string_view what, std::string_view body, Read entry_of)
{
    const document reply(body);
    if (!reply.ok())
        return unreadable(what, reply.error());
    const json::array* list = reply.root().if_array();
    if (list == nullptr)
        return unreadable(what, "found " + describe(&reply.root()) + "; an array is wanted");
    std::vector<Entry> entries;
    entries.reserve(list->size());
    for (const auto& item : *list)
        if (const auto* object = item.if_object())
            if (std::optional<Entry> entry = entry_of(*object))
                entries.push_back(std::move(*entry));
    return entries;
}

template <class Value, class Read>
parsed<Value> parse_object(std::string_view what, std::string_view body, Read value_of)
{
    const document reply(body);
    if (!reply.ok())
        return unreadable(what, reply.error());
    const json::object* object = reply.root().if_object();
    if (object == nullptr)
        return unreadable(what, "found " + describe(&reply.root()) + "; an object is wanted");
    return value_of(*object);
}

// The table of webui.md §3.3. The last picture is decoded while progress stands still near 1.
progress_phase phase_of(const progress_report& report)
{
    if (report.idle() || report.job_count == 0)
        return progress_phase::queued;
    if (report.job_count < 0)
        return progress_phase::loading;
    const bool last = report.job_no + 1 >= report.job_count;
    const bool steps_over = report.steps > 0 && report.step >= report.steps;
    if (report.progress >= 0.995 || (last && steps_over))
        return progress_phase::decoding;
    return progress_phase::sampling;
}

} // namespace

parsed<std::vector<checkpoint_entry>> parse_checkpoints(std::string_view body)
{
    const auto read = [](const json::object& o) -> std::optional<checkpoint_entry> {
        checkpoint_entry entry{text_or_empty(o, "title"), text_or_empty(o, "model_name"),
                               text_or_empty(o, "hash"), text_or_empty(o, "sha256"),
                               text_or_empty(o, "filename")};
        if (entry.title.empty() && entry.model_name.empty())
            return std::nullopt;
        return entry;
    };
    return parse_list<checkpoint_entry>("sd-models", body, read);
}

parsed<std::vector<lora_entry>> parse_loras(std::string_view body)
{
    const auto read = [](const json::object& o) -> std::optional<lora_entry> {
        lora_entry entry{text_or_empty(o, "name"), text_or_empty(o, "alias"),
                         text_or_empty(o, "path")};
        if (entry.name.empty())
            return std::nullopt;
        return entry;
    };
    return parse_list<lora_entry>("loras", body, read);
}

parsed<std::vector<sampler_entry>> parse_samplers(std::string_view body)
{
    const auto read = [](const json::object& o) -> std::optional<sampler_entry> {
        sampler_entry entry{text_or_empty(o, "name"), texts_of(o, "aliases")};
        if (entry.name.empty())
            return std::nullopt;
        return entry;
    };
    return parse_list<sampler_entry>("samplers", body, read);
}

parsed<std::vector<scheduler_entry>> parse_schedulers(std::string_view body)
{
    const auto read = [](const json::object& o) -> std::optional<scheduler_entry> {
        scheduler_entry entry{text_or_empty(o, "name"), text_or_empty(o, "label"),
                              texts_of(o, "aliases")};
        if (entry.name.empty())
            return std::nullopt;
        return entry;
    };
    return parse_list<scheduler_entry>("schedulers", body, read);
}

parsed<backend_options> parse_options(std::string_view body)
{
    const auto read = [](const json::object& o) -> parsed<backend_options> {
        backend_options options;
        options.checkpoint = text_or_empty(o, "sd_model_checkpoint");
        options.samples_format = text_or_empty(o, "samples_format");
        if (const auto* previews = o.if_contains("live_previews_enable"))
            if (const auto* on = previews->if_bool())
                options.live_previews = *on;
        options.is_reforge = std::any_of(o.begin(), o.end(), [](const auto& member) {
            return member.key().starts_with("reforge_");
        });
        return options;
    };
    return parse_object<backend_options>("options", body, read);
}

parsed<backend_flags> parse_cmd_flags(std::string_view body)
{
    const auto read = [](const json::object& o) -> parsed<backend_flags> {
        backend_flags flags;
        flags.data_dir = text_or_empty(o, "data_dir");
        flags.models_dir = text_or_empty(o, "models_dir");
        flags.ckpt_dir = text_or_empty(o, "ckpt_dir");
        flags.lora_dir = text_or_empty(o, "lora_dir");
        flags.vae_dir = text_or_empty(o, "vae_dir");
        flags.embeddings_dir = text_or_empty(o, "embeddings_dir");
        flags.no_hashing = bool_or_false(o, "no_hashing");
        flags.freeze_settings = bool_or_false(o, "freeze_settings");
        flags.nowebui = bool_or_false(o, "nowebui");
        return flags;
    };
    return parse_object<backend_flags>("cmd-flags", body, read);
}

parsed<backend_memory> parse_memory(std::string_view body)
{
    const auto read = [](const json::object& o) -> parsed<backend_memory> {
        backend_memory memory;
        const json::object* ram = object_of(o, "ram");
        memory.ram_used = bytes_of(ram, "used");
        memory.ram_total = bytes_of(ram, "total");
        if (const json::object* cuda = object_of(o, "cuda")) {
            const json::object* system = object_of(*cuda, "system");
            memory.cuda_used = bytes_of(system, "used");
            memory.cuda_total = bytes_of(system, "total");
            memory.cuda_oom = bytes_of(object_of(*cuda, "events"), "oom");
        }
        return memory;
    };
    return parse_object<backend_memory>("memory", body, read);
}

parsed<progress_report> parse_progress(std::string_view body)
{
    const auto read = [](const json::object& o) -> parsed<progress_report> {
        progress_report report;
        report.progress = std::clamp(number_or_zero(o, "progress"), 0.0, 1.0);
        report.eta_seconds = std::max(0.0, number_or_zero(o, "eta_relative"));
        const json::object* state = object_of(o, "state");
        if (state == nullptr)
            return unreadable("progress", "`state` is missing");
        report.job = text_or_empty(*state, "job");
        report.job_timestamp = text_or_empty(*state, "job_timestamp");
        report.job_count = int_or_zero(*state, "job_count");
        report.job_no = int_or_zero(*state, "job_no");
        report.step = int_or_zero(*state, "sampling_step");
        report.steps = int_or_zero(*state, "sampling_steps");
        report.interrupted = bool_or_false(*state, "interrupted");
        report.skipped = bool_or_false(*state, "skipped");
        report.phase = phase_of(report);
        return report;
    };
    return parse_object<progress_report>("progress", body, read);
}

std::string_view to_text(progress_phase phase)
{
    switch (phase) {
    case progress_phase::queued: return "queued";
    case progress_phase::loading: return "loading";
    case progress_phase::sampling: return "sampling";
    case progress_phase::decoding: break;
    }
    return "decoding";
}

} // namespace gateway::proto
