#include "proto/webui_reply.hpp"

#include "proto/golden.hpp"

using namespace gateway;
using namespace gateway::proto;
using core::outcome;

namespace {

reply_verdict verdict_on(int status, const std::string& body,
                         std::string_view content_type = "application/json")
{
    return classify({.status = status, .content_type = content_type, .body = body});
}

struct expectation {
    int status;
    std::string file;
    outcome what;
    std::string_view in_reason;
};

void check_all(const std::vector<expectation>& cases)
{
    for (const auto& c : cases) {
        const auto verdict = verdict_on(c.status, golden("replies/" + c.file));
        BOOST_TEST(core::to_text(verdict.what) == core::to_text(c.what), c.file);
        BOOST_TEST(verdict.reason.find(c.in_reason) != std::string::npos,
                   c.file << " gave: " << verdict.reason);
    }
}

expected_models expecting(std::string checkpoint, std::string sha256 = {})
{
    expected_models expected;
    expected.checkpoint = std::move(checkpoint);
    expected.checkpoint_sha256 = std::move(sha256);
    return expected;
}

} // namespace

BOOST_AUTO_TEST_SUITE(webui_reply_)

BOOST_AUTO_TEST_CASE(the_two_kinds_of_404_are_told_apart)
{
    check_all({
        {404, "route_missing.json", outcome::route_missing, "runs without --api"},
        {404, "sampler_not_found.json", outcome::rejected, "Sampler not found"},
        {404, "init_image_not_found.json", outcome::rejected, "Init image not found"},
        {404, "forge_init_image_not_found.json", outcome::rejected, "Init image not found"},
        {404, "bad_gateway.html", outcome::route_missing,
         "an HTML page titled \"502 Bad Gateway\""},
        {405, "method_not_allowed.json", outcome::route_missing, "Method Not Allowed"},
    });
    BOOST_TEST((verdict_on(404, "").what == outcome::route_missing));
    BOOST_TEST((verdict_on(404, "nothing here", "text/plain").what == outcome::route_missing));
    BOOST_TEST(
        (verdict_on(404, R"({"error":"x","detail":"Not Found"})").what == outcome::route_missing));
    BOOST_TEST((verdict_on(404, R"({"detail":"Not Found","x":1})").what == outcome::rejected));
    BOOST_TEST((verdict_on(404, R"({"x":1})").what == outcome::route_missing));
}

BOOST_AUTO_TEST_CASE(requests_at_fault_are_rejected_with_the_webuis_words)
{
    check_all({
        {422, "schema.json", outcome::rejected, "(422): steps: value is not a valid integer"},
        {422, "schema_v2.json", outcome::rejected, "steps: Input should be a valid integer"},
        {422, "bad_json.json", outcome::rejected, "12: Expecting value"},
        {422, "empty_body.json", outcome::rejected, "field required"},
        {422, "script_not_found.json", outcome::rejected, "Script 'x' not found"},
        {500, "invalid_encoded_image.json", outcome::rejected, "Invalid encoded image"},
        {500, "unknown_override.json", outcome::rejected, "KeyError: 'k'"},
        {500, "frozen.json", outcome::rejected, "changing settings is disabled"},
        {500, "refiner_missing.json", outcome::rejected, "Could not find checkpoint with name foo"},
        {500, "model_not_found.json", outcome::rejected, "model 'x' not found"},
        {400, "sdcpp_bad_request.json", outcome::rejected, "prompt required"},
    });
}

BOOST_AUTO_TEST_CASE(the_echo_of_a_request_never_gets_into_a_reason)
{
    const auto verdict = verdict_on(422, golden("replies/bad_json.json"));
    BOOST_TEST(verdict.reason.find("secret") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(crashes_are_told_apart)
{
    check_all({
        {500, "out_of_memory.json", outcome::out_of_memory,
         "CUDA out of memory. Tried to allocate"},
        {500, "out_of_memory_old_torch.json", outcome::out_of_memory, "CUDA out of memory"},
        {500, "out_of_memory_forge.json", outcome::out_of_memory, "CUDA out of memory"},
        {500, "nan.json", outcome::nan, "--no-half-vae"},
        {500, "no_checkpoints.json", outcome::no_model, "No checkpoints found"},
        {500, "no_model.json", outcome::no_model, "lowvram"},
        {500, "cache_folder_gone.json", outcome::cache_broken, "delete its cache folder"},
        {500, "cache_sqlite_build.json", outcome::cache_broken, "deleting the cache does not help"},
        {500, "other_500.json", outcome::server_error, "TypeError: unsupported operand"},
        {500, "sdcpp_500.json", outcome::server_error, "parse error"},
    });
    BOOST_TEST(verdict_on(500, golden("replies/out_of_memory.json")).error == "OutOfMemoryError");
    BOOST_TEST(
        (verdict_on(500, "Internal Server Error", "text/plain").what == outcome::server_error));
    BOOST_TEST((verdict_on(500, "").what == outcome::server_error));
    BOOST_TEST(
        (verdict_on(500, R"("a bare text")").reason.find("a bare text") != std::string::npos));
}

BOOST_AUTO_TEST_CASE(what_stands_between_is_recognised)
{
    check_all({
        {401, "not_authenticated.json", outcome::unauthorized, "user and password"},
        {429, "sdnext_429.json", outcome::rate_limited, "Too Many Requests"},
        {503, "koboldcpp_busy.json", outcome::busy, "Server is busy"},
        {502, "bad_gateway.html", outcome::proxy_error, "an HTML page titled \"502 Bad Gateway\""},
        {503, "bad_gateway.html", outcome::proxy_error, "503"},
        {504, "bad_gateway.html", outcome::proxy_error, "504"},
        {524, "bad_gateway.html", outcome::proxy_error, "524"},
        {500, "bad_gateway.html", outcome::proxy_error, "HTML"},
        {413, "bad_gateway.html", outcome::rejected, "too large"},
        {307, "bad_gateway.html", outcome::proxy_error, "redirect"},
        {200, "bad_gateway.html", outcome::bad_reply, "an HTML page titled \"502 Bad Gateway\""},
    });
}

BOOST_AUTO_TEST_CASE(a_result_is_a_result)
{
    const auto verdict = verdict_on(200, golden("webui/txt2img_reply.json"));
    BOOST_TEST((verdict.what == outcome::done));
    BOOST_TEST(verdict.reason == "");
}

BOOST_AUTO_TEST_CASE(not_every_200_is_a_result)
{
    struct {
        std::string body;
        std::string_view in_reason;
        bool empty;
    } cases[] = {
        {golden("replies/out_of_memory.json"), "CUDA out of memory", false},
        {R"({"detail":"Not Found"})", "Not Found", false},
        {R"({"images":[],"parameters":{},"info":"{}"})", "without pictures", true},
        {R"({"images":[""],"parameters":{},"info":""})", "koboldcpp", false},
        {R"({"images":[null]})", "not text", false},
        {R"({"parameters":{}})", "no `images`", false},
        {R"({"images":"x"})", "no `images`", false},
        {"[]", "not an object", false},
        {"null", "not an object", false},
        {"", "the text is empty", false},
        {golden("webui/txt2img_reply.json").substr(0, 900), "cut short at byte 900", false},
    };
    for (const auto& c : cases) {
        const auto verdict = verdict_on(200, c.body);
        BOOST_TEST(core::to_text(verdict.what) == core::to_text(outcome::bad_reply));
        BOOST_TEST(verdict.empty == c.empty);
        BOOST_TEST(verdict.reason.find(c.in_reason) != std::string::npos, verdict.reason);
    }
    BOOST_TEST((verdict_on(204, "").what == outcome::bad_reply));
}

BOOST_AUTO_TEST_CASE(no_pictures_are_fine_when_none_were_asked_for)
{
    const auto verdict = classify({.status = 200,
                                   .content_type = "application/json",
                                   .body = R"({"images":[],"parameters":{},"info":"{}"})",
                                   .wants_images = false});
    BOOST_TEST((verdict.what == outcome::done));
}

BOOST_AUTO_TEST_CASE(a_reply_that_was_scanned_in_passing_is_not_read_again)
{
    result_scan scan;
    scan.feed(golden("webui/txt2img_reply.json"));
    scan.finish();
    BOOST_TEST(
        (classify({.status = 200, .content_type = "application/json", .body = "", .scan = &scan})
             .what == outcome::done));
}

BOOST_AUTO_TEST_CASE(reasons_are_one_short_line)
{
    const auto verdict =
        verdict_on(500, R"({"error":"RuntimeError","detail":"","body":"","errors":")" +
                            std::string(5000, 'x') + R"(\n\u0007 end"})");
    BOOST_TEST(verdict.reason.size() < 600U);
    BOOST_TEST(verdict.reason.find('\n') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_route_exists_once_it_answers_405)
{
    BOOST_TEST(
        (classify_route_probe(405, R"({"detail":"Method Not Allowed"})") == route_probe::present));
    BOOST_TEST((classify_route_probe(404, R"({"detail":"Not Found"})") == route_probe::missing));
    BOOST_TEST((classify_route_probe(200, "<html>") == route_probe::unclear));
}

BOOST_AUTO_TEST_CASE(info_says_how_the_picture_was_made)
{
    const auto made = parse_info(golden("webui/info.json"));
    BOOST_REQUIRE(made);
    BOOST_TEST(made->model_name == "Foo");
    BOOST_TEST(made->model_hash == "0123456789");
    BOOST_TEST(made->sampler == "DPM++ 2M");
    BOOST_TEST(made->version == "v1.10.1");
    BOOST_TEST(made->job_timestamp == "20260823101501");
    BOOST_TEST(made->seed == 42);
    BOOST_TEST(made->first_image == 0U);
    BOOST_TEST(made->has_lora_hashes);
    BOOST_TEST(made->loras == std::vector<std::string>{"landscape"},
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_checkpoint_asked_for_must_be_the_one_used)
{
    const std::string info = golden("webui/info.json");
    struct {
        std::string checkpoint, sha256;
        bool ok;
    } cases[] = {
        {"sub/Foo.safetensors", "", true},
        {"sub\\Foo.safetensors", "", true},
        {"Foo", "0123456789", true},
        {"Foo", "0123456789" + std::string(54, 'a'), true},
        {"Renamed", "0123456789", true},
        {"", "", true},
        {"Bar.ckpt", "", false},
        {"Foo", "9999999999", false},
        {"Bar", "0123", false}, // too short to tell anything
    };
    for (const auto& c : cases)
        BOOST_TEST(verify_info(info, expecting(c.checkpoint, c.sha256)).ok == c.ok, c.checkpoint);
    BOOST_TEST(
        verify_info(info, expecting("Bar.ckpt")).reason ==
        R"(the picture was made with "Foo" (0123456789), not "Bar": the WebUI does not know )"
        R"(that checkpoint and silently used another one)");
}

BOOST_AUTO_TEST_CASE(an_info_that_says_nothing_verifies_nothing)
{
    BOOST_TEST(!verify_info("{}", expecting("Foo")).ok);
    BOOST_TEST(!verify_info("not json", expecting("Foo")).ok);
    BOOST_TEST(verify_info("{}", expecting("")).ok);
    expected_models single = expecting("Foo");
    single.from = dialect::sdcpp;
    BOOST_TEST(verify_info("", single).ok);
}

BOOST_AUTO_TEST_CASE(missing_loras_are_a_note_or_a_failure_by_what_the_backend_tells)
{
    const std::string info = golden("webui/info.json");
    expected_models expected = expecting("Foo");
    expected.loras = {"landscape"};
    expected.hashes_loras = true;
    BOOST_TEST(verify_info(info, expected).ok);
    BOOST_TEST(verify_info(info, expected).notes.empty());

    expected.loras = {"landscape", "detail"};
    BOOST_TEST(!verify_info(info, expected).ok);
    BOOST_TEST(verify_info(info, expected).reason.find("\"detail\"") != std::string::npos);

    expected.hashes_loras = false;
    BOOST_TEST(verify_info(info, expected).ok);
    BOOST_TEST(verify_info(info, expected).notes.size() == 1U);

    BOOST_TEST(verify_info(R"({"sd_model_name":"Foo","infotexts":["x"]})", expected).notes.size() ==
               1U);
}

BOOST_AUTO_TEST_CASE(lora_hashes_in_a_prompt_prove_nothing)
{
    expected_models expected = expecting("Foo");
    expected.loras = {"a"};
    expected.hashes_loras = true;
    const std::string info =
        R"({"sd_model_name":"Foo","infotexts":["Lora hashes: \"a: 0123456789ab\"\nSteps: 20, Model: Foo"]})";
    BOOST_TEST(!verify_info(info, expected).ok);
}

BOOST_AUTO_TEST_CASE(another_sampler_is_noted)
{
    expected_models expected = expecting("Foo");
    expected.sampler = "Euler a";
    const auto verdict = verify_info(golden("webui/info.json"), expected);
    BOOST_TEST(verdict.ok);
    BOOST_TEST(verdict.notes.size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
