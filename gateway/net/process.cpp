#include "net/process.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

namespace gateway::net {

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

error_code last_error() { return {errno, boost::system::system_category()}; }

// A file descriptor that closes itself.
class descriptor {
public:
    descriptor() = default;
    explicit descriptor(int fd) : fd_(fd) {}
    descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept
    {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~descriptor()
    {
        if (fd_ >= 0)
            ::close(fd_);
    }
    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

struct pipe_ends {
    descriptor out;
    descriptor in;
};

result<pipe_ends> make_pipe()
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return last_error();
    return pipe_ends{descriptor(ends[0]), descriptor(ends[1])};
}

// What the child needs, made before the fork: after it only async-signal-safe calls are allowed,
// because another thread may have held a lock (malloc's, say) when the process was copied.
struct child_plan {
    std::vector<std::string> environment;
    std::vector<char*> argv;
    std::vector<char*> envp;
    std::string path;
    int output = -1;
    int errors = -1;
    int report = -1;
    pid_t parent = 0;
};

std::string find_program(const std::string& name)
{
    if (name.find('/') != std::string::npos)
        return name;
    const char* const path = std::getenv("PATH");
    std::string_view folders = path != nullptr ? path : "/usr/bin:/bin";
    while (!folders.empty()) {
        const auto end = std::min(folders.find(':'), folders.size());
        const auto candidate = std::string(folders.substr(0, end)) + '/' + name;
        if (::access(candidate.c_str(), X_OK) == 0)
            return candidate;
        folders.remove_prefix(std::min(end + 1, folders.size()));
    }
    return name;
}

void prepare(child_plan& plan, const process_options& options)
{
    plan.path = find_program(options.command.front());
    plan.environment = options.environment;
    for (char** at = environ; *at != nullptr; ++at)
        plan.environment.emplace_back(*at);
    for (const auto& argument : options.command)
        plan.argv.push_back(const_cast<char*>(argument.c_str()));
    for (const auto& variable : plan.environment)
        plan.envp.push_back(const_cast<char*>(variable.c_str()));
    plan.argv.push_back(nullptr);
    plan.envp.push_back(nullptr);
    plan.parent = ::getpid();
}

[[noreturn]] void become(const child_plan& plan)
{
    // Ends with the thread that forked. If that had ended already, nobody would be left to tell us.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != plan.parent)
        ::_exit(127);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD})
        ::signal(signal, SIG_DFL);
    if (plan.output >= 0)
        ::dup2(plan.output, STDOUT_FILENO);
    if (plan.errors >= 0)
        ::dup2(plan.errors, STDERR_FILENO);
    ::execve(plan.path.c_str(), plan.argv.data(), plan.envp.data());
    const int why = errno;
    const auto told = ::write(plan.report, &why, sizeof why);
    ::_exit(told == sizeof why ? 127 : 126);
}

// The child's errno when exec failed; 0 when the pipe closed because it succeeded.
int exec_error(int report)
{
    int why = 0;
    ssize_t n = 0;
    do {
        n = ::read(report, &why, sizeof why);
    } while (n < 0 && errno == EINTR);
    return n == sizeof why ? why : 0;
}

} // namespace

std::string process_end::text() const
{
    if (signal == 0)
        return "exit status " + std::to_string(code);
    const char* const name = ::strsignal(signal);
    return "ended by signal " + std::to_string(signal) + " (" + (name != nullptr ? name : "?") +
           ')';
}

struct process::impl {
    explicit impl(const executor& ex) : ended(ex), watched(ex), output(ex) {}

    pid_t pid = 0;
    gate ended;
    process_end end;
    asio::posix::stream_descriptor watched; // a pidfd: readable once the process has ended
    asio::posix::stream_descriptor output;
    std::string read;

    static task<> watch(std::shared_ptr<impl> self);
    static task<> kill_later(std::shared_ptr<impl> self, time_source& time, duration grace);
    bool reap(int options = WNOHANG);
    void send(int signal) const noexcept
    {
        if (!ended.is_open()) // else the number may be somebody else's by now
            ::kill(pid, signal);
    }
};

// True once the process has ended; its place in the process table is then free.
bool process::impl::reap(int options)
{
    if (ended.is_open())
        return true;
    int status = 0;
    const pid_t done = ::waitpid(pid, &status, options);
    if (done != pid)
        return false;
    end.code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    ended.open();
    return true;
}

task<> process::impl::watch(std::shared_ptr<impl> self)
{
    for (;;) {
        auto [ec] =
            co_await self->watched.async_wait(asio::posix::descriptor_base::wait_read, as_result);
        if (ec || self->reap())
            co_return;
    }
}

process::process(std::shared_ptr<impl> started) : impl_(std::move(started)) {}

process::~process()
{
    impl_->send(SIGKILL);
    impl_->reap(0); // does not take long after SIGKILL
    error_code ignored;
    impl_->watched.close(ignored);
    impl_->output.close(ignored);
}

result<std::unique_ptr<process>> process::start(executor ex, const process_options& options)
{
    if (options.command.empty())
        return error_code(asio::error::invalid_argument);
    child_plan plan;
    prepare(plan, options);
    auto report = make_pipe();
    if (!report)
        return report.error();
    plan.report = report->in.get();

    descriptor log;
    if (!options.log_file.empty()) {
        log = descriptor(
            ::open(options.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
        if (!log)
            return last_error();
        plan.output = plan.errors = log.get();
    }
    pipe_ends lines;
    if (options.read_output) {
        auto made = make_pipe();
        if (!made)
            return made.error();
        lines = std::move(*made);
        plan.output = lines.in.get();
    }

    const pid_t pid = ::fork();
    if (pid == 0)
        become(plan);
    if (pid < 0)
        return last_error();
    report->in = descriptor();
    if (const int why = exec_error(report->out.get()); why != 0) {
        int status = 0;
        ::waitpid(pid, &status, 0);
        return error_code(why, boost::system::system_category());
    }
    auto self = std::make_shared<impl>(ex);
    self->pid = pid;
    auto started =
        std::unique_ptr<process>(new process(self)); // kills the child if what follows fails
    descriptor watched(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!watched)
        return last_error();
    error_code ec;
    self->watched.assign(watched.get(), ec);
    if (ec)
        return ec;
    watched.release();
    if (lines.out) {
        self->output.assign(lines.out.get(), ec);
        if (ec)
            return ec;
        lines.out.release();
    }
    auto done = [](std::exception_ptr) {};
    asio::co_spawn(ex, impl::watch(self), done);
    return started;
}

int process::pid() const { return impl_->pid; }

bool process::is_running() const { return !impl_->reap(); }

void process::send_signal(int signal) noexcept { impl_->send(signal); }

task<std::optional<process_end>> process::wait()
{
    const auto self = impl_;
    const auto ec = co_await self->ended.wait();
    if (ec)
        co_return std::nullopt;
    co_return self->end;
}

task<> process::impl::kill_later(std::shared_ptr<impl> self, time_source& time, duration grace)
{
    const auto ec = co_await time.sleep_for(grace);
    if (!ec)
        self->send(SIGKILL);
}

task<> process::terminate(time_source& time, duration grace)
{
    const auto self = impl_;
    const auto ex = co_await current_executor();
    self->send(SIGTERM);
    task_group alarm(ex);
    alarm.spawn(impl::kill_later(self, time, grace));
    const auto ec = co_await self->ended.wait();
    if (ec) // shutting down: no more patience
        self->send(SIGKILL);
    alarm.cancel();
    co_await alarm.join();
}

task<std::optional<std::string>> process::next_line()
{
    const auto self = impl_;
    for (;;) {
        const auto end = self->read.find('\n');
        if (end != std::string::npos) {
            auto line = self->read.substr(0, end);
            self->read.erase(0, end + 1);
            co_return line;
        }
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none)
            co_return std::nullopt;
        std::array<char, 4096> block{};
        const auto room = asio::buffer(block);
        auto [ec, n] = co_await self->output.async_read_some(room, as_result);
        if (ec && self->read.empty())
            co_return std::nullopt;
        if (ec)
            co_return std::exchange(self->read, {});
        self->read.append(block.data(), n);
    }
}

result<std::uint16_t> free_loopback_port()
{
    using asio::ip::tcp;
    asio::io_context unused;
    tcp::acceptor door(unused);
    error_code ec;
    const tcp::endpoint any(asio::ip::address_v4::loopback(), 0);
    door.open(any.protocol(), ec);
    if (!ec)
        door.bind(any, ec);
    if (ec)
        return ec;
    return door.local_endpoint().port();
}

} // namespace gateway::net
