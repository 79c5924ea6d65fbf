#include "core/download.hpp"

#include <boost/test/unit_test.hpp>

#include <functional>

using namespace gateway;
using namespace gateway::core;
using namespace std::chrono_literals;

namespace {

using action = download_step::action;

constexpr std::uint64_t mib = 1 << 20;

struct downloading {
    download make(download::beginning from = {}) { return {limits, from, now}; }

    // What a server with ranges says to this step.
    reply_facts part(const download_step& asked, std::uint64_t total) const
    {
        reply_facts head;
        head.status = 206;
        head.range = byte_range{asked.range.begin, asked.to_the_end ? total : asked.range.end};
        head.total = total;
        head.length = head.range->size();
        head.etag = etag;
        head.host = "storage";
        return head;
    }
    static reply_facts whole(std::optional<std::uint64_t> size)
    {
        reply_facts head;
        head.status = 200;
        head.length = size;
        return head;
    }
    static reply_facts status(int code)
    {
        reply_facts head;
        head.status = code;
        return head;
    }
    // A connection that has been answered and may read.
    int reading(download& d, std::uint64_t total)
    {
        const auto id = d.join(now);
        const auto step = d.next(id, now);
        BOOST_REQUIRE((step.what == action::request));
        BOOST_REQUIRE(d.on_reply(id, part(step, total), now, 0));
        return id;
    }
    // Reads as far as it may, lease by lease.
    void read(download& d, int id, std::uint64_t bytes)
    {
        while (bytes > 0) {
            if (d.room(id) == 0)
                BOOST_REQUIRE((d.next(id, now).what == action::go_on));
            const auto n = std::min(bytes, d.room(id));
            BOOST_REQUIRE(d.on_bytes(id, n, now) == n);
            bytes -= n;
        }
    }
    void fail(download& d, int id, bool permanent = false, duration wait = {})
    {
        download_trouble why{"it broke", permanent};
        why.wait = wait;
        d.on_trouble(id, why, now, 0);
    }

    steady_time now{1h};
    std::string etag = "\"v1\"";
    download_limits limits = [] {
        download_limits l;
        l.pace.first = 4;
        return l;
    }();
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(download_, downloading)

// --- from beginning to end ---

BOOST_AUTO_TEST_CASE(the_first_request_is_for_everything_and_tells_what_there_is)
{
    limits.pace.first = 1;
    auto d = make();
    BOOST_TEST(d.wants_more());
    const auto id = d.join(now);

    const auto step = d.next(id, now);

    BOOST_TEST((step.what == action::request));
    BOOST_TEST(step.range.begin == 0u);
    BOOST_TEST(step.to_the_end);
    BOOST_TEST(step.from_source);
    BOOST_TEST(!step.plain);
    BOOST_TEST(d.on_reply(id, part(step, 200 * mib), now, 0));
    BOOST_TEST(d.size().value() == 200 * mib);
    BOOST_TEST(d.room(id) == 64 * mib);
}

BOOST_AUTO_TEST_CASE(one_connection_reads_one_reply_to_the_end)
{
    limits.pace.first = 1;
    auto d = make();
    const auto id = reading(d, 200 * mib);

    read(d, id, 200 * mib);

    BOOST_TEST((d.state() == download_state::complete));
    BOOST_TEST((d.next(id, now).what == action::leave));
}

BOOST_AUTO_TEST_CASE(several_connections_lease_the_lowest_missing_bytes)
{
    auto d = make();
    const auto first = reading(d, 1000 * mib);
    for (std::uint64_t n = 1; n < 4; ++n) {
        BOOST_TEST(d.wants_more());
        const auto step = d.next(d.join(now), now);
        BOOST_TEST((step.range == byte_range{n * 64 * mib, (n + 1) * 64 * mib}));
        BOOST_TEST(!step.to_the_end);
        BOOST_TEST(!step.from_source);
    }
    BOOST_TEST(!d.wants_more());
    d.on_bytes(first, 64 * mib, now);

    const auto step = d.next(first, now);

    BOOST_TEST((step.what == action::request)); // what follows on its reply is somebody else's
    BOOST_TEST(step.range.begin == 4 * 64 * mib);
}

BOOST_AUTO_TEST_CASE(what_is_there_already_is_not_asked_for)
{
    auto d = make({{{0, 64 * mib}, {100 * mib, 200 * mib}}, 300 * mib, "\"v1\"", "storage"});
    BOOST_TEST(d.received() == 164 * mib);
    const auto a = d.join(now);
    const auto step = d.next(a, now);
    BOOST_TEST((step.range == byte_range{64 * mib, 100 * mib}));
    BOOST_TEST(d.on_reply(a, part(step, 300 * mib), now, 0));
    const auto b = d.join(now);
    const auto second = d.next(b, now);
    BOOST_TEST((second.range == byte_range{200 * mib, 264 * mib}));
}

BOOST_AUTO_TEST_CASE(a_file_that_is_there_completely_needs_no_request)
{
    const auto d = make({{{0, 10}}, 10, "", ""});
    BOOST_TEST((d.state() == download_state::complete));
    BOOST_TEST(!d.wants_more());
}

BOOST_AUTO_TEST_CASE(while_the_link_is_not_known_the_others_wait)
{
    auto d = make({{{0, 1}}, 300 * mib, "", ""});
    d.next(d.join(now), now);
    const auto other = d.join(now);
    BOOST_TEST((d.next(other, now).what != action::request));
}

// --- 200 ---

BOOST_AUTO_TEST_CASE(a_whole_body_is_read_by_one_connection)
{
    auto d = make();
    const auto id = d.join(now);
    d.next(id, now);
    BOOST_TEST(d.on_reply(id, whole(100 * mib), now, 0));
    BOOST_TEST(!d.wants_more());
    BOOST_TEST(d.room(id) == 100 * mib);
    d.on_bytes(id, 100 * mib, now);
    BOOST_TEST((d.state() == download_state::complete));
}

BOOST_AUTO_TEST_CASE(a_body_without_a_length_ends_with_its_connection)
{
    auto d = make();
    const auto id = d.join(now);
    d.next(id, now);
    BOOST_TEST(d.on_reply(id, whole(std::nullopt), now, 0));
    d.on_bytes(id, 5000, now);
    BOOST_TEST((d.state() == download_state::fetching));
    d.on_end(id, now, 0);
    BOOST_TEST((d.state() == download_state::complete));
    BOOST_TEST(d.size().value() == 5000u);
}

BOOST_AUTO_TEST_CASE(a_whole_body_is_never_taken_for_a_part)
{
    auto d = make({{{0, 64 * mib}}, 200 * mib, "", ""});
    const auto id = d.join(now);
    d.next(id, now);
    BOOST_TEST(!d.on_reply(id, whole(200 * mib), now, 0));
    d.next(id, now);
    BOOST_TEST((d.state() == download_state::restart));
    d.restarted(now);
    const auto again = d.next(d.join(now), now);
    BOOST_TEST(again.range.begin == 0u);
    BOOST_TEST(again.plain);
}

BOOST_AUTO_TEST_CASE(a_server_that_ignores_ranges_from_the_second_request_on_gets_no_further_ones)
{
    auto d = make();
    const auto first = reading(d, 200 * mib);
    const auto second = d.join(now);
    d.next(second, now);

    BOOST_TEST(!d.on_reply(second, whole(200 * mib), now, 0));

    BOOST_TEST((d.next(second, now).what == action::leave));
    d.leave(second);
    BOOST_TEST((d.state() == download_state::fetching));
    BOOST_TEST(d.on_bytes(first, mib, now) == mib);
    BOOST_TEST(!d.wants_more());
}

BOOST_AUTO_TEST_CASE(a_body_that_cannot_be_gone_on_with_begins_anew_after_a_pause)
{
    auto d = make();
    const auto id = d.join(now);
    d.next(id, now);
    d.on_reply(id, whole(100 * mib), now, 0);
    d.on_bytes(id, 50 * mib, now);
    fail(d, id);
    const auto step = d.next(id, now);
    BOOST_TEST((step.what == action::wait));
    BOOST_TEST((step.until == now + 1s));
    now += 1s;
    d.next(id, now);
    BOOST_TEST((d.state() == download_state::restart));
    d.restarted(now);
    BOOST_TEST(d.received() == 0u);
    BOOST_TEST(d.wants_more());
}

BOOST_AUTO_TEST_CASE(bytes_that_are_lost_again_are_no_progress)
{
    auto d = make();
    int tries = 0;
    while (d.state() != download_state::failed && tries < 20) {
        const auto id = d.join(now);
        d.next(id, now);
        d.on_reply(id, whole(100 * mib), now, 0);
        d.on_bytes(id, 50 * mib, now);
        fail(d, id);
        ++tries;
        now += 1min;
        if (d.state() == download_state::fetching)
            d.next(id, now);
        if (d.state() == download_state::restart)
            d.restarted(now);
    }
    BOOST_TEST(tries == limits.retries + 1);
    BOOST_TEST(d.trouble().reason == "it broke (tried 6 times)");
}

// --- 206 that is not what was asked for ---

BOOST_AUTO_TEST_CASE(a_part_counts_only_when_it_is_exactly_the_one_that_was_asked_for)
{
    const struct {
        const char* what;
        std::function<void(reply_facts&)> spoil;
    } table[] = {
        {"several parts", [](reply_facts& h) { h.multipart = true; }},
        {"no usable Content-Range", [](reply_facts& h) { h.range.reset(); }},
        {"another beginning", [](reply_facts& h) { ++h.range->begin; }},
        {"another end", [](reply_facts& h) { ++h.range->end, ++*h.length; }},
        {"Content-Length", [](reply_facts& h) { --*h.length; }},
    };
    for (const auto& row : table) {
        auto d = make({{{0, 64 * mib}}, 300 * mib, "", ""});
        BOOST_TEST_CONTEXT(row.what)
        {
            for (int i = 0; i < 2; ++i) {
                const auto id = d.join(now);
                const auto step = d.next(id, now);
                BOOST_REQUIRE((step.what == action::request));
                auto head = part(step, 300 * mib);
                row.spoil(head);
                BOOST_TEST(!d.on_reply(id, head, now, 0));
                BOOST_TEST(d.room(id) == 0u);
                BOOST_TEST(d.trouble().reason.find(row.what) != std::string::npos);
                d.leave(id);
                now += 1min;
            }
            BOOST_TEST((d.state() == download_state::restart));
            d.restarted(now);
            BOOST_TEST(d.next(d.join(now), now).plain);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_part_of_a_file_whose_size_nobody_says_is_not_used)
{
    auto d = make();
    const auto id = d.join(now);
    auto head = part(d.next(id, now), 100);
    head.total.reset();
    BOOST_TEST(!d.on_reply(id, head, now, 0));
}

BOOST_AUTO_TEST_CASE(a_reply_that_ends_before_its_lease_leaves_the_rest_to_the_next_request)
{
    auto d = make();
    const auto id = d.join(now);
    auto head = part(d.next(id, now), 300 * mib);
    head.range->end = mib;
    head.length = mib;
    BOOST_TEST(d.on_reply(id, head, now, 0));
    BOOST_TEST(d.room(id) == mib);
    d.on_bytes(id, mib, now);
    const auto step = d.next(id, now);
    BOOST_TEST((step.what == action::request));
    BOOST_TEST(step.range.begin == mib);
}

// --- a file that changes ---

BOOST_AUTO_TEST_CASE(a_file_that_changes_is_begun_anew_once)
{
    using spoiler = std::function<void(reply_facts&)>;
    const spoiler table[] = {
        [](reply_facts& h) { ++*h.total; },
        [](reply_facts& h) { h.etag = "\"v2\""; },
        [](reply_facts& h) { h.status = 412; },
        [](reply_facts& h) { h.status = 416, h.total = 5; },
        [](reply_facts& h) { h.status = 416, h.total.reset(); },
    };
    for (const auto& spoil : table) {
        auto d = make();
        for (int i = 0; i < 2; ++i) {
            const auto first = reading(d, 300 * mib);
            const auto id = d.join(now);
            auto head = part(d.next(id, now), 300 * mib);
            spoil(head);
            BOOST_TEST(!d.on_reply(id, head, now, 0));
            BOOST_TEST(d.room(first) == 0u);
            BOOST_TEST((d.state() == (i == 0 ? download_state::restart : download_state::failed)));
            if (i == 0)
                d.restarted(now);
        }
        BOOST_TEST(d.trouble().permanent);
    }
}

BOOST_AUTO_TEST_CASE(another_storage_host_may_have_another_etag)
{
    auto d = make();
    reading(d, 300 * mib);
    const auto id = d.join(now);
    auto head = part(d.next(id, now), 300 * mib);
    head.host = "other storage";
    head.etag = "\"v2\"";
    BOOST_TEST(d.on_reply(id, head, now, 0));
    BOOST_TEST(d.etag() == "\"v2\"");
}

BOOST_AUTO_TEST_CASE(the_end_of_the_file_is_not_complete_before_the_bytes_are_there)
{
    auto d = make({{{0, 64 * mib}}, 300 * mib, "", ""});
    const auto id = d.join(now);
    d.next(id, now);
    auto head = status(416);
    head.total = 300 * mib;
    BOOST_TEST(!d.on_reply(id, head, now, 0));
    BOOST_TEST((d.state() == download_state::fetching));
}

BOOST_AUTO_TEST_CASE(a_server_that_has_no_first_byte_has_no_file)
{
    auto d = make();
    const auto id = d.join(now);
    d.next(id, now);
    d.on_reply(id, status(416), now, 0);
    BOOST_TEST((d.state() == download_state::failed));
    BOOST_TEST(d.trouble().permanent);
}

BOOST_AUTO_TEST_CASE(wrong_content_is_fetched_once_more_and_never_again)
{
    auto d = make();
    d.on_wrong_content("another sha256");
    BOOST_TEST((d.state() == download_state::restart));
    d.restarted(now);
    d.on_wrong_content("another sha256");
    BOOST_TEST((d.state() == download_state::failed));
    BOOST_TEST(d.trouble().permanent);
}

// --- refusals ---

BOOST_AUTO_TEST_CASE(a_refusal_for_good_ends_it)
{
    auto d = make();
    const auto id = d.join(now);
    d.next(id, now);
    d.on_refusal(id, status(404), {"no such file", true}, now, 0);
    BOOST_TEST((d.state() == download_state::failed));
    BOOST_TEST(d.trouble().reason == "no such file");
}

BOOST_AUTO_TEST_CASE(a_link_that_has_run_out_is_renewed_once_for_all_connections)
{
    auto d = make();
    const auto a = reading(d, 1000 * mib);
    const auto b = reading(d, 1000 * mib);
    read(d, a, 2 * mib);
    auto gone = status(403);
    gone.from_storage = true;
    fail(d, a);
    now += 2s;
    d.next(a, now);
    d.on_refusal(a, gone, {"expired", true}, now, 0);

    BOOST_TEST((d.state() == download_state::fetching));
    const auto step = d.next(a, now);
    BOOST_TEST((step.what == action::request));
    BOOST_TEST(step.from_source);
    BOOST_TEST(step.range.begin == 2 * mib); // nothing is lost
    fail(d, b);
    now += 2s;
    BOOST_TEST((d.next(b, now).what == action::wait)); // for the one that renews it
    BOOST_TEST(d.on_reply(a, part(step, 1000 * mib), now, 0));
    const auto other = d.next(b, now);
    BOOST_TEST((other.what == action::request));
    BOOST_TEST(!other.from_source);
}

BOOST_AUTO_TEST_CASE(links_that_never_work_are_given_up)
{
    auto d = make();
    auto gone = status(403);
    gone.from_storage = true;
    int tries = 0;
    for (; d.state() == download_state::fetching && tries < 20; ++tries) {
        const auto id = d.join(now);
        BOOST_TEST(d.next(id, now).from_source);
        d.on_refusal(id, gone, {"refused", true}, now, 0);
        d.leave(id);
    }
    BOOST_TEST(tries == 3);
    BOOST_TEST(d.trouble().permanent);
}

BOOST_AUTO_TEST_CASE(links_are_renewed_as_long_as_they_bring_something_and_not_for_ever)
{
    auto d = make();
    auto gone = status(403);
    gone.from_storage = true;
    int renewed = 0;
    for (; d.state() == download_state::fetching && renewed < 20; ++renewed) {
        const auto id = reading(d, 1000 * mib);
        d.on_bytes(id, 2 * mib, now);
        fail(d, id);
        now += 2s;
        d.next(id, now);
        d.on_refusal(id, gone, {"refused", true}, now, 0);
        d.leave(id);
    }
    BOOST_TEST(renewed == limits.refreshes + 1);
}

BOOST_AUTO_TEST_CASE(a_connection_too_many_is_given_up_and_not_the_file)
{
    auto d = make();
    reading(d, 1000 * mib);
    const auto id = d.join(now);
    d.next(id, now);
    d.on_refusal(id, status(403), {"too many connections", true}, now, 0);
    BOOST_TEST((d.state() == download_state::fetching));
    BOOST_TEST(d.wanted() == 2); // half of the four
}

// --- troubles ---

BOOST_AUTO_TEST_CASE(what_a_connection_did_not_bring_is_asked_for_again_after_growing_pauses)
{
    auto d = make();
    const auto id = reading(d, 300 * mib);
    d.on_bytes(id, 1000, now);
    duration before{};
    for (int i = 0; i < limits.retries; ++i) {
        fail(d, id);
        const auto step = d.next(id, now);
        BOOST_TEST((step.what == action::wait));
        BOOST_TEST((step.until - now > before));
        before = step.until - now;
        now = step.until;
        const auto again = d.next(id, now);
        BOOST_TEST((again.what == action::request));
        BOOST_TEST(again.range.begin == 1000u);
    }
    fail(d, id);
    BOOST_TEST((d.state() == download_state::failed));
    BOOST_TEST(!d.trouble().permanent);
    BOOST_TEST(d.trouble().reason == "it broke (tried 6 times)");
}

BOOST_AUTO_TEST_CASE(progress_makes_troubles_forgotten)
{
    auto d = make();
    auto id = reading(d, 300 * mib);
    for (int i = 0; i < 100; ++i) {
        d.on_bytes(id, mib, now);
        fail(d, id);
        now += 1min;
        const auto step = d.next(id, now);
        BOOST_REQUIRE((step.what == action::request));
        BOOST_REQUIRE(d.on_reply(id, part(step, 300 * mib), now, 0));
    }
    BOOST_TEST((d.state() == download_state::fetching));
}

BOOST_AUTO_TEST_CASE(one_bad_connection_does_not_end_a_download_that_goes_on)
{
    auto d = make();
    reading(d, 1000 * mib);
    const auto bad = d.join(now);
    for (int i = 0; i < 20; ++i) {
        d.next(bad, now);
        fail(d, bad);
        now += 1min;
    }
    BOOST_TEST((d.state() == download_state::fetching));
}

BOOST_AUTO_TEST_CASE(a_wait_that_the_server_asks_for_holds_everybody_up_within_reason)
{
    auto d = make();
    const auto a = reading(d, 1000 * mib);
    const auto b = d.join(now);
    d.next(b, now);
    fail(d, b, false, 77s);
    read(d, a, 64 * mib);
    BOOST_TEST((d.next(a, now).until == now + 77s));
    fail(d, a, false, 5h);
    BOOST_TEST((d.next(a, now).until == now + limits.longest_wait));
}

BOOST_AUTO_TEST_CASE(a_crowded_server_gets_half_the_connections)
{
    auto d = make();
    reading(d, 1000 * mib);
    BOOST_TEST(d.wanted() == 4);
    const auto b = d.join(now);
    d.next(b, now);
    d.on_trouble(b, {"503", false, true}, now, 0);
    BOOST_TEST(d.wanted() == 2);
}

BOOST_AUTO_TEST_CASE(ten_minutes_without_a_byte_are_the_end)
{
    auto d = make();
    reading(d, 1000 * mib);
    d.on_tick(now + 9min);
    BOOST_TEST((d.state() == download_state::fetching));
    d.on_tick(now + 11min);
    BOOST_TEST((d.state() == download_state::failed));
    BOOST_TEST(!d.trouble().permanent);
}

BOOST_AUTO_TEST_CASE(a_body_that_ends_too_early_is_a_trouble)
{
    auto d = make();
    const auto id = reading(d, 300 * mib);
    d.on_bytes(id, 1000, now);
    d.on_end(id, now, 0);
    BOOST_TEST((d.state() == download_state::fetching));
    BOOST_TEST(d.trouble().reason.find("ended after 1000") != std::string::npos);
}

// --- slow ones ---

BOOST_AUTO_TEST_CASE(at_the_end_an_idle_connection_takes_half_of_the_slowest)
{
    limits.pace.first = 2;
    auto d = make();
    const auto fast = reading(d, 128 * mib);
    const auto slow = reading(d, 128 * mib);
    for (int i = 0; i < 8; ++i) {
        now += 1s;
        d.on_bytes(fast, 8 * mib, now);
        d.on_bytes(slow, 2 * mib, now);
    }

    const auto step = d.next(fast, now);

    BOOST_TEST((step.what == action::request));
    BOOST_TEST((step.range == byte_range{104 * mib, 128 * mib}));
    BOOST_TEST(d.room(slow) == 24 * mib);
}

BOOST_AUTO_TEST_CASE(a_connection_that_hardly_moves_is_replaced_and_what_it_still_brings_is_dropped)
{
    limits.pace.first = 2;
    auto d = make();
    const auto fast = reading(d, 128 * mib);
    const auto slow = reading(d, 128 * mib);
    now += 1s;
    d.on_bytes(slow, mib, now);
    for (int i = 0; i < 8; ++i) {
        now += 1s;
        d.on_bytes(fast, 8 * mib, now);
    }
    const auto step = d.next(fast, now);
    BOOST_TEST((step.range == byte_range{65 * mib, 128 * mib}));
    BOOST_TEST(d.room(slow) == 0u);
    BOOST_TEST(d.on_bytes(slow, mib, now) == 0u);
}

BOOST_AUTO_TEST_CASE(nothing_is_taken_from_a_connection_that_is_nearly_done)
{
    limits.pace.first = 2;
    auto d = make();
    const auto a = reading(d, 128 * mib);
    const auto b = reading(d, 128 * mib);
    for (int i = 0; i < 63; ++i) {
        now += 100ms;
        d.on_bytes(a, mib, now);
        d.on_bytes(b, mib, now);
    }
    d.on_bytes(a, mib, now);
    const auto step = d.next(a, now);
    BOOST_TEST((step.what == action::wait));
    BOOST_TEST((step.until > now));
}

BOOST_AUTO_TEST_CASE(a_minute_of_dripping_beside_a_fast_one_is_enough)
{
    limits.pace.first = 2;
    auto d = make();
    const auto fast = reading(d, 10'000 * mib);
    const auto slow = reading(d, 10'000 * mib);
    const auto began = now;
    while (d.room(slow) > 0 && now < began + 5min) {
        now += 1s;
        if (d.room(fast) == 0) {
            const auto step = d.next(fast, now);
            d.on_reply(fast, part(step, 10'000 * mib), now, 0);
        }
        d.on_bytes(fast, 10 * mib, now);
        d.on_bytes(slow, 1000, now);
        d.on_tick(now);
    }
    BOOST_TEST((now - began >= 60s));
    BOOST_TEST((now - began < 65s));
    const auto step = d.next(slow, now);
    BOOST_TEST((step.what == action::request));
    BOOST_TEST(step.range.begin < 65 * mib); // from where it had come
}

BOOST_AUTO_TEST_SUITE_END()
