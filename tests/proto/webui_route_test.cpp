#include "proto/webui_route.hpp"

#include "proto/golden.hpp"

using namespace gateway::proto;

namespace {

constexpr std::string_view png = "iVBORw0KGgoAAAANSUhEUg==";

input_rules rules()
{
    input_rules r;
    r.allowed_endpoints = {"POST sdapi/v1/txt2img", "POST sdapi/v1/img2img",
                           "POST sdapi/v1/png-info", "GET sdapi/v1/samplers"};
    return r;
}

std::string call(const std::string& method, const std::string& endpoint, const std::string& payload)
{
    return R"({"api":{"method":")" + method + R"(","endpoint":")" + endpoint + R"("},"payload":)" +
           payload + "}";
}

std::string error_of(const std::string& input)
{
    const auto job = parse_job_input(input, rules());
    return job ? "accepted" : job.error().detail;
}

} // namespace

BOOST_AUTO_TEST_SUITE(webui_route_)

BOOST_AUTO_TEST_CASE(txt2img_may_be_named_too)
{
    const std::string payload = R"({"prompt":"x","steps":7,)"
                                R"("checkpoint":{"name":"a","url":"https://x/y"}})";
    const auto job = parse_job_input(call("post", "/sdapi/v1/txt2img", payload), rules());

    BOOST_REQUIRE(job);
    BOOST_TEST((job->kind == request_kind::txt2img));
    BOOST_TEST(job->route.path == "/sdapi/v1/txt2img");
    BOOST_TEST(job->models().size() == 1U);
    BOOST_TEST(request_body(*job, {}) == R"({"prompt":"x","steps":7})");
}

BOOST_AUTO_TEST_CASE(img2img_gets_its_picture_and_its_own_fields)
{
    const std::string payload = R"({"prompt":"x","init_images":[")" + std::string(png) +
                                R"("],"mask":"data:image/png;base64,)" + std::string(png) +
                                R"(","denoising_strength":0.5,"width":64,"enable_hr":true})";
    const auto job = parse_job_input(call("POST", "sdapi/v1/img2img", payload), rules());

    BOOST_REQUIRE(job);
    BOOST_TEST((job->kind == request_kind::img2img));
    BOOST_TEST(job->route.method == "POST");
    BOOST_TEST(job->route.path == "/sdapi/v1/img2img");
    BOOST_TEST(
        request_body(*job, {.checkpoint = "", .loras = {}, .sampler = "Euler", .scheduler = ""}) ==
        R"({"prompt":"x","sampler_name":"Euler","width":64,"denoising_strength":0.5,)"
        R"("init_images":[")" +
            std::string(png) + R"("],"mask":"data:image/png;base64,)" + std::string(png) + R"("})");
    BOOST_REQUIRE(job->warnings.size() == 1U);
    BOOST_TEST(job->warnings[0] == "input.payload.enable_hr is not a field of the WebUI and was "
                                   "ignored");
}

BOOST_AUTO_TEST_CASE(a_size_that_was_left_out_is_warned_about)
{
    const auto job = parse_job_input(
        call("POST", "sdapi/v1/img2img", R"({"init_images":[")" + std::string(png) + R"("]})"),
        rules());

    BOOST_REQUIRE(job);
    BOOST_REQUIRE(job->warnings.size() == 1U);
    BOOST_TEST(job->warnings[0] == "input.payload.width and height are 512 when they are not "
                                   "given, whatever the size of the picture");
}

BOOST_AUTO_TEST_CASE(bad_pictures_are_found_before_the_queue)
{
    const auto with = [](const std::string& picture) {
        return error_of(
            call("POST", "sdapi/v1/img2img", R"({"init_images":[")" + picture + R"("]})"));
    };
    const std::string place = "input.payload.init_images[0]: ";

    BOOST_TEST(with(std::string(png)) == "accepted");
    BOOST_TEST(with("https://example.com/a.png") ==
               place + "is a URL, and the WebUI is not to fetch anything for a job; send the "
                       "picture itself, in base64");
    BOOST_TEST(with("") == place + "is empty; a picture in base64 is wanted");
    BOOST_TEST(with("data:image/png") == place + "is a data URL without data");
    BOOST_TEST(with("AAAA") ==
               place + "does not begin as a PNG, JPEG or WebP picture in base64 does");
    BOOST_TEST(with("iVBORw0KGgo?") == place + "is not base64 to its end");
    BOOST_TEST(error_of(call("POST", "sdapi/v1/img2img", "{}")) ==
               "input.payload.init_images: found nothing; a list of pictures in base64 is wanted");
    BOOST_TEST(error_of(call("POST", "sdapi/v1/img2img", R"({"init_images":[7]})")) ==
               place + "a picture in base64 is wanted");
}

BOOST_AUTO_TEST_CASE(other_routes_get_their_payload_as_it_came)
{
    const std::string payload = R"({"image":")" + std::string(png) + R"("})";
    const auto info = parse_job_input(call("POST", "sdapi/v1/png-info", payload), rules());
    const auto list = parse_job_input(call("get", "/sdapi/v1/samplers", "{\"x\":1}"), rules());

    BOOST_REQUIRE(info);
    BOOST_TEST((info->kind == request_kind::other));
    BOOST_TEST(request_body(*info, {}) == payload);
    BOOST_TEST(info->models().empty());
    BOOST_REQUIRE(list);
    BOOST_TEST(list->route.method == "GET");
    BOOST_TEST(request_body(*list, {}) == "");
    BOOST_REQUIRE(list->warnings.size() == 1U);
    BOOST_TEST(list->warnings[0] == "input.payload was ignored: a GET has no body");
    BOOST_TEST(error_of(call("POST", "sdapi/v1/png-info", R"({"image":"/etc/passwd"})")) ==
               "input.payload.image: does not begin as a PNG, JPEG or WebP picture in base64 does");
}

BOOST_AUTO_TEST_CASE(a_route_that_is_not_allowed_is_refused_by_name)
{
    BOOST_TEST(
        error_of(call("POST", "/sdapi/v1/server-kill", "{}")) ==
        R"(input.api: "POST sdapi/v1/server-kill" is not among the routes that the operator )"
        "allows (webui.allow_endpoints)");
    BOOST_TEST(error_of(call("POST", "sdapi/v1/samplers", "{}")) ==
               R"(input.api: "POST sdapi/v1/samplers" is not among the routes that the operator )"
               "allows (webui.allow_endpoints)");
    BOOST_TEST(error_of(call("POST", "v1/download", "{}")) ==
               R"(input.api: "POST v1/download" is no route of the WebUI; models are named with )"
               "their URL in input.checkpoint and input.loras, and fetched by themselves");
    BOOST_TEST(error_of(R"({"api":{"method":"GET"}})") ==
               "input.api.endpoint: found nothing; a text that is not empty is wanted");
    BOOST_TEST(error_of(R"({"api":{"endpoint":"sdapi/v1/txt2img"},"payload":[]})") ==
               "input.payload: found an array; an object is wanted");
}

BOOST_AUTO_TEST_SUITE_END()
