#include "store/health.hpp"

#include "support/fault_files.hpp"
#include "support/temp_folder.hpp"
#include "support/test_journal.hpp"
#include "support/world.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::test;
using call = fault_files::call;
using store::journal_errc;

namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20;

net::task<> write_result(store::spool& spool, std::string name, std::size_t size, error_code& out)
{
    auto writer = co_await spool.create(std::move(name));
    if (!writer) {
        out = writer.error();
        co_return;
    }
    const std::string bytes(size, 'x');
    co_await writer->append(bytes);
    const auto file = co_await writer->finish();
    out = file ? error_code{} : file.error();
}

net::task<> submit(store::journal& j, error_code& out)
{
    store::write nothing;
    out = co_await j.commit(std::move(nothing));
}

struct watched : world {
    temp_folder folder;
    fault_files files;
    net::lane disk{"disk", 0};
    test_journal journal{time};
    store::spool spool{folder / "spool", disk, files};
    store::health health{folder / "", {time, disk, journal, spool, files}, {10 * mib, 2 * mib}};
    net::task_group group{ex()};

    watched() { start_watching(); }
    ~watched() { cancel(group); }

    void start_watching()
    {
        group.spawn(health.watch());
        settle();
    }
    error_code write(const std::string& name, std::size_t size = 10)
    {
        error_code out;
        run(write_result(spool, name, size, out));
        return out;
    }
    error_code commit()
    {
        error_code out;
        run(submit(journal, out));
        return out;
    }
    void pass_a_second() { advance(std::chrono::seconds(1)); }
};

bool has(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(health_, watched)

BOOST_AUTO_TEST_CASE(with_room_and_a_disk_that_works_all_is_well)
{
    BOOST_TEST(health.no_room().empty());
    BOOST_TEST(health.no_start().empty());
    BOOST_TEST(health.disk_trouble().empty());
    BOOST_TEST(health.journal_trouble().empty());
    BOOST_TEST(health.spool_trouble().empty());
    BOOST_TEST(health.free_bytes() > 0u);
}

BOOST_AUTO_TEST_CASE(a_disk_below_the_floor_takes_on_nothing_until_there_is_room_again)
{
    files.set_free_bytes(10 * mib - 1);
    pass_a_second();
    BOOST_TEST(has(health.no_room(), "10 MiB free, the least (data.min_free) is 10 MiB"),
               health.no_room());
    BOOST_TEST(has(health.no_room(), folder.path().string()));
    BOOST_TEST(health.no_start() == health.no_room());
    BOOST_TEST(health.disk_trouble() == health.no_room());
    BOOST_TEST(health.spool_trouble().empty());

    files.set_free_bytes(10 * mib);
    pass_a_second();
    BOOST_TEST(health.no_room().empty());
    BOOST_TEST(health.no_start().empty());
}

BOOST_AUTO_TEST_CASE(a_disk_that_cannot_be_asked_takes_on_nothing)
{
    files.fail(call::free_bytes, 1, EIO);
    pass_a_second();
    BOOST_TEST(has(health.no_room(), "cannot be asked for: Input/output error"), health.no_room());
    pass_a_second();
    BOOST_TEST(health.no_room().empty());
}

// The result that fills the spool is kept whole: the bound is for what comes next.
BOOST_AUTO_TEST_CASE(a_spool_at_its_bound_takes_on_nothing_at_once)
{
    BOOST_TEST(!write("a", mib));
    BOOST_TEST(health.no_room().empty());
    BOOST_TEST(!write("b", 2 * mib));
    BOOST_TEST(has(health.no_room(), "kept results take 3 MiB, the limit (jobs.max_spool_bytes) "
                                     "is 2 MiB"),
               health.no_room());
    BOOST_TEST(health.spool_trouble() == health.no_room());
    BOOST_TEST(health.disk_trouble().empty());
}

BOOST_AUTO_TEST_CASE(a_spool_that_takes_no_writes_begins_nothing_until_a_small_write_works)
{
    files.fail(call::sync, 1, EROFS, true);
    BOOST_TEST(write("a") == boost::system::errc::read_only_file_system);
    BOOST_TEST(has(health.no_start(), "cannot be written: Read-only file system"),
               health.no_start());
    BOOST_TEST(health.no_room().empty()); // the journal can still keep jobs

    pass_a_second();
    BOOST_TEST(!health.no_start().empty());

    files.heal();
    pass_a_second();
    BOOST_TEST(health.no_start().empty());
    BOOST_TEST(files.list(folder / "spool")->empty()); // the probe leaves nothing behind
}

BOOST_AUTO_TEST_CASE(a_journal_that_failed_is_tried_again_without_anybody_asking)
{
    journal.fail_next(journal_errc::full);
    BOOST_TEST((commit() == journal_errc::full));
    BOOST_TEST(has(health.journal_trouble(), "full"), health.journal_trouble());
    const auto writes = journal.counters().writes;

    pass_a_second();

    BOOST_TEST(health.journal_trouble().empty());
    BOOST_TEST(journal.counters().writes == writes + 1);
    pass_a_second();
    BOOST_TEST(journal.counters().writes == writes + 1); // nothing is written while all is well
}

BOOST_AUTO_TEST_SUITE_END()
