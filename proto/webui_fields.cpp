#include "proto/webui_fields.hpp"

#include "proto/text.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace gateway::proto {

namespace {

using enum field_type;

// What both models begin with, what only one of them has, and what both end with.
constexpr auto first = std::to_array<field_rule>({
    {"prompt", ours},
    {"negative_prompt", text},
    {"styles", texts},
    {"seed", integer},
    {"subseed", integer},
    {"subseed_strength", number},
    {"seed_resize_from_h", integer},
    {"seed_resize_from_w", integer},
    {"sampler_name", from_lists},
    {"scheduler", from_lists},
    {"batch_size", integer, field_limit::pictures},
    {"n_iter", integer, field_limit::pictures},
    {"steps", integer, field_limit::steps},
    {"cfg_scale", number},
    {"distilled_cfg_scale", number}, // Forge
    {"width", integer, field_limit::side},
    {"height", integer, field_limit::side},
    {"restore_faces", boolean},
    {"tiling", boolean},
    {"do_not_save_samples", boolean},
    {"do_not_save_grid", boolean},
    {"eta", number},
    {"denoising_strength", number, field_limit::unit},
    {"s_min_uncond", number},
    {"s_churn", number},
    {"s_tmax", number},
    {"s_tmin", number},
    {"s_noise", number},
    {"override_settings", ours},
    {"override_settings_restore_afterwards", ours},
    {"refiner_checkpoint", text},
    {"refiner_switch_at", number, field_limit::unit},
    {"disable_extra_networks", boolean},
    {"firstpass_image", anything, field_limit::none, true},
    {"comments", anything, field_limit::none, true},
});

constexpr auto hires = std::to_array<field_rule>({
    {"enable_hr", boolean},
    {"firstphase_width", integer, field_limit::more_side},
    {"firstphase_height", integer, field_limit::more_side},
    {"hr_scale", number, field_limit::factor},
    {"hr_upscaler", text},
    {"hr_second_pass_steps", integer, field_limit::more_steps},
    {"hr_resize_x", integer, field_limit::more_side},
    {"hr_resize_y", integer, field_limit::more_side},
    {"hr_checkpoint_name", text},
    {"hr_sampler_name", text},
    {"hr_scheduler", text},
    {"hr_prompt", text},
    {"hr_negative_prompt", text},
    {"hr_cfg", number},               // Forge, reForge
    {"hr_distilled_cfg", number},     // Forge
    {"hr_additional_modules", texts}, // Forge
});

constexpr auto init_images = std::to_array<field_rule>({
    {"init_images", pictures},
    {"resize_mode", integer},
    {"image_cfg_scale", number},
    {"mask", picture},
    {"mask_blur_x", integer},
    {"mask_blur_y", integer},
    {"mask_blur", integer},
    {"mask_round", boolean},
    {"inpainting_fill", integer},
    {"inpaint_full_res", boolean},
    {"inpaint_full_res_padding", integer},
    {"inpainting_mask_invert", integer},
    {"initial_noise_multiplier", number},
    {"latent_mask", picture, field_limit::none, true},
    {"include_init_images", boolean},
});

constexpr auto last = std::to_array<field_rule>({
    {"force_task_id", anything, field_limit::none, true},
    {"sampler_index", from_lists},
    {"script_name", script, field_limit::none, true},
    {"script_args", anything, field_limit::none, true},
    {"send_images", boolean},
    {"save_images", anything, field_limit::none, true},
    {"alwayson_scripts", scripts, field_limit::none, true},
    {"infotext", anything, field_limit::none, true},
});

template <std::size_t N> constexpr auto model_with(const std::array<field_rule, N>& own)
{
    std::array<field_rule, first.size() + N + last.size()> all{};
    auto end = std::copy(first.begin(), first.end(), all.begin());
    end = std::copy(own.begin(), own.end(), end);
    std::copy(last.begin(), last.end(), end);
    return all;
}

constexpr auto txt2img = model_with(hires);
constexpr auto img2img = model_with(init_images);

// Names other tools use for the same things.
struct other_name {
    std::string_view theirs;
    std::string_view ours;
};
constexpr auto other_names = std::to_array<other_name>({
    {"num_inference_steps", "steps"},
    {"num_steps", "steps"},
    {"guidance_scale", "cfg_scale"},
    {"cfg", "cfg_scale"},
    {"num_images_per_prompt", "batch_size"},
    {"num_images", "batch_size"},
    {"num_outputs", "batch_size"},
    {"strength", "denoising_strength"},
    {"sampler", "sampler_name"},
    {"model", "checkpoint"},
    {"lora", "loras"},
    {"clipskip", "clip_skip"},
});

} // namespace

field_rules txt2img_fields() { return txt2img; }
field_rules img2img_fields() { return img2img; }

const field_rule* find_field(field_rules model, std::string_view name)
{
    const auto it = std::find_if(model.begin(), model.end(),
                                 [&](const field_rule& rule) { return rule.name == name; });
    return it == model.end() ? nullptr : &*it;
}

std::string_view meant_field(field_rules model, std::string_view unknown)
{
    for (const auto& name : other_names)
        if (name.theirs == unknown)
            return name.ours;
    std::vector<std::string_view> known{"checkpoint", "loras", "clip_skip"};
    for (const auto& rule : model)
        known.push_back(rule.name);
    return nearest(unknown, known);
}

} // namespace gateway::proto
