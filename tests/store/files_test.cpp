#include "store/files.hpp"

#include "store/sha256.hpp"
#include "support/fault_files.hpp"
#include "support/temp_folder.hpp"
#include "support/world.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>
#include <fstream>
#include <random>

using namespace gateway;
using namespace gateway::test;
using store::model_writer;
using call = fault_files::call;

namespace {

namespace errc = boost::system::errc;

using created = store::file_result<model_writer>;
using published = store::file_result<std::filesystem::path>;
using hashed = result<std::string>;

constexpr auto owner = "0badcafe";
constexpr auto hash_of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

net::task<> do_create(store::model_files& files, std::filesystem::path folder, std::string name,
                      std::optional<std::uint64_t> size, std::optional<created>& out)
{
    auto writer = co_await files.create(std::move(folder), std::move(name), size);
    out.emplace(std::move(writer));
}

net::task<> do_write(model_writer& w, std::uint64_t offset, std::string bytes, error_code& out)
{
    out = co_await w.write(offset, bytes);
}

net::task<> do_append(model_writer& w, std::string bytes, error_code& out)
{
    out = co_await w.append(bytes);
}

net::task<> do_save(model_writer& w, std::string note, error_code& out)
{
    out = co_await w.save(std::move(note));
}

net::task<> do_resume(store::model_files& files, std::filesystem::path folder, std::string name,
                      std::uint64_t size, std::vector<store::byte_range> have,
                      std::optional<created>& out)
{
    auto writer = co_await files.resume(std::move(folder), std::move(name), size, std::move(have));
    out.emplace(std::move(writer));
}

net::task<> do_note(store::model_files& files, std::filesystem::path folder, std::string name,
                    std::optional<hashed>& out)
{
    auto text = co_await files.note(std::move(folder), std::move(name));
    out.emplace(std::move(text));
}

net::task<> do_hash(model_writer& w, std::optional<hashed>& out)
{
    auto hash = co_await w.sha256();
    out.emplace(std::move(hash));
}

net::task<> do_publish(model_writer& w, std::string name, std::optional<published>& out)
{
    auto path = co_await w.publish(std::move(name));
    out.emplace(std::move(path));
}

net::task<> do_list(store::model_files& files, std::filesystem::path folder,
                    std::vector<store::found_file>& out)
{
    out = co_await files.list(std::move(folder));
}

net::task<> do_hash_file(store::model_files& files, std::filesystem::path file,
                         std::stop_token stop, std::optional<hashed>& out)
{
    auto hash = co_await files.sha256_of(std::move(file), std::move(stop));
    out.emplace(std::move(hash));
}

net::task<> do_read(store::model_files& files, std::filesystem::path file, std::uint64_t offset,
                    std::size_t size, std::optional<hashed>& out)
{
    auto bytes = co_await files.read(std::move(file), offset, size);
    out.emplace(std::move(bytes));
}

net::task<> do_sweep(store::model_files& files, std::filesystem::path folder, wall_time old,
                     std::size_t& out)
{
    out = co_await files.sweep_partials(std::move(folder), old);
}

struct files_world : world {
    temp_folder folder;
    fault_files faults;
    net::lane disk{"disk", 0};
    net::lane hash{"hash", 0};
    store::model_files files{faults, disk, hash, owner};
    std::filesystem::path models = folder / "Lora";

    created create(const std::string& name, std::optional<std::uint64_t> size = {})
    {
        std::optional<created> out;
        run(do_create(files, models, name, size, out));
        return std::move(out.value());
    }
    created resume(const std::string& name, std::uint64_t size, std::vector<store::byte_range> have)
    {
        std::optional<created> out;
        run(do_resume(files, models, name, size, std::move(have), out));
        return std::move(out.value());
    }
    error_code save(model_writer& w, std::string note)
    {
        error_code ec;
        run(do_save(w, std::move(note), ec));
        return ec;
    }
    std::string note(const std::string& name)
    {
        std::optional<hashed> out;
        run(do_note(files, models, name, out));
        return out->has_value() ? out->value() : "none: " + out->error().message();
    }
    // `bytes` of a file, kept together with this note.
    void keep(const std::string& name, std::uint64_t at, const std::string& bytes,
              const std::string& note)
    {
        auto w = create(name, 6);
        BOOST_TEST(!write(*w, at, bytes));
        BOOST_TEST(!save(*w, note));
        w->keep();
    }
    error_code append(model_writer& w, std::string bytes)
    {
        error_code ec;
        run(do_append(w, std::move(bytes), ec));
        return ec;
    }
    error_code write(model_writer& w, std::uint64_t offset, std::string bytes)
    {
        error_code ec;
        run(do_write(w, offset, std::move(bytes), ec));
        return ec;
    }
    hashed sha256(model_writer& w)
    {
        std::optional<hashed> out;
        run(do_hash(w, out));
        return std::move(out.value());
    }
    published publish(model_writer& w, const std::string& name)
    {
        std::optional<published> out;
        run(do_publish(w, name, out));
        return std::move(out.value());
    }
    std::string content(const std::string& name) const
    {
        std::ifstream in(models / name, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    std::size_t entries() const
    {
        return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(models),
                                                      std::filesystem::directory_iterator{}));
    }
    void put(const std::string& name, const std::string& bytes)
    {
        std::filesystem::create_directories((models / name).parent_path());
        std::ofstream(models / name, std::ios::binary) << bytes;
    }
};

std::string pattern(std::size_t size)
{
    std::mt19937 random(7);
    std::string bytes(size, '\0');
    for (auto& c : bytes)
        c = static_cast<char>(random());
    return bytes;
}

std::string hash_of(const std::string& bytes)
{
    store::sha256_sum sum;
    sum.add(bytes);
    return sum.hex();
}

bool has(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(files_, files_world)

BOOST_AUTO_TEST_CASE(a_model_is_written_hashed_and_published)
{
    auto w = create("style", 3);
    BOOST_REQUIRE(w.has_value());
    BOOST_TEST(w->part() == models / "style.0badcafe.part");
    BOOST_TEST(!append(*w, "a"));
    BOOST_TEST(!append(*w, "bc"));
    BOOST_TEST(w->size() == 3u);

    BOOST_TEST(sha256(*w).value() == hash_of_abc);
    BOOST_TEST(publish(*w, "style.safetensors").value() == models / "style.safetensors");

    BOOST_TEST(content("style.safetensors") == "abc");
    BOOST_TEST(entries() == 1u);
}

BOOST_AUTO_TEST_CASE(until_it_is_published_no_webui_lists_it)
{
    auto w = create("style");
    BOOST_TEST(!append(*w, "abc"));
    std::vector<store::found_file> found;
    run(do_list(files, models, found));
    BOOST_TEST(found.empty());
    BOOST_TEST(entries() == 1u);
}

BOOST_AUTO_TEST_CASE(a_dropped_writer_leaves_nothing)
{
    auto w = create("style", 1 << 20);
    BOOST_TEST(!append(*w, "abc"));
    w = created(boost::system::in_place_error, store::file_failure{});
    BOOST_TEST(entries() == 0u);
}

BOOST_AUTO_TEST_CASE(the_time_of_a_published_file_is_now)
{
    const auto before = std::filesystem::file_time_type::clock::now() - std::chrono::seconds(5);
    auto w = create("style");
    BOOST_TEST(!append(*w, "abc"));
    BOOST_REQUIRE(publish(*w, "style.pt").has_value());
    BOOST_TEST((std::filesystem::last_write_time(models / "style.pt") > before));
}

BOOST_AUTO_TEST_CASE(segments_in_any_order_make_the_same_file)
{
    const auto bytes = pattern(1'000'000);
    std::vector<std::size_t> order;
    for (std::size_t at = 0; at < bytes.size(); at += 62'500)
        order.push_back(at);
    std::mt19937 random(3);
    for (int round = 0; round < 20; ++round) {
        std::shuffle(order.begin(), order.end(), random);
        auto w = create("style" + std::to_string(round), bytes.size());
        for (const auto at : order)
            BOOST_TEST(!write(*w, at, bytes.substr(at, 62'500)));
        BOOST_TEST(w->frontier() == bytes.size());
        BOOST_TEST(w->have().size() == 1u);
        BOOST_TEST(sha256(*w).value() == hash_of(bytes));
    }
}

BOOST_AUTO_TEST_CASE(several_connections_may_write_at_once)
{
    net::lane disks("disk", 2);
    net::lane hashes("hash", 1);
    store::model_files beside(store::real_files(), disks, hashes, owner);
    const auto bytes = pattern(8'000'000);
    std::optional<created> w;
    start(do_create(beside, models, "big", bytes.size(), w));
    loop.run();
    BOOST_REQUIRE(w->has_value());
    std::vector<error_code> answers(80);
    for (std::size_t i = 0; i < answers.size(); ++i)
        start(do_write(**w, i * 100'000, bytes.substr(i * 100'000, 100'000), answers[i]));
    loop.restart();
    loop.run();
    for (const auto& ec : answers)
        BOOST_TEST(!ec);
    std::optional<hashed> hash_now;
    start(do_hash(**w, hash_now));
    loop.restart();
    loop.run();
    BOOST_TEST(hash_now->value() == hash_of(bytes));
}

BOOST_AUTO_TEST_CASE(in_order_nothing_is_read_back_to_be_hashed)
{
    auto w = create("style");
    for (int i = 0; i < 10; ++i)
        BOOST_TEST(!append(*w, pattern(100'000)));
    BOOST_TEST(sha256(*w).has_value());
    BOOST_TEST(faults.calls(call::read) == 0);
}

BOOST_AUTO_TEST_CASE(no_byte_is_taken_twice)
{
    auto w = create("style");
    BOOST_TEST(!write(*w, 10, "0123456789"));
    for (const std::uint64_t at : {9u, 10u, 15u, 19u})
        BOOST_TEST((write(*w, at, "xy") == errc::invalid_argument));
    BOOST_TEST(!write(*w, 20, "xy"));
    const std::vector<store::byte_range> expected{{10, 22}};
    BOOST_TEST((w->have() == expected));
    BOOST_TEST(w->frontier() == 0u);
}

BOOST_AUTO_TEST_CASE(a_file_with_a_gap_or_of_another_size_is_not_finished)
{
    auto gap = create("gap");
    BOOST_TEST(!write(*gap, 0, "ab"));
    BOOST_TEST(!write(*gap, 3, "c"));
    BOOST_TEST((sha256(*gap).error() == errc::message_size));
    BOOST_TEST(publish(*gap, "gap.pt").has_error());
    BOOST_TEST(!write(*gap, 2, "x"));
    BOOST_TEST(sha256(*gap).value() == hash_of("abxc"));

    auto little = create("little", 4);
    BOOST_TEST(!append(*little, "abc"));
    BOOST_TEST((sha256(*little).error() == errc::message_size));
}

BOOST_AUTO_TEST_CASE(write_back_is_started_early_in_large_steps)
{
    auto w = create("style");
    const std::string piece(4 << 20, 'x');
    for (std::uint64_t at = 0; at < (std::uint64_t{72} << 20); at += piece.size())
        BOOST_TEST(!write(*w, at, piece));
    BOOST_TEST(faults.calls(call::start_sync) == 2);
    BOOST_TEST(faults.calls(call::sync) == 0);
}

BOOST_AUTO_TEST_CASE(a_name_that_is_taken_by_the_same_file_is_fine)
{
    put("style.safetensors", "abc");
    auto w = create("style");
    BOOST_TEST(!append(*w, "abc"));
    BOOST_TEST(publish(*w, "style.safetensors").has_value());
    w = created(boost::system::in_place_error, store::file_failure{});
    BOOST_TEST(entries() == 1u);
}

BOOST_AUTO_TEST_CASE(a_name_that_is_taken_by_another_file_is_never_replaced)
{
    put("style.safetensors", "other");
    for (const bool has_links : {true, false}) {
        auto w = create("style");
        BOOST_TEST(!append(*w, "abc"));
        if (!has_links)
            faults.fail(call::link, 1, EPERM);
        const auto done = publish(*w, "style.safetensors");
        BOOST_REQUIRE(done.has_error());
        BOOST_TEST(done.error().permanent);
        BOOST_TEST(has(done.error().what, "another file is already called"), done.error().what);
        BOOST_TEST(content("style.safetensors") == "other");
    }
    BOOST_TEST(entries() == 1u);
}

BOOST_AUTO_TEST_CASE(where_there_are_no_links_it_is_renamed)
{
    for (const int no_links : {EPERM, EOPNOTSUPP, ENOSYS}) {
        const auto name = "style" + std::to_string(no_links);
        auto w = create(name);
        BOOST_TEST(!append(*w, "abc"));
        faults.fail(call::link, 1, no_links);
        BOOST_TEST(publish(*w, name + ".pt").has_value());
        BOOST_TEST(content(name + ".pt") == "abc");
    }
    BOOST_TEST(entries() == 3u);
}

BOOST_AUTO_TEST_CASE(each_call_that_fails_while_publishing_is_told)
{
    for (const auto what :
         {call::truncate, call::sync, call::close, call::link, call::sync_folder}) {
        faults.heal();
        auto w = create("style");
        BOOST_TEST(!append(*w, "abc"));
        faults.fail(what, 1, EIO);
        const auto done = publish(*w, "style.pt");
        BOOST_REQUIRE(done.has_error());
        BOOST_TEST(has(done.error().what, "Input/output error"), done.error().what);
        BOOST_TEST(!done.error().permanent);
        BOOST_TEST(std::filesystem::exists(models / "style.pt") == (what == call::sync_folder));
    }
}

BOOST_AUTO_TEST_CASE(each_call_that_fails_while_writing_is_told_and_ends_it)
{
    for (const auto what : {call::write, call::start_sync}) {
        auto w = create("style");
        BOOST_TEST(!append(*w, "abc"));
        faults.fail(what, 1, ENOSPC);
        BOOST_TEST((append(*w, std::string(33 << 20, 'x')) == errc::no_space_on_device));
        BOOST_TEST((append(*w, "x") == errc::no_space_on_device));
        BOOST_TEST((sha256(*w).error() == errc::no_space_on_device));
        BOOST_TEST(publish(*w, "style.pt").has_error());
    }
    auto w = create("read-back");
    BOOST_TEST(!write(*w, 3, "def"));
    faults.fail(call::read, 1, EIO);
    BOOST_TEST(!write(*w, 0, "abc"));
    BOOST_TEST((sha256(*w).error() == errc::io_error));
}

BOOST_AUTO_TEST_CASE(short_writes_and_reads_lose_nothing)
{
    const auto bytes = pattern(100'000);
    faults.set_longest(777);
    auto w = create("style");
    BOOST_TEST(!write(*w, 50'000, bytes.substr(50'000)));
    BOOST_TEST(!write(*w, 0, bytes.substr(0, 50'000)));
    BOOST_TEST(sha256(*w).value() == hash_of(bytes));
    BOOST_REQUIRE(publish(*w, "style.pt").has_value());
    BOOST_TEST((content("style.pt") == bytes));
}

BOOST_AUTO_TEST_CASE(each_call_that_fails_while_creating_is_told)
{
    for (const auto what :
         {call::make_folders, call::stat, call::free_bytes, call::open, call::allocate}) {
        faults.heal();
        faults.fail(what, 1, EACCES);
        const auto w = create("style", 10);
        BOOST_REQUIRE(w.has_error());
        BOOST_TEST(w.error().permanent);
        BOOST_TEST(has(w.error().what, "Permission denied"), w.error().what);
        BOOST_TEST(has(w.error().what, models.string()), w.error().what);
    }
    BOOST_TEST(create("style", 10).has_value());
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused_before_the_first_byte)
{
    constexpr std::uint64_t mib = 1 << 20;
    faults.set_free_bytes(100 * mib);
    BOOST_TEST(create("fits", 36 * mib).has_value());
    const auto w = create("big", 36 * mib + 1);
    BOOST_REQUIRE(w.has_error());
    BOOST_TEST(!w.error().permanent);
    BOOST_TEST(has(w.error().what, "100 MiB are free"), w.error().what);
}

BOOST_AUTO_TEST_CASE(room_that_cannot_be_taken_at_once_is_promised)
{
    constexpr std::uint64_t mib = 1 << 20;
    faults.set_free_bytes(100 * mib);
    faults.fail(call::allocate, 1, EOPNOTSUPP);
    auto first = create("first", 30 * mib);
    BOOST_REQUIRE(first.has_value());
    BOOST_TEST(create("second", 10 * mib).has_error());

    BOOST_TEST(!append(*first, std::string(5 * mib, 'x')));
    BOOST_TEST(create("third", 10 * mib).has_value());
    first = created(boost::system::in_place_error, store::file_failure{});
    BOOST_TEST(create("fourth", 36 * mib).has_value());
}

BOOST_AUTO_TEST_CASE(a_model_is_written_by_one_at_a_time_under_a_plain_name)
{
    auto w = create("style");
    BOOST_TEST(create("style").has_error());
    BOOST_TEST(!append(*w, "abc"));
    for (const auto* name : {"", ".", "..", "../style", "a/b"}) {
        BOOST_TEST(create(name).has_error(), name);
        BOOST_TEST(publish(*w, name).error().permanent, name);
    }
    BOOST_TEST(create(std::string(201, 'n')).error().permanent);
}

BOOST_AUTO_TEST_CASE(the_list_is_what_a_webui_would_show)
{
    for (const auto* name : {"b.safetensors", "a.ckpt", "sub/deep/c.pt", "d.bin", "e.gguf", "x.txt",
                             "x.preview.png", "y.0badcafe.part", "y.safetensors.part"})
        put(name, "abc");
    std::filesystem::create_directory_symlink(models, models / "sub/loop");
    std::filesystem::create_symlink("/nowhere", models / "broken.pt");
    put("../elsewhere/f.pt", "12345");
    std::filesystem::create_directory_symlink(folder / "elsewhere", models / "linked");

    std::vector<store::found_file> found;
    run(do_list(files, models, found));

    std::vector<std::string> names;
    for (const auto& f : found)
        names.push_back(f.name);
    BOOST_TEST(names == (std::vector<std::string>{"a", "b", "d", "e", "f", "c"}),
               boost::test_tools::per_element());
    BOOST_TEST(found[4].size == 5u);
    BOOST_TEST(found[5].path == models / "sub/deep/c.pt");
    run(do_list(files, folder / "none", found));
    BOOST_TEST(found.empty());
}

BOOST_AUTO_TEST_CASE(a_file_is_hashed_until_told_to_stop)
{
    put("a.pt", "abc");
    std::optional<hashed> out;
    run(do_hash_file(files, models / "a.pt", {}, out));
    BOOST_TEST(out->value() == hash_of_abc);

    std::stop_source stop;
    stop.request_stop();
    run(do_hash_file(files, models / "a.pt", stop.get_token(), out));
    BOOST_TEST((out->error() == errc::operation_canceled));
    faults.fail(call::read, 1, EIO);
    run(do_hash_file(files, models / "a.pt", {}, out));
    BOOST_TEST((out->error() == errc::io_error));
    run(do_hash_file(files, models / "none.pt", {}, out));
    BOOST_TEST((out->error() == errc::no_such_file_or_directory));
}

BOOST_AUTO_TEST_CASE(a_piece_of_a_file_is_read)
{
    put("a.pt", "0123456789");
    std::optional<hashed> out;
    run(do_read(files, models / "a.pt", 2, 3, out));
    BOOST_TEST(out->value() == "234");
    run(do_read(files, models / "a.pt", 8, 100, out));
    BOOST_TEST(out->value() == "89");
    faults.fail(call::read, 1, EIO);
    run(do_read(files, models / "a.pt", 2, 3, out));
    BOOST_TEST((out->error() == errc::io_error));
}

BOOST_AUTO_TEST_CASE(what_was_kept_is_gone_on_with_and_hashed_as_a_whole)
{
    keep("style", 3, "def", "first note");
    BOOST_TEST(note("style") == "first note");

    auto w = resume("style", 6, {{3, 6}});
    BOOST_REQUIRE(w.has_value());
    BOOST_TEST(w->size() == 3u);
    BOOST_TEST((write(*w, 4, "x") == errc::invalid_argument));
    BOOST_TEST(!write(*w, 0, "abc"));

    BOOST_TEST(sha256(*w).value() == hash_of("abcdef"));
    BOOST_TEST(publish(*w, "style.pt").has_value());
    BOOST_TEST(content("style.pt") == "abcdef");
    BOOST_TEST(entries() == 1u); // the note has gone with the partial file
}

BOOST_AUTO_TEST_CASE(a_writer_that_is_dropped_takes_its_note_along)
{
    keep("style", 0, "abc", "note");
    auto w = resume("style", 6, {{0, 3}});
    BOOST_TEST(w.has_value());
    w = created(boost::system::in_place_error, store::file_failure{});
    BOOST_TEST(entries() == 0u);
}

BOOST_AUTO_TEST_CASE(a_writer_that_is_discarded_is_gone_at_once_and_the_name_free)
{
    net::lane disks("disk", 2);
    store::model_files beside(faults, disks, hash, owner);
    std::optional<created> w;
    start(do_create(beside, models, "style", 6, w));
    loop.run();
    BOOST_REQUIRE(w->has_value());
    start((*w)->discard());
    loop.restart();
    loop.run();
    BOOST_TEST(entries() == 0u);
    std::optional<created> again;
    start(do_create(beside, models, "style", 6, again));
    loop.restart();
    loop.run();
    BOOST_TEST(again->has_value());
    w.reset();
    BOOST_TEST(entries() == 1u); // the second one's
}

BOOST_AUTO_TEST_CASE(a_file_that_begins_anew_has_no_old_note)
{
    keep("style", 0, "abc", "note");
    auto w = create("style", 6);
    BOOST_TEST(note("style").starts_with("none"));
    BOOST_TEST(!write(*w, 0, "ABCDEF"));
    BOOST_TEST(sha256(*w).value() == hash_of("ABCDEF"));
}

BOOST_AUTO_TEST_CASE(what_is_not_there_any_more_cannot_be_gone_on_with)
{
    BOOST_TEST(resume("style", 6, {{0, 3}}).has_error());
    keep("style", 0, "abc", "note");
    std::filesystem::resize_file(models / "style.0badcafe.part", 2);
    BOOST_TEST(resume("style", 6, {{0, 3}}).has_error());
}

BOOST_AUTO_TEST_CASE(a_note_is_on_disk_after_the_bytes_it_tells_of)
{
    auto w = create("style", 6);
    BOOST_TEST(!write(*w, 0, "abc"));
    faults.fail(call::sync, 1, EIO);
    BOOST_TEST((save(*w, "note") == errc::io_error));
    BOOST_TEST(note("style").starts_with("none"));
    BOOST_TEST((write(*w, 3, "def") == errc::io_error)); // a failed sync is never forgotten
}

BOOST_AUTO_TEST_CASE(a_note_that_cannot_be_replaced_leaves_the_old_one)
{
    for (const auto what : {call::write, call::rename}) {
        auto w = create("style", 6);
        BOOST_TEST(!write(*w, 0, "abc"));
        BOOST_TEST(!save(*w, "old"));
        faults.fail(what, 1, ENOSPC);
        BOOST_TEST((save(*w, "new") == errc::no_space_on_device));
        BOOST_TEST(note("style") == "old");
    }
}

BOOST_AUTO_TEST_CASE(a_file_that_another_process_writes_is_left_alone)
{
    keep("style", 0, "abc", "note");
    faults.fail(call::lock, 1, EWOULDBLOCK);
    const auto w = resume("style", 6, {{0, 3}});
    BOOST_REQUIRE(w.has_error());
    BOOST_TEST(!w.error().permanent);
    BOOST_TEST(has(w.error().what, "another process"), w.error().what);
    faults.fail(call::lock, 1, EWOULDBLOCK);
    BOOST_TEST(create("style", 6).has_error());
    BOOST_TEST(content("style.0badcafe.part").starts_with("abc"));
    BOOST_TEST(note("style") == "note");
}

BOOST_AUTO_TEST_CASE(partial_files_that_nobody_will_take_up_are_swept)
{
    put("mine.0badcafe.part", "x");
    put("sub/mine.0badcafe.part", "x");
    put("kept.0badcafe.part", "x");
    put("kept.0badcafe.part.meta", "x");
    put("theirs.12345678.part", "x");
    put("old.12345678.part", "x");
    put("old.12345678.part.meta", "x");
    put("old.0badcafe.part", "x");
    put("old.0badcafe.part.meta", "x");
    put("model.pt", "x");
    const auto now = std::filesystem::file_time_type::clock::now();
    for (const auto* name : {"old.12345678.part", "old.12345678.part.meta", "old.0badcafe.part",
                             "old.0badcafe.part.meta", "model.pt"})
        std::filesystem::last_write_time(models / name, now - std::chrono::hours(25));
    auto w = create("live");

    std::size_t removed = 0;
    const auto wall = std::chrono::time_point_cast<wall_duration>(std::chrono::system_clock::now());
    run(do_sweep(files, models, wall - std::chrono::hours(24), removed));

    BOOST_TEST(removed == 4u);
    for (const auto* name :
         {"kept.0badcafe.part", "kept.0badcafe.part.meta", "theirs.12345678.part", "model.pt"})
        BOOST_TEST(std::filesystem::exists(models / name), name);
    BOOST_TEST(std::filesystem::exists(w->part()));
    BOOST_TEST(!std::filesystem::exists(models / "old.0badcafe.part.meta"));
}

BOOST_AUTO_TEST_SUITE_END()
