// What must be settled before the first step of a generation: settings overridden, models and LoRAs
// in memory, names and images that exist (webui.md §4.2, §4.5, §2.2).

#include "base/text.hpp"
#include "tools/simulator/job.hpp"
#include "tools/simulator/webui.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace gateway::tools::simulator {

namespace {

constexpr std::string_view upscaler_names[] = {"Latent",
                                               "Latent (antialiased)",
                                               "Latent (bicubic)",
                                               "Latent (bicubic antialiased)",
                                               "Latent (nearest)",
                                               "Latent (nearest-exact)",
                                               "None",
                                               "Lanczos",
                                               "Nearest",
                                               "DAT x4",
                                               "ESRGAN_4x",
                                               "LDSR",
                                               "R-ESRGAN 4x+",
                                               "R-ESRGAN 4x+ Anime6B",
                                               "ScuNET GAN",
                                               "SwinIR 4x"};

bool is_local(std::string_view url)
{
    const auto start = url.find("://") + 3;
    const auto host = to_lower(url.substr(start, url.find_first_of(":/?#", start) - start));
    return host == "localhost" || host.starts_with("127.") || host.starts_with("10.") ||
           host.starts_with("192.168.") || host.starts_with("[::1") || host.starts_with("169.254.");
}

std::size_t floored(double side) { return static_cast<std::size_t>(side) / 8 * 8; }

} // namespace

bool is_upscaler(std::string_view name)
{
    const auto* const end = std::end(upscaler_names);
    return std::find(std::begin(upscaler_names), end, name) != end;
}

double denoising(const job& j)
{
    const auto& value = j.fields.at("denoising_strength");
    return value.is_number() ? value.to_number<double>() : std::numeric_limits<double>::quiet_NaN();
}

// --- what a request names ---

// An image as text; the WebUI answers 500 for what is the client's fault (webui.md §2.6).
std::string webui::decoded_image(std::string_view text) const
{
    if (text.starts_with("http://") || text.starts_with("https://")) {
        if (!options_.is_true("api_enable_requests"))
            throw http_exception(500, "Requests not allowed");
        if (options_.is_true("api_forbid_local_requests") && is_local(text))
            throw http_exception(500, "Request to local resource not allowed");
        throw http_exception(500, "Invalid image url");
    }
    auto bytes = from_base64(text);
    if (!bytes || !looks_like_picture(*bytes))
        throw http_exception(500, "Invalid encoded image");
    return std::move(*bytes);
}

void webui::check_init_images(job& j) const
{
    const auto& images = j.fields.at("init_images").get_array();
    if (images.empty())
        throw python_error("IndexError", "list index out of range");
    for (const auto& image : images) {
        const auto* text = image.if_string();
        if (text == nullptr)
            throw python_error("AttributeError", "object has no attribute 'startswith'");
        j.init_digest += short_hash(decoded_image(*text));
    }
    const auto expected = static_cast<std::size_t>(j.batch_size);
    if (images.size() > 1 && images.size() > expected)
        throw python_error("RuntimeError",
                           "bad number of images passed: " + std::to_string(images.size()) +
                               "; expecting " + std::to_string(expected) + " or less");
}

void webui::plan_hires(job& j) const
{
    j.width = j.first_width;
    j.height = j.first_height;
    if (j.is_img2img || !j.flag("enable_hr"))
        return;
    j.hires = true;
    const auto x = j.integer("hr_resize_x");
    const auto y = j.integer("hr_resize_y");
    const auto width = static_cast<double>(j.first_width);
    const auto height = static_cast<double>(j.first_height);
    const double scale =
        j.fields.at("hr_scale").is_number() ? j.fields.at("hr_scale").to_number<double>() : 2.0;
    j.width = x > 0 ? floored(static_cast<double>(x)) : floored(width * scale);
    j.height = y > 0 ? floored(static_cast<double>(y)) : floored(height * scale);
    if (x > 0 && y <= 0)
        j.height = floored(height * static_cast<double>(x) / width);
    if (y > 0 && x <= 0)
        j.width = floored(width * static_cast<double>(y) / height);
}

void webui::check_names(const job& j) const
{
    const auto check_model = [&](std::string_view field) {
        const auto name = j.text(field);
        if (!name.empty() && name != "None" && checkpoints_.find_fuzzy(name) == nullptr)
            throw python_error("Exception", "Could not find checkpoint with name " + name);
    };
    check_model("refiner_checkpoint");
    if (!j.hires)
        return;
    check_model("hr_checkpoint_name");
    const auto upscaler = j.text("hr_upscaler");
    if (!upscaler.empty() && !is_upscaler(upscaler))
        throw python_error("Exception", "could not find upscaler named " + upscaler);
}

// --- overrides ---

// Unknown checkpoints are dropped in silence, other unknown keys are a KeyError (webui.md §4.2).
net::task<> webui::apply_overrides(std::shared_ptr<job> j)
{
    if (const auto* model = j->overrides.if_contains("sd_model_checkpoint")) {
        const auto* name = model->if_string();
        if (name == nullptr || checkpoints_.find(*name) == nullptr)
            j->overrides.stable_erase(j->overrides.find("sd_model_checkpoint"));
    }
    for (const auto& [key, value] : j->overrides) {
        if (options_.knows(key))
            j->old.emplace_back(key, options_.at(key));
    }
    if (!j->overrides.contains("sd_model_checkpoint"))
        co_await load_selected();
    for (const auto& [key, value] : j->overrides) {
        const bool changes = !options_.knows(key) || options_.at(key) != value;
        if (changes && set_.freeze_settings)
            throw python_error("AssertionError", "changing settings is disabled");
        options_.set(key, value);
        if (key == "sd_model_checkpoint")
            co_await load_selected();
    }
    j->clip_skip = static_cast<int>(options_.number("CLIP_stop_at_last_layers", 1));
    j->model = loaded_->stem();
    j->model_hash = loaded_->short_hash();
    co_await find_vae(j);
}

// The options go back; the model stays and is swapped by the next job that wants another one.
void webui::restore_options(const job& j)
{
    if (!j.flag("override_settings_restore_afterwards"))
        return;
    for (const auto& [key, value] : j.old)
        options_.set(key, value);
}

net::task<> webui::find_vae(std::shared_ptr<job> j)
{
    const auto wanted = options_.text("sd_vae");
    const auto found = std::find_if(vaes_.begin(), vaes_.end(), [&](const model_file& v) {
        return v.name == wanted || v.stem() == wanted;
    });
    if (found == vaes_.end())
        co_return;
    const model_file vae = *found;
    j->vae = vae.name;
    const auto hash = co_await hash_of(vae, "vae/" + vae.name, false);
    j->vae_hash = hash.substr(0, 10);
}

// --- LoRAs (webui.md §4.5) ---

namespace {

struct wanted_lora {
    std::string name;
    double multiplier = 1;
};

double python_number(const std::string& text)
{
    const auto stripped = trim(text);
    double out = 0;
    const auto end = stripped.data() + stripped.size();
    const auto [stop, ec] = std::from_chars(stripped.data(), end, out);
    if (stripped.empty() || ec != std::errc{} || stop != end)
        throw python_error("ValueError", "could not convert string to float: " + repr(text));
    return out;
}

// Nothing when one tag is malformed: then none of them is applied.
std::optional<std::vector<wanted_lora>> wanted_loras(const parsed_prompt& prompt)
{
    std::vector<wanted_lora> out;
    for (const auto& tag : prompt.tags) {
        if (tag.kind != "lora" && tag.kind != "lyco")
            continue;
        if (tag.positional.empty())
            return std::nullopt;
        wanted_lora lora{tag.positional[0]};
        try {
            if (tag.positional.size() > 1)
                lora.multiplier = python_number(tag.positional[1]);
            for (const auto& [key, value] : tag.named) {
                if (key == "te" || key == "unet")
                    lora.multiplier = python_number(value);
            }
        } catch (const python_error&) {
            return std::nullopt;
        }
        out.push_back(std::move(lora));
    }
    return out;
}

} // namespace

net::task<> webui::apply_loras(std::shared_ptr<job> j)
{
    const auto wanted = wanted_loras(j->tags);
    if (!wanted || wanted->empty())
        co_return;
    const auto unknown = [this](const wanted_lora& l) { return networks_.find(l.name) == nullptr; };
    if (std::any_of(wanted->begin(), wanted->end(), unknown))
        co_await rescan_networks();
    if (dialect_.unknown_lora_drops_all && std::any_of(wanted->begin(), wanted->end(), unknown))
        co_return;
    std::set<std::string> used;
    for (const auto& lora : *wanted) {
        const auto* found = networks_.find(lora.name);
        if (found == nullptr)
            continue;
        const model_file file = *found;
        const auto hash = co_await hash_of(file, "lora/" + file.name, true);
        if (used.insert(file.name).second && !loras_in_memory_.contains(file.name))
            co_await pause_seconds(static_cast<double>(file.bytes) / 1e9 * set_.load_s_per_gb);
        j->loras += lora.name + ":" + repr(lora.multiplier) + ",";
        if (!hash.empty() && options_.is_true("lora_add_hashes_to_infotext"))
            j->lora_hashes +=
                (j->lora_hashes.empty() ? "" : ", ") + lora.name + ": " + hash.substr(0, 12);
    }
    loras_in_memory_ = std::move(used); // lora_in_memory_limit is 0
}

} // namespace gateway::tools::simulator
