#include "base/log.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <future>
#include <limits>
#include <mutex>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

constexpr wall_time when{std::chrono::sys_days{std::chrono::year{2026} / 1 / 2} + 7h + 45min + 12s +
                         34ms};

// Collects lines; may be told to refuse them, or to stand still.
struct paper {
    std::mutex guard;
    std::vector<std::string> lines;
    bool refuses = false;
    std::shared_future<void> stands_still_until;

    bool take(std::string_view text)
    {
        if (stands_still_until.valid())
            stands_still_until.wait();
        const std::lock_guard lock(guard);
        if (!refuses)
            lines.emplace_back(text);
        return !refuses;
    }
    log::session::options options(log::level least = log::level::info)
    {
        return {least, log::format::json, [this](std::string_view text) { return take(text); },
                [] { return when; }};
    }
};

struct utc {
    utc()
    {
        ::setenv("TZ", "UTC", 1);
        ::tzset();
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(log_, utc)

BOOST_AUTO_TEST_CASE(a_human_line_is_time_level_message_and_fields)
{
    BOOST_TEST(
        log::line(log::format::human, log::level::info, when, "backend ready",
                  {{"backend", "webui-0"}, {"took_ms", 12}, {"model", "a b"}, {"none", ""}}) ==
        R"(07:45:12.034 INFO  backend ready  backend=webui-0 took_ms=12 model="a b" none="")");
    BOOST_TEST(log::line(log::format::human, log::level::warning, when, "no fields", {}) ==
               "07:45:12.034 WARN  no fields");
}

BOOST_AUTO_TEST_CASE(a_json_line_keeps_the_types_of_its_fields)
{
    const std::uint8_t small = 7;
    BOOST_TEST(
        log::line(log::format::json, log::level::error, when, "a \"b\"",
                  {{"job_id", std::string("x-u1")},
                   {"attempt", 2u},
                   {"ok", true},
                   {"ratio", 0.5},
                   {"small", small},
                   {"minus", -3L},
                   {"odd", std::numeric_limits<double>::infinity()}}) ==
        R"({"time":"2026-01-02T07:45:12.034Z","level":"error","msg":"a \"b\"",)"
        R"("job_id":"x-u1","attempt":2,"ok":true,"ratio":0.5,"small":7,"minus":-3,"odd":null})");
}

BOOST_AUTO_TEST_CASE(worker_mode_uses_the_field_names_of_runpod)
{
    BOOST_TEST(log::line(log::format::runpod, log::level::info, when, "Started.",
                         {{"job_id", "abc"}, {"attempt", 1}}) ==
               R"({"requestId": "abc", "message": "Started.  attempt=1", "level": "INFO"})");
    BOOST_TEST(log::line(log::format::runpod, log::level::warning, when, "idle", {}) ==
               R"({"requestId": null, "message": "idle", "level": "WARN"})");
}

BOOST_AUTO_TEST_CASE(a_line_stays_one_line_whatever_is_in_it)
{
    for (const auto form : {log::format::human, log::format::json, log::format::runpod}) {
        const std::string text = log::line(form, log::level::info, when, "one\ntwo\x1b[31m",
                                           {{"name", "three\r\nfour"}});
        BOOST_TEST(text.find_first_of("\r\n\x1b") == std::string::npos, text);
    }
}

BOOST_AUTO_TEST_CASE(no_secret_and_no_picture_gets_into_a_line)
{
    const std::string picture(100'000, 'A');

    for (const auto form : {log::format::human, log::format::json, log::format::runpod}) {
        const std::string text =
            log::line(form, log::level::info, when, "GET https://u:secret@h/?token=secret",
                      {{"url", "https://h/?token=secret"}, {"body", picture}});
        BOOST_TEST(text.find("secret") == std::string::npos, text);
        BOOST_TEST(text.size() < 3000u);
    }
}

BOOST_AUTO_TEST_CASE(nothing_is_logged_outside_a_session_or_below_its_level)
{
    paper written;

    BOOST_TEST(!log::enabled(log::level::error));
    log::error("nobody listens");
    {
        log::session session(written.options(log::level::info));
        log::debug("too small");
        log::info("first", {{"n", 1}});
        log::error("second");
        session.flush();
        BOOST_TEST(written.lines.size() == 2u);
        log::warning("third");
    }
    log::error("nobody listens any more");

    BOOST_REQUIRE_EQUAL(written.lines.size(), 3u);
    BOOST_TEST(written.lines[0] == R"({"time":"2026-01-02T07:45:12.034Z","level":"info",)"
                                   R"("msg":"first","n":1})"
                                   "\n");
    BOOST_TEST(written.lines[2].find("third") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_slow_output_costs_lines_and_not_time)
{
    paper written;
    std::promise<void> go_on;
    written.stands_still_until = go_on.get_future().share();
    constexpr std::uint64_t told = 20'000;

    std::uint64_t lost = 0;
    {
        log::session session(written.options());
        for (std::uint64_t i = 0; i < told; ++i)
            log::info("line", {{"n", i}});
        lost = session.dropped();
        go_on.set_value();
    }

    BOOST_TEST(lost > 0u);
    BOOST_TEST(lost < told);
    // Everything else, and one line that says how many are missing.
    BOOST_TEST(written.lines.size() == told - lost + 1);
    BOOST_TEST(std::count_if(written.lines.begin(), written.lines.end(), [&](const auto& text) {
                   return text.find(R"("msg":"log lines were lost","lines":)" +
                                    std::to_string(lost)) != std::string::npos;
               }) == 1);
}

BOOST_AUTO_TEST_CASE(lines_that_cannot_be_written_are_counted_and_told_later)
{
    paper written;

    log::session session(written.options());
    written.refuses = true;
    log::info("lost");
    session.flush();
    BOOST_TEST(session.dropped() == 1u);

    written.refuses = false;
    log::info("kept");
    session.flush();
    BOOST_REQUIRE_EQUAL(written.lines.size(), 2u);
    BOOST_TEST(written.lines[0].find("log lines were lost") != std::string::npos);
    BOOST_TEST(written.lines[1].find("kept") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_descriptor_gets_the_bytes_or_says_that_it_cannot)
{
    int ends[2];
    BOOST_REQUIRE_EQUAL(::pipe(ends), 0);

    BOOST_TEST(log::to_descriptor(ends[1])("hello\n"));
    char got[16] = {};
    BOOST_TEST(::read(ends[0], got, sizeof got) == 6);
    BOOST_TEST(std::string(got) == "hello\n");
    ::close(ends[0]);
    ::close(ends[1]);

    BOOST_TEST(!log::to_descriptor(-1)("nowhere\n"));
    const int full = ::open("/dev/full", O_WRONLY);
    BOOST_REQUIRE(full >= 0);
    BOOST_TEST(!log::to_descriptor(full)("no space\n"));
    ::close(full);
}

BOOST_AUTO_TEST_CASE(a_repeated_wait_is_told_first_and_then_each_fifteenth_time)
{
    log::repeat_summary waits;
    std::vector<std::uint32_t> told;

    for (int i = 0; i < 46; ++i) {
        if (waits.again())
            told.push_back(waits.count());
    }

    BOOST_TEST(told == (std::vector<std::uint32_t>{1, 15, 30, 45}),
               boost::test_tools::per_element());
    waits.reset();
    BOOST_TEST(waits.again());
}

BOOST_AUTO_TEST_SUITE_END()
