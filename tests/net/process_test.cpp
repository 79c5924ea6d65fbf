// Real children (of /bin/sh), because there is nothing else to start; nothing here waits for time
// to pass, and every case ends by itself.

#include "net/process.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>

using namespace gateway;
using namespace gateway::net;
using namespace std::chrono_literals;

namespace {

struct children {
    asio::io_context loop{1};
    real_time time;
    std::optional<process_end> end;
    std::vector<std::string> lines;

    std::unique_ptr<process> start(std::string script, bool read_output = false)
    {
        process_options options;
        options.command = {"/bin/sh", "-c", std::move(script)};
        options.read_output = read_output;
        auto child = process::start(loop.get_executor(), options);
        BOOST_REQUIRE(child.has_value());
        return std::move(*child);
    }
    void run(task<> work)
    {
        asio::co_spawn(loop, std::move(work), [](std::exception_ptr failure) {
            if (failure)
                std::rethrow_exception(failure);
        });
        loop.restart();
        loop.run_for(20s);
    }
    static task<> note_end(process& child, std::optional<process_end>& into)
    {
        into = co_await child.wait();
    }
    static task<> read_lines(process& child, std::vector<std::string>& into)
    {
        for (;;) {
            const auto line = co_await child.next_line();
            if (!line)
                co_return;
            into.push_back(*line);
        }
    }
    static task<> terminate(process& child, time_source& time, duration grace)
    {
        co_await child.terminate(time, grace);
    }
    // Waits for the child's first line, so that its traps are set, before ending it.
    static task<> terminate_when_ready(process& child, time_source& time, duration grace)
    {
        const auto line = co_await child.next_line();
        BOOST_TEST(line.value_or("") == "ready");
        co_await child.terminate(time, grace);
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(process_, children)

BOOST_AUTO_TEST_CASE(the_end_of_a_child_is_noticed_with_its_exit_status)
{
    const auto child = start("exit 3");

    run(note_end(*child, end));

    BOOST_REQUIRE(end);
    BOOST_TEST(end->code == 3);
    BOOST_TEST(!end->ok());
    BOOST_TEST(end->text() == "exit status 3");
    BOOST_TEST(!child->is_running());
}

BOOST_AUTO_TEST_CASE(what_a_child_prints_can_be_read_line_by_line)
{
    const auto child = start("echo one; echo; printf three", true);

    run(read_lines(*child, lines));

    const std::vector<std::string> expected{"one", "", "three"};
    BOOST_TEST(lines == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_child_that_is_asked_to_end_ends_in_its_own_way)
{
    const auto child = start("trap 'exit 0' TERM; echo ready; while :; do :; done", true);

    run(terminate_when_ready(*child, time, 10s));
    run(note_end(*child, end));

    BOOST_REQUIRE(end);
    BOOST_TEST(end->signal + end->code == 0);
}

BOOST_AUTO_TEST_CASE(a_child_that_does_not_want_to_end_is_killed)
{
    const auto child = start("trap '' TERM; echo ready; while :; do :; done", true);

    run(terminate_when_ready(*child, time, 20ms));
    run(note_end(*child, end));

    BOOST_REQUIRE(end);
    BOOST_TEST(end->signal == SIGKILL);
    BOOST_TEST(end->text() == "ended by signal 9 (Killed)");
}

BOOST_AUTO_TEST_CASE(a_child_does_not_outlive_its_owner)
{
    auto child = start("exec tail -f /dev/null");
    const int pid = child->pid();

    child.reset();

    BOOST_TEST(::kill(pid, 0) == -1);
}

BOOST_AUTO_TEST_CASE(a_program_that_does_not_exist_is_an_error_at_once)
{
    process_options options;
    options.command = {"/nonexistent/program"};

    const auto child = process::start(loop.get_executor(), options);

    BOOST_REQUIRE(!child.has_value());
    BOOST_TEST((child.error() == boost::system::errc::no_such_file_or_directory));

    options.command.clear();
    BOOST_TEST(!process::start(loop.get_executor(), options).has_value());
}

BOOST_AUTO_TEST_CASE(a_child_has_the_environment_it_is_given_and_writes_to_its_log_file)
{
    const auto log = std::filesystem::temp_directory_path() /
                     ("process_test_" + std::to_string(::getpid()) + ".log");
    process_options options;
    options.command = {"sh", "-c", "echo $GREETING; echo oops >&2"};
    options.environment = {"GREETING=hello"};
    options.log_file = log.string();
    auto child = process::start(loop.get_executor(), options);
    BOOST_REQUIRE(child.has_value());

    run(note_end(**child, end));

    std::ifstream written(log);
    const std::string text((std::istreambuf_iterator<char>(written)), {});
    BOOST_TEST(text == "hello\noops\n");
    std::filesystem::remove(log);
}

// A parent in between is killed; the pipe ends only when its child has gone too.
BOOST_AUTO_TEST_CASE(a_child_dies_with_its_parent_even_when_that_is_killed)
{
    std::array<int, 2> ends{};
    BOOST_REQUIRE(::pipe(ends.data()) == 0);
    const pid_t parent = ::fork();
    BOOST_REQUIRE(parent >= 0);
    if (parent == 0) {
        ::dup2(ends[1], STDOUT_FILENO);
        ::close(ends[0]);
        ::close(ends[1]);
        asio::io_context own{1};
        process_options options;
        options.command = {"/bin/sh", "-c", "echo started; exec tail -f /dev/null"};
        const auto child = process::start(own.get_executor(), options);
        for (;;)
            ::pause();
    }
    ::close(ends[1]);
    const auto next_byte = [&ends] {
        pollfd wait{ends[0], POLLIN, 0};
        char byte = 0;
        return ::poll(&wait, 1, 10'000) == 1 ? ::read(ends[0], &byte, 1) : -1;
    };
    BOOST_TEST(next_byte() == 1); // "started"

    ::kill(parent, SIGKILL);
    ::waitpid(parent, nullptr, 0);

    auto n = next_byte();
    while (n == 1)
        n = next_byte();
    BOOST_TEST(n == 0);
    ::close(ends[0]);
}

BOOST_AUTO_TEST_SUITE_END()
