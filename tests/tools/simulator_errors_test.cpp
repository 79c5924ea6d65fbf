// webui.md §2.6, row by row: which body and status each refusal and each failure has.

#include "tools/simulated_webui.hpp"

using namespace gateway;
using gateway::test::golden;
using gateway::test::simulated_webui;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view json_type = "Content-Type: application/json\r\n";

} // namespace

BOOST_FIXTURE_TEST_SUITE(simulator_errors_, simulated_webui)

BOOST_AUTO_TEST_CASE(row_2_6_404_route_missing_before_and_after_the_api_is_there)
{
    set.startup = tools::simulator::startup_mode::full_ui;
    open_port();
    const auto early = api_get("sd-models");
    run(ui->finish_startup());
    advance(10s);
    const auto late = api_get("no-such-route");

    for (const auto& r : {early, late}) {
        BOOST_TEST(r.status == 404);
        BOOST_TEST(r.body == golden("not_found.json"));
    }
    BOOST_TEST(api_get("sd-models").status == 200);
}

BOOST_AUTO_TEST_CASE(row_2_6_405_names_the_other_method_and_needs_no_login)
{
    set.api_auth = "user:secret";
    started();

    const auto r = api_get("txt2img");

    BOOST_TEST(r.status == 405);
    BOOST_TEST(r.body == golden("method_not_allowed.json"));
    BOOST_TEST(r.header("allow") == "POST");
}

BOOST_AUTO_TEST_CASE(row_2_6_307_a_trailing_slash_is_redirected)
{
    started();

    const auto r = api_get("sd-models/?a=b");

    BOOST_TEST(r.status == 307);
    BOOST_TEST(r.header("location") == "http://h/sdapi/v1/sd-models?a=b");
    BOOST_TEST(r.body == "");
}

BOOST_AUTO_TEST_CASE(row_2_6_401_says_why_but_never_www_authenticate)
{
    set.api_auth = "user:secret,other:more";
    started();

    const auto none = api_get("options");
    const auto wrong =
        finish(send("GET", "/sdapi/v1/options", "", "Authorization: Basic dXNlcjp4\r\n"));
    const auto right =
        finish(send("GET", "/sdapi/v1/options", "", "Authorization: Basic b3RoZXI6bW9yZQ==\r\n"));

    BOOST_TEST(none.status == 401);
    BOOST_TEST(none.body == golden("not_authenticated.json"));
    BOOST_TEST(none.header("www-authenticate") == "");
    BOOST_TEST(wrong.status == 401);
    BOOST_TEST(wrong.body == golden("wrong_login.json"));
    BOOST_TEST(right.status == 200);
    BOOST_TEST(api_get("loras").status == 200); // extensions are not covered
}

BOOST_AUTO_TEST_CASE(row_2_6_422_schema)
{
    started();

    const auto r = api_post("txt2img", R"({"steps":"many"})");

    BOOST_TEST(r.status == 422);
    BOOST_TEST(r.body == golden("not_an_integer.json"));
}

BOOST_AUTO_TEST_CASE(row_2_6_422_bad_json_echoes_the_whole_body)
{
    started();

    const auto r = api_post("txt2img", R"({"prompt":)");

    BOOST_TEST(r.status == 422);
    BOOST_TEST(r.body == golden("bad_json.json"));
}

BOOST_AUTO_TEST_CASE(row_2_6_422_empty_body)
{
    started();

    const auto r = api_post("txt2img");

    BOOST_TEST(r.status == 422);
    BOOST_TEST(r.body == golden("empty_body.json"));
}

BOOST_AUTO_TEST_CASE(row_2_6_422_text_is_no_json_but_a_missing_type_is)
{
    started();
    const auto body = job("\"prompt\":\"a\"");

    const auto text =
        finish(send("POST", "/sdapi/v1/txt2img", body, "Content-Type: text/plain\r\n"));
    const auto untyped = finish(send("POST", "/sdapi/v1/txt2img", body, ""));

    BOOST_TEST(text.status == 422);
    BOOST_TEST(text.body == golden("not_a_dict.json"));
    BOOST_TEST(untyped.status == 200);
}

BOOST_AUTO_TEST_CASE(row_2_6_422_unknown_scripts_have_a_detail_of_text)
{
    started();

    const auto selected = generate("\"script_name\":\"x\"");
    const auto always_on = generate(R"("alwayson_scripts":{"x":{"args":[]}})");
    const auto misplaced = generate(R"("alwayson_scripts":{"X/Y/Z plot":{"args":[]}})");
    const auto known = generate(R"("alwayson_scripts":{"Refiner":{"args":[]}})");

    BOOST_TEST(selected.status == 422);
    BOOST_TEST(selected.body == golden("script_not_found.json"));
    BOOST_TEST(always_on.body == golden("script_not_found.json"));
    BOOST_TEST(misplaced.body == golden("selectable_script.json"));
    BOOST_TEST(known.status == 200);
}

BOOST_AUTO_TEST_CASE(row_2_6_404_missing_init_image_is_business)
{
    started();

    const auto r = api_post("img2img", "{}");

    BOOST_TEST(r.status == 404);
    BOOST_TEST(r.body == golden("init_image_missing.json"));
    BOOST_TEST(api_post("interrogate", R"({"image":""})").status == 404);
}

BOOST_AUTO_TEST_CASE(row_2_6_404_sampler_not_found_up_to_1_9)
{
    set.dialect = tools::simulator::kind::a1111_1_9;
    started();

    const auto r = generate("\"sampler_name\":\"DPM++ 2M Karras\"");

    BOOST_TEST(r.status == 404);
    BOOST_TEST(r.body == golden("sampler_not_found.json"));
    BOOST_TEST(generate("\"sampler_name\":\"DPM++ 2M\"").status == 200);
}

BOOST_AUTO_TEST_CASE(row_2_6_500_bad_images_although_the_client_is_to_blame)
{
    started();

    const auto mask = api_post("img2img", R"({"init_images":["AA=="],"mask":"%%%"})");
    const auto image = api_post("img2img", job(R"("init_images":["bm90IGEgcGljdHVyZQ=="])"));
    const auto local = api_post("img2img", job(R"("init_images":["http://127.0.0.1/a.png"])"));
    api_post("options", R"({"samples_format":"tiff"})");
    const auto format = generate();

    BOOST_TEST(mask.status == 500);
    BOOST_TEST(mask.body == golden("invalid_image.json"));
    BOOST_TEST(image.body == golden("invalid_image.json"));
    BOOST_TEST(local.body == golden("local_image.json"));
    BOOST_TEST(format.status == 500);
    BOOST_TEST(format.at("/detail") == "Invalid image format");
}

BOOST_AUTO_TEST_CASE(row_2_6_500_out_of_memory)
{
    set.faults = "oom@1";
    started();

    const auto r = generate();

    BOOST_TEST(r.status == 500);
    BOOST_TEST(r.at("/error") == "OutOfMemoryError");
    BOOST_TEST(r.at("/detail") == "");
    BOOST_TEST(std::string(r.at("/errors").as_string())
                   .starts_with("CUDA out of memory. Tried to allocate 20.00 MiB"));
    BOOST_TEST(r.header("x-process-time") == ""); // unhandled exceptions leave the middleware
    BOOST_TEST(generate().status == 200);
}

BOOST_AUTO_TEST_CASE(row_2_6_500_nans)
{
    set.faults = "nan";
    started();

    const auto r = generate();

    BOOST_TEST(r.status == 500);
    BOOST_TEST(r.at("/error") == "NansException");
}

BOOST_AUTO_TEST_CASE(row_2_6_500_other_exceptions_by_name_and_text)
{
    started();
    struct {
        std::string_view more, type, text;
    } const rows[] = {
        {R"("override_settings":{"k":1})", "KeyError", "'k'"},
        {R"("enable_hr":true,"denoising_strength":0.5,"hr_upscaler":"x")", "Exception",
         "could not find upscaler named x"},
        {R"("refiner_checkpoint":"nobody")", "Exception",
         "Could not find checkpoint with name nobody"},
        {R"("enable_hr":true)", "TypeError",
         "'<' not supported between instances of 'float' and 'NoneType'"},
    };
    for (const auto& row : rows) {
        const auto r = generate(row.more);
        BOOST_TEST(r.status == 500);
        BOOST_TEST(r.text("/error") == row.type);
        BOOST_TEST(r.text("/errors") == row.text);
    }
    BOOST_TEST(api_post("options", R"({"k":1})").body == golden("key_error.json"));
    BOOST_TEST(api_post("options", R"({"sd_model_checkpoint":"x"})").at("/errors") ==
               "model 'x' not found");
}

BOOST_AUTO_TEST_CASE(row_2_6_500_frozen_settings_are_an_assertion_error)
{
    set.freeze_settings = true;
    started();

    const auto option = api_post("options", R"({"CLIP_stop_at_last_layers":2})");
    const auto overridden = generate(R"("override_settings":{"CLIP_stop_at_last_layers":2})");

    for (const auto& r : {option, overridden}) {
        BOOST_TEST(r.status == 500);
        BOOST_TEST(r.at("/error") == "AssertionError");
        BOOST_TEST(r.at("/errors") == "changing settings is disabled");
    }
}

BOOST_AUTO_TEST_CASE(row_2_6_reset_when_the_process_is_killed)
{
    set.api_server_stop = true;
    started();

    const auto r = api_post("server-kill");

    BOOST_TEST(r.status == -1);
    BOOST_TEST(quits.size() == 1u);
}

BOOST_AUTO_TEST_CASE(row_2_6_502_html_is_a_proxys)
{
    set.faults = "html@1";
    started();

    const auto r = generate();

    BOOST_TEST(r.status == 502);
    BOOST_TEST(r.header("content-type") == "text/html");
}

BOOST_AUTO_TEST_CASE(row_2_6_400_cors_preflight_of_a_stranger)
{
    set.cors_allow_origins = "http://friend";
    started();
    const std::string ask = "Access-Control-Request-Method: POST\r\nOrigin: http://";

    const auto stranger = finish(send("OPTIONS", "/sdapi/v1/txt2img", "", ask + "stranger\r\n"));
    const auto a_friend = finish(send("OPTIONS", "/sdapi/v1/txt2img", "", ask + "friend\r\n"));

    BOOST_TEST(stranger.status == 400);
    BOOST_TEST(stranger.body == "Disallowed CORS origin");
    BOOST_TEST(a_friend.status == 200);
    BOOST_TEST(a_friend.header("access-control-allow-origin") == "http://friend");
}

BOOST_AUTO_TEST_CASE(a_login_that_is_missing_is_noticed_before_the_body_is_judged)
{
    set.api_auth = "user:secret";
    started();

    BOOST_TEST(finish(send("POST", "/sdapi/v1/txt2img", R"({"steps":"x"})", json_type)).status ==
               401);
}

BOOST_AUTO_TEST_SUITE_END()
