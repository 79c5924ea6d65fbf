#include "work/models_fixture.hpp"

#include <sstream>

using namespace gateway;
using namespace std::chrono_literals;
using core::model_key;
using core::model_kind;
using test::answer;
using test::model_file;
using test::sha256_of;
using test::wanting;
using reply = core::library_port::answer;

namespace {

// A library over its budget with every second checkpoint of 10 kB.
struct small_library : test::library_world {
    small_library()
    {
        options.eviction.budget = 15'000;
        options.eviction.high_water = options.eviction.low_water = 1;
    }

    bool exists(const std::string& name) const { return std::filesystem::exists(checkpoint(name)); }
    void run_job(const std::string& name)
    {
        if (!remote.contains("/" + name) && name != "Photo" && name != "Dream")
            offer(name, model_file(10'000, name.front()));
        check_completed(submit(wanting({.checkpoint = name})));
    }
    std::optional<core::model_status> shown_file(const std::string& name) const
    {
        return models->file(model_kind::checkpoint, name);
    }
    core::model_registry written() const
    {
        std::ostringstream text;
        text << std::ifstream(registry_options.file).rdbuf();
        const auto read = proto::read_registry(text.str());
        return read ? *read : core::model_registry{};
    }
    core::library_port::reply remove(const std::string& name)
    {
        return models->remove(model_kind::checkpoint, name);
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(models_cleaning_, small_library)

// --- what goes by itself ---

BOOST_AUTO_TEST_CASE(
    over_the_budget_what_was_used_longest_ago_goes_and_comes_back_when_it_is_needed)
{
    begin_library();
    run_job("aaa");
    pass(20min);
    run_job("bbb");
    pass(2min);
    BOOST_TEST(!exists("aaa"));
    BOOST_TEST(exists("bbb"));
    BOOST_TEST(models->models().evictions.at("budget") == 1u);
    BOOST_TEST(models->models().evicted_bytes > 10'000u);
    BOOST_TEST(!shown_file("aaa"));

    run_job("aaa"); // the WebUI has been made to forget it, and to see it again
    BOOST_TEST(asked("aaa") == 2u);
    BOOST_TEST(last_body().find(R"("sd_model_checkpoint":"aaa.safetensors")") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_a_waiting_job_needs_stays_however_old_it_is)
{
    begin_library();
    run_job("aaa");
    run_job("Photo"); // so that it is not loaded
    webui.kill();
    const auto waiting = submit(wanting({.checkpoint = "aaa"}));
    offer("bbb");
    models->pull({model_kind::checkpoint, "bbb", url("bbb"), ""});
    pass(30min);
    BOOST_TEST(exists("aaa"));
    BOOST_TEST(!exists("bbb"));
    webui.start();
    check_completed(waiting);
    BOOST_TEST(asked("aaa") == 1u);
}

BOOST_AUTO_TEST_CASE(what_a_running_job_needs_and_what_is_loaded_stays)
{
    begin_library();
    run_job("aaa"); // it is loaded now
    pass(20min);
    offer("bbb", model_file(10'000, 'b'));
    BOOST_TEST((models->pull({model_kind::checkpoint, "bbb", url("bbb"), ""}).what == reply::done));
    pass(30min);
    BOOST_TEST(exists("aaa"));
    BOOST_TEST(!exists("bbb"));
}

BOOST_AUTO_TEST_CASE(pinned_files_and_those_of_others_stay)
{
    put_checkpoint("theirs", model_file(50'000));
    options.pinned = {"ccc"};
    begin_library();
    run_job("ccc");
    run_job("aaa");
    BOOST_TEST((models->pin(model_kind::checkpoint, "aaa", true).what == reply::done));
    pass(20min);
    run_job("bbb");
    pass(20min);
    BOOST_TEST(exists("theirs"));
    BOOST_TEST(exists("aaa"));
    BOOST_TEST(exists("ccc"));
    BOOST_TEST(shown_file("ccc")->pinned);

    models->pin(model_kind::checkpoint, "aaa", false);
    pass(2min);
    BOOST_TEST(!exists("aaa"));
}

BOOST_AUTO_TEST_CASE(what_another_gateway_holds_stays)
{
    begin_library();
    run_job("aaa");
    store::shared_files theirs(disk_faults, disk);
    auto hold = *get(theirs.hold(checkpoint("aaa")));
    pass(20min);
    run_job("bbb");
    pass(20min);
    BOOST_TEST(exists("aaa"));
    hold = {};
    pass(2min);
    BOOST_TEST(!exists("aaa"));
}

BOOST_AUTO_TEST_CASE(files_that_nobody_uses_any_more_go)
{
    options.eviction.budget = 0;
    options.eviction.unused_after = 1h;
    begin_library();
    run_job("aaa");
    run_job("bbb");
    pass(50min);
    BOOST_TEST(exists("aaa"));
    pass(20min);
    BOOST_TEST(!exists("aaa"));
    BOOST_TEST(exists("bbb")); // loaded
    BOOST_TEST(models->models().evictions.at("unused") == 1u);
}

BOOST_AUTO_TEST_CASE(room_is_made_for_a_download_that_the_disk_has_no_room_for)
{
    options.eviction.budget = 0;
    begin_library();
    run_job("aaa");
    run_job("bbb");
    pass(20min);
    // Too little until something has gone.
    disk_faults.set_free_bytes(0);
    offer("ccc", model_file(10'000, 'c'));
    const auto job = submit(wanting({.checkpoint = "ccc"}));
    BOOST_TEST(run_until([&] { return !exists("aaa"); }, 1min));
    disk_faults.set_free_bytes(std::nullopt);
    check_completed(job);
    BOOST_TEST(models->models().evictions.at("disk") == 1u);
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_deleted_stays_in_use)
{
    begin_library();
    run_job("aaa");
    pass(20min);
    run_job("bbb");
    disk_faults.fail(test::fault_files::call::remove, 1, EACCES, true);
    pass(20min);
    BOOST_TEST(exists("aaa"));
    BOOST_TEST(shown_file("aaa")->state == "present");
    disk_faults.heal();
    run_job("aaa");
    BOOST_TEST(asked("aaa") == 1u);
}

// --- what others do ---

BOOST_AUTO_TEST_CASE(a_file_that_somebody_deleted_is_fetched_again_before_a_job_is_sent)
{
    options.eviction.budget = 0;
    begin_library();
    run_job("aaa");
    run_job("bbb");
    pass(2min); // nobody needs it, so nobody holds it
    std::filesystem::remove(checkpoint("aaa"));

    run_job("aaa"); // the WebUI still listed it

    BOOST_TEST(asked("aaa") == 2u);
    BOOST_TEST(exists("aaa"));
}

BOOST_AUTO_TEST_CASE(what_others_put_there_and_take_away_is_seen_after_a_while)
{
    begin_library();
    run_job("aaa");
    put_checkpoint("new", model_file(2000));
    run_job("bbb");
    pass(2min);
    std::filesystem::remove(checkpoint("aaa"));
    pass(10min);
    BOOST_TEST(shown_file("new").has_value());
    BOOST_TEST(!shown_file("new")->ours);
    BOOST_TEST(!shown_file("aaa"));
    BOOST_TEST(!written().contains({model_kind::checkpoint, "aaa"}));
}

BOOST_AUTO_TEST_CASE(a_pin_that_another_process_sets_counts)
{
    begin_library();
    run_job("aaa");
    pass(20min);
    core::model_change pin;
    pin.pinned = true;
    work::merge_registry(store::real_files(), registry_options.file,
                         {{{model_kind::checkpoint, "aaa"}, pin}}, {}, time.wall());
    run_job("bbb");
    pass(20min);
    BOOST_TEST(exists("aaa"));
}

// --- the registry ---

BOOST_AUTO_TEST_CASE(the_registry_knows_where_files_came_from_and_how_often_they_were_used)
{
    options.eviction.budget = 0;
    put_checkpoint("theirs", model_file(2000));
    begin_library();
    run_job("aaa");
    run_job("aaa");
    check_completed(submit(wanting({.checkpoint = "theirs"})));
    pass(10s);

    const auto all = written();
    const auto& ours = all.at({model_kind::checkpoint, "aaa"});
    BOOST_TEST(ours.url == url("aaa"));
    BOOST_TEST(ours.uses == 2u);
    BOOST_TEST(ours.sha256 == sha256_of(model_file(10'000, 'a')));
    BOOST_TEST((ours.last_used > time.wall() - 1h));
    const auto& found = all.at({model_kind::checkpoint, "theirs"});
    BOOST_TEST(found.url == "");
    BOOST_TEST(found.uses == 1u);
    BOOST_TEST(!found.is_ours());
}

// --- what operators ask ---

BOOST_AUTO_TEST_CASE(a_pull_brings_a_file_that_no_job_needs)
{
    offer("aaa");
    begin_library();
    models->pull({model_kind::checkpoint, "aaa", url("aaa"), ""});
    BOOST_TEST(shown_file("aaa").has_value());
    pass(10s);
    BOOST_TEST(exists("aaa"));
    const auto there = *shown_file("aaa");
    BOOST_TEST(there.state == "present");
    BOOST_TEST(there.source == url("aaa"));
    BOOST_TEST(there.listed_by.size() == 1u);
    models->pull({model_kind::checkpoint, "aaa", url("aaa"), ""});
    pass(10s);
    BOOST_TEST(asked("aaa") == 1u);
}

BOOST_AUTO_TEST_CASE(a_pull_tries_again_at_once_what_has_failed)
{
    begin_library();
    models->pull({model_kind::checkpoint, "aaa", url("aaa"), ""});
    pass(5s);
    BOOST_TEST(shown_file("aaa")->state == "failed");
    BOOST_TEST(shown_file("aaa")->reason.find("404") != std::string::npos);
    offer("aaa");
    models->pull({model_kind::checkpoint, "aaa", url("aaa"), ""});
    pass(5s);
    BOOST_TEST(shown_file("aaa")->state == "present");
}

BOOST_AUTO_TEST_CASE(a_file_is_deleted_on_request_unless_it_is_needed_pinned_or_not_ours)
{
    put_checkpoint("theirs", model_file(2000));
    begin_library();
    run_job("aaa");
    BOOST_TEST((remove("nothing").what == reply::unknown));
    BOOST_TEST((remove("theirs").what == reply::refused));
    BOOST_TEST((remove("aaa").what == reply::refused)); // loaded
    run_job("Dream");
    models->pin(model_kind::checkpoint, "aaa", true);
    BOOST_TEST(remove("aaa").reason.find("pinned") != std::string::npos);
    models->pin(model_kind::checkpoint, "aaa", false);
    BOOST_TEST((remove("aaa").what == reply::done));
    pass(2s);
    BOOST_TEST(!exists("aaa"));
    BOOST_TEST(!shown_file("aaa"));
    BOOST_TEST(models->models().evictions.at("asked") == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
