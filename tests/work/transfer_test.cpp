#include "work/transfer.hpp"

#include "proto/part_note.hpp"
#include "work/fetching.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>

using namespace gateway;
using namespace gateway::test;

namespace {

constexpr std::uint64_t kib = 1024;

// A server that serves parts, and small leases, so that small files are large downloads.
struct in_parts : fetching {
    in_parts()
    {
        options.limits.lease = 64 * kib;
        options.limits.smallest_split = 16 * kib;
        options.limits.progress = 16 * kib;
        options.limits.pace.first = 4;
        file.body = model_file(1'000'000);
        serve(hub, [](const heard&) { return answer::redirect(storage + "/blob?sig=1"); });
        serve(storage, [this](const heard& r) { return part(r); });
    }

    answer part(const heard& r) const
    {
        auto a = file;
        a.headers.emplace_back("ETag", etag);
        const auto range = r.header("range");
        if (range.empty())
            return a;
        const auto [begin, end] = asked_for(r);
        if (begin >= file.body.size()) {
            answer none(416, "");
            none.headers.emplace_back("Content-Range",
                                      "bytes */" + std::to_string(file.body.size()));
            return none;
        }
        a.status = 206;
        a.body = file.body.substr(begin, end - begin);
        a.headers.emplace_back("Content-Range", "bytes " + std::to_string(begin) + "-" +
                                                    std::to_string(end - 1) + "/" +
                                                    std::to_string(file.body.size()));
        return a;
    }
    // begin and end of the bytes that a request wants
    std::pair<std::uint64_t, std::uint64_t> asked_for(const heard& r) const
    {
        const auto range = r.header("range");
        if (range.empty())
            return {0, file.body.size()};
        std::uint64_t first = 0, last = file.body.size() - 1;
        const auto* text = range.data() + 6;
        const auto* stop = range.data() + range.size();
        const auto dash = std::from_chars(text, stop, first).ptr;
        if (dash + 1 < stop)
            std::from_chars(dash + 1, stop, last);
        return {first, std::min<std::uint64_t>(last + 1, file.body.size())};
    }
    std::uint64_t bytes_asked_for(const std::string& origin)
    {
        std::uint64_t sum = 0;
        for (const auto& r : asked(origin)) {
            const auto [begin, end] = asked_for(r);
            sum += end - begin;
        }
        return sum;
    }
    // A download that a signal has ended after about so many bytes; what it kept is there.
    void fetch_some(std::uint64_t bytes)
    {
        std::stop_source enough;
        order.stop = enough.get_token();
        serve(storage, [&, bytes](const heard& r) {
            auto a = part(r);
            const auto [begin, end] = asked_for(r);
            if (end > bytes) {
                a.end = answer::ending::stalled;
                a.part = a.head_size() + (begin < bytes ? bytes - begin : 0);
                enough.request_stop();
            }
            return a;
        });
        const auto got = fetch();
        BOOST_REQUIRE(!got.has_value());
        BOOST_TEST(got.error().cancelled, got.error().reason);
        BOOST_TEST(there().size() == 2u); // the part and its note
        order.stop = {};
        wires.at(storage).forget();
        wires.at(hub).forget();
        serve(storage, [this](const heard& r) { return part(r); });
    }
    std::filesystem::path part_file() const { return order.folder / "dream.0a1b2c3d.part"; }
    std::filesystem::path note_file() const { return order.folder / "dream.0a1b2c3d.part.meta"; }
    std::string read_text(const std::filesystem::path& from) const
    {
        std::ifstream in(from, std::ios::binary);
        std::ostringstream text;
        text << in.rdbuf();
        return text.str();
    }

    std::string etag = "\"v1\"";
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(transfer_, in_parts)

// --- several connections ---

BOOST_AUTO_TEST_CASE(several_connections_bring_one_file)
{
    check_fetched();

    BOOST_TEST(asked(hub).size() == 1u); // the link is used by all of them
    int most = 0;
    for (const auto& r : asked(storage)) {
        BOOST_TEST(r.header("range").starts_with("bytes="));
        BOOST_TEST(r.header("accept-encoding") == "identity");
        BOOST_TEST(r.header("authorization") == "");
        most = std::max(most, r.connection);
    }
    BOOST_TEST(most >= 4);
    BOOST_TEST(progress.bytes == file.body.size());
}

BOOST_AUTO_TEST_CASE(no_byte_is_asked_for_twice_when_all_goes_well)
{
    options.limits.pace.first = 1;
    check_fetched();
    BOOST_TEST(asked(storage).size() == 1u);
    BOOST_TEST(bytes_asked_for(storage) == file.body.size());
}

BOOST_AUTO_TEST_CASE(connections_are_limited_by_host_and_altogether)
{
    for (const bool by_host : {true, false}) {
        options.traffic = {by_host ? 32 : 2, by_host ? 2 : 16, 0};
        std::size_t most = 0;
        serve(storage, [&](const heard& r) {
            most = std::max(most, wires.at(storage).open_connections());
            auto a = part(r);
            a.after = 1s;
            return a;
        });
        check_fetched();
        BOOST_TEST(most <= 2u);
        std::filesystem::remove_all(order.folder);
    }
}

BOOST_AUTO_TEST_CASE(the_bandwidth_is_kept_to)
{
    options.traffic.bytes_per_second = 100'000;
    const auto began = time.now();
    check_fetched();
    BOOST_TEST((time.now() - began > 9s));
    BOOST_TEST((time.now() - began < 12s));
}

BOOST_AUTO_TEST_CASE(a_server_that_ignores_ranges_after_the_first_request_serves_one_connection)
{
    int n = 0;
    serve(storage, [&](const heard& r) {
        auto whole = file;
        auto first = part(r);
        return ++n == 1 ? first : whole;
    });
    check_fetched();
}

BOOST_AUTO_TEST_CASE(a_part_that_was_not_asked_for_is_never_written)
{
    for (const char* wrong : {"bytes 1-65536/1000053", "bytes 0-65535/99", "bytes */1000053", ""}) {
        serve(storage, [&](const heard& r) {
            auto a = part(r);
            if (r.header("range").empty())
                return file;
            for (auto& [name, value] : a.headers)
                if (name == "Content-Range")
                    value = wrong;
            return a;
        });
        BOOST_TEST_CONTEXT(wrong) { check_fetched(); }
        std::filesystem::remove_all(order.folder);
    }
}

BOOST_AUTO_TEST_CASE(a_connection_that_breaks_anywhere_costs_nothing_that_has_come)
{
    for (const auto ending : {answer::ending::cut, answer::ending::reset}) {
        int n = 0;
        wires.at(storage).forget();
        serve(storage, [&](const heard& r) {
            auto a = part(r);
            if (++n % 3 == 0) {
                a.end = ending;
                a.part = a.head_size() + 20'000;
            }
            return a;
        });
        check_fetched();
        std::filesystem::remove_all(order.folder);
    }
}

BOOST_AUTO_TEST_CASE(a_stalled_connection_does_not_hold_up_the_file)
{
    int n = 0;
    serve(storage, [&](const heard& r) {
        auto a = part(r);
        if (++n == 3) {
            a.end = answer::ending::stalled;
            a.part = a.head_size() + 1000;
        }
        return a;
    });
    const auto began = time.now();
    check_fetched();
    BOOST_TEST((time.now() - began < 15s)); // its rest is taken over before the stall is over
}

// --- links that run out ---

BOOST_AUTO_TEST_CASE(a_link_that_runs_out_is_renewed_and_nothing_is_fetched_twice)
{
    for (const int status : {403, 400, 401, 410}) {
        int links = 0;
        wires.at(hub).forget();
        wires.at(storage).forget();
        serve(hub, [&](const heard&) {
            return answer::redirect(storage + "/blob?sig=" + std::to_string(++links));
        });
        serve(storage, [&](const heard& r) {
            const auto old = "sig=" + std::to_string(links);
            if (asked(storage).size() > 6 && links == 1)
                return answer(status, "<Code>ExpiredRequest</Code>");
            return r.target.find(old) == std::string::npos ? answer(status, "") : part(r);
        });
        check_fetched();
        BOOST_TEST(links == 2);
        BOOST_TEST(asked(hub).size() == 2u);
        std::filesystem::remove_all(order.folder);
    }
}

BOOST_AUTO_TEST_CASE(a_branch_that_moves_does_not_mix_two_files)
{
    const std::string commit(40, 'c');
    int links = 0;
    serve(hub, [&](const heard&) {
        auto a = answer::redirect(storage + "/blob?sig=" + std::to_string(++links));
        a.headers.emplace_back("X-Repo-Commit", commit);
        return a;
    });
    serve(storage, [&](const heard& r) {
        const bool gone = links == 1 && asked(storage).size() > 6;
        return gone ? answer(403, "") : part(r);
    });
    check_fetched();
    BOOST_TEST(asked(hub).at(1).target ==
               "/someone/model/resolve/" + commit + "/dream.safetensors");
}

// --- a file that changes ---

BOOST_AUTO_TEST_CASE(a_file_that_changes_is_fetched_anew_as_a_whole)
{
    const auto old = file.body;
    int n = 0;
    serve(storage, [&](const heard& r) {
        if (++n == 6) {
            file.body = model_file(1'000'000, 'n');
            etag = "\"v2\"";
        }
        return part(r);
    });
    check_fetched();
    BOOST_TEST(content() != old);
}

// --- taken up again ---

BOOST_AUTO_TEST_CASE(what_was_kept_is_not_fetched_again)
{
    fetch_some(500'000);
    const auto note = proto::parse_part_note(read_text(note_file()));
    BOOST_REQUIRE(note.has_value());
    std::uint64_t kept = 0;
    for (const auto& range : note->have)
        kept += range.size();
    BOOST_TEST(kept > 50'000u);

    check_fetched();

    std::vector<std::pair<std::uint64_t, std::uint64_t>> wanted;
    for (const auto& r : asked(storage))
        wanted.push_back(asked_for(r));
    std::sort(wanted.begin(), wanted.end());
    for (const auto& [begin, end] : wanted)
        for (const auto& have : note->have)
            BOOST_TEST((end <= have.begin || begin >= have.end || begin >= have.begin));
    BOOST_TEST(wanted.front().first >= note->have.front().end);
}

BOOST_AUTO_TEST_CASE(a_note_tells_no_secret)
{
    order.file.url = "https://civitai.com/api/download/models/12?token=job-secret";
    serve("https://civitai.com", [](const heard& r) {
        return r.path().starts_with("/api/v1") ? answer(404, "")
                                               : answer::redirect(storage + "/blob?sig=secret");
    });
    fetch_some(500'000);
    const auto text = read_text(note_file());
    BOOST_TEST(text.find("secret") == std::string::npos);
    BOOST_TEST(text.find("http") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_note_that_is_damaged_counts_for_nothing)
{
    fetch_some(500'000);
    const auto good = read_text(note_file());
    std::vector<std::string> spoiled{"", std::string(good.size(), '\0'), good.substr(0, 60),
                                     good + "x"};
    auto flipped = good;
    flipped[good.size() - 10] ^= 1;
    spoiled.push_back(flipped);
    for (const auto& text : spoiled) {
        BOOST_TEST(!proto::parse_part_note(text).has_value());
        std::ofstream(note_file(), std::ios::binary) << text;
        wires.at(storage).forget();
        check_fetched();
        BOOST_TEST(asked_for(asked(storage).front()).first == 0u);
        std::filesystem::remove_all(order.folder);
        fetch_some(500'000);
    }
}

BOOST_AUTO_TEST_CASE(a_note_of_another_file_counts_for_nothing)
{
    fetch_some(500'000);
    order.file.url = hub + "/someone/else/resolve/main/dream.safetensors";
    check_fetched();
    BOOST_TEST(asked_for(asked(storage).front()).first == 0u);
}

BOOST_AUTO_TEST_CASE(a_partial_file_that_is_shorter_than_its_note_says_counts_for_nothing)
{
    fetch_some(500'000);
    std::filesystem::resize_file(part_file(), 1000);
    check_fetched();
    BOOST_TEST(asked_for(asked(storage).front()).first == 0u);
}

BOOST_AUTO_TEST_CASE(a_file_that_has_changed_meanwhile_begins_anew)
{
    for (const bool longer : {true, false}) {
        fetch_some(500'000);
        file.body = model_file(longer ? 1'200'000 : 1'000'000, 'n');
        etag = longer ? "\"v2\"" : "\"v3\"";
        check_fetched();
        std::filesystem::remove_all(order.folder);
        file.body = model_file(1'000'000);
    }
}

BOOST_AUTO_TEST_CASE(a_server_that_has_forgotten_ranges_meanwhile_begins_anew)
{
    fetch_some(500'000);
    serve(storage, [this](const heard&) { return file; });
    check_fetched();
}

BOOST_AUTO_TEST_CASE(bytes_that_were_spoiled_on_disk_are_found_by_their_hash)
{
    order.file.sha256 = sha256_of(file.body);
    fetch_some(500'000);
    {
        std::fstream out(part_file(), std::ios::in | std::ios::out | std::ios::binary);
        out.seekp(50'000);
        out << "spoiled";
    }
    const auto got = fetch();
    BOOST_REQUIRE(!got.has_value());
    BOOST_TEST(there().empty());
    check_fetched();
}

BOOST_AUTO_TEST_CASE(what_has_come_is_kept_when_the_server_goes_away)
{
    int n = 0;
    serve(storage, [&](const heard& r) { return ++n <= 8 ? part(r) : answer(503, ""); });
    const auto got = fetch();
    BOOST_REQUIRE(!got.has_value());
    BOOST_TEST(!got.error().permanent);
    BOOST_TEST(std::filesystem::exists(note_file()));
    serve(storage, [this](const heard& r) { return part(r); });
    check_fetched();
}

// --- the disk ---

BOOST_AUTO_TEST_CASE(a_disk_that_fails_at_any_call_never_leaves_a_wrong_file)
{
    using call = fault_files::call;
    options.limits.retries = 0;
    for (const auto what :
         {call::write, call::sync, call::rename, call::link, call::read, call::lock})
        for (int nth = 1; nth <= 30; nth += 4) {
            disk_faults.fail(what, nth, EIO);
            const auto got = fetch();
            disk_faults.heal();
            BOOST_TEST_CONTEXT(static_cast<int>(what) << " number " << nth)
            {
                if (std::filesystem::exists(order.folder / "dream.safetensors"))
                    BOOST_TEST(content() == file.body);
                else
                    BOOST_TEST(!got.has_value());
            }
            std::filesystem::remove_all(order.folder);
        }
}

// --- what it is ---

BOOST_AUTO_TEST_CASE(pickles_are_taken_only_when_they_are_allowed)
{
    file.body = "PK\x03\x04" + std::string(300'000, 'x');
    check_fails("download.allow_pickle", true);
    options.allow_pickle = true;
    const auto got = fetch();
    BOOST_REQUIRE(got.has_value());
    BOOST_TEST(got->file_name == "dream.ckpt");
}

BOOST_AUTO_TEST_SUITE_END()
