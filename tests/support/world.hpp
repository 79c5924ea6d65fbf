#pragma once

// One loop and one clock that the test turns by hand. Nothing here sleeps for real.

#include "net/async.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace gateway::test {

struct world {
    net::asio::io_context loop{1};
    net::manual_time time;

    net::executor ex() { return loop.get_executor(); }

    // Runs until nothing can go on without time passing.
    void settle();
    // Moves the clocks and lets everyone who is due run.
    void advance(duration d);
    // Starts `work`; what it throws comes out of settle().
    void start(net::task<> work);
    // Starts and settles.
    void run(net::task<> work);
    // Cancels all that a group does, from within the loop as Asio asks for it.
    void cancel(net::task_group& group);
    // Lets time jump from sleeper to sleeper until `done` is true or `limit` of virtual time is
    // over.
    bool run_until(const std::function<bool()>& done, duration limit);
};

} // namespace gateway::test
