#include "proto/webui_job.hpp"

#include "proto/golden.hpp"

using namespace gateway;
using namespace gateway::proto;

namespace {

constexpr std::string_view landscape =
    R"({"prompt":"beautiful landscape","negative_prompt":"blurry","width":768,"height":512,"steps":20,)"
    R"("cfg_scale":7.5,"seed":42,"sampler_name":"DPM++ 2M Karras","clip_skip":2,)"
    R"("checkpoint":{"name":"Foo.safetensors","url":"https://example.com/foo"},)"
    R"("loras":[{"name":"landscape.safetensors","url":"https://example.com/l","scale":0.8},)"
    R"({"name":"detail","url":"https://example.com/d","hash":"SHA256:0123456789AB"}]})";

std::string error_of(const std::string& input, const input_rules& rules = {})
{
    const auto job = parse_job_input(input, rules);
    return job ? "accepted" : job.error().detail;
}

std::string body_of(const std::string& input, const input_rules& rules = {})
{
    return request_body(parse_job_input(input, rules).value(), {});
}

std::string lora_named(const std::string& name)
{
    return R"({"loras":[{"name":)" + name + R"(,"url":"https://x/y"}]})";
}

} // namespace

BOOST_AUTO_TEST_SUITE(webui_job_)

BOOST_AUTO_TEST_CASE(a_job_becomes_the_request_of_the_contract)
{
    const auto job = parse_job_input(landscape);
    BOOST_REQUIRE(job);
    const std::string body = request_body(*job, {.checkpoint = "sub/Foo.safetensors",
                                                 .loras = {"landscape", "detail"},
                                                 .sampler = "DPM++ 2M",
                                                 .scheduler = "karras"});
    BOOST_TEST(body == golden("webui/request.json"));
}

BOOST_AUTO_TEST_CASE(a_job_names_its_files)
{
    const auto job = parse_job_input(landscape);
    BOOST_REQUIRE(job);
    const auto files = job->models();
    BOOST_REQUIRE(files.size() == 3U);
    BOOST_TEST((files[0] == core::model_ref{core::model_kind::checkpoint, "Foo",
                                            "https://example.com/foo", ""}));
    BOOST_TEST((files[1] ==
                core::model_ref{core::model_kind::lora, "landscape", "https://example.com/l", ""}));
    BOOST_TEST((files[2] == core::model_ref{core::model_kind::lora, "detail",
                                            "https://example.com/d", "0123456789ab"}));
    BOOST_TEST(job->steps == 20);
    BOOST_TEST(job->width == 768);
    BOOST_TEST(job->sampler == "DPM++ 2M Karras");
    BOOST_TEST(job->warnings.empty());
}

BOOST_AUTO_TEST_CASE(an_empty_input_is_a_job_too)
{
    const auto job = parse_job_input("{}");
    BOOST_REQUIRE(job);
    BOOST_TEST(job->steps == 50);
    BOOST_TEST(request_body(*job, {}) == R"({"prompt":""})");
}

BOOST_AUTO_TEST_CASE(scales_print_as_the_shortest_decimal)
{
    struct {
        std::string_view scale, printed;
    } cases[] = {{"1", "1.0"},
                 {"1.0", "1.0"},
                 {"0.8", "0.8"},
                 {"0.80", "0.8"},
                 {"-0.5", "-0.5"},
                 {"\"0.7\"", "0.7"},
                 {"5", "5.0"},
                 {"0", "0.0"},
                 {"0.1", "0.1"},
                 {"null", "1.0"},
                 {"11.951115364959717e-1", "1.1951115364959717"}};
    for (const auto& c : cases) {
        const auto job =
            parse_job_input(R"({"prompt":"x","loras":[{"name":"a","url":"https://x/y","scale":)" +
                            std::string(c.scale) + "}]}");
        BOOST_REQUIRE_MESSAGE(job.has_value(), c.scale);
        BOOST_TEST(lora_prompt(*job, {"a"}) == "<lora:a:" + std::string(c.printed) + "> x");
    }
}

BOOST_AUTO_TEST_CASE(a_lora_that_could_not_be_had_is_left_out_of_the_prompt)
{
    const auto job = parse_job_input(landscape).value();
    BOOST_TEST(lora_prompt(job, {"", "detail"}) == "<lora:detail:1.0> beautiful landscape");
    BOOST_TEST(lora_prompt(job, {"", ""}) == "beautiful landscape");
    BOOST_TEST(lora_prompt(job, {}) == "beautiful landscape");
}

BOOST_AUTO_TEST_CASE(a_prompt_with_tags_is_trimmed_and_one_without_is_left_alone)
{
    const auto with =
        parse_job_input(R"({"prompt":"","loras":[{"name":"a","url":"https://x/y"}]})");
    BOOST_TEST(lora_prompt(*with, {"a"}) == "<lora:a:1.0>");
    BOOST_TEST(body_of(R"({"prompt":"  x "})") == R"({"prompt":"  x "})");
}

BOOST_AUTO_TEST_CASE(wrong_input_is_refused_with_path_value_and_remedy)
{
    struct {
        std::string input;
        std::string_view error;
    } cases[] = {
        {R"({"prompt":["x"]})", "input.prompt: found an array; a text is wanted"},
        {R"({"steps":20.7})",
         "input.steps: found the number 20.7; a whole number from 1 to 1000 is wanted"},
        {R"({"steps":0})",
         "input.steps: found the number 0; a whole number from 1 to 1000 is wanted"},
        {R"({"width":1e9})",
         "input.width: found the number 1e+09; a whole number from 8 to 8192 is wanted"},
        {R"({"batch_size":8,"n_iter":9})",
         "input.n_iter: batch_size × n_iter asks for 72 pictures; at most 64 are allowed"},
        {R"({"tiling":"yes"})", R"(input.tiling: found the text "yes"; true or false is wanted)"},
        {R"({"styles":"x"})", R"(input.styles: found the text "x"; an array is wanted)"},
        {R"({"styles":[1]})", "input.styles: a list of texts is wanted"},
        {R"({"checkpoint":"Foo"})",
         R"(input.checkpoint: found the text "Foo"; an object is wanted)"},
        {R"({"checkpoint":{"name":"Foo"}})",
         "input.checkpoint.url: found nothing; a text that is not empty is wanted"},
        {R"({"loras":{}})", "input.loras: found an object; an array is wanted"},
        {R"({"loras":["a"]})",
         R"(input.loras[0]: found the text "a"; an object with name and url is wanted)"},
        {R"({"loras":[{"name":"a","url":"https://x/y"},{"name":"b","url":"https://x/y"},{"name":"c","url":"https://x/y","scale":"big"}]})",
         R"(input.loras[2].scale: found the text "big"; a number from -5.0 to 5.0 is wanted)"},
        {R"({"loras":[{"name":"a","url":"https://x/y","scale":5.1}]})",
         "input.loras[0].scale: found the number 5.1; a number from -5.0 to 5.0 is wanted"},
        {R"({"loras":[{"name":"a","url":"https://x/y"},{"name":"A.pt","url":"https://x/z"}]})",
         R"(input.loras[1].name: "A" is named twice)"},
        {R"({"loras":[{"name":"a","url":"https://x/ y"}]})",
         "input.loras[0].url: holds a space or a control character"},
        {R"({"clip_skip":0})",
         "input.clip_skip: found the number 0; a whole number from 1 to 12 is wanted"},
        {R"({"clip_skip":2,"override_settings":{"CLIP_stop_at_last_layers":3}})",
         "input.clip_skip: says 2, but override_settings.CLIP_stop_at_last_layers says 3"},
        {R"({"override_settings":{"outdir_samples":"/etc"}})",
         "input.override_settings.outdir_samples: the operator has not allowed this setting"},
        {R"({"override_settings":{"samples_format":"gif"}})",
         R"(input.override_settings.samples_format: found the text "gif"; png, jpg, jpeg or webp is wanted)"},
        {R"({"checkpoint":{"name":"a","url":"https://x/y"},"override_settings":{"sd_model_checkpoint":"b"}})",
         "input.override_settings.sd_model_checkpoint: input.checkpoint names the checkpoint "
         "already; "
         "give one of the two"},
        {R"({"init_images":["AA"]})",
         R"(input.init_images: this is a field of img2img; the input {"api":{"method":"POST",)"
         R"("endpoint":"sdapi/v1/img2img"},"payload":{…}} goes there)"},
        {R"({"disable_extra_networks":true,"loras":[{"name":"a","url":"https://x/y"}]})",
         "input.disable_extra_networks: true would switch the job's own LoRAs off; leave it out"},
        {"[]", "input: found an array; an object is wanted"},
        {"{", "input: not JSON: cut short at byte 1"},
    };
    for (const auto& c : cases)
        BOOST_TEST(error_of(c.input) == c.error);
}

BOOST_AUTO_TEST_CASE(every_wrong_field_is_named_at_once)
{
    const auto job = parse_job_input(R"({"steps":"x","width":[],"loras":[{"name":"a:b"}]})");
    BOOST_REQUIRE(!job);
    BOOST_TEST(job.error().errors.size() == 4U);
}

BOOST_AUTO_TEST_CASE(dangerous_fields_need_the_operators_leave)
{
    for (const std::string field : {"script_args", "save_images", "force_task_id",
                                    "firstpass_image", "infotext", "comments"}) {
        const std::string input = "{\"" + field + "\":{\"x\":[1]}}";
        BOOST_TEST(error_of(input) ==
                   "input." + field + ": the operator has not allowed this field");
        input_rules rules;
        rules.allowed_fields = {field};
        BOOST_TEST(body_of(input, rules) == "{\"prompt\":\"\",\"" + field + "\":{\"x\":[1]}}");
    }
}

BOOST_AUTO_TEST_CASE(scripts_are_allowed_one_by_one)
{
    const std::string control = R"({"alwayson_scripts":{"controlnet":{"args":[{"weight":1}]}}})";
    const std::string grid = R"({"script_name":"X/Y/Z plot","script_args":[1]})";
    input_rules rules;
    rules.allowed_scripts = {"ControlNet", "x/y/z plot"};

    BOOST_TEST(error_of(control) ==
               R"(input.alwayson_scripts: the operator has not allowed the script "controlnet" )"
               "(webui.allow_scripts)");
    BOOST_TEST(error_of(R"({"script_name":"X/Y/Z plot"})") ==
               R"(input.script_name: the operator has not allowed the script "X/Y/Z plot" )"
               "(webui.allow_scripts)");
    BOOST_TEST(body_of(control, rules) ==
               R"({"prompt":"","alwayson_scripts":{"controlnet":{"args":[{"weight":1}]}}})");
    BOOST_TEST(body_of(grid, rules) ==
               R"({"prompt":"","script_name":"X/Y/Z plot","script_args":[1]})");
    BOOST_TEST(error_of(R"({"alwayson_scripts":{"controlnet":{},"other":{}}})", rules) ==
               R"(input.alwayson_scripts: the operator has not allowed the script "other" )"
               "(webui.allow_scripts)");
    rules = {};
    rules.allowed_fields = {"alwayson_scripts"};
    BOOST_TEST(error_of(control, rules) == "accepted");
}

BOOST_AUTO_TEST_CASE(scripts_cannot_make_the_webui_fetch_or_read)
{
    const auto with = [](const std::string& unit) {
        input_rules rules;
        rules.allowed_scripts = {"ControlNet"};
        return error_of(R"({"alwayson_scripts":{"controlnet":{"args":[)" + unit + "]}}}", rules);
    };
    const std::string place = "input.alwayson_scripts.controlnet.args[0].";

    BOOST_TEST(with(R"({"image":"iVBORw0KGgo=","model":"None"})") == "accepted");
    BOOST_TEST(with(R"({"image":""})") == "accepted");
    BOOST_TEST(with(R"({"image":"/etc/passwd"})") ==
               place + "image: does not begin as a PNG, JPEG or WebP picture in base64 does");
    BOOST_TEST(with(R"({"model":"HTTP://10.0.0.1/x"})").starts_with(place + "model: is a URL"));
}

BOOST_AUTO_TEST_CASE(known_safe_settings_pass_and_others_by_leave)
{
    BOOST_TEST(
        body_of(R"({"override_settings":{"sd_vae":"Automatic","eta_noise_seed_delta":31337}})") ==
        R"({"prompt":"","override_settings":{"sd_vae":"Automatic","eta_noise_seed_delta":31337},)"
        R"("override_settings_restore_afterwards":false})");
    input_rules rules;
    rules.allowed_overrides = {"outdir_samples"};
    BOOST_TEST(error_of(R"({"override_settings":{"outdir_samples":"/x"}})", rules) == "accepted");
}

BOOST_AUTO_TEST_CASE(a_checkpoint_may_be_named_without_a_source)
{
    const auto job =
        parse_job_input(R"({"override_settings":{"sd_model_checkpoint":"sub/Foo.safetensors"}})");
    BOOST_REQUIRE(job);
    BOOST_TEST(job->checkpoint->name == "sub/Foo.safetensors");
    BOOST_TEST(job->checkpoint->url == "");
    BOOST_TEST(job->overrides.empty());
}

BOOST_AUTO_TEST_CASE(a_default_checkpoint_stands_in)
{
    input_rules rules;
    rules.default_checkpoint =
        core::model_ref{core::model_kind::checkpoint, "base", "https://x/base", ""};
    BOOST_TEST(parse_job_input("{}", rules)->checkpoint->name == "base");
    BOOST_TEST(parse_job_input(landscape, rules)->checkpoint->name == "Foo");
}

BOOST_AUTO_TEST_CASE(names_of_other_tools_are_warned_about)
{
    const auto job =
        parse_job_input(R"({"num_inference_steps":25,"guidance_scale":7,"witdh":512,"banana":1})");
    BOOST_REQUIRE(job);
    const std::vector<std::string> expected{
        "input.num_inference_steps is not a field of the WebUI and was ignored; did you mean "
        "steps?",
        "input.guidance_scale is not a field of the WebUI and was ignored; did you mean cfg_scale?",
        "input.witdh is not a field of the WebUI and was ignored; did you mean width?",
        "input.banana is not a field of the WebUI and was ignored",
    };
    BOOST_TEST(job->warnings == expected, boost::test_tools::per_element());
    BOOST_TEST(request_body(*job, {}) == R"({"prompt":""})");
}

BOOST_AUTO_TEST_CASE(hires_gets_the_denoising_it_needs)
{
    BOOST_TEST(body_of(R"({"enable_hr":true,"hr_scale":2})") ==
               R"({"prompt":"","denoising_strength":0.7,"enable_hr":true,"hr_scale":2})");
    BOOST_TEST(body_of(R"({"enable_hr":true,"denoising_strength":0.4})") ==
               R"({"prompt":"","denoising_strength":0.4,"enable_hr":true})");
}

BOOST_AUTO_TEST_CASE(values_the_webui_would_convert_are_converted_here)
{
    BOOST_TEST(body_of(R"({"steps":"20","width":640.0,"cfg_scale":"7.5","eta":0,"seed":-1})") ==
               R"({"prompt":"","seed":-1,"steps":20,"cfg_scale":7.5,"width":640,"eta":0})");
}

BOOST_AUTO_TEST_CASE(an_input_that_python_wrapped_twice_is_unwrapped)
{
    BOOST_TEST(body_of(R"({"input":{"prompt":"x"}})") == R"({"prompt":"x"})");
    const auto both = parse_job_input(R"({"input":{"prompt":"x"},"prompt":"y"})");
    BOOST_TEST(both->prompt == "y");
    BOOST_TEST(both->warnings.size() == 1U);
}

BOOST_AUTO_TEST_CASE(the_older_sampler_field_counts_when_there_is_no_other)
{
    BOOST_TEST(parse_job_input(R"({"sampler_index":"Euler a"})")->sampler == "Euler a");
    BOOST_TEST(parse_job_input(R"({"sampler_index":"Euler","sampler_name":"Heun"})")->sampler ==
               "Heun");
}

BOOST_AUTO_TEST_CASE(pictures_may_be_left_out_of_the_reply)
{
    BOOST_TEST(!parse_job_input(R"({"send_images":false})")->wants_images);
    BOOST_TEST(parse_job_input("{}")->wants_images);
}

BOOST_AUTO_TEST_CASE(prompts_and_lists_have_limits)
{
    input_rules rules;
    rules.max_prompt_bytes = 10;
    rules.max_loras = 1;
    BOOST_TEST(error_of(R"({"prompt":"12345678901"})", rules) ==
               "input.prompt: is 11 bytes long; at most 10 are allowed");
    BOOST_TEST(error_of(R"({"loras":[{},{}]})", rules) ==
               "input.loras: names 2 LoRAs; at most 1 are allowed");
}

BOOST_AUTO_TEST_CASE(good_names_lose_a_known_extension)
{
    struct {
        std::string_view raw, name;
    } cases[] = {{"a", "a"},
                 {"Foo.safetensors", "Foo"},
                 {"Foo.v1.5.CKPT", "Foo.v1.5"},
                 {"Foo v1_2 (fixed)+b-c", "Foo v1_2 (fixed)+b-c"},
                 {"9lives", "9lives"}};
    for (const auto& c : cases)
        BOOST_TEST(parse_model_name(c.raw, core::model_kind::lora).value() == c.name);
}

BOOST_AUTO_TEST_CASE(names_that_could_leave_the_folder_or_break_a_tag_are_refused)
{
    const std::string too_long = "\"" + std::string(121, 'a') + "\"";
    for (const std::string& name : std::vector<std::string>{
             R"("../evil")",  R"("a/b")",     R"("a\\b")",  R"("a:b")",    R"("a>b")",
             R"("a<b")",      R"("a=b")",     R"("a,b")",   R"("a|b")",    R"("a*b")",
             R"("a?b")",      R"("a'b")",     R"("a\"b")",  R"("a[b]")",   R"("a\nb")",
             R"("a\u0000b")", R"(".hidden")", R"(" a")",    R"("a ")",     R"("a.")",
             R"("a..b")",     R"("CON")",     R"("nul.x")", R"("com1")",   R"("a.part")",
             R"("a.TMP")",    R"("a.meta")",  R"("none")",  R"("Addams")", R"(".safetensors")",
             R"("é")",        R"("-a")",      R"("_a")",    too_long})
        BOOST_TEST(error_of(lora_named(name)).starts_with("input.loras[0].name: "), name);
    BOOST_TEST(
        error_of(lora_named(R"("a/b")")) ==
        R"(input.loras[0].name: "a/b" cannot name a model file: "/" is not allowed; letters, )"
        R"(digits, spaces and ._()+- are)");
    BOOST_TEST(parse_model_name("none", core::model_kind::checkpoint).has_value());
}

BOOST_AUTO_TEST_CASE(other_scripts_are_allowed_by_configuration)
{
    BOOST_TEST(parse_model_name("日本 é", core::model_kind::lora, true).has_value());
    for (const std::string_view bad : {"a\u200bb", "a\ue000", "a\u3000b", "×a", "a\xff"})
        BOOST_TEST(!parse_model_name(bad, core::model_kind::lora, true).has_value());
}

BOOST_AUTO_TEST_CASE(hashes_are_sha256_whole_or_by_their_first_digits)
{
    const std::string whole(64, 'A');
    BOOST_TEST(parse_model_hash(whole).value() == std::string(64, 'a'));
    BOOST_TEST(parse_model_hash("sha256:0123456789").value() == "0123456789");
    for (const std::string_view bad :
         {"", "xyz", "01234567", "0123456789abc", "autov3:0123456789ab", "0123456789g"})
        BOOST_TEST(!parse_model_hash(bad).has_value(), bad);
    BOOST_TEST(parse_model_hash("01234567").error().detail.find("AutoV1") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_warm_up_is_the_smallest_picture)
{
    BOOST_TEST(warm_up_body() == R"({"prompt":"test","steps":1,"width":64,"height":64})");
}

BOOST_AUTO_TEST_SUITE_END()
