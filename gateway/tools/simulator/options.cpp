#include "tools/simulator/options.hpp"

namespace gateway::tools::simulator {

namespace {

json::object defaults()
{
    return {
        {"samples_save", true},
        {"samples_format", "png"},
        {"samples_filename_pattern", ""},
        {"save_images_add_number", true},
        {"grid_save", true},
        {"grid_format", "png"},
        {"grid_extended_filename", false},
        {"grid_only_if_multiple", true},
        {"n_rows", -1},
        {"enable_pnginfo", true},
        {"jpeg_quality", 80},
        {"webp_lossless", false},
        {"img_max_size_mp", 200},
        {"temp_dir", ""},
        {"outdir_samples", ""},
        {"outdir_txt2img_samples", "outputs/txt2img-images"},
        {"outdir_img2img_samples", "outputs/img2img-images"},
        {"outdir_extras_samples", "outputs/extras-images"},
        {"outdir_grids", ""},
        {"outdir_save", "log/images"},
        {"save_to_dirs", true},
        {"directories_filename_pattern", "[date]"},
        {"ESRGAN_tile", 192},
        {"ESRGAN_tile_overlap", 8},
        {"upscaler_for_img2img", nullptr},
        {"face_restoration", false},
        {"face_restoration_model", "CodeFormer"},
        {"code_former_weight", 0.5},
        {"api_enable_requests", true},
        {"api_forbid_local_requests", true},
        {"api_useragent", ""},
        {"show_warnings", false},
        {"memmon_poll_rate", 8},
        {"multiple_tqdm", true},
        {"sd_model_checkpoint", nullptr},
        {"sd_checkpoints_limit", 1},
        {"sd_checkpoints_keep_in_cpu", true},
        {"sd_checkpoint_cache", 0},
        {"sd_unet", "Automatic"},
        {"enable_quantization", false},
        {"emphasis", "Original"},
        {"enable_batch_seeds", true},
        {"comma_padding_backtrack", 20},
        {"upcast_attn", false},
        {"randn_source", "GPU"},
        {"tiling", false},
        {"CLIP_stop_at_last_layers", 1},
        {"sd_vae", "Automatic"},
        {"sd_vae_overrides_per_model_preferences", true},
        {"sd_vae_checkpoint_cache", 0},
        {"inpainting_mask_weight", 1.0},
        {"initial_noise_multiplier", 1.0},
        {"img2img_fix_steps", false},
        {"img2img_color_correction", false},
        {"return_mask", false},
        {"return_mask_composite", false},
        {"cross_attention_optimization", "Automatic"},
        {"s_min_uncond", 0.0},
        {"token_merging_ratio", 0.0},
        {"eta_ddim", 0.0},
        {"eta_ancestral", 1.0},
        {"s_churn", 0.0},
        {"s_tmin", 0.0},
        {"s_tmax", 0.0},
        {"s_noise", 1.0},
        {"eta_noise_seed_delta", 0},
        {"always_discard_next_to_last_sigma", false},
        {"sd_noise_schedule", "Default"},
        {"extra_networks_default_multiplier", 1.0},
        {"sd_lora", "None"},
        {"lora_preferred_name", "Alias from file"},
        {"lora_add_hashes_to_infotext", true},
        {"lora_show_all", false},
        {"lora_in_memory_limit", 0},
        {"add_model_hash_to_info", true},
        {"add_model_name_to_info", true},
        {"add_vae_hash_to_info", true},
        {"add_vae_name_to_info", true},
        {"add_version_to_infotext", true},
        {"live_previews_enable", true},
        {"live_previews_image_format", "png"},
        {"show_progress_grid", true},
        {"show_progress_every_n_steps", 10},
        {"show_progress_type", "Approx NN"},
        {"live_preview_refresh_period", 1000},
        {"interrupt_after_current", true},
        {"disabled_extensions", json::array{}},
        {"disable_all_extensions", "none"},
        {"sd_checkpoint_hash", ""},
    };
}

} // namespace

option_set::option_set(const dialect& d) : values_(defaults())
{
    if (d.kind == kind::reforge)
        values_["reforge_pin_memory"] = false;
    if (d.kind == kind::forge) {
        values_["forge_preset"] = "sd";
        values_["forge_additional_modules"] = json::array{};
        values_["forge_inference_memory"] = 1024;
    }
}

const json::value& option_set::at(std::string_view key) const
{
    const auto* value = values_.if_contains(key);
    if (value == nullptr)
        throw python_error("KeyError", repr(key));
    return *value;
}

std::string option_set::text(std::string_view key) const
{
    const auto& value = at(key);
    return value.is_string() ? std::string(value.get_string()) : std::string();
}

bool option_set::is_true(std::string_view key) const
{
    const auto* flag = at(key).if_bool();
    return flag != nullptr && *flag;
}

double option_set::number(std::string_view key, double otherwise) const
{
    const auto& value = at(key);
    if (!value.is_number())
        return otherwise;
    return value.to_number<double>();
}

void option_set::set(std::string_view key, json::value value)
{
    auto* place = values_.if_contains(key);
    if (place == nullptr)
        throw python_error("KeyError", repr(key));
    *place = std::move(value);
}

json::object option_set::shown() const
{
    json::object out = values_;
    for (auto& [key, value] : out) {
        if (const auto* integer = value.if_int64())
            value = static_cast<double>(*integer);
    }
    return out;
}

} // namespace gateway::tools::simulator
