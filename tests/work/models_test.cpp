#include "work/models_fixture.hpp"

#include <cerrno>

using namespace gateway;
using namespace std::chrono_literals;
using test::answer;
using test::library_world;
using test::model_file;
using test::sha256_of;
using test::wanting;

BOOST_FIXTURE_TEST_SUITE(models_, library_world)

BOOST_AUTO_TEST_CASE(a_job_gets_its_files_fetched_listed_and_used)
{
    offer("Rare");
    offer("detail");
    begin_library();

    const auto job = submit(wanting({.checkpoint = "Rare", .loras = {"detail"}}));
    check_completed(job);

    BOOST_TEST(std::filesystem::exists(checkpoint("Rare")));
    BOOST_TEST(std::filesystem::exists(options.folders.loras / "detail.safetensors"));
    BOOST_TEST(last_body().find(R"("sd_model_checkpoint":"Rare.safetensors")") !=
               std::string::npos);
    BOOST_TEST(last_body().find("<lora:detail:1.0> a cat") != std::string::npos);
    BOOST_TEST(result_of(job).find(R"("cache_info":{"checkpoints_cached":1,"loras_cached":1,)") !=
               std::string::npos);
    BOOST_TEST(models->models().downloads_done == 2u);
}

BOOST_AUTO_TEST_CASE(the_files_of_a_job_are_fetched_at_the_same_time)
{
    const auto door = std::make_shared<net::gate>(ex());
    for (const char* name : {"Rare", "detail", "style"}) {
        offer(name);
        remote["/" + std::string(name)].held = door;
    }
    begin_library();
    const auto job = submit(wanting({.checkpoint = "Rare", .loras = {"detail", "style"}}));
    pass(1s);

    BOOST_TEST(files_server.requests().size() == 3u);
    BOOST_TEST(models->models().downloads_active == 3u);
    BOOST_TEST(
        models->missing(state(job) == core::job_state::in_queue ? shown(job)->models : 0).size() ==
        3u);

    door->open();
    check_completed(job);
    BOOST_TEST(models->missing(shown(job)->models).empty());
}

BOOST_AUTO_TEST_CASE(no_more_files_at_once_than_allowed)
{
    options.files_at_once = 2;
    const auto door = std::make_shared<net::gate>(ex());
    for (const char* name : {"a", "b", "c", "d"}) {
        offer(name);
        remote["/" + std::string(name)].held = door;
    }
    begin_library();
    const auto job = submit(wanting({.checkpoint = "", .loras = {"a", "b", "c", "d"}}));
    pass(5s);
    BOOST_TEST(files_server.requests().size() == 2u);

    door->open();
    check_completed(job);
}

BOOST_AUTO_TEST_CASE(many_jobs_with_one_file_fetch_it_once)
{
    offer("Rare");
    begin_library();
    std::vector<core::job> all;
    for (int i = 0; i < 10; ++i)
        all.push_back(submit(wanting({.checkpoint = "Rare"})));
    for (const auto& job : all)
        check_completed(job);

    BOOST_TEST(asked("Rare") == 1u);
}

BOOST_AUTO_TEST_CASE(a_file_is_fetched_before_any_webui_is_up)
{
    offer("Rare");
    make_library();
    webui.kill();
    begin();
    group_.spawn(models->run());

    const auto job = submit(wanting({.checkpoint = "Rare"}));
    pass(10min);
    BOOST_TEST(std::filesystem::exists(checkpoint("Rare")));
    BOOST_TEST(shown_state(job) == "IN_QUEUE");

    webui.start();
    check_completed(job);
}

// --- what is there already ---

BOOST_AUTO_TEST_CASE(a_file_on_disk_is_not_fetched_and_makes_the_webui_look)
{
    put_checkpoint("Old", model_file(5000));
    begin_library();

    check_completed(submit(wanting({.checkpoint = "Old"})));

    BOOST_TEST(files_server.requests().empty());
    BOOST_TEST(models->models().checkpoints == 1u);
}

BOOST_AUTO_TEST_CASE(a_file_that_a_webui_lists_by_itself_is_not_fetched)
{
    begin_library();
    check_completed(submit(wanting({.checkpoint = "Photo"})));
    BOOST_TEST(files_server.requests().empty());
}

BOOST_AUTO_TEST_CASE(a_file_on_disk_with_the_right_hash_is_used)
{
    put_checkpoint("Old", model_file(5000));
    begin_library();
    check_completed(submit(wanting({.checkpoint = "Old", .sha256 = sha256_of(model_file(5000))})));
    BOOST_TEST(files_server.requests().empty());
}

BOOST_AUTO_TEST_CASE(a_file_on_disk_with_another_hash_fails_the_job_before_it_is_sent)
{
    put_checkpoint("Dream", model_file(5000)); // the WebUI lists it, too, without a hash
    begin_library();
    const auto other = std::string(64, 'a');

    const auto job = submit(wanting({.checkpoint = "Dream", .sha256 = other}));
    check_failed(job, "another content");

    BOOST_TEST(error_of(job).find(other) != std::string::npos);
    BOOST_TEST(error_of(job).find(sha256_of(model_file(5000))) != std::string::npos);
    BOOST_TEST(webui.jobs().empty());
    check_completed(submit(wanting({.checkpoint = "Dream"})));
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_read_back_fails_the_job_and_is_read_again_later)
{
    put_checkpoint("Dream", model_file(5000));
    begin_library();
    const auto wanted = wanting({.checkpoint = "Dream", .sha256 = sha256_of(model_file(5000))});
    disk_faults.fail(test::fault_files::call::read, 1, EIO);
    check_failed(submit(wanted), "cannot be read");
    disk_faults.heal();
}

BOOST_AUTO_TEST_CASE(parts_left_over_by_a_crash_are_swept_at_the_start)
{
    put_checkpoint("Old", model_file(5000));
    const auto part = options.folders.checkpoints / "Half.0a1b2c3d.part";
    std::ofstream(part) << "half";
    begin_library();
    pass(1s);
    BOOST_TEST(!std::filesystem::exists(part));
}

// --- what cannot be had ---

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_had_fails_every_job_that_waits_for_it_with_the_reason)
{
    const auto door = std::make_shared<net::gate>(ex());
    remote["/Gone"] = answer(404, "gone");
    remote["/Gone"].held = door;
    begin_library();
    const auto first = submit(wanting({.checkpoint = "Gone"}));
    const auto second = submit(wanting({.checkpoint = "Gone"}));
    const auto third = submit(wanting({.checkpoint = "Photo"}));
    door->open();

    check_failed(first, "checkpoint 'Gone' from https://files.test/Gone");
    check_failed(second, "404");
    check_completed(third);
    BOOST_TEST(asked("Gone") == 1u);
}

BOOST_AUTO_TEST_CASE(a_failure_is_remembered_for_a_while_and_then_tried_again)
{
    begin_library();
    check_failed(submit(wanting({.checkpoint = "Gone"})), "404");
    check_failed(submit(wanting({.checkpoint = "Gone"})), "404");
    BOOST_TEST(asked("Gone") == 1u);

    offer("Gone");
    pass(options.failures.permanent);
    check_completed(submit(wanting({.checkpoint = "Gone"})));
}

BOOST_AUTO_TEST_CASE(a_corrected_url_is_tried_at_once)
{
    offer("right");
    begin_library();
    check_failed(submit(wanting({.checkpoint = "Rare", .url_of = "wrong"})), "404");
    check_completed(submit(wanting({.checkpoint = "Rare", .url_of = "right"})));
}

BOOST_AUTO_TEST_CASE(a_passing_failure_is_forgotten_soon)
{
    options.fetch.limits.retries = 0;
    remote["/Rare"] = answer(503, "");
    begin_library();
    check_failed(submit(wanting({.checkpoint = "Rare"})), "503");

    offer("Rare");
    pass(options.failures.passing);
    check_completed(submit(wanting({.checkpoint = "Rare"})));
}

BOOST_AUTO_TEST_CASE(a_name_without_a_url_that_no_webui_knows_fails_with_its_name)
{
    running.rules.default_checkpoint = {core::model_kind::checkpoint, "Photo", "", ""};
    begin_library();
    check_failed(submit(wanting({.checkpoint = "Nowhere", .is_default = true})), "'Nowhere'");
    check_completed(submit(wanting({.checkpoint = "Photo", .is_default = true})));
}

BOOST_AUTO_TEST_CASE(a_lenient_library_lets_jobs_go_without_what_cannot_be_had)
{
    options.lenient = true;
    running.rules.default_checkpoint = {core::model_kind::checkpoint, "Nowhere", "", ""};
    begin_library();

    check_completed(submit(wanting({.checkpoint = "Photo", .loras = {"gone", "landscape"}})));

    BOOST_TEST(last_body().find("gone") == std::string::npos);
    BOOST_TEST(last_body().find("<lora:landscape:1.0>") != std::string::npos);
    check_completed(submit(wanting({.checkpoint = "Nowhere", .is_default = true})));
    BOOST_TEST(last_body().find("sd_model_checkpoint") == std::string::npos);
}

// --- files that no WebUI lists ---

BOOST_AUTO_TEST_CASE(a_published_file_that_no_webui_lists_fails_the_job_and_names_the_folder)
{
    webui.checkpoint_folder.clear(); // it reads another folder
    offer("Rare");
    begin_library();

    const auto job = submit(wanting({.checkpoint = "Rare"}));
    check_failed(job, options.folders.checkpoints.string());

    BOOST_TEST(error_of(job).find("--ckpt-dir") != std::string::npos);
    BOOST_TEST(webui.server().count("POST", "/sdapi/v1/refresh-checkpoints") > 1u);
    check_completed(submit(wanting({.checkpoint = "Photo"})));
}

BOOST_AUTO_TEST_CASE(a_file_that_arrives_while_the_webui_is_busy_waits_for_its_list)
{
    offer("Rare");
    begin_library();
    webui.job_time = 9min;
    const auto first = submit(test::a_job());
    const auto second = submit(wanting({.checkpoint = "Rare"}));

    pass(8min);
    BOOST_TEST(shown_state(second) == "IN_QUEUE", error_of(second));
    BOOST_TEST(std::filesystem::exists(checkpoint("Rare")));
    check_completed(first);
    check_completed(second);
}

BOOST_AUTO_TEST_CASE(a_stop_in_the_middle_of_a_download_leaves_no_part)
{
    offer("Rare", model_file(1'000'000));
    auto& a = remote["/Rare"];
    a.end = answer::ending::stalled;
    a.part = a.head_size() + 600'000;
    begin_library();
    const auto job = submit(wanting({.checkpoint = "Rare"}));
    pass(5s);
    BOOST_TEST(models->models().downloads_active == 1u);
    const auto waits = models->missing(shown(job)->models);
    BOOST_REQUIRE(waits.size() == 1u);
    BOOST_TEST(waits[0].bytes == 600'000u);
    BOOST_TEST(waits[0].total == remote["/Rare"].body.size());

    stop();

    BOOST_TEST(std::filesystem::is_empty(options.folders.checkpoints));
    BOOST_TEST(shown_state(job) == "IN_QUEUE");
}

BOOST_AUTO_TEST_SUITE_END()
