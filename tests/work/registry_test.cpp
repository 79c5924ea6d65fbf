#include "work/registry.hpp"

#include "support/fault_files.hpp"
#include "support/temp_folder.hpp"
#include "support/world.hpp"

#include <boost/test/unit_test.hpp>

#include <fcntl.h>

#include <cerrno>
#include <fstream>
#include <sstream>

using namespace gateway;
using namespace std::chrono_literals;
using core::model_key;
using core::model_kind;
using test::fault_files;

namespace {

const model_key dream{model_kind::checkpoint, "dream"};
const model_key style{model_kind::lora, "style"};

core::model_change fetched()
{
    core::model_change c;
    auto& r = c.came.emplace();
    r.url = "https://files.test/dream";
    r.size = 10;
    r.downloaded = wall_time(1h);
    return c;
}
core::model_change used()
{
    core::model_change c;
    c.uses = 1;
    return c;
}

// Two gateways on one volume, each with its own memory.
struct registry_world : test::world {
    ~registry_world()
    {
        faults.heal();
        cancel(group);
        run_until([this] { return group.size() == 0; }, 1min);
    }

    work::registry& add_gateway(const std::string& name)
    {
        work::registry::options o;
        o.file = file;
        o.verified = folder / (name + ".json");
        all.push_back(std::make_unique<work::registry>(ex(), faults, disk, time, o));
        run(all.back()->load());
        group.spawn(all.back()->run());
        settle();
        return *all.back();
    }
    // Told while nothing else happens, so that the time to its writing begins now.
    void note(work::registry& to, const model_key& key, core::model_change change)
    {
        to.note(key, std::move(change));
        settle();
    }
    core::model_registry written() const
    {
        std::ostringstream text;
        text << std::ifstream(file).rdbuf();
        const auto read = proto::read_registry(text.str());
        return read ? *read : core::model_registry{};
    }
    void put(const std::string& text) const { std::ofstream(file) << text; }

    test::temp_folder folder;
    std::filesystem::path file = folder / "models/cache_registry.json";
    fault_files faults;
    net::lane disk{"disk", 0};
    std::vector<std::unique_ptr<work::registry>> all;
    net::task_group group{ex()};
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(registry_, registry_world)

BOOST_AUTO_TEST_CASE(many_changes_are_one_write_a_while_later)
{
    auto& ours = add_gateway("ours");
    note(ours, dream, fetched());
    for (int i = 0; i < 100; ++i)
        note(ours, dream, used());
    BOOST_TEST(ours.find(dream)->uses == 100u);
    advance(4s);
    BOOST_TEST(!std::filesystem::exists(file));

    advance(1s);
    BOOST_TEST(written().at(dream).uses == 100u);
    BOOST_TEST(ours.writes() == 1u);
    advance(1h);
    BOOST_TEST(ours.writes() == 1u);
}

BOOST_AUTO_TEST_CASE(what_two_gateways_see_adds_up)
{
    auto& ours = add_gateway("ours");
    note(ours, dream, fetched());
    advance(5s);
    auto& theirs = add_gateway("theirs");
    BOOST_REQUIRE(theirs.find(dream) != nullptr);

    note(ours, dream, used());
    note(theirs, dream, used());
    note(theirs, style, fetched());
    advance(5s);

    BOOST_TEST(written().at(dream).uses == 2u);
    run(ours.refresh());
    BOOST_TEST(ours.find(dream)->uses == 2u);
    BOOST_TEST(ours.find(style) != nullptr);
}

BOOST_AUTO_TEST_CASE(while_another_process_writes_it_waits_and_loses_nothing)
{
    std::filesystem::create_directories(file.parent_path());
    auto& ours = add_gateway("ours");
    auto lock = *store::open_in(store::real_files(), file.parent_path() / "cache_registry.lock",
                                O_RDWR | O_CREAT);
    BOOST_TEST(!store::real_files().lock(lock.fd(), true));
    note(ours, dream, fetched());
    advance(5s);
    note(ours, dream, used());
    advance(5s);
    BOOST_TEST(!std::filesystem::exists(file));

    lock.close();
    advance(5s);
    BOOST_TEST(written().at(dream).uses == 1u);
}

BOOST_AUTO_TEST_CASE(the_end_writes_what_is_left_even_when_another_process_hangs)
{
    std::filesystem::create_directories(file.parent_path());
    auto& ours = add_gateway("ours");
    auto lock = *store::open_in(store::real_files(), file.parent_path() / "cache_registry.lock",
                                O_RDWR | O_CREAT);
    BOOST_TEST(!store::real_files().lock(lock.fd(), true));
    note(ours, dream, fetched());

    cancel(group);
    BOOST_TEST(run_until([&] { return group.size() == 0; }, 1min));
    BOOST_TEST(written().contains(dream));
}

// --- damage ---

BOOST_AUTO_TEST_CASE(a_damaged_registry_is_set_aside_and_rebuilt_from_what_is_known)
{
    std::filesystem::create_directories(file.parent_path());
    put("{\"checkpoints\": {\"dre");
    auto& ours = add_gateway("ours");
    BOOST_TEST(ours.all().empty());
    BOOST_TEST(std::filesystem::exists(file.string() + ".bad"));

    note(ours, dream, fetched());
    advance(5s);
    BOOST_TEST(written().contains(dream));
}

BOOST_AUTO_TEST_CASE(a_registry_that_is_lost_while_it_runs_is_written_again_as_it_was)
{
    auto& ours = add_gateway("ours");
    note(ours, dream, fetched());
    advance(5s);
    std::filesystem::remove(file);

    note(ours, style, fetched());
    advance(5s);
    BOOST_TEST(written().size() == 2u);
}

BOOST_AUTO_TEST_CASE(every_call_that_fails_is_made_again_later_and_no_registry_is_lost)
{
    using call = fault_files::call;
    auto& ours = add_gateway("ours");
    note(ours, dream, fetched());
    advance(5s);
    std::uint64_t uses = 0;
    for (const auto what : {call::make_folders, call::open, call::read, call::write, call::sync,
                            call::close, call::rename}) {
        BOOST_TEST_INFO("call " << static_cast<int>(what));
        faults.fail(what, 1, EIO, true);
        note(ours, dream, used());
        advance(5s);
        BOOST_TEST(written().at(dream).uses == uses);
        faults.heal();
        advance(5s);
        BOOST_TEST(written().at(dream).uses == ++uses);
    }
}

BOOST_AUTO_TEST_CASE(a_registry_that_cannot_be_read_is_not_taken_for_an_empty_one)
{
    auto& ours = add_gateway("ours");
    note(ours, dream, fetched());
    advance(5s);
    faults.fail(fault_files::call::read, 1, EIO, true);
    auto& theirs = add_gateway("theirs");
    note(theirs, style, fetched());
    advance(5s);
    BOOST_TEST(written().contains(dream));
    BOOST_TEST(!written().contains(style));

    faults.heal();
    advance(5s);
    BOOST_TEST(written().size() == 2u);
}

// --- what was verified ---

BOOST_AUTO_TEST_CASE(a_verified_file_is_known_after_a_restart_for_as_long_as_it_looks_the_same)
{
    store::found_file model{"/m/dream.safetensors", "dream", 10, wall_time(5s), 1, 77};
    add_gateway("ours").note_verified(model, "abc");
    settle();
    advance(5s);

    auto& again = add_gateway("ours");
    BOOST_TEST(again.verified(model) == "abc");
    auto changed = model;
    changed.size = 11;
    BOOST_TEST(again.verified(changed) == "");
    changed = model;
    changed.modified += 1ms;
    BOOST_TEST(again.verified(changed) == "");
    changed = model;
    changed.inode = 78;
    BOOST_TEST(again.verified(changed) == "");
    again.forget_verified(model.path);
    BOOST_TEST(again.verified(model) == "");
}

BOOST_AUTO_TEST_CASE(a_damaged_list_of_verified_files_only_costs_hashing)
{
    std::ofstream(folder / "ours.json") << "not JSON";
    store::found_file model{"/m/dream.safetensors", "dream", 10, wall_time(5s), 1, 77};
    BOOST_TEST(add_gateway("ours").verified(model) == "");
}

BOOST_AUTO_TEST_SUITE_END()
