// webui.md §3.3, row by row: what GET progress says in each situation.

#include "tools/simulated_webui.hpp"

using namespace gateway;
using gateway::test::golden;
using gateway::test::simulated_webui;
using gateway::test::write_model;
using namespace std::chrono_literals;

namespace {

double number(const tools::simulator::json::value& v, const char* pointer)
{
    return v.at_pointer(pointer).to_number<double>();
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(simulator_progress_, simulated_webui)

BOOST_AUTO_TEST_CASE(row_3_3_idle)
{
    set.skip_load_model_at_start = true;
    started();

    BOOST_TEST(api_get("progress").body == golden("idle_progress.json"));
}

BOOST_AUTO_TEST_CASE(row_3_3_idle_while_options_switch_the_model)
{
    write_model(checkpoint("a.safetensors"));
    write_model(checkpoint("b.safetensors"), 1000);
    set.load_s_per_gb = 1e7; // ten seconds per kilobyte
    started();

    const auto options = send("POST", "/sdapi/v1/options", R"({"sd_model_checkpoint":"b"})");
    advance(1s);
    const auto during = progress();

    BOOST_TEST(options.now().status == 0);
    BOOST_TEST(number(during, "/progress") == 0.0);
    BOOST_TEST(during.at_pointer("/state/job") == "");
    BOOST_TEST(finish(options).body == "null");
}

BOOST_AUTO_TEST_CASE(row_3_3_idle_while_lists_are_refreshed_and_jobs_wait_behind)
{
    set.refresh_ms = 5000;
    started();

    const auto refresh = send("POST", "/sdapi/v1/refresh-checkpoints");
    const auto waiting = send("POST", "/sdapi/v1/txt2img", job("\"prompt\":\"a\""));
    advance(1s);

    BOOST_TEST(refresh.now().status == 0);
    BOOST_TEST(waiting.now().status == 0);
    BOOST_TEST(progress().at_pointer("/state/job_count") == 0);
    BOOST_TEST(finish(waiting).status == 200);
}

BOOST_AUTO_TEST_CASE(row_3_3_begun_but_the_model_still_loads)
{
    write_model(checkpoint("a.safetensors"));
    write_model(checkpoint("b.safetensors"), 1000);
    set.load_s_per_gb = 1e7;
    started();

    const auto running = begin_long(R"("override_settings":{"sd_model_checkpoint":"b"})");
    advance(2s);
    const auto p = progress();

    BOOST_TEST(number(p, "/progress") == 0.01);
    BOOST_TEST(std::abs(number(p, "/eta_relative") - 99 * 2.0) < 1e-6);
    BOOST_TEST(p.at_pointer("/state/job_count") == -1);
    BOOST_TEST(p.at_pointer("/state/job") == "scripts_txt2img");
    BOOST_TEST(p.at_pointer("/state/sampling_steps") == 0);
}

BOOST_AUTO_TEST_CASE(row_3_3_sampling)
{
    set.step_ms = 1000;
    set.base_ms = 0;
    started();

    const auto running = begin_long();
    advance(6500ms);
    const auto p = progress();

    // Six steps are done; the callback counts from zero.
    BOOST_TEST(p.at_pointer("/state/sampling_step") == 5);
    BOOST_TEST(std::abs(number(p, "/progress") - (0.01 + 5.0 / 20)) < 1e-9);
}

BOOST_AUTO_TEST_CASE(row_3_3_sampling_counts_batches_and_doubles_with_hires)
{
    set.step_ms = 1000;
    set.base_ms = 0;
    started();

    const auto batches = begin_long("\"prompt\":\"a\",\"n_iter\":2", 4);
    advance(6500ms); // four steps, two of decode
    const auto second = progress();
    finish(batches);
    const auto hires = begin_long(R"("enable_hr":true,"denoising_strength":0.5)", 4);
    advance(1500ms);
    const auto first_pass = progress();

    BOOST_TEST(second.at_pointer("/state/job") == "Batch 2 out of 2");
    BOOST_TEST(second.at_pointer("/state/job_no") == 1);
    BOOST_TEST(std::abs(number(second, "/progress") - (0.01 + 0.5)) < 1e-9);
    BOOST_TEST(first_pass.at_pointer("/state/job_count") == 2);
}

BOOST_AUTO_TEST_CASE(row_3_3_decoding_stands_still_near_one)
{
    set.step_ms = 1000;
    set.base_ms = 0;
    started();

    const auto running = begin_long("\"prompt\":\"a\"", 100);
    advance(100s);
    const auto before = progress();
    advance(1s);
    const auto after = progress();

    BOOST_TEST(running.now().status == 0);
    BOOST_TEST(number(before, "/progress") == 1.0);
    BOOST_TEST(number(after, "/progress") == 1.0);
}

BOOST_AUTO_TEST_CASE(row_3_3_finished_goes_back_to_zero_and_steps_go_stale)
{
    set.step_ms = 1000;
    started();
    finish(begin_long("\"prompt\":\"a\"", 7));

    const auto p = progress();
    BOOST_TEST(number(p, "/progress") == 0.0);
    BOOST_TEST(p.at_pointer("/state/job") == "");
    BOOST_TEST(p.at_pointer("/state/sampling_steps") == 7);
    const auto stamp = p.at_pointer("/state/job_timestamp");

    const auto next = begin_long("\"prompt\":\"b\"", 9);
    const auto begun = progress();
    BOOST_TEST(begun.at_pointer("/state/sampling_steps") == 7); // until its own sampling starts
    BOOST_TEST((begun.at_pointer("/state/job_timestamp") != stamp));
    advance(2s);
    BOOST_TEST(progress().at_pointer("/state/sampling_steps") == 9);
}

BOOST_AUTO_TEST_CASE(row_3_3_img2img_shows_the_steps_its_strength_leaves)
{
    set.step_ms = 1000;
    set.base_ms = 0;
    started();
    const auto picture = std::string(generate().at("/images/0").as_string());

    const auto running =
        send("POST", "/sdapi/v1/img2img",
             R"({"width":1000,"height":1000,"steps":20,"denoising_strength":0.5,"init_images":[")" +
                 picture + "\"]}");
    advance(1500ms);

    BOOST_TEST(progress().at_pointer("/state/sampling_steps") == 11);
    BOOST_TEST(progress().at_pointer("/state/job") == "scripts_img2img");
}

BOOST_AUTO_TEST_CASE(row_3_3_failed_extras_stay_until_the_next_job)
{
    started();
    const auto picture = std::string(generate().at("/images/0").as_string());

    const auto failed =
        api_post("extra-single-image", R"({"upscaler_1":"nobody","image":")" + picture + "\"}");
    const auto left = progress();
    generate();

    BOOST_TEST(failed.status == 500);
    BOOST_TEST(left.at_pointer("/state/job") == "extras");
    BOOST_TEST(progress().at_pointer("/state/job") == "");
}

BOOST_AUTO_TEST_CASE(a_preview_comes_after_ten_steps_and_can_be_switched_off)
{
    set.step_ms = 1000;
    set.base_ms = 0;
    started();

    const auto running = begin_long();
    advance(9500ms);
    const auto early = api_get("progress");
    advance(3s);
    const auto late = api_get("progress");
    const auto skipped = api_get("progress?skip_current_image=true");

    BOOST_TEST(early.at("/current_image").is_null());
    BOOST_TEST(late.at("/current_image").is_string());
    BOOST_TEST(skipped.at("/current_image").is_null());
    finish(running);

    api_post("options", R"({"live_previews_enable":false})");
    const auto blind = begin_long();
    advance(15s);
    BOOST_TEST(api_get("progress").at("/current_image").is_null());
}

BOOST_AUTO_TEST_CASE(internal_progress_follows_a_task_of_the_clients_own_name)
{
    set.startup = tools::simulator::startup_mode::full_ui;
    set.step_ms = 1000;
    started();

    const auto first = begin_long("\"force_task_id\":\"one\"");
    const auto second = begin_long("\"force_task_id\":\"two\"");
    advance(5s);
    const auto active = post("/internal/progress", R"({"id_task":"one"})");
    const auto queued = post("/internal/progress", R"({"id_task":"two"})");
    const auto pending = get("/internal/pending-tasks");
    finish(second);
    const auto done = post("/internal/progress", R"({"id_task":"one"})");

    BOOST_TEST(active.at("/active") == true);
    BOOST_TEST(queued.at("/queued") == true);
    BOOST_TEST(queued.at("/textinfo") == "In queue: 1/1");
    BOOST_TEST(pending.body == R"({"size":1,"tasks":["two"]})");
    BOOST_TEST(done.at("/completed") == true);
}

BOOST_AUTO_TEST_SUITE_END()
