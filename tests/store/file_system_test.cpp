#include "store/file_system.hpp"

#include "store/ballast.hpp"
#include "support/fault_files.hpp"
#include "support/temp_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <fcntl.h>

#include <cerrno>
#include <fstream>

using namespace gateway;
using namespace gateway::test;
using call = fault_files::call;

namespace {

namespace errc = boost::system::errc;

struct with_files {
    temp_folder folder;
    fault_files files;

    std::uintmax_t size(const std::string& name) const
    {
        std::error_code none;
        const auto bytes = std::filesystem::file_size(folder / name, none);
        return none ? 0 : bytes;
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(file_system_, with_files)

BOOST_AUTO_TEST_CASE(a_small_file_is_replaced_as_a_whole_or_not_at_all)
{
    const auto file = folder / "small";
    BOOST_TEST(!store::replace_small(files, file, "first"));
    for (const auto what : {call::open, call::write, call::sync, call::close, call::rename}) {
        files.fail(what, 1, EIO);
        BOOST_TEST((store::replace_small(files, file, "second") == errc::io_error));
        BOOST_TEST(store::read_small(files, file).value() == "first");
        BOOST_TEST(size("small.new") == 0u);
    }
    BOOST_TEST(!store::replace_small(files, file, "second"));
    BOOST_TEST(store::read_small(files, file).value() == "second");
}

BOOST_AUTO_TEST_CASE(a_small_file_has_a_limit)
{
    std::ofstream(folder / "large") << std::string(100'001, 'x');
    BOOST_TEST(store::read_small(files, folder / "large", 100'001).value().size() == 100'001u);
    BOOST_TEST(
        (store::read_small(files, folder / "large", 100'000).error() == errc::file_too_large));
    BOOST_TEST(
        (store::read_small(files, folder / "none").error() == errc::no_such_file_or_directory));
    files.fail(call::read, 2, EIO);
    BOOST_TEST((store::read_small(files, folder / "large", 200'000).error() == errc::io_error));
}

BOOST_AUTO_TEST_CASE(a_listing_tells_folders_also_through_links)
{
    std::filesystem::create_directory(folder / "sub");
    std::ofstream(folder / "file") << "x";
    std::filesystem::create_directory_symlink(folder / "sub", folder / "link");
    auto all = store::real_files().list(folder.path()).value();
    std::sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.name < b.name; });
    BOOST_REQUIRE_EQUAL(all.size(), 3u);
    BOOST_TEST((all[0].name == "file" && !all[0].is_folder));
    BOOST_TEST((all[1].name == "link" && all[1].is_folder));
    BOOST_TEST((all[2].name == "sub" && all[2].is_folder));
}

BOOST_AUTO_TEST_CASE(a_file_tells_its_size_and_times)
{
    std::ofstream(folder / "file") << "12345";
    const auto info = store::real_files().stat(folder / "file").value();
    BOOST_TEST(info.size == 5u);
    BOOST_TEST(!info.is_folder);
    // Not before this test was written.
    BOOST_TEST((info.modified > wall_time(std::chrono::milliseconds(1'700'000'000'000))));
    BOOST_TEST(store::real_files().free_bytes(folder.path()).value() > 0u);
    BOOST_TEST(store::folder_of("bare") == ".");
}

BOOST_AUTO_TEST_CASE(ballast_is_taken_given_up_and_taken_back)
{
    store::ballast b(files, folder / "ballast", 100'000);
    BOOST_TEST(b.in_place());
    BOOST_TEST(size("ballast") == 100'000u);
    BOOST_TEST(b.release());
    BOOST_TEST(!b.release());
    BOOST_TEST(size("ballast") == 0u);

    files.set_free_bytes(199'999);
    b.restore();
    BOOST_TEST(!b.in_place());
    files.set_free_bytes(200'000);
    b.restore();
    BOOST_TEST(b.in_place());
}

BOOST_AUTO_TEST_CASE(ballast_is_found_again_after_a_restart)
{
    const store::ballast first(files, folder / "ballast", 100'000);
    files.set_free_bytes(0);
    const store::ballast second(files, folder / "ballast", 100'000);
    BOOST_TEST(second.in_place());
}

BOOST_AUTO_TEST_CASE(where_room_cannot_be_reserved_ballast_is_written)
{
    files.fail(call::allocate, 1, EOPNOTSUPP);
    const store::ballast b(files, folder / "ballast", 600'000);
    BOOST_TEST(b.in_place());
    BOOST_TEST(size("ballast") == 600'000u);
}

BOOST_AUTO_TEST_CASE(ballast_that_cannot_be_had_is_not_claimed)
{
    for (const auto what : {call::open, call::allocate, call::free_bytes}) {
        files.fail(what, 1, ENOSPC);
        const store::ballast b(files, folder / "ballast", 100'000);
        BOOST_TEST(!b.in_place());
        BOOST_TEST(size("ballast") == 0u);
    }
    files.fail(call::allocate, 1, EOPNOTSUPP);
    files.fail(call::write, 2, ENOSPC);
    BOOST_TEST(!store::ballast(files, folder / "ballast", 600'000).in_place());
    BOOST_TEST(size("ballast") == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
