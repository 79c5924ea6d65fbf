#include "work/models_fixture.hpp"

#include <cerrno>

using namespace gateway;
using namespace std::chrono_literals;
using core::model_kind;
using test::answer;
using test::model_file;
using test::sha256_of;
using test::wanting;

namespace {

struct files_world : test::library_world {
    std::filesystem::path lora(const std::string& name) const
    {
        return options.folders.loras / (name + ".safetensors");
    }
    std::size_t names_of(const std::filesystem::path& file) const
    {
        return std::filesystem::hard_link_count(file);
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(models_files_, files_world)

// --- one content, many names ---

BOOST_AUTO_TEST_CASE(a_url_under_another_name_is_a_further_name_and_no_second_transfer)
{
    offer("first");
    begin_library();
    check_completed(submit(wanting({.checkpoint = "first"})));
    check_completed(submit(wanting({.checkpoint = "second", .url_of = "first"})));

    BOOST_TEST(asked("first") == 1u);
    BOOST_TEST(names_of(checkpoint("first")) == 2u);
    BOOST_TEST(models->models().files_shared == 1u);
    const auto n = models->models();
    BOOST_TEST(n.checkpoints == 2u);
    BOOST_TEST(n.bytes == model_file(10'000).size()); // once
    const auto second = *models->file(model_kind::checkpoint, "second");
    BOOST_TEST(second.source == url("first"));
    BOOST_TEST(second.ours);
}

BOOST_AUTO_TEST_CASE(two_names_that_are_wanted_at_once_share_one_transfer)
{
    offer("first");
    remote["/first"].held = std::make_shared<net::gate>(ex());
    const auto door = remote["/first"].held;
    begin_library();
    const auto one = submit(wanting({.checkpoint = "first"}));
    const auto two = submit(wanting({.checkpoint = "second", .url_of = "first"}));
    pass(10s);
    BOOST_TEST(asked("first") == 1u);
    door->open();
    check_completed(one);
    check_completed(two);
    BOOST_TEST(asked("first") == 1u);
}

BOOST_AUTO_TEST_CASE(the_same_sha256_from_elsewhere_is_the_same_content)
{
    const auto sum = sha256_of(model_file(10'000));
    offer("first");
    begin_library();
    check_completed(submit(wanting({.checkpoint = "first", .sha256 = sum})));
    check_completed(
        submit(wanting({.checkpoint = "second", .sha256 = sum, .url_of = "another-place"})));
    BOOST_TEST(asked("another-place") == 0u);
    BOOST_TEST(names_of(checkpoint("first")) == 2u);
}

BOOST_AUTO_TEST_CASE(another_sha256_from_the_same_url_is_another_content)
{
    offer("first");
    begin_library();
    check_completed(submit(wanting({.checkpoint = "first"})));
    const auto other = model_file(5000, 'x');
    offer("first", other);
    check_completed(
        submit(wanting({.checkpoint = "second", .sha256 = sha256_of(other), .url_of = "first"})));
    BOOST_TEST(asked("first") == 2u);
    BOOST_TEST(names_of(checkpoint("first")) == 1u);
}

BOOST_AUTO_TEST_CASE(where_there_are_no_links_a_further_name_is_a_copy)
{
    offer("first");
    begin_library();
    check_completed(submit(wanting({.checkpoint = "first"})));
    disk_faults.fail(test::fault_files::call::link, 1, EXDEV, true);
    check_completed(submit(wanting({.checkpoint = "second", .url_of = "first"})));
    BOOST_TEST(asked("first") == 1u);
    BOOST_TEST(names_of(checkpoint("first")) == 1u);
    BOOST_TEST(std::filesystem::file_size(checkpoint("second")) ==
               std::filesystem::file_size(checkpoint("first")));
}

BOOST_AUTO_TEST_CASE(a_further_name_that_cannot_be_given_fails_the_job_with_the_reason)
{
    offer("first");
    begin_library();
    check_completed(submit(wanting({.checkpoint = "first"})));
    disk_faults.fail(test::fault_files::call::link, 1, EACCES, true);
    check_failed(submit(wanting({.checkpoint = "second", .url_of = "first"})), "second");
}

// --- two gateways on one volume ---

BOOST_AUTO_TEST_CASE(a_file_that_another_gateway_fetches_is_waited_for_and_then_used)
{
    offer("Rare");
    begin_library();
    store::shared_files theirs(disk_faults, disk);
    auto claim = *get(theirs.claim(options.folders.checkpoints, "Rare"));
    const auto job = submit(wanting({.checkpoint = "Rare"}));
    pass(1min);
    BOOST_TEST(asked("Rare") == 0u);
    BOOST_TEST(models->models().downloads_active == 0u);
    const auto waits = models->missing(shown(job)->models);
    BOOST_REQUIRE(waits.size() == 1u);
    BOOST_TEST(waits[0].state == "elsewhere");

    put_checkpoint("Rare", model_file(10'000));
    claim = {};
    check_completed(job);
    BOOST_TEST(asked("Rare") == 0u);
}

BOOST_AUTO_TEST_CASE(a_file_that_another_gateway_gave_up_on_is_fetched)
{
    offer("Rare");
    begin_library();
    store::shared_files theirs(disk_faults, disk);
    auto claim = *get(theirs.claim(options.folders.checkpoints, "Rare"));
    const auto job = submit(wanting({.checkpoint = "Rare"}));
    pass(10s);
    claim = {};
    check_completed(job);
    BOOST_TEST(asked("Rare") == 1u);
    BOOST_TEST(!std::filesystem::exists(options.folders.checkpoints / "Rare.lock"));
}

BOOST_AUTO_TEST_CASE(a_folder_that_cannot_be_locked_in_fails_the_job_and_names_it)
{
    offer("Rare");
    begin_library();
    disk_faults.fail(test::fault_files::call::lock, 1, EIO, true);
    check_failed(submit(wanting({.checkpoint = "Rare"})), options.folders.checkpoints.string());
}

// --- what nobody wants any more ---

BOOST_AUTO_TEST_CASE(a_download_that_no_job_wants_any_more_stops_after_a_moment)
{
    offer("Rare", model_file(1'000'000));
    auto& a = remote["/Rare"];
    a.end = answer::ending::stalled;
    a.part = a.head_size() + 600'000;
    options.fetch.stall_timeout = 10min;
    begin_library();
    const auto job = submit(wanting({.checkpoint = "Rare"}));
    pass(5s);
    cancel(job);
    pass(20s);
    BOOST_TEST(models->models().downloads_active == 1u);
    pass(1min);
    BOOST_TEST(models->models().downloads_active == 0u);
    BOOST_TEST(models->models().downloads_cancelled == 1u);
    BOOST_TEST(models->models().downloads_failed == 0u);
}

BOOST_AUTO_TEST_CASE(a_download_goes_on_while_one_of_its_jobs_is_left)
{
    offer("Rare");
    remote["/Rare"].held = std::make_shared<net::gate>(ex());
    const auto door = remote["/Rare"].held;
    options.fetch.header_timeout = 10min;
    begin_library();
    const auto first = submit(wanting({.checkpoint = "Rare"}));
    const auto second = submit(wanting({.checkpoint = "Rare"}));
    pass(1s);
    cancel(first);
    pass(5min);
    BOOST_TEST(models->models().downloads_active == 1u);
    door->open();
    check_completed(second);
    BOOST_TEST(asked("Rare") == 1u);
}

// --- what is remembered ---

BOOST_AUTO_TEST_CASE(a_file_is_hashed_once_and_not_again_after_a_restart)
{
    put_checkpoint("Old", model_file(5000));
    const auto wanted = wanting({.checkpoint = "Old", .sha256 = sha256_of(model_file(5000))});
    begin_library();
    check_completed(submit(wanted));
    stop();
    const auto reads = disk_faults.calls(test::fault_files::call::read);

    registry.emplace(ex(), disk_faults, disk, time, registry_options);
    run(registry->load());
    const auto found = get(files.list(options.folders.checkpoints));
    BOOST_TEST(registry->verified(found.at(0)) == sha256_of(model_file(5000)));
    BOOST_TEST(disk_faults.calls(test::fault_files::call::read) - reads < 10);
}

BOOST_AUTO_TEST_CASE(a_waiting_job_tells_how_far_its_file_is)
{
    offer("Rare", model_file(1'000'000));
    auto& a = remote["/Rare"];
    a.end = answer::ending::stalled;
    a.part = a.head_size() + 600'000;
    begin_library();
    const auto job = submit(wanting({.checkpoint = "Rare"}));
    pass(2s);
    const auto waits = models->missing(shown(job)->models);
    BOOST_REQUIRE(waits.size() == 1u);
    BOOST_TEST(waits[0].state == "fetching");
    BOOST_TEST(waits[0].bytes == 600'000u);
    const auto seen = models->files();
    BOOST_TEST(std::any_of(seen.begin(), seen.end(), [](const auto& m) {
        return m.name == "Rare" && m.state == "fetching" && m.needed;
    }));
}

BOOST_AUTO_TEST_CASE(a_job_that_waits_for_a_file_is_passed_by_those_that_do_not)
{
    offer("Rare");
    remote["/Rare"].held = std::make_shared<net::gate>(ex());
    const auto door = remote["/Rare"].held;
    begin_library();
    const auto first = submit(wanting({.checkpoint = "Rare"}));
    const auto second = submit(wanting({.checkpoint = "Photo"}));
    check_completed(second);
    BOOST_TEST(shown_state(first) == "IN_QUEUE");
    door->open();
    check_completed(first);
}

BOOST_AUTO_TEST_CASE(files_are_fetched_in_the_order_of_the_queue)
{
    options.files_at_once = 1;
    for (const char* name : {"c", "a", "b"})
        offer(name);
    begin_library();
    std::vector<core::job> jobs_in_order;
    for (const char* name : {"c", "a", "b"})
        jobs_in_order.push_back(submit(wanting({.checkpoint = name})));
    for (const auto& job : jobs_in_order)
        check_completed(job);
    std::string order;
    for (const auto& request : files_server.requests())
        order += request.path();
    BOOST_TEST(order == "/c/a/b");
}

BOOST_AUTO_TEST_CASE(a_file_has_the_link_to_itself_until_it_is_nearly_there)
{
    options.side_by_side.first = 1;
    for (const char* name : {"a", "b"})
        offer(name);
    begin_library();
    const auto both = submit(wanting({.loras = {"a", "b"}}));
    check_completed(both);

    const auto& requests = files_server.requests();
    BOOST_TEST(requests.size() == 2u);
    BOOST_TEST(requests.front().path() == "/a");
}

BOOST_AUTO_TEST_CASE(a_server_that_says_nothing_holds_up_no_other_file)
{
    options.side_by_side.first = 1;
    const auto door = std::make_shared<net::gate>(ex());
    for (const char* name : {"a", "b"})
        offer(name);
    remote["/a"].held = door;
    begin_library();
    const auto stuck = submit(wanting({.checkpoint = "a"}));
    const auto next = submit(wanting({.checkpoint = "b"}));
    pass(1s);
    BOOST_TEST(files_server.requests().size() == 1u);

    check_completed(next);
    BOOST_TEST(shown_state(stuck) == "IN_QUEUE");
    door->open();
    check_completed(stuck);
}

BOOST_AUTO_TEST_SUITE_END()
