#include "config/settings.hpp"

#include "base/text.hpp"
#include "config/derive.hpp"
#include "config/file.hpp"
#include "config/table.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <set>

#include <unistd.h>

namespace gateway::config {

webui_settings::webui_settings()
    : allow_parameters{"styles",
                       "subseed",
                       "subseed_strength",
                       "seed_resize_from_h",
                       "seed_resize_from_w",
                       "eta",
                       "denoising_strength",
                       "s_min_uncond",
                       "s_churn",
                       "s_tmax",
                       "s_tmin",
                       "s_noise",
                       "refiner_checkpoint",
                       "refiner_switch_at",
                       "disable_extra_networks",
                       "enable_hr",
                       "hr_scale",
                       "hr_upscaler",
                       "hr_second_pass_steps",
                       "hr_resize_x",
                       "hr_resize_y",
                       "hr_sampler_name",
                       "hr_scheduler",
                       "hr_prompt",
                       "hr_negative_prompt",
                       "sampler_index",
                       "distilled_cfg_scale",
                       "hr_cfg",
                       "hr_distilled_cfg"},
      allow_overrides{"sd_vae", "CLIP_stop_at_last_layers", "eta_noise_seed_delta",
                      "samples_format"},
      // runpod.md §6, without what changes the WebUI for everybody.
      allow_endpoints{"POST sdapi/v1/txt2img",
                      "POST sdapi/v1/img2img",
                      "POST sdapi/v1/extra-single-image",
                      "POST sdapi/v1/extra-batch-images",
                      "POST sdapi/v1/png-info",
                      "POST sdapi/v1/interrogate",
                      "POST sdapi/v1/refresh-checkpoints",
                      "POST sdapi/v1/refresh-embeddings",
                      "POST sdapi/v1/refresh-loras",
                      "POST sdapi/v1/refresh-vae",
                      "POST controlnet/detect",
                      "GET controlnet/model_list",
                      "GET controlnet/module_list",
                      "GET sdapi/v1/embeddings",
                      "GET sdapi/v1/extensions",
                      "GET sdapi/v1/face-restorers",
                      "GET sdapi/v1/hypernetworks",
                      "GET sdapi/v1/latent-upscale-modes",
                      "GET sdapi/v1/loras",
                      "GET sdapi/v1/memory",
                      "GET sdapi/v1/options",
                      "GET sdapi/v1/prompt-styles",
                      "GET sdapi/v1/realesrgan-models",
                      "GET sdapi/v1/samplers",
                      "GET sdapi/v1/schedulers",
                      "GET sdapi/v1/script-info",
                      "GET sdapi/v1/scripts",
                      "GET sdapi/v1/sd-models",
                      "GET sdapi/v1/sd-vae",
                      "GET sdapi/v1/upscalers"}
{
}

download_settings::download_settings()
    : allow_hosts{"huggingface.co",
                  "hf.co",
                  "*.huggingface.co",
                  "*.hf.co",
                  "civitai.com",
                  "civitai.red",
                  "civitai.green",
                  "b2.civitai.com",
                  "civitai-delivery-worker-prod.*.r2.cloudflarestorage.com"}
{
}

// decisions.md 14: RunPod's three, then the tail of peers.md §5.7.
webhook_settings::webhook_settings()
    : schedule{seconds(0), seconds(10), seconds(20), minutes(5), minutes(30), hours(2),
               hours(5),   hours(10),   hours(14),   hours(20),  hours(24)}
{
}

namespace {

using place = origin::place;

names names_of_all()
{
    names out;
    for (const setting& s : all_settings())
        out.push_back(s.name());
    return out;
}

// Applies one source after the other, lowest first, and collects what is wrong with any of them.
class loader {
public:
    explicit loader(const sources& from) : from_(from)
    {
        for (const setting& s : all_settings())
            out_.origins[s.name()] = {};
    }

    loaded run()
    {
        read_file_text();
        read_environment();
        read_flags();
        derive(out_, from_);
        return std::move(out_);
    }

private:
    void fail(std::string where, std::string what)
    {
        out_.problems.push_back({std::move(where), std::move(what)});
    }

    void put(const setting& s, const found& value, place from, const std::string& where,
             bool add = false)
    {
        const auto& apply = add ? s.append : s.assign;
        if (apply(out_.settings, value)) {
            out_.origins[s.name()] = {from, where};
            return;
        }
        const std::string shown = s.secret ? "a text that is not shown" : show(value);
        fail(to_text(origin{from, where}),
             s.name() + " is " + shown + "; it must be " + s.expected);
    }

    void read_file_text()
    {
        if (!from_.file_text)
            return;
        file_reading read = read_toml(from_.file_name, *from_.file_text);
        for (problem& p : read.problems)
            out_.problems.push_back(std::move(p));
        for (const file_entry& entry : read.entries)
            apply_entry(entry);
    }

    void apply_entry(const file_entry& entry)
    {
        const std::string where = from_.file_name + ':' + std::to_string(entry.line);
        const auto& tables = all_tables();
        const bool known_table = std::any_of(tables.begin(), tables.end(), [&](const auto& table) {
            return table.name == entry.table;
        });
        if (entry.key.empty()) { // a table's own line
            if (!known_table)
                fail(where, "there is no table [" + entry.table + "]" + table_hint(entry.table));
            return;
        }
        if (!entry.table.empty() && !known_table)
            return; // said once, for the table
        const std::string name = entry.table.empty() ? entry.key : entry.table + '.' + entry.key;
        if (const setting* s = find_setting(name))
            put(*s, entry.value, place::file, where);
        else
            fail(where, "there is no setting " + name + key_hint(name));
    }

    static std::string table_hint(const std::string& mistyped)
    {
        names known;
        for (const table_doc& table : all_tables())
            known.push_back(table.name);
        const std::string near = nearest(mistyped, known);
        return near.empty() ? std::string{} : "; did you mean [" + near + "]?";
    }

    // The nearest name in the same table, the same key of another table, or the nearest of all.
    static std::string key_hint(const std::string& mistyped)
    {
        const auto dot = mistyped.find('.');
        const std::string key = dot == mistyped.npos ? mistyped : mistyped.substr(dot + 1);
        names same_table;
        std::string elsewhere;
        for (const setting& s : all_settings()) {
            if (dot != mistyped.npos && s.table == mistyped.substr(0, dot))
                same_table.push_back(s.key);
            if (s.key == key)
                elsewhere = s.name();
        }
        if (const std::string near = nearest(key, same_table); !near.empty())
            return "; did you mean " + mistyped.substr(0, dot + 1) + near + '?';
        const std::string near = elsewhere.empty() ? nearest(mistyped, names_of_all()) : elsewhere;
        return near.empty() ? std::string{} : "; did you mean " + near + '?';
    }

    void read_environment()
    {
        std::set<std::string> ours;
        for (const setting& s : all_settings()) {
            read_variables(s);
            ours.insert(s.variable());
            if (s.secret)
                ours.insert(s.variable() + "_FILE");
        }
        for (const auto& [name, value] : from_.environment) {
            if (name.starts_with(variable_prefix) && !ours.contains(name) && !is_service_link(name))
                refuse_variable(name, ours);
        }
    }

    // Kubernetes gives every container variables about a service called webui-gateway.
    static bool is_service_link(std::string_view name)
    {
        name.remove_prefix(variable_prefix.size());
        return name == "PORT" || name.starts_with("PORT_") || name.starts_with("SERVICE_");
    }

    void refuse_variable(const std::string& name, const std::set<std::string>& ours)
    {
        names known;
        for (const std::string& one : ours)
            known.push_back(to_lower(one));
        std::string near = nearest(name, known);
        std::transform(near.begin(), near.end(), near.begin(),
                       [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
        fail("environment " + name,
             "there is no such setting" + (near.empty() ? "" : "; did you mean " + near + '?'));
    }

    // The setting's own variable, its _FILE form, then the names that others use too. A foreign
    // name is not looked at when something more definite is given.
    void read_variables(const setting& s)
    {
        if (read_variable(s, s.variable(), {}))
            return;
        const bool has_flag =
            std::any_of(from_.flags.begin(), from_.flags.end(), [&](const flag& given) {
                return (!s.flag.empty() && given.name == s.flag) ||
                       (given.name == "--set" && given.value.starts_with(s.name() + '='));
            });
        if (has_flag)
            return;
        for (const alias& other : s.aliases) {
            const auto at = from_.environment.find(other.name);
            const bool is_blank = at != from_.environment.end() && at->second.empty();
            if (!is_blank && read_variable(s, other.name, other.meaning))
                return;
        }
    }

    // Whether the variable, or the file it names, was there.
    bool read_variable(const setting& s, const std::string& name,
                       const std::function<std::string(std::string)>& meaning)
    {
        const auto given = from_.environment.find(name);
        const std::string file_variable = name + "_FILE";
        // auth.keys_file is a setting of its own.
        const bool may_be_file = s.secret && find_setting(s.name() + "_file") == nullptr;
        const auto file =
            may_be_file ? from_.environment.find(file_variable) : from_.environment.end();
        if (given != from_.environment.end() && file != from_.environment.end()) {
            fail("environment " + file_variable, name + " is set too; keep one of them");
            return true;
        }
        if (given != from_.environment.end()) {
            put(s, plain_text{meaning ? meaning(given->second) : given->second}, place::environment,
                name);
            return true;
        }
        if (file == from_.environment.end())
            return false;
        const auto content = from_.read_file(file->second);
        if (content)
            put(s, plain_text{std::string(trim(*content))}, place::environment, file_variable);
        else
            fail("environment " + file_variable,
                 "cannot read " + quoted(file->second) + ": " + content.error().message());
        return true;
    }

    void read_flags()
    {
        std::set<std::string> seen;
        for (const flag& given : from_.flags) {
            if (given.name == "--set")
                read_set(given.value, seen);
            else if (const setting* s = find_flag(given.name))
                put_flag(*s, given.value, given.name, seen);
            else
                fail("flag " + given.name, "there is no such flag" + flag_hint(given.name));
        }
    }

    void read_set(const std::string& text, std::set<std::string>& seen)
    {
        const auto equals = text.find('=');
        const std::string name = text.substr(0, equals);
        const setting* s = find_setting(name);
        if (equals == text.npos)
            fail("flag --set", quoted(text) + " must be table.key=value");
        else if (s == nullptr)
            fail("flag --set", "there is no setting " + name + key_hint(name));
        else
            put_flag(*s, text.substr(equals + 1), "--set " + name, seen);
    }

    // A list collects what its flags bring.
    void put_flag(const setting& s, const std::string& value, const std::string& where,
                  std::set<std::string>& seen)
    {
        const bool again = !seen.insert(s.name()).second;
        put(s, plain_text{value}, place::flag, where, again && s.is_list);
    }

    static const setting* find_flag(const std::string& name)
    {
        const auto& all = all_settings();
        const auto at =
            std::find_if(all.begin(), all.end(), [&](const setting& s) { return s.flag == name; });
        return name.empty() || at == all.end() ? nullptr : &*at;
    }

    static std::string flag_hint(const std::string& mistyped)
    {
        names known;
        for (const flag_help& one : flags())
            known.push_back(one.name);
        const std::string near = nearest(mistyped, known);
        return near.empty() ? std::string{} : "; did you mean " + near + '?';
    }

    const sources& from_;
    loaded out_;
};

// At start-up, before the loop runs: this may block.
result<std::string> read_from_disk(const std::string& path)
{
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                               std::fclose);
    if (!file)
        return error_code(errno, boost::system::generic_category());
    std::string content;
    std::array<char, 4096> piece{};
    for (std::size_t size = 1; size != 0;) {
        size = std::fread(piece.data(), 1, piece.size(), file.get());
        content.append(piece.data(), size);
    }
    if (std::ferror(file.get()) != 0)
        return error_code(errno, boost::system::generic_category());
    return content;
}

std::map<std::string, std::string> whole_environment()
{
    std::map<std::string, std::string> out;
    for (char** at = ::environ; at != nullptr && *at != nullptr; ++at) {
        const std::string_view one(*at);
        const auto equals = one.find('=');
        if (equals != one.npos)
            out.emplace(one.substr(0, equals), one.substr(equals + 1));
    }
    return out;
}

} // namespace

std::string to_text(const origin& o)
{
    switch (o.from) {
    case place::program: return "default";
    case place::file: return o.where;
    case place::environment: return "environment " + o.where;
    case place::flag: return "flag " + o.where;
    }
    return {};
}

std::string to_text(const problem& p) { return p.where + ": " + p.what; }

result<std::string> sources::no_file(const std::string&)
{
    return error_code(ENOENT, boost::system::generic_category());
}

loaded load(const sources& from) { return loader(from).run(); }

loaded load_from_system(const std::string& file_path, std::vector<flag> flags)
{
    sources from;
    from.environment = whole_environment();
    from.flags = std::move(flags);
    from.read_file = read_from_disk;
    from.file_name = file_path;
    result<std::string> text = std::string{};
    if (!file_path.empty())
        text = read_from_disk(file_path);
    if (text && !file_path.empty())
        from.file_text = std::move(*text);
    loaded out = load(from);
    if (!text)
        out.problems.insert(
            out.problems.begin(),
            {"flag --config", "cannot read " + quoted(file_path) + ": " + text.error().message()});
    return out;
}

std::vector<flag_help> flags()
{
    std::vector<flag_help> out;
    for (const setting& s : all_settings()) {
        if (!s.flag.empty())
            out.push_back({s.flag, s.name(), s.doc, s.is_list, s.bare});
    }
    return out;
}

} // namespace gateway::config
