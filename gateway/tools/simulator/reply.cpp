// What a finished generation looks like: infotext, info, the reply's body, and how a fault spoils
// it (webui.md §2.4).

#include "tools/simulator/job.hpp"
#include "tools/simulator/webui.hpp"

#include <algorithm>
#include <cmath>

namespace gateway::tools::simulator {

namespace {

json::value or_null(const std::string& s)
{
    return s.empty() ? json::value(nullptr) : json::value(s);
}

json::object extra_parameters(const job& j)
{
    json::object out;
    if (j.is_img2img || j.hires)
        out["Denoising strength"] = j.fields.at("denoising_strength");
    if (j.hires) {
        const auto upscaler = j.text("hr_upscaler");
        if (j.integer("hr_resize_x") == 0 && j.integer("hr_resize_y") == 0)
            out["Hires upscale"] = j.fields.at("hr_scale");
        if (const auto steps = j.integer("hr_second_pass_steps"); steps > 0)
            out["Hires steps"] = steps;
        out["Hires upscaler"] = upscaler.empty() ? "Latent" : upscaler;
    }
    if (!j.lora_hashes.empty())
        out["Lora hashes"] = j.lora_hashes;
    return out;
}

bool seeds_vary(const job& j)
{
    const auto& strength = j.fields.at("subseed_strength");
    return strength.is_number() && strength.to_number<double>() != 0;
}

std::int64_t seed_of(const job& j, int index) { return j.seed + (seeds_vary(j) ? 0 : index); }

template <class T> json::array repeated(const T& value, int count)
{
    return json::array(static_cast<std::size_t>(count), json::value(value));
}

// The whole body; written by hand because the images are most of it and need no escaping.
std::string body_of(const std::vector<std::string>& images, const json::object& echo,
                    const json::object& info)
{
    std::string out = "{\"images\":[";
    for (std::size_t i = 0; i < images.size(); ++i) {
        out += i == 0 ? "\"" : ",\"";
        out += to_base64(images[i]);
        out += '"';
    }
    out += "],\"parameters\":" + dump_compact(echo);
    return out + ",\"info\":" + dump_text(dump_spaced(info)) + "}";
}

} // namespace

infotext webui::infotext_of(const job& j, int index) const
{
    infotext out{j.prompt, j.negative_prompt, {}};
    const auto& f = j.fields;
    auto extra = extra_parameters(j);
    json::value strength;
    if (const auto it = extra.find("Denoising strength"); it != extra.end()) {
        strength = it->value();
        extra.stable_erase(it);
    }
    const auto add = [&out](std::string_view key, json::value value) {
        out.parameters.emplace_back(key, std::move(value));
    };
    const auto size =
        std::to_string(j.integer("width")) + "x" + std::to_string(j.integer("height"));
    add("Steps", j.steps);
    add("Sampler", json::value(j.sampler));
    add("Schedule type", json::value(j.scheduler));
    add("CFG scale", f.at("cfg_scale"));
    add("Seed", seed_of(j, index));
    if (j.flag("restore_faces"))
        add("Face restoration", options_.at("face_restoration_model"));
    add("Size", json::value(size));
    add("Model hash", or_null(j.model_hash));
    add("Model", json::value(j.model));
    add("VAE hash", or_null(j.vae_hash));
    add("VAE", or_null(j.vae));
    if (seeds_vary(j)) {
        add("Variation seed", j.subseed + index);
        add("Variation seed strength", f.at("subseed_strength"));
    }
    add("Denoising strength", strength);
    if (j.clip_skip > 1)
        add("Clip skip", j.clip_skip);
    if (j.flag("tiling"))
        add("Tiling", "True");
    for (const auto& [key, value] : extra)
        add(key, value);
    add("Version", json::value(dialect_.version));
    return out;
}

// The keys and their order are processing.py:571-607.
json::object webui::info_of(const job& j) const
{
    const int count = j.n_iter * j.batch_size;
    json::array seeds, subseeds;
    for (int k = 0; k < count; ++k) {
        seeds.emplace_back(seed_of(j, k));
        subseeds.emplace_back(j.subseed + k);
    }
    const auto& f = j.fields;
    const bool restores = j.flag("restore_faces");
    json::array infotexts(j.infotexts.begin(), j.infotexts.end());
    const auto styles = f.at("styles").is_array() ? f.at("styles") : json::array{};
    return {
        {"prompt", j.prompt},
        {"all_prompts", repeated(j.prompt, count)},
        {"negative_prompt", j.negative_prompt},
        {"all_negative_prompts", repeated(j.negative_prompt, count)},
        {"seed", j.seed},
        {"all_seeds", std::move(seeds)},
        {"subseed", j.subseed},
        {"all_subseeds", std::move(subseeds)},
        {"subseed_strength", f.at("subseed_strength")},
        {"width", f.at("width")},
        {"height", f.at("height")},
        {"sampler_name", j.sampler},
        {"cfg_scale", f.at("cfg_scale")},
        {"steps", j.steps},
        {"batch_size", j.batch_size},
        {"restore_faces", restores},
        {"face_restoration_model", restores ? options_.at("face_restoration_model") : nullptr},
        {"sd_model_name", j.model},
        {"sd_model_hash", or_null(j.model_hash)},
        {"sd_vae_name", or_null(j.vae)},
        {"sd_vae_hash", or_null(j.vae_hash)},
        {"seed_resize_from_w", f.at("seed_resize_from_w")},
        {"seed_resize_from_h", f.at("seed_resize_from_h")},
        {"denoising_strength", f.at("denoising_strength")},
        {"extra_generation_params", extra_parameters(j)},
        {"index_of_first_image", j.has_grid ? 1 : 0},
        {"infotexts", std::move(infotexts)},
        {"styles", styles},
        {"job_timestamp", j.timestamp},
        {"clip_skip", j.clip_skip},
        {"is_using_inpainting_conditioning", false},
        {"version", dialect_.version},
    };
}

// With save_images and two pictures or more, all of them in one come first (webui.md §2.4).
net::task<> webui::add_grid(std::shared_ptr<job> j)
{
    const bool wanted = j->flag("save_images") && options_.is_true("grid_save");
    if (!wanted || j->images.size() < 2)
        co_return;
    std::vector<subject> all;
    for (std::size_t i = 0; i < j->images.size(); ++i)
        all.push_back(subject_of(*j, static_cast<int>(i), 1.0));
    auto draw = [all, text = j->infotexts.front()] { return encode_png(paint_grid(all), text); };
    auto png = co_await around_.pixels.run(std::move(draw));
    j->images.insert(j->images.begin(), std::move(png));
    const auto first = j->infotexts.front();
    j->infotexts.insert(j->infotexts.begin(), first);
    j->has_grid = true;
}

net::task<answer> webui::reply(std::shared_ptr<job> j)
{
    const auto format = options_.text("samples_format");
    if (format != "png" && format != "jpg" && format != "jpeg" && format != "webp")
        throw http_exception(500, "Invalid image format");
    answer out;
    if (j->struck_by(fault_kind::html) != nullptr) {
        out.status = 502;
        out.content_type = "text/html";
        out.body = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
                   "<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
        co_return out;
    }
    if (j->struck_by(fault_kind::error200) != nullptr) {
        out.body = R"({"error":"RuntimeError","detail":"","body":"","errors":"simulated"})";
        co_return out;
    }
    const auto info = info_of(*j);
    const bool empty = !j->flag("send_images") || j->struck_by(fault_kind::empty) != nullptr;
    auto pack = [j, info, empty] {
        return body_of(empty ? std::vector<std::string>() : std::move(j->images), j->echo, info);
    };
    out.body = co_await around_.pixels.run(std::move(pack));
    around_.log.reply(j->logged, out.body);
    if (j->struck_by(fault_kind::truncate) != nullptr)
        out.sent = answer::delivery::cut;
    if (j->struck_by(fault_kind::stall) != nullptr)
        out.sent = answer::delivery::stall;
    co_return out;
}

} // namespace gateway::tools::simulator
