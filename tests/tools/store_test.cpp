#include "tools/store.hpp"

#include "store/lock.hpp"
#include "store/spool.hpp"
#include "support/journal_jobs.hpp"
#include "support/temp_folder.hpp"

#include <SQLiteCpp/SQLiteCpp.h>

#include <fstream>
#include <sstream>

using namespace gateway;
using namespace gateway::test;

namespace {

constexpr auto reply = R"({"images":["iVBORw0KGgo="],"info":"{}"})";

net::task<> store_result(store::spool& spool, store::journal& j, core::job_key key)
{
    auto writer = co_await spool.create(std::to_string(key) + "-1");
    const auto ec = co_await writer->append(reply);
    BOOST_REQUIRE(!ec);
    auto file = co_await writer->finish();
    auto end = completed(key, 1);
    end.result->file = file->name();
    end.result->size = file->size();
    end.result->splice = file->size() - 1;
    end.result->checksum = file->checksum();
    auto w = written(inserted(key), begun(key, 1), end);
    const auto kept = co_await j.commit(std::move(w));
    BOOST_REQUIRE(!kept);
}

// The data directory of a gateway that has stopped: job 1 waits, 2 and 3 are completed.
struct stopped_gateway : world {
    temp_folder folder;
    std::filesystem::path data = folder / "data";
    std::filesystem::path spool_folder = data / "spool";

    stopped_gateway()
    {
        const store::data_dir held(data);
        net::lane lane{"inline", 0};
        auto j = store::open_sqlite(held.journal_file().string(), lane, {"", 0});
        store::spool spool(held.spool_folder(), lane);
        for (int i = 0; i < 3; ++i)
            j->next_key();
        BOOST_TEST(!commit(*this, *j, written(inserted(1))));
        run(store_result(spool, *j, 2));
        run(store_result(spool, *j, 3));
        run(j->close());
    }

    int status = -1;
    std::string check()
    {
        std::ostringstream out;
        status = tools::check_store(data, out);
        return out.str();
    }
    void write(const std::string& name, const std::string& bytes)
    {
        std::ofstream(spool_folder / name, std::ios::trunc) << bytes;
    }
    void say(const std::string& sql)
    {
        SQLite::Database((data / "journal.db").string(), SQLite::OPEN_READWRITE).exec(sql);
    }
};

bool has(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(store_, stopped_gateway)

BOOST_AUTO_TEST_CASE(a_sound_store_is_described_and_left_alone)
{
    const auto text = check();
    BOOST_TEST(status == 0);
    BOOST_TEST(has(text, "jobs     3: 1 IN_QUEUE, 2 COMPLETED\n"), text);
    BOOST_TEST(has(text, "results  2, 78 B\n"), text);
    BOOST_TEST(has(text, "No damage found.\n"), text);
    BOOST_TEST(check() == text);
}

BOOST_AUTO_TEST_CASE(files_of_no_job_are_told_and_are_no_damage)
{
    write("9-9.part", "half");
    const auto text = check();
    BOOST_TEST(status == 0);
    BOOST_TEST(has(text, "1 files of no job, removed at the next start: 9-9.part"), text);
    BOOST_TEST(std::filesystem::exists(spool_folder / "9-9.part"));
}

BOOST_AUTO_TEST_CASE(a_result_that_is_not_what_was_stored_is_damage_of_its_job)
{
    const std::vector<std::pair<std::function<void()>, std::string>> cases{
        {[this] { std::filesystem::remove(spool_folder / "2-1"); }, "No such file or directory"},
        {[this] { write("2-1", "{}"); }, "it has 2 bytes, its row says 39"},
        {[this] { write("2-1", R"({"images":["iVBORw0KGgo="],"info":"[]"})"); },
         "its bytes are not the ones that were stored"},
    };
    for (const auto& [damage, why] : cases) {
        damage();
        const auto text = check();
        BOOST_TEST(status == 1);
        BOOST_TEST(has(text, "1 results that cannot be given out: job 2 (2-1: " + why), text);
        BOOST_TEST(has(text, "Other jobs are not affected"), text);
        write("2-1", reply);
    }
}

// Version 1 kept no checksums: then it must at least be JSON that ends where the row says.
BOOST_AUTO_TEST_CASE(a_result_without_a_checksum_is_read_as_what_it_should_be)
{
    say("UPDATE results SET checksum = NULL");
    check();
    BOOST_TEST(status == 0);
    write("2-1", R"({"images":["iVBORw0KGgo="],"info":"{}"]})");
    say("UPDATE results SET size = 40 WHERE key = 2");
    BOOST_TEST(has(check(), "it is no JSON: "));
    BOOST_TEST(status == 1);
    write("2-1", reply);
    say("UPDATE results SET size = 39, splice = 3 WHERE key = 2");
    BOOST_TEST(has(check(), "its row splices at 3, the brace is at 38"));
    BOOST_TEST(status == 1);
}

BOOST_AUTO_TEST_CASE(rows_that_do_not_fit_together_are_damage)
{
    say("DELETE FROM inputs WHERE key = 1");
    BOOST_TEST(has(check(), "1 jobs without their input: 1\n"));
    BOOST_TEST(status == 1);
}

BOOST_AUTO_TEST_CASE(a_gateway_that_runs_is_not_looked_into)
{
    const store::data_dir held(data);
    BOOST_TEST(has(check(), "is using it; stop that one"));
    BOOST_TEST(status == 2);
}

BOOST_AUTO_TEST_CASE(where_no_gateway_has_ever_been_there_is_nothing_to_check)
{
    data = folder / "nowhere";
    BOOST_TEST(has(check(), "cannot open the journal"));
    BOOST_TEST(status == 2);
    BOOST_TEST(!std::filesystem::exists(data));
}

BOOST_AUTO_TEST_SUITE_END()
