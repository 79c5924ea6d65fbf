#include "work/models.hpp"

#include "support/fault_files.hpp"
#include "support/model_file.hpp"
#include "support/work_world.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>
#include <fstream>

using namespace gateway;
using namespace std::chrono_literals;
using test::answer;
using test::heard;
using test::model_file;
using test::sha256_of;

namespace {

const std::string files_origin = "https://files.test";

// A whole gateway without its doors: library, fleet and jobs, wired as in the program.
struct library_world : test::work_world {
    library_world()
    {
        const auto root = folder.path() / "models";
        options.folders = {root / "Stable-diffusion", root / "Lora", root / "embeddings",
                           root / "VAE"};
        options.limit_of = {50'000'000, 50'000'000, 50'000'000, 50'000'000};
        options.fetch.allow_hosts = {"files.test"};
        webui.checkpoint_folder = options.folders.checkpoints;
        webui.lora_folder = options.folders.loras;
        files_server.on_request([this](const heard& r) {
            const auto at = remote.find(r.path());
            return at == remote.end() ? answer(404, "no such file") : at->second;
        });
    }
    ~library_world() { stop(); }

    void begin_library()
    {
        work::model_library::parts parts{
            *jobs,
            http,
            time,
            files,
            [] { return 0.0; },
            [this](const core::model_ref& f) { return fleet->lists(f); },
            [this](bool checkpoints, bool loras) { fleet->files_arrived(checkpoints, loras); },
            [this] { return fleet->anyone_ready(); },
            [this] { return fleet->looks(); }};
        models.emplace(ex(), std::move(parts), options);
        library = &*models;
        waived = [this](const core::model_ref& f) { return models->waived(f); };
        doubtful = [this](const core::model_ref& f) { return models->doubtful(f); };
        begin_ready();
        group_.spawn(models->run());
        settle();
    }

    // Puts a file on the server.
    void offer(const std::string& name, std::string body = model_file(10'000))
    {
        answer a(200, std::move(body));
        a.type = "application/octet-stream";
        remote["/" + name] = std::move(a);
    }
    static std::string url(const std::string& name) { return files_origin + "/" + name; }
    std::filesystem::path checkpoint(const std::string& name) const
    {
        return options.folders.checkpoints / (name + ".safetensors");
    }
    void put_checkpoint(const std::string& name, const std::string& body)
    {
        std::filesystem::create_directories(options.folders.checkpoints);
        std::ofstream(checkpoint(name), std::ios::binary) << body;
    }
    std::size_t asked(const std::string& name) { return files_server.count("GET", "/" + name); }
    std::string shown_state(const core::job& job) const
    {
        return std::string(core::to_text(state(job)));
    }
    void check_completed(const core::job& job)
    {
        finish(job, 1h);
        BOOST_TEST(shown_state(job) == "COMPLETED", error_of(job));
    }
    void check_failed(const core::job& job, std::string_view why)
    {
        finish(job, 1h);
        BOOST_TEST(shown_state(job) == "FAILED");
        BOOST_TEST(error_of(job).find(why) != std::string::npos, error_of(job));
    }
    std::string last_body() const { return webui.jobs().back().body; }

    test::fault_files disk_faults;
    net::lane hash{"hash", 0};
    store::model_files files{disk_faults, disk, hash, "0a1b2c3d"};
    test::fake_server& files_server = wires.at(files_origin);
    std::map<std::string, answer> remote;
    work::model_library::options options;
    std::optional<work::model_library> models;
};

struct wish {
    std::string checkpoint{};
    std::vector<std::string> loras{};
    std::string sha256{};    // of the checkpoint
    bool is_default = false; // named by the settings, without a URL
    std::string url_of{};    // another file's
};

jobs::submission wanting(const wish& w)
{
    core::model_set files;
    std::string input = R"({"prompt":"a cat")";
    const auto& remote_name = w.url_of.empty() ? w.checkpoint : w.url_of;
    const auto url = w.is_default ? "" : files_origin + "/" + remote_name;
    if (!w.checkpoint.empty()) {
        files.push_back({core::model_kind::checkpoint, w.checkpoint, url, w.sha256});
    }
    if (!w.checkpoint.empty() && !w.is_default) {
        input += R"(,"checkpoint":{"name":")" + w.checkpoint + R"(","url":")" + url + '"';
        if (!w.sha256.empty())
            input += R"(,"hash":")" + w.sha256 + '"';
        input += '}';
    }
    input += R"(,"loras":[)";
    for (std::size_t i = 0; i < w.loras.size(); ++i) {
        const auto lora_url = files_origin + "/" + w.loras[i];
        files.push_back({core::model_kind::lora, w.loras[i], lora_url, ""});
        input += (i > 0 ? "," : "") + (R"({"name":")" + w.loras[i]) + R"(","url":")" + lora_url +
                 R"(","scale":1.0})";
    }
    auto s = test::a_job_with(std::move(files));
    s.input = input + "]}";
    return s;
}

} // namespace

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
    work::model_library::parts parts{*jobs,
                                     http,
                                     time,
                                     files,
                                     [] { return 0.0; },
                                     [this](const core::model_ref& f) { return fleet->lists(f); },
                                     [this](bool c, bool l) { fleet->files_arrived(c, l); },
                                     [this] { return fleet->anyone_ready(); },
                                     [this] { return fleet->looks(); }};
    models.emplace(ex(), std::move(parts), options);
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
    pass(options.remember_failure);
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
    pass(options.remember_passing_failure);
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
