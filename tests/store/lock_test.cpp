#include "store/lock.hpp"

#include "support/fault_files.hpp"
#include "support/temp_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <optional>

using namespace gateway;
using namespace gateway::test;
using store::data_dir;
using call = fault_files::call;

namespace {

struct with_folder {
    temp_folder folder;
    fault_files files;

    std::string refusal(const std::filesystem::path& path)
    {
        try {
            const data_dir dir(path, files);
        } catch (const std::runtime_error& e) {
            return e.what();
        }
        return "taken";
    }
};

bool has(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(lock_, with_folder)

BOOST_AUTO_TEST_CASE(a_second_process_is_refused_and_told_who_is_there)
{
    const auto path = folder / "data";
    std::optional<data_dir> first(path);

    const auto text = refusal(path);
    BOOST_TEST(has(text, path.string()), text);
    BOOST_TEST(has(text, "process " + std::to_string(::getpid()) + " is using it"), text);
    BOOST_TEST(has(text, "--data-dir"), text);

    first.reset();
    BOOST_TEST(refusal(path) == "taken");
}

BOOST_AUTO_TEST_CASE(a_lock_file_left_by_a_dead_process_locks_nobody_out)
{
    std::ofstream(folder / "lock") << "4711\n4711\n4711\n4711\n";
    const data_dir dir(folder.path());
    BOOST_TEST(store::read_small(files, folder / "lock").value() ==
               std::to_string(::getpid()) + "\n");
}

BOOST_AUTO_TEST_CASE(the_identity_is_made_once_and_stays)
{
    const auto path = folder / "data";
    const auto first = data_dir(path).instance();
    BOOST_TEST(first.size() == 16u);
    BOOST_TEST(first.find_first_not_of("0123456789abcdef") == std::string::npos);
    BOOST_TEST(data_dir(path).instance() == first);
    BOOST_TEST(data_dir(path).owner() == first.substr(0, 8));
    BOOST_TEST(data_dir(folder / "other").instance() != first);
}

BOOST_AUTO_TEST_CASE(an_identity_that_a_crash_has_spoilt_is_made_anew)
{
    for (const auto& spoilt : {std::string(), std::string(17, '\0'), std::string("0123")}) {
        std::ofstream(folder / "instance-id") << spoilt;
        const auto instance = data_dir(folder.path()).instance();
        BOOST_TEST(instance.size() == 16u);
        BOOST_TEST(data_dir(folder.path()).instance() == instance);
    }
}

BOOST_AUTO_TEST_CASE(each_failure_says_what_and_what_to_do)
{
    const std::vector<std::pair<call, std::string>> all{
        {call::make_folders, "it cannot be created (Permission denied)"},
        {call::open, "its lock file cannot be opened (Permission denied)"},
        {call::truncate, "its lock file cannot be written (Permission denied)"},
        {call::write, "its lock file cannot be written (Permission denied)"},
        {call::rename, "instance-id cannot be written (Permission denied)"},
        {call::sync, "instance-id cannot be written (Permission denied)"},
        {call::sync_folder, "instance-id cannot be written (Permission denied)"},
    };
    for (const auto& [what, expected] : all) {
        std::filesystem::remove(folder / "instance-id");
        files.heal();
        files.fail(what, 1, EACCES);
        const auto text = refusal(folder.path());
        BOOST_TEST(has(text, expected), text);
        BOOST_TEST(has(text, "give another one with --data-dir"), text);
    }
    files.heal();
    BOOST_TEST(refusal(folder.path()) == "taken");
}

BOOST_AUTO_TEST_SUITE_END()
