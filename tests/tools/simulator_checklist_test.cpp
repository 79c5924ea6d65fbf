// webui.md §8, items 1 to 13: what a faithful simulator must reproduce.

#include "tools/simulated_webui.hpp"

#include <set>

using namespace gateway;
using gateway::test::golden;
using gateway::test::simulated_webui;
using gateway::test::write_model;
namespace sim = gateway::tools::simulator;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> keys(const sim::json::object& o)
{
    std::vector<std::string> out;
    for (const auto& [key, value] : o)
        out.emplace_back(key);
    return out;
}

std::vector<std::string> words(const std::string& text)
{
    std::istringstream in(text);
    return {std::istream_iterator<std::string>(in), {}};
}

std::string raw_parameters(const test::reply& r)
{
    const auto begin = r.body.find("\"parameters\":") + 13;
    return r.body.substr(begin, r.body.find(",\"info\":") - begin);
}

std::string infotext_of(const test::reply& r)
{
    return std::string(r.info().at_pointer("/infotexts/0").as_string());
}

std::string png_of(const test::reply& r)
{
    return *sim::from_base64(std::string(r.at("/images/0").as_string()));
}

std::uint32_t big_endian(std::string_view bytes)
{
    std::uint32_t out = 0;
    for (const char c : bytes.substr(0, 4))
        out = out << 8 | static_cast<unsigned char>(c);
    return out;
}

struct full_ui : simulated_webui {
    full_ui()
    {
        set.startup = sim::startup_mode::full_ui;
        set.ui = 5;
        set.window = 1;
        set.extensions = 2;
    }
    void begin()
    {
        open_port();
        start(ui->finish_startup());
        settle();
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(simulator_checklist_, simulated_webui)

// --- 1: start-up ---

BOOST_AUTO_TEST_CASE(row_8_1_nowebui_opens_its_port_with_every_route)
{
    open_port();

    BOOST_TEST(api_get("txt2img").status == 405);
    BOOST_TEST(api_get("loras").status == 200);
    BOOST_TEST(get("/internal/ping").status == 404);
    BOOST_TEST(get("/").status == 404);
}

BOOST_FIXTURE_TEST_CASE(row_8_1_full_ui_adds_ping_then_api_then_extensions, full_ui)
{
    begin();
    BOOST_TEST(get("/").status == 200);
    BOOST_TEST(api_get("sd-models").status == 404);
    BOOST_TEST(get("/internal/ping").status == 404);

    advance(6s);
    BOOST_TEST(get("/internal/ping").body == "{}");
    BOOST_TEST(api_get("txt2img").status == 405);
    BOOST_TEST(api_get("loras").status == 404);

    advance(2s);
    BOOST_TEST(api_get("loras").status == 200);
}

BOOST_FIXTURE_TEST_CASE(row_8_1_a_request_in_the_window_ends_a1111, full_ui)
{
    begin();
    advance(5500ms);
    BOOST_TEST(get("/internal/ping").status == 200); // any path
    advance(1s);
    BOOST_TEST(quits == std::vector{1}, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(row_8_1_a_request_in_the_window_costs_reforge_its_api_for_ever, full_ui)
{
    set.dialect = sim::kind::reforge;
    begin();
    advance(5500ms);
    get("/some/page");
    advance(24h);
    BOOST_TEST(quits.empty());
    BOOST_TEST(api_get("sd-models").body == golden("not_found.json"));
    BOOST_TEST(get("/internal/ping").status == 200);
}

BOOST_FIXTURE_TEST_CASE(row_8_1_forge_is_immune_to_the_window, full_ui)
{
    set.dialect = sim::kind::forge;
    begin();
    advance(5500ms);
    get("/some/page");
    advance(10s);
    BOOST_TEST(api_get("sd-models").status == 200);
}

BOOST_FIXTURE_TEST_CASE(row_8_1_a_bare_connection_in_the_window_is_harmless, full_ui)
{
    begin();
    advance(5500ms);
    const auto silent = std::make_shared<test::scripted_stream>(ex());
    start(server->serve(silent, "probe"));
    settle();
    silent->ends();
    advance(10s);
    BOOST_TEST(quits.empty());
    BOOST_TEST(api_get("sd-models").status == 200);
}

BOOST_FIXTURE_TEST_CASE(row_8_1_openapi_fetched_early_never_learns_of_the_api, full_ui)
{
    begin();
    const auto early = get("/openapi.json");
    advance(1h);
    const auto late = get("/openapi.json");

    BOOST_TEST(early.status == 200);
    BOOST_TEST(late.body == early.body);
    BOOST_TEST(late.body.find("/sdapi") == std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(row_8_1_without_the_api_flag_it_is_404_for_ever, full_ui)
{
    set.api = false;
    begin();
    advance(1h);
    BOOST_TEST(api_get("txt2img").body == golden("not_found.json"));
    BOOST_TEST(get("/internal/ping").status == 200);
}

// --- 2: bytes on the wire ---

BOOST_AUTO_TEST_CASE(row_8_2_headers_are_uvicorns_in_case_and_order)
{
    started();

    const auto r = api_get("txt2img");

    std::vector<std::string> names;
    std::istringstream lines(r.head);
    std::string line;
    std::getline(lines, line);
    BOOST_TEST(line == "HTTP/1.1 405 Method Not Allowed\r");
    while (std::getline(lines, line))
        names.push_back(line.substr(0, line.find(':')));
    const std::vector<std::string> expected{"date",           "server",       "allow",
                                            "content-length", "content-type", "x-process-time",
                                            "Connection"};
    BOOST_TEST(names == expected, boost::test_tools::per_element());
    BOOST_TEST(r.header("server") == "uvicorn");
    BOOST_TEST(r.header("content-type") == "application/json");
}

// --- 3: the reply ---

BOOST_AUTO_TEST_CASE(row_8_3_parameters_echo_every_field_in_order)
{
    started();
    const auto picture = std::string(generate().at("/images/0").as_string());

    const auto txt = api_post("txt2img", R"({"prompt":"x","cfg_scale":7})");
    const auto img =
        api_post("img2img", R"({"prompt":"x","cfg_scale":7,"init_images":[")" + picture + "\"]}");

    BOOST_TEST(raw_parameters(txt) == golden("txt2img_parameters.json"));
    BOOST_TEST(raw_parameters(img) == golden("img2img_parameters.json"));
}

BOOST_AUTO_TEST_CASE(row_8_3_info_is_a_string_dumped_by_python)
{
    started();

    const auto r = generate("\"prompt\":\"caf\u00e9\",\"seed\":5,\"n_iter\":2");

    const std::string text(r.json().at("info").as_string());
    BOOST_TEST(
        text.starts_with(R"({"prompt": "caf\u00e9", "all_prompts": ["caf\u00e9", "caf\u00e9"], )"));
    BOOST_TEST(keys(r.info().as_object()) == words(golden("info_keys.txt")),
               boost::test_tools::per_element());
    BOOST_TEST(text.find(R"("seed": 5, "all_seeds": [5, 6],)") != std::string::npos);
    BOOST_TEST(text.find(R"("cfg_scale": 7.0, "steps": 2,)") != std::string::npos);
    BOOST_TEST(text.find(R"("version": "v1.10.1"})") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(row_8_3_a_grid_comes_first_only_when_images_are_saved)
{
    started();

    const auto plain = generate(R"("prompt":"a","n_iter":2)");
    const auto saved = generate(R"("prompt":"a","n_iter":2,"save_images":true)");
    const auto unsent = generate(R"("prompt":"a","send_images":false)");

    BOOST_TEST(plain.at("/images").as_array().size() == 2u);
    BOOST_TEST(plain.info().at("index_of_first_image") == 0);
    BOOST_TEST(saved.at("/images").as_array().size() == 3u);
    BOOST_TEST(saved.info().at("index_of_first_image") == 1);
    BOOST_TEST(unsent.at("/images").as_array().empty());
}

BOOST_AUTO_TEST_CASE(row_8_3_an_infotext_fills_what_was_left_unset)
{
    started();

    const auto r =
        api_post("txt2img", R"({"prompt":"mine","width":64,"infotext":"theirs\nSteps: 3, )"
                            R"(Seed: 9, Size: 128x72, CFG scale: 4.5"})");

    BOOST_TEST(r.at("/parameters/prompt") == "mine");
    BOOST_TEST(r.at("/parameters/steps") == 3);
    BOOST_TEST(r.at("/parameters/width") == 64);
    BOOST_TEST(r.at("/parameters/height") == 72);
    BOOST_TEST(r.info().at("seed") == 9);
}

// --- 4: one lock, forty threads ---

BOOST_AUTO_TEST_CASE(row_8_4_jobs_run_one_after_the_other_in_the_order_they_came)
{
    set.step_ms = 1000;
    set.base_ms = 0;
    started();

    const auto a = begin_long("\"prompt\":\"a\"", 8); // ten seconds with the decode
    const auto b = begin_long("\"prompt\":\"b\"", 8);
    const auto c = begin_long("\"prompt\":\"c\"", 8);
    advance(10s);
    BOOST_TEST(a.now().status == 200);
    BOOST_TEST(b.now().status == 0);
    finish(b);
    BOOST_TEST(c.now().status == 0);
    BOOST_TEST(finish(c).status == 200);
}

BOOST_AUTO_TEST_CASE(row_8_4_forty_blocked_calls_block_progress_but_not_async_routes)
{
    set.step_ms = 1000;
    started();
    std::vector<test::exchange> jobs;
    for (int i = 0; i < 39; ++i)
        jobs.push_back(begin_long());
    BOOST_TEST(api_get("progress").status == 200); // one thread is left

    jobs.push_back(begin_long());
    const auto progress = send("GET", "/sdapi/v1/progress");
    const auto interrupt = send("POST", "/sdapi/v1/interrupt");
    advance(2s);

    BOOST_TEST(progress.now().status == 0);
    BOOST_TEST(interrupt.now().status == 0);
    BOOST_TEST(api_get("loras").status == 200);
    BOOST_TEST(api_get("txt2img").status == 405);
    BOOST_TEST(api_post("txt2img", "{").status == 422); // judged before a thread is needed
    BOOST_TEST(finish(progress).status == 200);
}

// --- 5: disconnects ---

BOOST_AUTO_TEST_CASE(row_8_5_a_client_that_leaves_does_not_stop_its_job)
{
    set.step_ms = 1000;
    started();

    const auto gone = begin_long();
    advance(2s);
    gone.stream->ends();
    gone.stream->close();
    advance(2s);

    BOOST_TEST(progress().at_pointer("/state/job") == "scripts_txt2img");
    const auto next = send("POST", "/sdapi/v1/txt2img", job("\"prompt\":\"next\""));
    advance(5s);
    BOOST_TEST(next.now().status == 0);
    BOOST_TEST(finish(next).status == 200);
}

// --- 6: progress (the rows of §3.3 are in simulator_progress_test.cpp) ---

BOOST_AUTO_TEST_CASE(row_8_6_progress_runs_from_a_hundredth_up_and_ends_at_zero)
{
    set.step_ms = 1000;
    set.base_ms = 500;
    started();

    const auto running = begin_long();
    std::vector<double> seen;
    while (running.now().status == 0) {
        seen.push_back(progress().at("progress").to_number<double>());
        advance(1s);
    }

    BOOST_TEST(seen.front() == 0.01);
    BOOST_TEST(std::is_sorted(seen.begin(), seen.end()));
    BOOST_TEST(seen.back() > 0.95);
    BOOST_TEST(progress().at("progress").to_number<double>() == 0.0);
}

// --- 7: interrupt and skip ---

BOOST_AUTO_TEST_CASE(row_8_7_an_interrupted_job_is_a_200_with_its_partial_picture)
{
    set.step_ms = 1000;
    set.base_ms = 0;
    started();
    const auto whole = finish(begin_long("\"prompt\":\"a\",\"seed\":1"));

    const auto running = begin_long("\"prompt\":\"a\",\"seed\":1,\"n_iter\":3");
    advance(5500ms);
    BOOST_TEST(api_post("interrupt").body == "{}");
    advance(200ms);
    BOOST_TEST(running.now().status == 0); // a step is never cut
    const auto r = finish(running, 4s);    // its end, then the decode

    BOOST_TEST(r.status == 200);
    BOOST_TEST(r.at("/images").as_array().size() == 1u);
    BOOST_TEST((r.at("/images/0") != whole.at("/images/0")));
    BOOST_TEST(progress().at_pointer("/state/interrupted") == true);
}

BOOST_AUTO_TEST_CASE(row_8_7_the_flag_is_cleared_when_the_next_job_begins)
{
    set.step_ms = 1000;
    started();

    api_post("interrupt"); // idle: harmless
    const auto r = finish(begin_long("\"prompt\":\"a\"", 5));

    BOOST_TEST(r.at("/images").as_array().size() == 1u);
    BOOST_TEST(progress().at_pointer("/state/interrupted") == false);
}

BOOST_AUTO_TEST_CASE(row_8_7_interrupted_before_the_first_iteration_there_are_no_images)
{
    write_model(checkpoint("a.safetensors"));
    write_model(checkpoint("b.safetensors"), 1000);
    set.load_s_per_gb = 1e7;
    started();

    const auto running = send("POST", "/sdapi/v1/txt2img",
                              job(R"("override_settings":{"sd_model_checkpoint":"b"})"));
    advance(1s);
    api_post("interrupt");
    advance(5s);
    BOOST_TEST(running.now().status == 0); // not effective while the model loads
    const auto r = finish(running);

    BOOST_TEST(r.status == 200);
    BOOST_TEST(r.at("/images").as_array().empty());
}

BOOST_AUTO_TEST_CASE(row_8_7_skip_ends_only_the_current_iteration)
{
    set.step_ms = 1000;
    set.base_ms = 0;
    started();

    const auto running = begin_long("\"prompt\":\"a\",\"n_iter\":2", 10);
    advance(2500ms);
    BOOST_TEST(api_post("skip").body == "null");
    advance(4s); // step three, decode, and into the second iteration
    BOOST_TEST(progress().at_pointer("/state/job") == "Batch 2 out of 2");
    const auto r = finish(running);

    BOOST_TEST(r.at("/images").as_array().size() == 2u);
}

// --- 8: what is dropped without a word ---

BOOST_AUTO_TEST_CASE(row_8_8_an_unknown_checkpoint_is_dropped_but_still_echoed)
{
    write_model(checkpoint("real.safetensors"));
    started();

    const auto r = generate(R"("override_settings":{"sd_model_checkpoint":"ghost"})");

    BOOST_TEST(r.status == 200);
    BOOST_TEST(r.info().at("sd_model_name") == "real");
    BOOST_TEST(r.at("/parameters/override_settings/sd_model_checkpoint") == "ghost");
}

BOOST_AUTO_TEST_CASE(row_8_8_an_unknown_lora_is_dropped_and_known_ones_show_their_hashes)
{
    write_model(lora("sub/style.safetensors"));
    started();

    const auto r = generate(R"("prompt":"<lora:style:0.8> <lora:ghost:1> a cat")");

    BOOST_TEST(r.status == 200);
    const auto text = infotext_of(r);
    const auto hash = sim::hash_file(lora("sub/style.safetensors").string(), true).substr(0, 12);
    BOOST_TEST(text.find("Lora hashes: \"style: " + hash + "\", Version") != std::string::npos,
               text);
    BOOST_TEST(text.starts_with("<lora:style:0.8> <lora:ghost:1> a cat\n"));
}

BOOST_AUTO_TEST_CASE(row_8_8_a_malformed_tag_drops_every_lora)
{
    write_model(lora("style.safetensors"));
    started();

    const auto r = generate(R"("prompt":"<lora:style:0.8> <lora:style:much>")");

    BOOST_TEST(r.status == 200);
    BOOST_TEST(infotext_of(r).find("Lora hashes") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(row_8_8_without_hashing_there_are_no_hashes)
{
    write_model(lora("style.safetensors"));
    set.no_hashing = true;
    started();

    const auto r = generate(R"("prompt":"<lora:style:1> a")");

    const auto text = infotext_of(r);
    BOOST_TEST(text.find("Lora hashes") == std::string::npos);
    BOOST_TEST(text.find("Model hash") == std::string::npos);
    BOOST_TEST(r.info().at("sd_model_hash").is_null());
    BOOST_TEST(api_get("sd-models").at("/0/sha256").is_null());
}

BOOST_AUTO_TEST_CASE(row_8_8_an_unknown_sampler_becomes_dpmpp_2m_and_a_suffix_is_split)
{
    started();

    const auto unknown = generate("\"sampler_name\":\"Nonsense\"");
    const auto split = generate("\"sampler_name\":\"Euler a Karras\"");

    BOOST_TEST(unknown.info().at("sampler_name") == "DPM++ 2M");
    BOOST_TEST(split.info().at("sampler_name") == "Euler a");
    BOOST_TEST(infotext_of(split).find("Schedule type: Karras") != std::string::npos);
    BOOST_TEST(split.at("/parameters/sampler_name") == "Euler a Karras");
}

// --- 9: lists ---

BOOST_AUTO_TEST_CASE(row_8_9_a_new_checkpoint_needs_a_refresh)
{
    write_model(checkpoint("a.safetensors"));
    started();
    write_model(checkpoint("sub/b.safetensors"));

    BOOST_TEST(api_get("sd-models").json().as_array().size() == 1u);
    BOOST_TEST(generate(R"("override_settings":{"sd_model_checkpoint":"sub/b.safetensors"})")
                   .info()
                   .at("sd_model_name") == "a");
    BOOST_TEST(api_post("refresh-checkpoints").body == "null");
    BOOST_TEST(api_get("sd-models").at("/1/model_name") == "sub_b");
    BOOST_TEST(generate(R"("override_settings":{"sd_model_checkpoint":"sub/b.safetensors"})")
                   .info()
                   .at("sd_model_name") == "b");
}

BOOST_AUTO_TEST_CASE(row_8_9_the_list_is_empty_while_it_is_rebuilt)
{
    set.refresh_ms = 2000;
    started();

    const auto refresh = send("POST", "/sdapi/v1/refresh-checkpoints");
    advance(1s);
    BOOST_TEST(api_get("sd-models").body == "[]");
    finish(refresh);
    BOOST_TEST(api_get("sd-models").json().as_array().size() == 1u);
}

BOOST_AUTO_TEST_CASE(row_8_9_a_new_lora_works_at_once_and_is_listed_after_that)
{
    started();
    write_model(lora("late.safetensors"), 64, "\"ss_output_name\":\"other\"");
    BOOST_TEST(api_get("loras").body == "[]");

    const auto r = generate(R"("prompt":"<lora:late:1> a")");

    BOOST_TEST(infotext_of(r).find("Lora hashes: \"late: ") != std::string::npos);
    BOOST_TEST(api_get("loras").at("/0/alias") == "other");
    write_model(lora("later.safetensors"));
    BOOST_TEST(api_post("refresh-loras").body == "null");
    BOOST_TEST(api_get("loras").json().as_array().size() == 2u);
}

BOOST_AUTO_TEST_CASE(row_8_9_the_title_gains_the_hash_with_the_first_load)
{
    write_model(checkpoint("a.safetensors"));
    write_model(checkpoint("b.safetensors"));
    started();
    BOOST_TEST(api_get("sd-models").at("/1/title") == "b.safetensors");
    BOOST_TEST(api_get("sd-models").at("/1/hash").is_null());

    generate(R"("override_settings":{"sd_model_checkpoint":"b"})");

    const auto sha = sim::hash_file(checkpoint("b.safetensors").string(), false);
    const auto list = api_get("sd-models");
    BOOST_TEST(list.text("/1/title") == "b.safetensors [" + sha.substr(0, 10) + "]");
    BOOST_TEST(list.text("/1/sha256") == sha);
    BOOST_TEST(list.text("/1/filename") == checkpoint("b.safetensors").string());
}

// --- 10: loading ---

BOOST_AUTO_TEST_CASE(row_8_10_options_go_back_at_once_and_the_model_with_the_next_job)
{
    write_model(checkpoint("a.safetensors"), 1000);
    write_model(checkpoint("b.safetensors"), 1000);
    set.load_s_per_gb = 1e7; // about ten seconds each
    set.step_ms = set.base_ms = 0;
    started();
    const auto wants_b = R"("prompt":"x","override_settings":{"sd_model_checkpoint":"b"})";

    auto begin = time.now();
    generate(wants_b);
    BOOST_TEST((time.now() - begin >= 10s));
    const auto option = api_get("options").at("/sd_model_checkpoint");
    BOOST_TEST(std::string(option.as_string()).starts_with("a.safetensors"));

    begin = time.now();
    generate(wants_b);
    BOOST_TEST((time.now() - begin < 1s)); // repeating the override costs nothing

    begin = time.now();
    BOOST_TEST(generate("\"prompt\":\"x\"").info().at("sd_model_name") == "a");
    BOOST_TEST((time.now() - begin >= 10s));
}

BOOST_AUTO_TEST_CASE(row_8_10_the_first_load_also_hashes_the_file)
{
    write_model(checkpoint("a.safetensors"));
    write_model(checkpoint("b.safetensors"), 1'000'000);
    set.hash_mb_per_s = 0.1;
    set.load_s_per_gb = 0;
    set.step_ms = set.base_ms = 0;
    started();

    const auto begin = time.now();
    generate(R"("override_settings":{"sd_model_checkpoint":"b"})");
    const auto first = time.now() - begin;
    generate("\"prompt\":\"x\"");
    const auto again = time.now();
    generate(R"("override_settings":{"sd_model_checkpoint":"b"})");

    BOOST_TEST((first >= 10s));
    BOOST_TEST((time.now() - again < 1s));
}

BOOST_AUTO_TEST_CASE(row_8_10_a_file_that_cannot_be_loaded_fails_its_job_or_is_put_back)
{
    write_model(checkpoint("a.safetensors"));
    started();
    std::ofstream(checkpoint("half.safetensors")) << "not a header";
    api_post("refresh-checkpoints");

    const auto r = generate(R"("override_settings":{"sd_model_checkpoint":"half"})");
    const auto posted = api_post("options", R"({"sd_model_checkpoint":"half"})");

    BOOST_TEST(r.status == 500);
    BOOST_TEST(r.at("/error") == "SafetensorError");
    BOOST_TEST(posted.body == "null"); // swallowed
    BOOST_TEST(std::string(api_get("options").at("/sd_model_checkpoint").as_string())
                   .starts_with("a.safetensors"));
    BOOST_TEST(generate().status == 200);
}

// --- 11: pictures ---

BOOST_AUTO_TEST_CASE(row_8_11_a_png_of_the_floored_size_with_its_parameters)
{
    started();

    const auto r = api_post("txt2img", R"({"prompt":"a","width":71,"height":130,"steps":1})");

    const auto png = png_of(r);
    BOOST_TEST(png.starts_with("\x89PNG\r\n"));
    BOOST_TEST(big_endian(std::string_view(png).substr(16)) == 64u);
    BOOST_TEST(big_endian(std::string_view(png).substr(20)) == 128u);
    BOOST_TEST(*sim::read_png_text(png) == infotext_of(r));
    BOOST_TEST(infotext_of(r).find("Size: 71x130") != std::string::npos);
    BOOST_TEST(
        api_post("png-info", "{\"image\":\"" + std::string(r.at("/images/0").as_string()) + "\"}")
            .text("/info") == infotext_of(r));
}

BOOST_AUTO_TEST_CASE(row_8_11_the_same_request_gives_the_same_bytes_and_any_change_others)
{
    write_model(checkpoint("a.safetensors"));
    write_model(checkpoint("b.safetensors"));
    write_model(lora("style.safetensors"));
    started();
    std::set<std::string> seen;
    for (const auto* more : {
             R"("prompt":"cat","seed":1)",
             R"("prompt":"dog","seed":1)",
             R"("prompt":"cat","seed":2)",
             R"("prompt":"cat<lora:style:1>","seed":1)",
             R"("prompt":"cat<lora:style:0.5>","seed":1)",
             R"("prompt":"cat","seed":1,"override_settings":{"sd_model_checkpoint":"b"})",
         }) {
        const auto once = png_of(generate(more));
        BOOST_TEST((png_of(generate(more)) == once));
        seen.insert(once);
    }
    BOOST_TEST(seen.size() == 6u);
}

// --- 12: faults ---

BOOST_AUTO_TEST_CASE(row_8_12_no_model_and_a_broken_cache)
{
    set.faults = "no-model@1, cache-db@2";
    started();

    const auto no_model = generate();
    const auto cache = generate();

    BOOST_TEST(no_model.status == 500);
    BOOST_TEST(no_model.at("/error") == "AttributeError");
    BOOST_TEST(no_model.at("/errors") == "'NoneType' object has no attribute 'lowvram'");
    BOOST_TEST(cache.at("/error") == "OperationalError");
    BOOST_TEST(cache.at("/errors") == "unable to open database file");
    BOOST_TEST(generate().status == 200);
}

BOOST_AUTO_TEST_CASE(row_8_12_an_empty_folder_without_the_download_has_no_checkpoints)
{
    set.no_download_sd_model = true;
    started();

    BOOST_TEST(api_get("sd-models").body == "[]");
    const auto r = generate();
    BOOST_TEST(r.status == 500);
    BOOST_TEST(r.at("/error") == "FileNotFoundError");
    BOOST_TEST(std::string(r.at("/errors").as_string()).starts_with("No checkpoints found."));
}

BOOST_AUTO_TEST_CASE(row_8_12_reset_cuts_the_client_off_and_the_job_runs_on)
{
    set.faults = "reset@1";
    set.step_ms = 1000;
    started();

    const auto cut = begin_long();
    advance(12s);
    BOOST_TEST(cut.now().status == -1);
    BOOST_TEST(progress().at_pointer("/state/job") == "scripts_txt2img");
}

BOOST_AUTO_TEST_CASE(row_8_12_drop_hangs_up_before_anything_has_run)
{
    set.faults = "drop@1";
    started();

    BOOST_TEST(generate().status == -1);
    BOOST_TEST(progress().at_pointer("/state/job_timestamp") == "0");
    BOOST_TEST(generate().status == 200);
}

BOOST_AUTO_TEST_CASE(row_8_12_exit_ends_the_process_half_way)
{
    set.faults = "exit@~doom";
    set.step_ms = 1000;
    started();

    BOOST_TEST(generate().status == 200);
    BOOST_TEST(quits.empty());
    begin_long("\"prompt\":\"doom\"");
    advance(12s);
    BOOST_TEST(quits == std::vector{137}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(row_8_12_bodies_that_end_or_stop_in_their_middle)
{
    set.faults = "truncate@1, stall@2";
    started();

    const auto cut = generate();
    const auto stalled = finish(send("POST", "/sdapi/v1/txt2img", job("\"prompt\":\"a\"")), 1min);

    BOOST_TEST(cut.status == 200);
    BOOST_TEST(!cut.complete);
    BOOST_TEST(cut.body.size() == std::stoul(cut.header("content-length")) / 2);
    BOOST_TEST(stalled.status == 200);
    BOOST_TEST(!stalled.complete);
}

BOOST_AUTO_TEST_CASE(row_8_12_errors_in_the_guise_of_success)
{
    set.faults = "error200@1, empty@2";
    started();

    const auto error = generate();
    const auto empty = generate();

    BOOST_TEST(error.status == 200);
    BOOST_TEST(error.at("/error") == "RuntimeError");
    BOOST_TEST(empty.status == 200);
    BOOST_TEST(empty.at("/images").as_array().empty());
}

BOOST_AUTO_TEST_CASE(row_8_12_slow_reads_a_failing_list_and_missing_routes)
{
    set.faults = "slow-get:3s@2, list-500@2, 404-for:5s@1";
    started();

    const auto list = api_get("sd-models");
    const auto slow = send("GET", "/sdapi/v1/sd-models");
    advance(2s);
    BOOST_TEST(slow.now().status == 0);
    const auto failed = finish(slow);
    generate();
    const auto gone = api_get("sd-models");
    advance(5s);

    BOOST_TEST(list.status == 200);
    BOOST_TEST(failed.status == 500);
    BOOST_TEST(failed.at("/errors") == "dictionary changed size during iteration");
    BOOST_TEST(gone.body == golden("not_found.json"));
    BOOST_TEST(api_get("sd-models").status == 200);
}

BOOST_AUTO_TEST_CASE(row_8_12_an_unloaded_model_fails_jobs_until_it_is_reloaded)
{
    started();

    BOOST_TEST(api_post("unload-checkpoint").body == "{}");
    const auto r = generate();
    BOOST_TEST(r.status == 500);
    BOOST_TEST(r.at("/error") == "RuntimeError");
    api_post("reload-checkpoint");
    BOOST_TEST(generate().status == 200);
}

// --- 13: dialects ---

BOOST_AUTO_TEST_CASE(row_8_13_reforge_is_a1111_with_options_of_its_own)
{
    set.dialect = sim::kind::reforge;
    started();

    BOOST_TEST(api_get("options").json().as_object().contains("reforge_pin_memory"));
    BOOST_TEST(generate().at("/parameters").as_object().contains("hr_cfg"));
    api_post("unload-checkpoint");
    api_post("reload-checkpoint"); // does nothing there
    BOOST_TEST(generate().status == 500);
}

BOOST_AUTO_TEST_CASE(row_8_13_forge_has_modules_short_errors_and_pydantic_2)
{
    set.dialect = sim::kind::forge;
    started();

    BOOST_TEST(api_get("sd-vae").status == 404);
    BOOST_TEST(api_get("sd-modules").status == 200);
    BOOST_TEST(api_post("img2img", "{}").body == golden("forge_init_image_missing.json"));
    BOOST_TEST(api_post("options", R"({"k":1})").body == golden("forge_key_error.json"));
    BOOST_TEST(api_post("txt2img", R"({"steps":20.7})").body ==
               golden("forge_fractional_steps.json"));
    BOOST_TEST(generate().at("/parameters/distilled_cfg_scale") == 3.5);
}

BOOST_AUTO_TEST_CASE(row_8_13_forge_drops_all_loras_for_one_unknown_and_loads_lazily)
{
    write_model(checkpoint("a.safetensors"));
    write_model(checkpoint("b.safetensors"));
    write_model(lora("style.safetensors"));
    set.dialect = sim::kind::forge;
    started();

    const auto both = generate(R"("prompt":"<lora:style:1><lora:ghost:1>")");
    const auto one = generate(R"("prompt":"<lora:style:1>")");
    BOOST_TEST(infotext_of(both).find("Lora hashes") == std::string::npos);
    BOOST_TEST(infotext_of(one).find("Lora hashes") != std::string::npos);

    api_post("options", R"({"sd_model_checkpoint":"b"})");
    BOOST_TEST(api_get("options").at("/sd_model_checkpoint") == "b"); // recorded, not loaded
    BOOST_TEST(generate().info().at("sd_model_name") == "b");
}

BOOST_AUTO_TEST_CASE(row_8_13_lists_of_1_9_are_shorter)
{
    set.dialect = sim::kind::a1111_1_9;
    started();

    BOOST_TEST(api_get("schedulers").json().as_array().size() == 6u);
    BOOST_TEST(api_get("samplers").body.find("DDIM CFG++") == std::string::npos);
    BOOST_TEST(generate().info().at("version") == "v1.9.4");
}

BOOST_AUTO_TEST_SUITE_END()
