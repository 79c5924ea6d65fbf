#include "store/shared_files.hpp"

#include "support/fault_files.hpp"
#include "support/temp_folder.hpp"
#include "support/world.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>

using namespace gateway;
using test::fault_files;

namespace errc = boost::system::errc;

namespace {

template <class T> net::task<> fetch_into(net::task<T> from, std::optional<T>& into)
{
    auto value = co_await std::move(from);
    into.emplace(std::move(value));
}

// Two gateways on one volume: two objects are to flock what two processes are.
struct volume : test::world {
    template <class T> T get(net::task<T> work)
    {
        std::optional<T> got;
        run(fetch_into(std::move(work), got));
        return std::move(*got);
    }

    std::filesystem::path put(const std::string& name, const std::string& content = "model")
    {
        const auto path = folder / name;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path) << content;
        return path;
    }
    static std::string content(const std::filesystem::path& file)
    {
        std::ostringstream text;
        text << std::ifstream(file).rdbuf();
        return text.str();
    }

    test::temp_folder temporary;
    std::filesystem::path folder = temporary.path();
    fault_files faults;
    net::lane disk{"disk", 0};
    store::shared_files ours{faults, disk};
    store::shared_files theirs{faults, disk};
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(shared_files_, volume)

// --- who fetches ---

BOOST_AUTO_TEST_CASE(one_of_two_gateways_may_fetch_a_file_and_then_the_other)
{
    auto first = get(ours.claim(folder / "Lora", "style"));
    BOOST_TEST(bool(*first));
    BOOST_TEST(!bool(*get(theirs.claim(folder / "Lora", "style"))));
    BOOST_TEST(bool(*get(theirs.claim(folder / "Lora", "other"))));

    *first = {};
    BOOST_TEST(bool(*get(theirs.claim(folder / "Lora", "style"))));
}

BOOST_AUTO_TEST_CASE(a_claim_leaves_no_file_behind)
{
    {
        const auto claim = get(ours.claim(folder, "style"));
        BOOST_TEST(std::filesystem::exists(folder / "style.lock"));
    }
    BOOST_TEST(std::filesystem::is_empty(folder));
}

BOOST_AUTO_TEST_CASE(the_claim_of_a_process_that_died_is_free)
{
    const auto child = fork();
    if (child == 0) {
        const auto claim = get(ours.claim(folder, "style"));
        _exit(*claim ? 0 : 1); // without running any destructor
    }
    int status = 0;
    BOOST_TEST(waitpid(child, &status, 0) == child);
    BOOST_TEST(WEXITSTATUS(status) == 0);
    BOOST_TEST(std::filesystem::exists(folder / "style.lock"));

    BOOST_TEST(bool(*get(theirs.claim(folder, "style"))));
}

BOOST_AUTO_TEST_CASE(where_there_are_no_locks_everybody_may)
{
    put("a.safetensors");
    faults.fail(fault_files::call::lock, 1, ENOLCK, true);
    BOOST_TEST(bool(*get(ours.claim(folder, "style"))));
    BOOST_TEST(bool(*get(ours.hold(folder / "a.safetensors"))));
    BOOST_TEST(!get(theirs.remove_unused(folder / "a.safetensors")));
}

BOOST_AUTO_TEST_CASE(a_folder_that_cannot_be_made_or_a_lock_that_fails_is_told)
{
    faults.fail(fault_files::call::make_folders, 1, EROFS);
    BOOST_TEST((get(ours.claim(folder, "style")).error() == errc::read_only_file_system));
    faults.fail(fault_files::call::open, 1, EACCES);
    BOOST_TEST((get(ours.claim(folder, "style")).error() == errc::permission_denied));
    faults.fail(fault_files::call::lock, 1, EIO);
    BOOST_TEST((get(ours.claim(folder, "style")).error() == errc::io_error));
}

// --- who needs, who deletes ---

BOOST_AUTO_TEST_CASE(a_file_that_somebody_holds_is_not_removed)
{
    const auto file = put("dream.safetensors");
    auto held = get(theirs.hold(file));
    const auto also_held = get(ours.hold(file));
    BOOST_TEST(bool(*held));
    BOOST_TEST(bool(*also_held));
    BOOST_TEST((get(ours.remove_unused(file)) == errc::device_or_resource_busy));
    BOOST_TEST(std::filesystem::exists(file));
}

BOOST_AUTO_TEST_CASE(a_file_that_nobody_holds_any_more_is_removed)
{
    const auto file = put("dream.safetensors");
    {
        const auto held = get(theirs.hold(file));
    }
    BOOST_TEST(!get(ours.remove_unused(file)));
    BOOST_TEST(!std::filesystem::exists(file));
    BOOST_TEST(!get(ours.remove_unused(file))); // gone already
    BOOST_TEST((get(theirs.hold(file)).error() == errc::no_such_file_or_directory));
}

BOOST_AUTO_TEST_CASE(a_hold_that_was_released_is_over_at_once_unless_there_is_a_copy)
{
    const auto file = put("dream.safetensors");
    auto held = *get(ours.hold(file));
    auto copy = held;
    run(ours.release(std::move(held)));
    BOOST_TEST((get(theirs.remove_unused(file)) == errc::device_or_resource_busy));
    run(ours.release(std::move(copy)));
    BOOST_TEST(!get(theirs.remove_unused(file)));
    run(ours.release({}));
}

BOOST_AUTO_TEST_CASE(a_name_of_bytes_that_are_held_by_another_name_is_not_removed)
{
    const auto file = put("dream.safetensors");
    BOOST_TEST(!get(ours.share(file, folder / "again.safetensors")));
    const auto held = get(theirs.hold(file));
    BOOST_TEST(
        (get(ours.remove_unused(folder / "again.safetensors")) == errc::device_or_resource_busy));
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_removed_is_told)
{
    const auto file = put("dream.safetensors");
    faults.fail(fault_files::call::remove, 1, EACCES);
    BOOST_TEST((get(ours.remove_unused(file)) == errc::permission_denied));
    faults.fail(fault_files::call::stat, 1, EIO);
    BOOST_TEST((get(ours.remove_unused(file)) == errc::io_error));
    BOOST_TEST(std::filesystem::exists(file));
}

// --- further names ---

BOOST_AUTO_TEST_CASE(a_further_name_on_the_same_volume_is_a_hard_link)
{
    const auto file = put("Lora/style.safetensors");
    BOOST_TEST(!get(ours.share(file, folder / "More/style2.safetensors")));
    BOOST_TEST(std::filesystem::hard_link_count(file) == 2u);
}

BOOST_AUTO_TEST_CASE(where_there_are_no_links_it_is_a_copy)
{
    const auto file = put("style.safetensors", std::string(3'000'000, 'x') + "end");
    faults.fail(fault_files::call::link, 1, EXDEV, true);
    faults.set_longest(700'000);
    BOOST_TEST(!get(ours.share(file, folder / "copy.safetensors")));
    BOOST_TEST(content(folder / "copy.safetensors") == content(file));
    BOOST_TEST(std::filesystem::hard_link_count(file) == 1u);
}

BOOST_AUTO_TEST_CASE(a_name_that_is_taken_stays_what_it_is)
{
    const auto file = put("style.safetensors");
    const auto taken = put("taken.safetensors", "another");
    BOOST_TEST((get(ours.share(file, taken)) == errc::file_exists));
    faults.fail(fault_files::call::link, 1, EXDEV, true);
    BOOST_TEST((get(ours.share(file, taken)) == errc::file_exists));
    BOOST_TEST(content(taken) == "another");
}

BOOST_AUTO_TEST_CASE(a_copy_that_fails_leaves_nothing_behind)
{
    using call = fault_files::call;
    const auto file = put("style.safetensors");
    for (const auto what :
         {call::open, call::read, call::write, call::sync, call::close, call::rename}) {
        faults.heal();
        faults.fail(call::link, 1, EXDEV, true);
        faults.fail(what, what == call::open ? 2 : 1, EIO);
        BOOST_TEST_INFO(static_cast<int>(what));
        BOOST_TEST((get(ours.share(file, folder / "copy.safetensors")) == errc::io_error));
        BOOST_TEST(!std::filesystem::exists(folder / "copy.safetensors"));
        BOOST_TEST(!std::filesystem::exists(folder / "copy.safetensors.copy.part"));
    }
}

BOOST_AUTO_TEST_SUITE_END()
