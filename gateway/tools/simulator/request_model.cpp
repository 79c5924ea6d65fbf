#include "tools/simulator/request_model.hpp"

#include <algorithm>
#include <iterator>

namespace gateway::tools::simulator {

namespace {

field text(std::string_view name, json::value value = nullptr)
{
    return {name, field_type::text, std::move(value)};
}
field integer(std::string_view name, json::value value)
{
    return {name, field_type::integer, std::move(value)};
}
field number(std::string_view name, json::value value = nullptr)
{
    return {name, field_type::number, std::move(value)};
}
field flag(std::string_view name, json::value value)
{
    return {name, field_type::flag, std::move(value)};
}
field list(std::string_view name, json::value value = nullptr)
{
    return {name, field_type::list, std::move(value)};
}
field dict(std::string_view name, json::value value = nullptr)
{
    return {name, field_type::dict, std::move(value)};
}
// The ✱ of webui.md §2.1: an explicit null is an error.
field strict(field f)
{
    f.nullable = false;
    return f;
}
field required(field f)
{
    f.nullable = false;
    f.required = true;
    return f;
}

void add(request_model& to, request_model more)
{
    std::move(more.begin(), more.end(), std::back_inserter(to));
}

// The fields both kinds of generation begin with.
request_model common_fields(const dialect& d, const field& denoising_strength)
{
    request_model out{
        text("prompt", ""),
        text("negative_prompt", ""),
        {"styles", field_type::text_list, nullptr},
        integer("seed", -1),
        integer("subseed", -1),
        number("subseed_strength", 0),
        integer("seed_resize_from_h", -1),
        integer("seed_resize_from_w", -1),
        text("sampler_name"),
        text("scheduler"),
        integer("batch_size", 1),
        integer("n_iter", 1),
        integer("steps", 50),
        number("cfg_scale", 7.0),
    };
    if (d.kind == kind::forge)
        out.push_back(number("distilled_cfg_scale", 3.5));
    add(out, {
                 integer("width", 512),
                 integer("height", 512),
                 flag("restore_faces", nullptr),
                 flag("tiling", nullptr),
                 flag("do_not_save_samples", false),
                 flag("do_not_save_grid", false),
                 number("eta"),
                 denoising_strength,
                 number("s_min_uncond"),
                 number("s_churn"),
                 number("s_tmax"),
                 number("s_tmin"),
                 number("s_noise"),
                 dict("override_settings"),
                 flag("override_settings_restore_afterwards", true),
                 text("refiner_checkpoint"),
                 number("refiner_switch_at"),
                 flag("disable_extra_networks", false),
                 text("firstpass_image"),
                 dict("comments"),
             });
    return out;
}

request_model hires_fields(const dialect& d)
{
    request_model out{
        flag("enable_hr", false),
        integer("firstphase_width", 0),
        integer("firstphase_height", 0),
        number("hr_scale", 2.0),
        text("hr_upscaler"),
        integer("hr_second_pass_steps", 0),
        integer("hr_resize_x", 0),
        integer("hr_resize_y", 0),
        text("hr_checkpoint_name"),
    };
    if (d.kind == kind::forge)
        out.push_back(list("hr_additional_modules"));
    add(out, {text("hr_sampler_name"), text("hr_scheduler"), text("hr_prompt", ""),
              text("hr_negative_prompt", "")});
    if (d.kind == kind::forge || d.kind == kind::reforge)
        out.push_back(number("hr_cfg", 1.0));
    if (d.kind == kind::forge)
        out.push_back(number("hr_distilled_cfg", 3.5));
    return out;
}

request_model init_image_fields()
{
    return {
        list("init_images"),
        integer("resize_mode", 0),
        number("image_cfg_scale"),
        text("mask"),
        integer("mask_blur_x", 4),
        integer("mask_blur_y", 4),
        integer("mask_blur", nullptr),
        flag("mask_round", true),
        integer("inpainting_fill", 0),
        flag("inpaint_full_res", true),
        integer("inpaint_full_res_padding", 0),
        integer("inpainting_mask_invert", 0),
        number("initial_noise_multiplier"),
        text("latent_mask"),
    };
}

// The API's own fields, which both kinds of generation end with.
request_model api_fields()
{
    return {
        text("script_name"),
        strict(list("script_args", json::array{})),
        strict(flag("send_images", true)),
        strict(flag("save_images", false)),
        strict(dict("alwayson_scripts", json::object{})),
        text("infotext"),
    };
}

request_model make_txt2img(const dialect& d)
{
    auto out = common_fields(d, number("denoising_strength"));
    add(out, hires_fields(d));
    add(out, {text("force_task_id"), strict(text("sampler_index", "Euler"))});
    add(out, api_fields());
    return out;
}

request_model make_img2img(const dialect& d)
{
    auto out = common_fields(d, strict(number("denoising_strength", 0.75)));
    add(out, init_image_fields());
    add(out, {text("force_task_id"), strict(text("sampler_index", "Euler")),
              strict(flag("include_init_images", false))});
    add(out, api_fields());
    return out;
}

request_model extra_fields()
{
    return {
        strict(integer("resize_mode", 0)),
        strict(flag("show_extras_results", true)),
        strict(number("gfpgan_visibility", 0)),
        strict(number("codeformer_visibility", 0)),
        strict(number("codeformer_weight", 0)),
        strict(number("upscaling_resize", 2)),
        strict(integer("upscaling_resize_w", 512)),
        strict(integer("upscaling_resize_h", 512)),
        strict(flag("upscaling_crop", true)),
        strict(text("upscaler_1", "None")),
        strict(text("upscaler_2", "None")),
        strict(number("extras_upscaler_2_visibility", 0)),
        strict(flag("upscale_first", false)),
    };
}

// One table per dialect, built once.
const request_model& per_dialect(const dialect& d, request_model (*make)(const dialect&),
                                 std::vector<request_model>& kept)
{
    if (kept.empty()) {
        for (const auto k : {kind::a1111_1_10, kind::a1111_1_9, kind::reforge, kind::forge})
            kept.push_back(make(dialect_of(k)));
    }
    return kept[static_cast<std::size_t>(d.kind)];
}

} // namespace

const request_model& txt2img_model(const dialect& d)
{
    static std::vector<request_model> kept;
    return per_dialect(d, make_txt2img, kept);
}

const request_model& img2img_model(const dialect& d)
{
    static std::vector<request_model> kept;
    return per_dialect(d, make_img2img, kept);
}

const request_model& png_info_model()
{
    static const request_model fields{required(text("image"))};
    return fields;
}

const request_model& interrogate_model()
{
    static const request_model fields{strict(text("image", "")), strict(text("model", "clip"))};
    return fields;
}

const request_model& internal_progress_model()
{
    static const request_model fields{text("id_task"), strict(integer("id_live_preview", -1)),
                                      strict(flag("live_preview", true))};
    return fields;
}

const request_model& extra_single_model()
{
    static const request_model fields = [] {
        auto out = extra_fields();
        out.push_back(strict(text("image", "")));
        return out;
    }();
    return fields;
}

const request_model& extra_batch_model()
{
    static const request_model fields = [] {
        auto out = extra_fields();
        out.push_back(required(list("imageList")));
        return out;
    }();
    return fields;
}

} // namespace gateway::tools::simulator
