#include "support/front.hpp"

#include "proto/json.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

struct listed : test::front {
    listed() { kept_as = "job_list"; }
    // The ids in the answer, newest first; `cursor` becomes the next one.
    std::vector<std::string> list(std::string query)
    {
        const auto got = ask("GET", "/api/v1/jobs" + query);
        BOOST_REQUIRE_MESSAGE(got.status == 200, got.body);
        const proto::document page(got.body);
        const auto& root = page.root().as_object();
        std::vector<std::string> found;
        for (const auto& job : root.at("jobs").as_array())
            found.emplace_back(job.at("id").as_string());
        const auto* next = root.if_contains("next_cursor");
        cursor = next == nullptr ? "" : std::string(next->as_string());
        return found;
    }
    std::string problem(std::string query)
    {
        const auto got = ask("GET", "/api/v1/jobs" + query);
        BOOST_TEST(got.status == 422, query);
        return got.body;
    }
    using ids = std::vector<std::string>;

    std::string cursor;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(job_list_, listed)

BOOST_AUTO_TEST_CASE(the_newest_job_comes_first)
{
    BOOST_TEST((list("") == ids{}));
    const auto a = submit();
    const auto b = submit_sync();
    const auto c = submit();

    BOOST_TEST((list("") == ids{c, b, a}));
    BOOST_TEST(cursor.empty());
}

BOOST_AUTO_TEST_CASE(pages_follow_one_another_without_gap_or_repeat)
{
    ids all;
    for (int i = 0; i < 7; ++i)
        all.insert(all.begin(), submit());
    auto got = list("?limit=3");
    BOOST_TEST(got.size() == 3U);
    submit(); // is not in later pages
    while (!cursor.empty()) {
        const auto more = list("?limit=3&cursor=" + cursor);
        got.insert(got.end(), more.begin(), more.end());
    }

    BOOST_TEST((got == all));
}

BOOST_AUTO_TEST_CASE(filters_choose)
{
    const auto failed = submit();
    end(begin("webui-0"), core::outcome::rejected, "no");
    advance(10s);
    const auto running = submit_sync();
    begin("webui-1");
    advance(10s);
    const auto waiting = submit();

    BOOST_TEST((list("?status=FAILED") == ids{failed}));
    BOOST_TEST((list("?status=in_progress,IN_QUEUE") == ids{waiting, running}));
    BOOST_TEST((list("?backend=webui-1") == ids{running}));
    BOOST_TEST((list("?sync=true") == ids{running}));
    BOOST_TEST((list("?sync=false&status=IN_QUEUE") == ids{waiting}));
    BOOST_TEST((list("?since=2023-11-14T22:13:35Z") == ids{waiting}));
    BOOST_TEST((list("?until=2023-11-14T22:13:25.5Z") == ids{failed}));
    BOOST_TEST(
        (list("?since=2023-11-15T00:13:25%2B02:00&until=2023-11-14T22:13:35Z") == ids{running}));
}

BOOST_AUTO_TEST_CASE(a_few_among_many_are_found_in_bounded_steps)
{
    const auto first = submit_sync();
    for (int i = 0; i < 1000; ++i)
        submit();
    const auto before = loop.poll();
    BOOST_TEST(before == 0U);

    BOOST_TEST((list("?sync=true&limit=1") == ids{first}));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_read_is_refused_with_what_would_be_right)
{
    struct {
        const char* query;
        const char* says;
    } const cases[]{
        {"?status=DONE", "status: found the text \\\"DONE\\\"; IN_QUEUE, IN_PROGRESS"},
        {"?since=yesterday", "since: found the text \\\"yesterday\\\"; a time such as"},
        {"?until=2026-02-30T00:00:00Z", "until: found"},
        {"?since=2026-01-01T00:00:00", "since: found"},
        {"?since=2026-01-01T24:00:00Z", "since: found"},
        {"?since=2026-01-01T00:00:00.Z", "since: found"},
        {"?since=2026-01-01T00:00:00%2B0200", "since: found"},
        {"?sync=perhaps", "sync: found"},
        {"?limit=0", "limit: found the text \\\"0\\\"; a whole number from 1 to 200"},
        {"?limit=many", "limit: found"},
        {"?cursor=17", "cursor: found the text \\\"17\\\"; next_cursor of an earlier page"},
        {"?cursor=b", "cursor: found"},
        {"?cursor=b0", "cursor: found"},
    };
    for (const auto& c : cases) {
        const auto body = problem(c.query);
        BOOST_TEST(body.find(c.says) != std::string::npos, body);
    }
}

BOOST_AUTO_TEST_CASE(a_limit_above_the_most_is_the_most)
{
    for (int i = 0; i < 201; ++i)
        submit();

    BOOST_TEST(list("?limit=1000").size() == 200U);
    BOOST_TEST(list("?cursor=" + cursor).size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
