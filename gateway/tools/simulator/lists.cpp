// GET endpoints that describe what there is (webui.md §2.5), and the routing table.

#include "base/text.hpp"
#include "tools/simulator/route.hpp"

#include <unistd.h>

#include <algorithm>

namespace gateway::tools::simulator {

namespace {

json::array strings(const std::vector<std::string_view>& all)
{
    json::array out;
    for (const auto s : all)
        out.emplace_back(s);
    return out;
}

json::value or_null(const std::string& s)
{
    return s.empty() ? json::value(nullptr) : json::value(s);
}

// Selectable scripts and the ones that always run, by their lower-case titles.
const json::array& txt2img_scripts()
{
    static const json::array all{"prompt matrix", "prompts from file or textbox",
                                 "x/y/z plot",    "comments",
                                 "refiner",       "sampler",
                                 "seed",          "extra options",
                                 "hypertile"};
    return all;
}

const json::array& img2img_scripts()
{
    static const json::array all{"img2img alternative test",
                                 "loopback",
                                 "outpainting mk2",
                                 "poor man's outpainting",
                                 "prompt matrix",
                                 "prompts from file or textbox",
                                 "sd upscale",
                                 "x/y/z plot",
                                 "comments",
                                 "refiner",
                                 "sampler",
                                 "seed",
                                 "extra options",
                                 "hypertile",
                                 "soft inpainting"};
    return all;
}

constexpr std::size_t selectable_in_txt2img = 3;
constexpr std::size_t selectable_in_img2img = 8;

} // namespace

// webui.md §2.6: unknown titles, and selectable scripts where only always-on ones belong.
void webui::check_scripts(const json::object& fields, bool img2img) const
{
    const auto& all = img2img ? img2img_scripts() : txt2img_scripts();
    const auto selectable = img2img ? selectable_in_img2img : selectable_in_txt2img;
    const auto index_of = [&](std::string_view name) {
        const auto title = to_lower(name);
        const auto it = std::find(all.begin(), all.end(), json::value(title));
        if (it == all.end())
            throw http_exception(422, "Script '" + std::string(name) + "' not found");
        return static_cast<std::size_t>(it - all.begin());
    };
    if (const auto* name = fields.at("script_name").if_string(); name != nullptr && !name->empty())
        index_of(*name);
    for (const auto& [name, arguments] : fields.at("alwayson_scripts").get_object()) {
        if (index_of(name) < selectable)
            throw http_exception(422,
                                 "Cannot have a selectable script in the always on scripts params");
    }
}

const std::vector<route>& webui::routes()
{
    using r = route;
    static const std::vector<route> table{
        {"GET", "/", r::page, r::on_loop, &webui::root},
        {"GET", "/openapi.json", r::page, r::on_loop, &webui::openapi},
        {"GET", "/docs", r::page, r::on_loop, &webui::docs},
        {"POST", "/internal/progress", r::internal, r::after_reading, &webui::internal_progress},
        {"GET", "/internal/pending-tasks", r::internal, r::on_thread, &webui::pending_tasks},
        {"GET", "/internal/ping", r::internal, r::on_thread, &webui::ping},
        {"POST", "/sdapi/v1/txt2img", r::api, r::after_reading, &webui::txt2img},
        {"POST", "/sdapi/v1/img2img", r::api, r::after_reading, &webui::img2img},
        {"POST", "/sdapi/v1/extra-single-image", r::api, r::after_reading, &webui::extra_single},
        {"POST", "/sdapi/v1/extra-batch-images", r::api, r::after_reading, &webui::extra_batch},
        {"POST", "/sdapi/v1/png-info", r::api, r::after_reading, &webui::png_info},
        {"GET", "/sdapi/v1/progress", r::api, r::after_reading, &webui::get_progress},
        {"POST", "/sdapi/v1/interrogate", r::api, r::after_reading, &webui::interrogate},
        {"POST", "/sdapi/v1/interrupt", r::api, r::on_thread, &webui::post_interrupt},
        {"POST", "/sdapi/v1/skip", r::api, r::on_thread, &webui::post_skip},
        {"GET", "/sdapi/v1/options", r::api, r::on_thread, &webui::get_options},
        {"POST", "/sdapi/v1/options", r::api, r::after_reading, &webui::post_options},
        {"GET", "/sdapi/v1/cmd-flags", r::api, r::on_thread, &webui::get_cmd_flags},
        {"GET", "/sdapi/v1/samplers", r::api, r::on_thread, &webui::get_samplers},
        {"GET", "/sdapi/v1/schedulers", r::api, r::on_thread, &webui::get_schedulers},
        {"GET", "/sdapi/v1/upscalers", r::api, r::on_thread, &webui::get_upscalers},
        {"GET", "/sdapi/v1/latent-upscale-modes", r::api, r::on_thread, &webui::get_latent_modes},
        {"GET", "/sdapi/v1/sd-models", r::api, r::on_thread, &webui::get_models},
        {"GET", "/sdapi/v1/sd-vae", r::vae_list, r::on_thread, &webui::get_vaes},
        {"GET", "/sdapi/v1/sd-modules", r::module_list, r::on_thread, &webui::get_modules},
        {"GET", "/sdapi/v1/hypernetworks", r::api, r::on_thread, &webui::get_hypernetworks},
        {"GET", "/sdapi/v1/face-restorers", r::api, r::on_thread, &webui::get_face_restorers},
        {"GET", "/sdapi/v1/realesrgan-models", r::api, r::on_thread, &webui::get_realesrgan},
        {"GET", "/sdapi/v1/prompt-styles", r::api, r::on_thread, &webui::get_styles},
        {"GET", "/sdapi/v1/embeddings", r::api, r::on_thread, &webui::get_embeddings},
        {"POST", "/sdapi/v1/refresh-embeddings", r::api, r::on_thread, &webui::refresh_embeddings},
        {"POST", "/sdapi/v1/refresh-checkpoints", r::api, r::on_thread,
         &webui::refresh_checkpoints},
        {"POST", "/sdapi/v1/refresh-vae", r::vae_list, r::on_thread, &webui::refresh_vae},
        {"GET", "/sdapi/v1/memory", r::api, r::on_thread, &webui::get_memory},
        {"POST", "/sdapi/v1/unload-checkpoint", r::api, r::on_thread, &webui::unload_checkpoint},
        {"POST", "/sdapi/v1/reload-checkpoint", r::api, r::on_thread, &webui::reload_checkpoint},
        {"GET", "/sdapi/v1/scripts", r::api, r::on_thread, &webui::get_scripts},
        {"GET", "/sdapi/v1/script-info", r::api, r::on_thread, &webui::get_script_info},
        {"GET", "/sdapi/v1/extensions", r::api, r::on_thread, &webui::get_extensions},
        {"POST", "/sdapi/v1/server-kill", r::server_stop, r::on_thread, &webui::server_kill},
        {"POST", "/sdapi/v1/server-restart", r::server_stop, r::on_thread, &webui::server_restart},
        {"POST", "/sdapi/v1/server-stop", r::server_stop, r::on_thread, &webui::server_stop},
        {"GET", "/sdapi/v1/loras", r::extension, r::on_loop, &webui::get_loras},
        {"POST", "/sdapi/v1/refresh-loras", r::extension, r::on_loop, &webui::refresh_loras},
    };
    return table;
}

// --- pages ---

net::task<answer> webui::root(net::request&)
{
    answer out;
    out.content_type = "text/html; charset=utf-8";
    out.body = "<!doctype html><html><head><title>Stable Diffusion</title></head>"
               "<body><gradio-app></gradio-app></body></html>";
    co_return out;
}

net::task<answer> webui::docs(net::request&)
{
    answer out;
    out.content_type = "text/html; charset=utf-8";
    out.body = "<!DOCTYPE html><html><head><title>FastAPI - Swagger UI</title></head>"
               "<body><div id=\"swagger-ui\"></div></body></html>";
    co_return out;
}

// Made at the first fetch and kept: fetched too early it never learns of /sdapi (webui.md §1.3).
net::task<answer> webui::openapi(net::request&)
{
    if (cached_schema_.empty()) {
        json::object paths;
        for (const auto& r : routes()) {
            if (!exists(r) || r.part == route::page)
                continue;
            auto& item = paths[r.path];
            if (!item.is_object())
                item.emplace_object();
            const json::object ok{{"description", "Successful Response"}};
            item.get_object()[r.method == "GET" ? "get" : "post"] = json::object{
                {"responses", json::object{{"200", ok}}},
            };
        }
        cached_schema_ = dump_compact({{"openapi", "3.0.2"},
                                       {"info", {{"title", "FastAPI"}, {"version", "0.1.0"}}},
                                       {"paths", std::move(paths)}});
    }
    answer out;
    out.body = cached_schema_;
    co_return out;
}

net::task<answer> webui::ping(net::request&) { co_return answer::json(json::object{}); }

// --- lists ---

net::task<answer> webui::get_samplers(net::request&)
{
    json::array out;
    for (const auto& s : samplers(dialect_)) {
        json::object options;
        if (!s.scheduler.empty())
            options["scheduler"] = s.scheduler;
        out.push_back(
            {{"name", s.name}, {"aliases", strings(s.aliases)}, {"options", std::move(options)}});
    }
    co_return answer::json(std::move(out));
}

net::task<answer> webui::get_schedulers(net::request&)
{
    json::array out;
    for (const auto& s : schedulers(dialect_)) {
        const auto aliases = s.aliases.empty() ? json::value(nullptr) : strings(s.aliases);
        out.push_back({{"name", s.name},
                       {"label", s.label},
                       {"aliases", aliases},
                       {"default_rho", s.default_rho},
                       {"need_inner_model", s.need_inner_model}});
    }
    co_return answer::json(std::move(out));
}

net::task<answer> webui::get_upscalers(net::request&)
{
    json::array out;
    for (const auto* name : {"None", "Lanczos", "Nearest", "DAT x4", "ESRGAN_4x", "LDSR",
                             "R-ESRGAN 4x+", "R-ESRGAN 4x+ Anime6B", "ScuNET GAN", "SwinIR 4x"}) {
        out.push_back({{"name", name},
                       {"model_name", nullptr},
                       {"model_path", nullptr},
                       {"model_url", nullptr},
                       {"scale", 4.0}});
    }
    co_return answer::json(std::move(out));
}

net::task<answer> webui::get_latent_modes(net::request&)
{
    json::array out;
    for (const auto* name :
         {"Latent", "Latent (antialiased)", "Latent (bicubic)", "Latent (bicubic antialiased)",
          "Latent (nearest)", "Latent (nearest-exact)"})
        out.push_back(json::object{{"name", name}});
    co_return answer::json(std::move(out));
}

net::task<answer> webui::get_models(net::request&)
{
    if (faults_.next_list())
        throw python_error("RuntimeError", "dictionary changed size during iteration");
    json::array out;
    for (const auto& c : checkpoints_.all()) {
        out.push_back({{"title", c.title()},
                       {"model_name", c.model_name},
                       {"hash", or_null(c.short_hash())},
                       {"sha256", or_null(c.sha256)},
                       {"filename", c.path},
                       {"config", or_null(c.config)}});
    }
    co_return answer::json(std::move(out));
}

net::task<answer> webui::get_vaes(net::request&)
{
    json::array out;
    for (const auto& v : vaes_)
        out.push_back({{"model_name", v.name}, {"filename", v.path}});
    co_return answer::json(std::move(out));
}

net::task<answer> webui::get_modules(net::request& req) { return get_vaes(req); }

net::task<answer> webui::get_hypernetworks(net::request&) { co_return answer::json(json::array{}); }

net::task<answer> webui::get_face_restorers(net::request&)
{
    co_return answer::json(json::array{
        {{"name", "CodeFormer"}, {"cmd_dir", nullptr}},
        {{"name", "GFPGAN"}, {"cmd_dir", nullptr}},
    });
}

net::task<answer> webui::get_realesrgan(net::request&)
{
    const auto row = [](std::string_view name) {
        return json::object{{"name", name}, {"path", nullptr}, {"scale", 4}};
    };
    co_return answer::json(json::array{row("R-ESRGAN 4x+"), row("R-ESRGAN 4x+ Anime6B")});
}

net::task<answer> webui::get_styles(net::request&) { co_return answer::json(json::array{}); }

net::task<answer> webui::get_extensions(net::request&) { co_return answer::json(json::array{}); }

net::task<answer> webui::get_embeddings(net::request&)
{
    json::object loaded;
    for (const auto& e : embeddings_) {
        loaded[e.stem()] = {{"step", nullptr},
                            {"sd_checkpoint", nullptr},
                            {"sd_checkpoint_name", nullptr},
                            {"shape", 768},
                            {"vectors", 1}};
    }
    co_return answer::json({{"loaded", std::move(loaded)}, {"skipped", json::object{}}});
}

net::task<answer> webui::get_loras(net::request&)
{
    json::array out;
    for (const auto& [name, n] : networks_.all())
        out.push_back(
            {{"name", name}, {"alias", n.alias}, {"path", n.path}, {"metadata", n.metadata}});
    co_return answer::json(std::move(out));
}

net::task<answer> webui::get_cmd_flags(net::request&)
{
    const auto colon = set_.listen.rfind(':');
    co_return answer::json({
        {"data_dir", set_.models_dir.parent_path().string()},
        {"ckpt_dir", folders_.checkpoints.string()},
        {"lora_dir", folders_.loras.string()},
        {"embeddings_dir", folders_.embeddings.string()},
        {"vae_dir", folders_.vaes.string()},
        {"port", set_.listen.substr(colon + 1)},
        {"server_name", set_.listen.substr(0, colon)},
        {"api", set_.api},
        {"api_auth", or_null(set_.api_auth)},
        {"gradio_auth", nullptr},
        {"nowebui", set_.startup == startup_mode::nowebui},
        {"no_hashing", set_.no_hashing},
        {"no_download_sd_model", set_.no_download_sd_model},
        {"skip_load_model_at_start", set_.skip_load_model_at_start},
        {"freeze_settings", set_.freeze_settings},
        {"api_server_stop", set_.api_server_stop},
    });
}

net::task<answer> webui::get_memory(net::request&)
{
    // Each switch leaves some of the old model behind (webui.md §4.4).
    constexpr std::int64_t gib = 1LL << 30;
    const std::int64_t total = 64 * gib;
    const std::int64_t used = std::min(total, 8 * gib + switches_ * gib / 2);
    const std::int64_t vram = 24 * gib;
    const std::int64_t model = loaded_ ? static_cast<std::int64_t>(loaded_->bytes) : 0;
    const json::object level{{"current", model}, {"peak", model + gib}};
    co_return answer::json({
        {"ram", {{"free", total - used}, {"used", used}, {"total", total}}},
        {"cuda",
         {{"system", {{"free", vram - model}, {"used", model}, {"total", vram}}},
          {"active", level},
          {"allocated", level},
          {"reserved", level},
          {"inactive", {{"current", 0}, {"peak", 0}}},
          {"events", {{"retries", 0}, {"oom", 0}}}}},
    });
}

net::task<answer> webui::get_scripts(net::request&)
{
    co_return answer::json({{"txt2img", txt2img_scripts()}, {"img2img", img2img_scripts()}});
}

net::task<answer> webui::get_script_info(net::request&)
{
    json::array out;
    const auto add = [&out](const json::array& names, std::size_t selectable, bool img2img) {
        for (std::size_t i = 0; i < names.size(); ++i)
            out.push_back({{"name", names[i]},
                           {"is_alwayson", i >= selectable},
                           {"is_img2img", img2img},
                           {"args", json::array{}}});
    };
    add(txt2img_scripts(), selectable_in_txt2img, false);
    add(img2img_scripts(), selectable_in_img2img, true);
    co_return answer::json(std::move(out));
}

} // namespace gateway::tools::simulator
