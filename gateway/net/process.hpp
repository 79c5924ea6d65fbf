#pragma once

// A child process: started, watched, stopped. It dies with us even when we are killed.

#include "net/async.hpp"

#include <string>
#include <vector>

namespace gateway::net {

struct process_options {
    std::vector<std::string> command; // command[0] is a path, or a name to look up in PATH
    // Further environment variables, "NAME=value", before the ones we have.
    std::vector<std::string> environment;
    // Its standard output is read by next_line(); otherwise it is ours. Whoever asks for it must
    // read it: the child stops when the pipe is full.
    bool read_output = false;
    // Where standard output and standard error go instead of to ours; appended to.
    std::string log_file;
};

// How a process ended.
struct process_end {
    int code = 0;   // exit status
    int signal = 0; // the signal that ended it, 0 for none
    bool ok() const { return code == 0 && signal == 0; }
    std::string text() const; // "exit status 3", "ended by signal 9 (Killed)"
};

// Belongs to the thread that started it: the kernel ends the child when that thread ends.
// Destroying a running one kills it.
class process {
public:
    // Blocks for the milliseconds that fork and exec take.
    static result<std::unique_ptr<process>> start(executor ex, const process_options& options);
    ~process();
    process(const process&) = delete;
    process& operator=(const process&) = delete;

    int pid() const;
    bool is_running() const;
    // How it ended, once it has. Any number of callers; nothing when the caller is cancelled.
    task<std::optional<process_end>> wait();
    // SIGTERM, then SIGKILL when `grace` is over; returns when it has ended.
    task<> terminate(time_source& time, duration grace);
    void send_signal(int signal) noexcept;
    // The next line of its standard output, without the line's end; nothing at its end.
    task<std::optional<std::string>> next_line();

private:
    struct impl;
    explicit process(std::shared_ptr<impl> started);
    std::shared_ptr<impl> impl_;
};

// A TCP port of 127.0.0.1 that nobody listens on now.
result<std::uint16_t> free_loopback_port();

} // namespace gateway::net
