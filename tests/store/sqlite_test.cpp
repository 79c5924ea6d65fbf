// What only the journal on disk has: versions, damage, kills, group commit.

#include "store/sqlite_database.hpp"
#include "support/fault_vfs.hpp"
#include "support/journal_jobs.hpp"
#include "support/temp_folder.hpp"

#include <SQLiteCpp/SQLiteCpp.h>

#include <fstream>

using namespace gateway;
using namespace gateway::test;
using core::job_state;
using store::journal_errc;

namespace {

struct on_disk : world {
    temp_folder folder;
    fault_vfs quick{"quick"};
    net::lane inline_lane{"journal", 0};
    std::string file = (folder / "journal.db").string();

    on_disk() { quick.skip_syncs(); }

    store::sqlite_options options() const
    {
        store::sqlite_options o;
        o.vfs = quick.name();
        o.ballast = 0;
        return o;
    }

    std::unique_ptr<store::journal> open(const std::string& name = "journal.db")
    {
        return store::open_sqlite((folder / name).string(), inline_lane, options());
    }

    std::string refusal()
    {
        try {
            open();
        } catch (const std::runtime_error& e) {
            return e.what();
        }
        return "opened";
    }

    // What a machine would find that lost its power now: the files as they are.
    std::unique_ptr<store::journal> killed_copy(const std::string& name)
    {
        for (const auto* suffix : {"", "-wal"}) {
            if (std::filesystem::exists(file + suffix))
                std::filesystem::copy_file(file + suffix, folder / (name + suffix));
        }
        return open(name);
    }

    void say(const std::string& sql)
    {
        SQLite::Database db(file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
        db.exec(sql);
    }

    int ask(const std::string& sql)
    {
        SQLite::Database db(file, SQLite::OPEN_READONLY);
        return db.execAndGet(sql).getInt();
    }
};

bool has(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

net::task<> submit(store::journal& j, core::job_key key, error_code& out, int& left)
{
    auto w = written(inserted(key));
    out = co_await j.commit(std::move(w));
    --left;
}

net::task<> submit_and_be_cancelled(store::journal& j, error_code& out)
{
    const auto ex = co_await net::current_executor();
    net::task_group group(ex);
    int left = 2;
    error_code other;
    group.spawn(submit(j, 1, other, left));
    group.spawn(submit(j, 2, out, left));
    group.cancel();
    co_await group.join();
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(sqlite_, on_disk)

BOOST_AUTO_TEST_CASE(a_new_journal_is_set_up_to_last)
{
    auto j = open();
    BOOST_TEST(ask("PRAGMA user_version") == 2);
    BOOST_TEST(ask("PRAGMA auto_vacuum") == 2);
    SQLite::Database db(file, SQLite::OPEN_READONLY);
    BOOST_TEST(db.execAndGet("PRAGMA journal_mode").getString() == "wal");
}

BOOST_AUTO_TEST_CASE(a_journal_of_a_newer_version_is_refused_and_left_alone)
{
    BOOST_TEST(!commit(*this, *open(), written(inserted(1))));
    say("PRAGMA user_version = 7");

    const auto text = refusal();

    BOOST_TEST(has(text, file), text);
    BOOST_TEST(has(text, "newer webui-gateway (schema 7, this one knows up to 2)"), text);
    BOOST_TEST(ask("SELECT count(*) FROM jobs") == 1);
}

BOOST_AUTO_TEST_CASE(the_database_of_another_program_is_refused)
{
    say("CREATE TABLE mine (a)");
    BOOST_TEST(has(refusal(), "the database of another program"));
}

BOOST_AUTO_TEST_CASE(a_file_that_is_no_database_is_refused_with_what_to_do)
{
    std::ofstream(file) << std::string(10'000, 'x');
    const auto text = refusal();
    BOOST_TEST(has(text, "it is damaged (file is not a database)"), text);
    BOOST_TEST(has(text, "`webui-gateway store check` says how badly"), text);
    BOOST_TEST(has(text, "away to start with an empty queue"), text);
}

BOOST_AUTO_TEST_CASE(a_folder_that_is_not_there_is_refused_with_what_to_do)
{
    file = (folder / "no/journal.db").string();
    std::string text;
    try {
        store::open_sqlite(file, inline_lane);
    } catch (const std::runtime_error& e) {
        text = e.what();
    }
    BOOST_TEST(has(text, "check that its folder exists"), text);
}

BOOST_AUTO_TEST_CASE(damage_anywhere_is_told_at_the_start_or_when_it_is_read)
{
    {
        auto j = open();
        for (core::job_key key = 1; key <= 200; ++key)
            BOOST_TEST(!commit(*this, *j, written(inserted(key))));
        run(j->close());
    }
    const auto pages = std::filesystem::file_size(file) / 4096;
    int refused = 0;
    int told = 0;
    for (std::uintmax_t page = 0; page < pages; ++page) {
        const auto copy = folder / "damaged.db";
        std::filesystem::copy_file(file, copy, std::filesystem::copy_options::overwrite_existing);
        {
            std::fstream raw(copy, std::ios::in | std::ios::out | std::ios::binary);
            raw.seekp(static_cast<std::streamoff>(page * 4096));
            raw << std::string(4096, '\xee');
        }
        try {
            store::database db(copy.string(), options());
            const auto all = db.read_page(0, 1000);
            told += !all && all.error() == journal_errc::corrupt ? 1 : 0;
        } catch (const std::runtime_error& e) {
            BOOST_TEST(has(e.what(), "it is damaged"), e.what());
            ++refused;
        }
    }
    BOOST_TEST(refused >= 2);
    BOOST_TEST(told >= 2);
}

// Whoever did not close it may have left more behind than a log.
BOOST_AUTO_TEST_CASE(after_a_crash_damage_to_what_is_scheduled_by_is_told_before_anything_is_read)
{
    {
        auto j = open();
        store::write w;
        for (core::job_key key = 1; key <= 200; ++key)
            w.emplace_back(inserted(key, std::string(5000, 'x')));
        BOOST_TEST(!commit(*this, *j, w));
        run(j->close());
    }
    auto j = open();
    BOOST_TEST(!commit(*this, *j, written(store::erase_job{7})));
    const auto damaged_page_of = [&](const std::string& table, const std::string& name) {
        const auto page = ask("SELECT max(pageno) FROM dbstat WHERE pagetype = 'leaf'"
                              " AND name = '" +
                              table + "'");
        std::filesystem::copy_file(file, folder / name);
        std::filesystem::copy_file(file + "-wal", folder / (name + "-wal"));
        std::fstream raw(folder / name, std::ios::in | std::ios::out | std::ios::binary);
        raw.seekp(static_cast<std::streamoff>(page - 1) * 4096);
        raw << std::string(4096, '\xee');
    };
    damaged_page_of("jobs", "jobs.db");
    damaged_page_of("inputs", "inputs.db");

    BOOST_CHECK_EXCEPTION(open("jobs.db"), std::runtime_error, [](const std::runtime_error& e) {
        return has(e.what(), "it is damaged (table jobs: ");
    });
    auto opened = open("inputs.db"); // that job alone is lost
    BOOST_TEST(everything(*this, *opened).size() == 199u);
    BOOST_TEST((input(*this, *opened, 200).error() == journal_errc::corrupt));
    BOOST_TEST(input(*this, *opened, 1).has_value());
}

BOOST_AUTO_TEST_CASE(a_row_that_makes_no_sense_is_damage)
{
    BOOST_TEST(!commit(*this, *open(), written(inserted(1))));
    for (const auto* sql : {"UPDATE jobs SET state = 9", "UPDATE jobs SET state = 0, models = 99",
                            "UPDATE jobs SET models = 1; UPDATE model_sets SET text = 'c5:x'"}) {
        say(sql);
        store::database db(file, options());
        const auto page = db.read_page(0, 10);
        BOOST_REQUIRE(!page);
        BOOST_TEST((page.error() == journal_errc::corrupt));
        BOOST_TEST(has(db.last_failure(), "makes no sense"), db.last_failure());
    }
}

BOOST_AUTO_TEST_CASE(what_was_answered_survives_a_kill_at_any_moment)
{
    auto j = open();
    for (core::job_key key = 1; key <= 20; ++key) {
        BOOST_TEST(!commit(*this, *j, written(inserted(key))));
        BOOST_TEST(!commit(*this, *j, written(begun(key, 1))));
        if (key % 2 == 0)
            BOOST_TEST(!commit(*this, *j, written(completed(key, 1))));

        auto copy = killed_copy("copy-" + std::to_string(key));

        const auto now = everything(*this, *j);
        const auto then = everything(*this, *copy);
        BOOST_REQUIRE_EQUAL(now.size(), key);
        BOOST_REQUIRE_EQUAL(then.size(), key);
        for (std::size_t i = 0; i < key; ++i)
            check_same(now[i], then[i]);
        BOOST_TEST(*input(*this, *copy, key) == *input(*this, *j, key));
    }
}

// The log is cut at every length, as a power cut in the middle of a commit may leave it.
BOOST_AUTO_TEST_CASE(a_torn_log_gives_whole_writes_or_none)
{
    auto j = open();
    BOOST_TEST(!commit(*this, *j, written(inserted(1))));
    const auto before = std::filesystem::file_size(file + "-wal");
    BOOST_TEST(!commit(*this, *j, written(begun(1, 1), inserted(2, std::string(9000, 'x')))));
    const auto after = std::filesystem::file_size(file + "-wal");

    for (auto size = before; size <= after; size += 500) {
        const auto name = "torn-" + std::to_string(size);
        std::filesystem::copy_file(file, folder / name);
        std::filesystem::copy_file(file + "-wal", folder / (name + "-wal"));
        std::filesystem::resize_file(folder / (name + "-wal"), size);

        auto copy = open(name);
        const auto all = everything(*this, *copy);

        BOOST_REQUIRE(!all.empty());
        const bool happened = all.size() == 2;
        BOOST_TEST((all[0].job.state == (happened ? job_state::in_progress : job_state::in_queue)));
        BOOST_TEST(all[0].attempts.size() == (happened ? 1u : 0u));
        BOOST_TEST(input(*this, *copy, 2).has_value() == happened);
    }
}

BOOST_AUTO_TEST_CASE(a_key_is_never_used_again_even_if_its_job_is_gone)
{
    core::job_key last = 0;
    {
        auto j = open();
        for (int i = 0; i < 5; ++i) {
            last = j->next_key();
            BOOST_TEST(!commit(*this, *j, written(inserted(last))));
        }
        BOOST_TEST(!commit(*this, *j, written(store::erase_job{last})));
    }
    BOOST_TEST(open()->next_key() > last);
}

BOOST_AUTO_TEST_CASE(replay_comes_in_pages_in_key_order_without_the_inputs)
{
    auto j = open();
    store::write w;
    for (core::job_key key = 100; key > 0; --key) {
        w.emplace_back(inserted(key * 3));
        w.emplace_back(begun(key * 3, 1));
    }
    BOOST_TEST(!commit(*this, *j, w));

    const auto all = everything(*this, *j, 7);

    BOOST_REQUIRE_EQUAL(all.size(), 100u);
    for (std::size_t i = 0; i < all.size(); ++i) {
        BOOST_TEST(all[i].job.key == (i + 1) * 3);
        BOOST_TEST(all[i].attempts.size() == 1u);
    }
}

BOOST_AUTO_TEST_CASE(many_writers_share_few_commits)
{
    auto j = open();
    net::lane beside("journal", 1);
    auto shared = store::open_sqlite((folder / "shared.db").string(), beside);
    constexpr int writers = 1000;
    std::vector<error_code> answers(writers);
    int left = writers;
    for (int i = 0; i < writers; ++i)
        start(submit(*shared, static_cast<core::job_key>(i % (writers - 1)) + 1,
                     answers[static_cast<std::size_t>(i)], left));
    loop.run();

    // The last key comes twice: that writer alone is refused.
    BOOST_TEST(left == 0);
    BOOST_TEST(std::count(answers.begin(), answers.end(), error_code{}) == writers - 1);
    BOOST_TEST(std::count(answers.begin(), answers.end(), error_code(journal_errc::conflict)) == 1);
    BOOST_TEST(shared->counters().writes == 1000u);
    BOOST_TEST(shared->counters().commits <= 20u);
    BOOST_TEST(shared->counters().failures == 0u);
    BOOST_TEST(shared->counters().bytes > 0u);
}

BOOST_AUTO_TEST_CASE(a_cancelled_writer_still_hears_what_became_of_its_write)
{
    net::lane beside("journal", 1);
    auto j = store::open_sqlite(file, beside);
    error_code answer = journal_errc::closed;
    start(submit_and_be_cancelled(*j, answer));
    loop.run();
    BOOST_TEST(answer == error_code{});
}

BOOST_AUTO_TEST_CASE(closing_carries_everything_into_one_file)
{
    auto j = open();
    BOOST_TEST(!commit(*this, *j, written(inserted(1))));
    run(j->close());

    BOOST_TEST(!std::filesystem::exists(file + "-wal"));
    BOOST_TEST(everything(*this, *open()).size() == 1u);
}

BOOST_AUTO_TEST_CASE(under_steady_load_the_log_and_the_file_stay_small)
{
    auto small_log = options();
    small_log.checkpoint_pages = 50;
    auto j = store::open_sqlite(file, inline_lane, small_log);
    std::uint64_t most = 0;
    for (core::job_key key = 1; key <= 1000; ++key) {
        BOOST_TEST(!commit(*this, *j, written(inserted(key, std::string(4000, 'x')))));
        if (key > 100)
            BOOST_TEST(!commit(*this, *j, written(store::erase_job{key - 100})));
        most = std::max<std::uint64_t>(most, std::filesystem::file_size(file + "-wal"));
    }
    BOOST_TEST(most < 100u * 4200u);

    const auto full = std::filesystem::file_size(file);
    for (core::job_key key = 1; key <= 1000; ++key)
        BOOST_TEST(!commit(*this, *j, written(store::erase_job{key})));
    run(j->close());
    BOOST_TEST(full < 200u * 4200u);
}

BOOST_AUTO_TEST_CASE(room_goes_back_to_the_disk_after_a_long_queue)
{
    auto j = open();
    for (core::job_key key = 1; key <= 1500; ++key)
        BOOST_TEST(!commit(*this, *j, written(inserted(key, std::string(4000, 'x')))));
    const auto full = j->counters().bytes;
    BOOST_TEST(full > std::uint64_t{6} << 20);
    store::write all;
    for (core::job_key key = 1; key <= 1500; ++key)
        all.emplace_back(store::erase_job{key});
    BOOST_TEST(!commit(*this, *j, all)); // and nothing comes after it

    BOOST_TEST(j->counters().commits == 1501u); // small steps are none of its business
    run(j->close());
    BOOST_TEST(std::filesystem::file_size(file) < std::uintmax_t{2} << 20);
}

BOOST_AUTO_TEST_CASE(model_sets_that_no_job_wants_any_more_are_forgotten)
{
    auto j = open();
    const auto with_set = [](core::job_key key) {
        auto op = inserted(key);
        op.files = {{core::model_kind::lora, "lora-" + std::to_string(key), "", ""}};
        return op;
    };
    for (core::job_key key = 1; key <= 600; ++key)
        BOOST_TEST(!commit(*this, *j, written(with_set(key))));
    BOOST_TEST(ask("SELECT count(*) FROM model_sets") == 600);

    store::write all;
    for (core::job_key key = 1; key <= 599; ++key)
        all.emplace_back(store::erase_job{key});
    BOOST_TEST(!commit(*this, *j, all));
    BOOST_TEST(ask("SELECT count(*) FROM model_sets") == 1);

    // A set that was forgotten is learned again, under whatever number.
    auto again = with_set(5);
    again.job.key = 700;
    BOOST_TEST(!commit(*this, *j, written(again)));
    const auto kept = everything(*this, *j);
    BOOST_REQUIRE_EQUAL(kept.size(), 2u);
    BOOST_TEST((*kept[1].files == again.files));
}

BOOST_AUTO_TEST_CASE(of_a_failed_batch_the_ends_of_jobs_go_first_with_what_they_build_on)
{
    std::vector<store::pending_write> batch;
    batch.push_back({written(inserted(1)), {}});
    batch.push_back({written(requeued(7, 2)), {}});
    batch.push_back({written(begun(9, 1)), {}});
    batch.push_back({written(inserted(3), store::restart_job{9, {}}), {}});
    batch.push_back({written(ended(7, 0, job_state::cancelled), inserted(3)), {}});
    batch.push_back({written(inserted(2)), {}});
    batch.push_back({written(completed(8, 1)), {}});
    std::vector<store::pending_write*> all;
    for (auto& w : batch)
        all.push_back(&w);

    std::vector<std::ptrdiff_t> order;
    for (const auto* w : store::ends_first(all))
        order.push_back(w - batch.data());

    // 1 and 3 touch what 4 ends or touches, 2 touches what 3 does; 0 and 5 only take on work.
    BOOST_TEST(order == (std::vector<std::ptrdiff_t>{1, 2, 3, 4, 6, 0, 5}),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
