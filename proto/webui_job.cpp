#include "proto/webui_job.hpp"

#include "proto/json.hpp"
#include "proto/text.hpp"
#include "proto/webui_fields.hpp"
#include "proto/webui_route.hpp"
#include "proto/webui_values.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace gateway::proto {

namespace {

using enum field_type;

// --- override_settings ---------------------------------------------------------------------------

// What a client may set without the operator's leave (webui.md §4.2).
constexpr auto safe_overrides = std::to_array<field_rule>({
    {"sd_vae", text},
    {"eta_noise_seed_delta", integer},
    {"eta_ancestral", number},
    {"eta_ddim", number},
    {"randn_source", text},
});

constexpr std::string_view clip_key = "CLIP_stop_at_last_layers";
constexpr std::int64_t most_clip_skip = 12; // layers of the text encoder

// --- Building a job_request ----------------------------------------------------------------------

class input_parser {
public:
    // `model`: the fields of the route that the job goes to.
    input_parser(const json::object& input, std::string path, field_rules model,
                 const input_rules& rules)
        : input_(input),
          path_(std::move(path)),
          model_(model),
          rules_(rules),
          from_(input, path_, wrong_),
          values_(rules)
    {
    }

    parsed<job_request> run()
    {
        read_prompt();
        read_sampler();
        read_checkpoint();
        read_loras();
        read_overrides();
        read_clip_skip();
        for (const auto& rule : model_)
            read_field(rule);
        if (!job_.checkpoint)
            job_.checkpoint = rules_.default_checkpoint;
        read_sizes();
        check_together();
        look_at_unknown();
        if (!wrong_.none())
            return wrong_.as_problem();
        return std::move(job_);
    }

private:
    void read_prompt()
    {
        const auto prompt = from_.text("prompt");
        if (prompt && !values_.too_long(from_, "prompt", *prompt))
            job_.prompt = *prompt;
    }

    void read_sampler()
    {
        const auto name = from_.text("sampler_name");
        const auto index = from_.text("sampler_index"); // older: counts when there is no name
        job_.sampler = name.value_or(index.value_or(""));
        job_.scheduler = from_.text("scheduler").value_or("");
    }

    // --- Models ---

    std::optional<core::model_ref> read_model(reader& file, core::model_kind kind)
    {
        core::model_ref ref;
        ref.kind = kind;
        const auto name = file.required_text("name");
        const auto url = file.required_text("url");
        const auto hash = file.text("hash");
        if (name) {
            auto checked = parse_model_name(*name, kind, rules_.names_in_other_scripts);
            if (checked)
                ref.name = *std::move(checked);
            else
                file.complain("name", checked.error().detail);
        }
        if (url)
            read_url(file, *url, ref);
        if (hash && !hash->empty()) {
            auto checked = parse_model_hash(*hash);
            if (checked)
                ref.sha256 = *std::move(checked);
            else
                file.complain("hash", checked.error().detail);
        }
        if (ref.name.empty() || ref.url.empty())
            return std::nullopt;
        return ref;
    }

    // Which hosts may be asked is decided where the file is fetched (downloads.md §5.1).
    static void read_url(reader& file, std::string_view url, core::model_ref& ref)
    {
        constexpr std::size_t longest = 4096;
        const bool printable = std::all_of(url.begin(), url.end(), [](char c) {
            return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
        });
        if (url.size() > longest)
            file.complain("url", "is longer than 4096 bytes");
        else if (!printable)
            file.complain("url", "holds a space or a control character");
        else
            ref.url = url;
    }

    void read_checkpoint()
    {
        if (const json::object* object = from_.object("checkpoint")) {
            reader file(*object, from_.path_of("checkpoint"), wrong_);
            job_.checkpoint = read_model(file, core::model_kind::checkpoint);
        }
    }

    void read_loras()
    {
        const json::array* list = from_.array("loras");
        if (list == nullptr)
            return;
        if (list->size() > rules_.max_loras) {
            from_.complain("loras", "names " + std::to_string(list->size()) + " LoRAs; at most " +
                                        std::to_string(rules_.max_loras) + " are allowed");
            return;
        }
        for (std::size_t i = 0; i < list->size(); ++i) {
            const std::string path = "loras[" + std::to_string(i) + "]";
            if (const auto* object = (*list)[i].if_object())
                read_lora(*object, from_.path_of(path));
            else
                from_.complain(path, "found " + describe(&(*list)[i]) +
                                         "; an object with name and url is wanted");
        }
    }

    void read_lora(const json::object& object, std::string path)
    {
        reader file(object, std::move(path), wrong_);
        const double limit = rules_.max_lora_scale;
        const auto scale = file.number("scale", -limit, limit);
        auto ref = read_model(file, core::model_kind::lora);
        if (!ref)
            return;
        const bool twice =
            std::any_of(job_.loras.begin(), job_.loras.end(),
                        [&](const lora_use& other) { return iequals(other.file.name, ref->name); });
        if (twice)
            file.complain("name", quoted(ref->name) + " is named twice");
        else
            job_.loras.push_back({*std::move(ref), scale.value_or(1.0)});
    }

    // --- Overrides ---

    void add_override(std::string_view key, std::string value)
    {
        job_.overrides.push_back({std::string(key), std::move(value)});
    }

    void read_overrides()
    {
        const json::object* object = from_.object("override_settings");
        if (object == nullptr)
            return;
        reader overrides(*object, from_.path_of("override_settings"), wrong_);
        for (const auto& [key, value] : *object)
            if (!value.is_null())
                read_override(overrides, {key.data(), key.size()}, value);
        if (from_.find("override_settings_restore_afterwards") != nullptr)
            job_.warnings.push_back(from_.path_of("override_settings_restore_afterwards") +
                                    " is always false here and was ignored");
    }

    bool allows_override(std::string_view key) const
    {
        const auto& all = rules_.allowed_overrides;
        return std::find(all.begin(), all.end(), key) != all.end();
    }

    void read_override(reader& overrides, std::string_view key, const json::value& value)
    {
        const auto* safe = std::find_if(safe_overrides.begin(), safe_overrides.end(),
                                        [&](const field_rule& rule) { return rule.name == key; });
        if (key == "sd_model_checkpoint")
            read_named_checkpoint(overrides);
        else if (key == clip_key)
            read_clip_override(overrides);
        else if (key == "samples_format")
            read_format(overrides);
        else if (allows_override(key))
            add_override(key, to_json(value));
        else if (safe == safe_overrides.end())
            overrides.complain(key, "the operator has not allowed this setting");
        else if (auto checked = values_.read(overrides, *safe))
            add_override(key, *std::move(checked));
    }

    // A checkpoint the WebUI has already, named without saying where it comes from.
    void read_named_checkpoint(reader& overrides)
    {
        const auto name = overrides.required_text("sd_model_checkpoint");
        if (!name)
            return;
        if (from_.find("checkpoint") != nullptr)
            overrides.complain("sd_model_checkpoint",
                               from_.path_of("checkpoint") +
                                   " names the checkpoint already; give one of the two");
        else if (name->size() > 300)
            overrides.complain("sd_model_checkpoint", "is longer than 300 bytes");
        else
            job_.checkpoint =
                core::model_ref{core::model_kind::checkpoint, std::string(*name), {}, {}};
    }

    void read_clip_override(reader& overrides)
    {
        if (const auto layers = overrides.integer(clip_key, 1, most_clip_skip))
            add_override(clip_key, std::to_string(*layers));
    }

    void read_clip_skip()
    {
        const auto layers = from_.integer("clip_skip", 1, most_clip_skip);
        if (!layers)
            return;
        const std::string value = std::to_string(*layers);
        for (const auto& other : job_.overrides)
            if (other.name == clip_key) {
                if (other.value != value)
                    from_.complain("clip_skip", "says " + value + ", but override_settings." +
                                                    std::string(clip_key) + " says " + other.value);
                return;
            }
        add_override(clip_key, value);
    }

    void read_format(reader& overrides)
    {
        const auto format = overrides.text("samples_format");
        if (!format)
            return;
        constexpr std::array<std::string_view, 4> formats{"png", "jpg", "jpeg", "webp"};
        if (std::find(formats.begin(), formats.end(), *format) == formats.end())
            overrides.complain_wanted("samples_format", "png, jpg, jpeg or webp");
        else
            add_override("samples_format", quoted(*format));
    }

    // --- Plain fields ---

    // Scripts are looked at one by one, and arguments are allowed with their script.
    bool may_be_given(const field_rule& rule) const
    {
        if (!rule.gated || rule.type == scripts || rule.type == script ||
            values_.allows_field(rule.name))
            return true;
        const json::value* title = from_.find("script_name");
        return rule.name == "script_args" && title != nullptr && title->is_string() &&
               values_.allows_script(std::string_view(title->get_string()));
    }

    void read_field(const field_rule& rule)
    {
        const bool given = from_.find(rule.name) != nullptr;
        if (given && !may_be_given(rule)) {
            from_.complain(rule.name, "the operator has not allowed this field");
            return;
        }
        if (auto value = values_.read(from_, rule))
            job_.fields.push_back({std::string(rule.name), *std::move(value)});
        else if (rule.name == "denoising_strength" && !given && wants_hires())
            fill_in_denoising();
    }

    // Without it the WebUI ends in a TypeError (webui.md §7 row 26).
    void fill_in_denoising()
    {
        job_.fields.push_back({"denoising_strength", "0.7"});
        job_.warnings.push_back(from_.path_of("denoising_strength") +
                                " is needed with enable_hr; 0.7 was filled in");
    }

    bool wants_hires() const
    {
        const json::value* hires = from_.find("enable_hr");
        return hires != nullptr && hires->is_bool() && hires->get_bool();
    }

    // --- The whole ---

    // Of a field that passed, as it will be sent.
    int sent_int(std::string_view name, int standard) const
    {
        for (const auto& field : job_.fields)
            if (field.name == name)
                return std::atoi(field.value.c_str());
        return standard;
    }

    void read_sizes()
    {
        job_.steps = sent_int("steps", job_.steps);
        job_.width = sent_int("width", job_.width);
        job_.height = sent_int("height", job_.height);
        job_.images = sent_int("batch_size", 1) * sent_int("n_iter", 1);
        job_.hires = wants_hires();
        const json::value* send = from_.find("send_images");
        job_.wants_images = send == nullptr || !send->is_bool() || send->get_bool();
    }

    void check_together()
    {
        if (job_.images > rules_.max_images)
            from_.complain("n_iter", "batch_size × n_iter asks for " + std::to_string(job_.images) +
                                         " pictures; at most " + std::to_string(rules_.max_images) +
                                         " are allowed");
        const json::value* off = from_.find("disable_extra_networks");
        if (off != nullptr && off->is_bool() && off->get_bool() && !job_.loras.empty())
            from_.complain("disable_extra_networks",
                           "true would switch the job's own LoRAs off; leave it out");
    }

    void look_at_unknown()
    {
        constexpr std::array<std::string_view, 3> other_keys{"checkpoint", "loras", "clip_skip"};
        for (const auto& [name, value] : input_) {
            const std::string_view key(name.data(), name.size());
            if (value.is_null() || find_field(model_, key) != nullptr ||
                std::find(other_keys.begin(), other_keys.end(), key) != other_keys.end())
                continue;
            if (key == "init_images" || key == "mask")
                from_.complain(key,
                               R"(this is a field of img2img; the input {"api":{"method":"POST",)"
                               R"("endpoint":"sdapi/v1/img2img"},"payload":{…}} goes there)");
            else
                warn_unknown(key);
        }
    }

    void warn_unknown(std::string_view key)
    {
        constexpr std::size_t enough = 20;
        if (job_.warnings.size() >= enough)
            return;
        std::string warning =
            from_.path_of(key.substr(0, 80)) + " is not a field of the WebUI and was ignored";
        if (const auto meant = meant_field(model_, key); !meant.empty())
            warning += "; did you mean " + std::string(meant) + "?";
        job_.warnings.push_back(std::move(warning));
    }

    const json::object& input_;
    std::string path_;
    field_rules model_;
    const input_rules& rules_;
    complaints wrong_;
    reader from_;
    value_reader values_;
    job_request job_;
};

// Python's SDK wraps an input that it takes for empty once more (runpod.md §3). The WebUI has no
// field of that name, so a lone `input` can mean nothing else.
const json::object& unwrapped(const json::object& input)
{
    const json::value* inner = input.size() == 1 ? input.if_contains("input") : nullptr;
    return inner != nullptr && inner->is_object() ? inner->get_object() : input;
}

request_kind kind_of(const webui_route& route)
{
    if (route.method == "POST" && route.path == "/sdapi/v1/txt2img")
        return request_kind::txt2img;
    if (route.method == "POST" && route.path == "/sdapi/v1/img2img")
        return request_kind::img2img;
    return request_kind::other;
}

parsed<job_request> other_request(webui_route route, const json::object& payload)
{
    complaints wrong;
    check_pictures(payload, "input.payload", wrong);
    if (!wrong.none())
        return wrong.as_problem();
    job_request job;
    job.kind = request_kind::other;
    job.wants_images = false;
    job.steps = 1;
    if (route.method != "GET")
        job.payload = to_json(payload);
    else if (!payload.empty())
        job.warnings.emplace_back("input.payload was ignored: a GET has no body");
    job.route = std::move(route);
    return job;
}

// {"api":{"method":…,"endpoint":…},"payload":{…}}
parsed<job_request> parse_routed_input(const json::object& input, const input_rules& rules)
{
    auto route = read_route(input, rules.allowed_endpoints);
    if (!route)
        return route.error();
    complaints wrong;
    reader from(input, "input", wrong);
    const json::object* given = from.object("payload");
    if (!wrong.none())
        return wrong.as_problem();
    const json::object nothing;
    const json::object& payload = given != nullptr ? *given : nothing;
    const request_kind kind = kind_of(*route);
    if (kind == request_kind::other)
        return other_request(*std::move(route), payload);
    const bool from_image = kind == request_kind::img2img;
    const field_rules model = from_image ? img2img_fields() : txt2img_fields();
    auto job = input_parser(payload, "input.payload", model, rules).run();
    if (!job)
        return job;
    job->kind = kind;
    job->route = *std::move(route);
    if (from_image && payload.if_contains("width") == nullptr)
        job->warnings.emplace_back("input.payload.width and height are 512 when they are not given,"
                                   " whatever the size of the picture");
    return job;
}

} // namespace

core::model_set job_request::models() const
{
    core::model_set all;
    if (checkpoint)
        all.push_back(*checkpoint);
    for (const auto& lora : loras)
        all.push_back(lora.file);
    return all;
}

parsed<job_request> parse_job_input(std::string_view input, const input_rules& rules)
{
    const document text(input);
    if (!text.ok())
        return make_problem(problem_code::malformed_json, "input: " + text.error());
    const json::object* object = text.root().if_object();
    if (object == nullptr)
        return make_problem(problem_code::invalid_request,
                            "input: found " + describe(&text.root()) + "; an object is wanted");
    const json::object& inner = unwrapped(*object);
    if (names_a_route(inner))
        return parse_routed_input(inner, rules);
    return input_parser(inner, "input", txt2img_fields(), rules).run();
}

} // namespace gateway::proto
