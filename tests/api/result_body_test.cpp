#include "api/result_body.hpp"

#include "support/fault_files.hpp"
#include "support/temp_folder.hpp"
#include "support/world.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>

using namespace gateway;

namespace {

struct spooled : test::world {
    static net::task<> put(store::spool& spool, std::string bytes, store::spool_file& into)
    {
        std::string name = "result";
        auto writer = co_await spool.create(std::move(name));
        BOOST_REQUIRE(writer);
        const auto ec = co_await writer->append(bytes);
        BOOST_REQUIRE(!ec);
        auto file = co_await writer->finish();
        BOOST_REQUIRE(file);
        into = *file;
    }
    static net::task<> drain(net::body_source& from, std::size_t step, std::string& into,
                             error_code& failed)
    {
        std::string buffer(step, '\0');
        for (;;) {
            const std::span<char> room(buffer.data(), buffer.size());
            const auto n = co_await from.read(room);
            if (!n)
                failed = n.error();
            if (!n || *n == 0)
                co_return;
            into.append(buffer, 0, *n);
        }
    }
    static net::task<> all(std::shared_ptr<net::body_source> from, std::string& into,
                           error_code& failed)
    {
        const auto text = co_await api::read_all(std::move(from));
        if (text)
            into = *text;
        else
            failed = text.error();
    }

    std::shared_ptr<api::result_body> body()
    {
        jobs::stored_result result;
        result.file = file;
        result.splice = stored.rfind('}');
        result.extra = R"(,"cache_info":{})";
        return std::make_shared<api::result_body>(R"({"output":)", result, R"(,"status":"X"})");
    }

    spooled() { run(put(spool, stored, file)); }

    const std::string stored = R"({"images":["aGVsbG8="],"info":"x"})";
    const std::string whole =
        R"({"output":{"images":["aGVsbG8="],"info":"x","cache_info":{}},"status":"X"})";
    test::temp_folder folder;
    test::fault_files files;
    net::lane disk{"disk", 0};
    store::spool spool{folder / "spool", disk, files};
    store::spool_file file;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(result_body_, spooled)

BOOST_AUTO_TEST_CASE(it_is_the_same_however_it_is_read)
{
    for (const std::size_t step : {1U, 2U, 7U, 16U, 64U, 65536U}) {
        const auto source = body();
        std::string got;
        error_code failed;

        run(drain(*source, step, got, failed));

        BOOST_TEST(got == whole);
        BOOST_TEST(!failed);
        BOOST_TEST(source->size().value() == whole.size());
    }
}

BOOST_AUTO_TEST_CASE(short_reads_of_the_disk_are_gone_on_with)
{
    files.set_longest(3);
    std::string got;
    error_code failed;

    run(all(body(), got, failed));

    BOOST_TEST(got == whole);
}

BOOST_AUTO_TEST_CASE(an_error_at_any_read_is_told)
{
    for (int nth = 1; nth <= 2; ++nth) {
        files.fail(test::fault_files::call::read, nth, EIO);
        std::string got;
        error_code failed;

        run(all(body(), got, failed));

        BOOST_TEST(failed.value() == EIO);
        BOOST_TEST(got.empty());
    }
}

BOOST_AUTO_TEST_CASE(a_file_that_has_lost_its_end_is_an_error)
{
    std::filesystem::resize_file(folder / "spool" / file.name(), 5);
    std::string got;
    error_code failed;

    run(all(body(), got, failed));

    BOOST_TEST(failed.value() == EIO);
}

BOOST_AUTO_TEST_SUITE_END()
