#pragma once

// The gateway's whole concurrency vocabulary: task, time_source, gate, arrival, versions, inbox,
// task_group, deadline, lane. Everything runs on one thread; only a lane touches another one.
// Asio cancellation means shutdown and nothing else (design.md §3). A coroutine spawned into a
// task_group is never thrown at: after cancellation every wait here returns at once, with
// operation_aborted (or nothing, or false), so a loop ends when it looks at what its waits say.

#include "base/result.hpp"
#include "base/time.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gateway::net {

namespace asio = boost::asio;
using executor = asio::any_io_executor;
template <class T = void> using task = asio::awaitable<T>;

// The executor of the coroutine that awaits it: `const auto ex = co_await current_executor();`
task<executor> current_executor();

// Whether the coroutine that awaits it is being shut down.
task<bool> cancelled();
// From here on the coroutine that awaits it cannot be cancelled: for an orderly end that must wait.
task<> shield();

// Where time comes from. Production reads the clocks; tests turn the hands themselves.
class time_source {
public:
    virtual ~time_source() = default;
    virtual steady_time now() const = 0;
    virtual wall_time wall() const = 0;
    // Completes at `when`; operation_aborted if the waiter is cancelled first.
    virtual task<error_code> sleep_until(steady_time when) = 0;
    task<error_code> sleep_for(duration d) { return sleep_until(now() + d); }
};

class real_time final : public time_source {
public:
    steady_time now() const override { return std::chrono::steady_clock::now(); }
    wall_time wall() const override;
    task<error_code> sleep_until(steady_time when) override;
};

// Time that stands still until a test moves it.
class manual_time final : public time_source {
public:
    steady_time now() const override { return now_; }
    wall_time wall() const override { return wall_; }
    task<error_code> sleep_until(steady_time when) override;
    void advance(duration d); // moves both clocks and wakes every sleeper that is due
    void jump_wall(wall_duration d) { wall_ += d; }
    std::size_t sleepers() const { return sleepers_.size(); }
    std::optional<steady_time> next_wake() const;

private:
    steady_time now_{};
    wall_time wall_{std::chrono::milliseconds(1'700'000'000'000)};
    std::multimap<steady_time, asio::steady_timer*> sleepers_;
};

// A door that many coroutines wait at. Level-triggered: an open gate lets everyone through.
// Never pulse it (open then close): waiters that have not run yet would miss it.
class gate {
public:
    explicit gate(executor ex);
    bool is_open() const { return open_; }
    void open();
    void close() { open_ = false; }
    // operation_aborted only when the waiter itself is cancelled.
    task<error_code> wait();

private:
    asio::steady_timer waiters_;
    bool open_ = false;
};

// One event that is sure to come, such as the end of a commit. Waiting for it ignores cancellation,
// as a lane does: what has begun is told to whoever began it, who notices at its next await.
class arrival {
public:
    bool has_come() const { return come_; }
    void come(); // lets everyone through, for good
    task<> wait();

private:
    struct waiter {
        virtual ~waiter() = default;
        virtual void wake() = 0;
    };
    std::vector<std::unique_ptr<waiter>> waiters_;
    bool come_ = false;
};

// A counter that only grows. past(v) waits until the count is above v: nobody can miss a change.
class versions {
public:
    explicit versions(executor ex);
    std::uint64_t current() const { return current_; }
    void bump();
    // True once current() > seen; false when `until` came first (or the waiter was cancelled).
    task<bool> past(std::uint64_t seen, time_source& time, steady_time until);
    task<error_code> past(std::uint64_t seen);

private:
    asio::steady_timer waiters_;
    std::uint64_t current_ = 0;
};

// Items from many senders to one reader. Nothing is lost when the reader is slow or late.
template <class T> class inbox {
public:
    explicit inbox(executor ex) : posted_(std::move(ex)) {}
    void post(T item)
    {
        items_.push_back(std::move(item));
        posted_.bump();
    }
    bool empty() const { return items_.empty(); }
    std::optional<T> try_take()
    {
        if (items_.empty())
            return std::nullopt;
        std::optional<T> item(std::move(items_.front()));
        items_.pop_front();
        return item;
    }
    // The next item; nothing when the reader is cancelled.
    task<std::optional<T>> next()
    {
        if (items_.empty())
            co_await posted_.past(posted_.current());
        co_return try_take();
    }
    // The same, or nothing when `until` comes first.
    task<std::optional<T>> next(time_source& time, steady_time until)
    {
        if (items_.empty())
            co_await posted_.past(posted_.current(), time, until);
        co_return try_take();
    }

private:
    std::deque<T> items_;
    versions posted_;
};

// Children that must not outlive their parent: spawn, then join() (cancel() first to stop early).
// A child's exception is kept and rethrown by join().
class task_group {
public:
    explicit task_group(executor ex);
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;
    ~task_group();
    void spawn(task<> work);
    void cancel();
    std::size_t size() const { return children_.size(); }
    task<> join(); // waits for every child; passes its own cancellation on to them

private:
    struct child {
        asio::cancellation_signal signal;
    };
    executor ex_;
    std::list<child> children_;
    asio::steady_timer emptied_;
    std::exception_ptr failure_;
};

// Deadlines by the thousand on one coarse tick: arming and clearing are O(1), expiry is late by at
// most one tick. A deadline belongs to one owner, who outlives nothing by it: it unlinks itself.
class deadline_wheel {
public:
    deadline_wheel(executor ex, time_source& time, duration tick = std::chrono::milliseconds(250));
    ~deadline_wheel();
    deadline_wheel(const deadline_wheel&) = delete;
    deadline_wheel& operator=(const deadline_wheel&) = delete;
    std::size_t armed() const;

private:
    friend class deadline;
    struct impl;
    std::shared_ptr<impl> impl_;
};

// Calls on_expiry once when the time set last has passed. Not armed until set().
class deadline {
public:
    deadline(deadline_wheel& wheel, std::function<void()> on_expiry);
    ~deadline();
    deadline(const deadline&) = delete;
    deadline& operator=(const deadline&) = delete;
    void set(duration from_now);
    void clear();
    bool expired() const { return expired_; }

private:
    friend class deadline_wheel;
    friend struct deadline_wheel::impl;
    std::shared_ptr<deadline_wheel::impl> wheel_;
    std::function<void()> on_expiry_;
    std::list<deadline*>::iterator place_{};
    steady_time when_{};
    std::size_t slot_ = 0;
    bool armed_ = false;
    bool expired_ = false;
};

// Threads beside the loop for work that blocks. The caller awaits; the result, or the exception,
// comes back on the loop. Work already begun is waited for even when the caller is cancelled.
class lane {
public:
    // No threads: work runs inline, in the caller's turn (tests, tools).
    lane(std::string name, std::size_t threads, int nice = 0);
    ~lane(); // runs what is queued, then joins the threads
    lane(const lane&) = delete;
    lane& operator=(const lane&) = delete;

    // `work` is called once; give it as a named object or std::move of one.
    template <class F> auto run(F work) -> task<std::invoke_result_t<F&>>
    {
        using value = std::invoke_result_t<F&>;
        if constexpr (std::is_void_v<value>) {
            std::function<void()> job([&work] { work(); });
            co_await run_job(std::move(job));
        } else {
            std::optional<value> out;
            std::function<void()> job([&work, &out] { out.emplace(work()); });
            co_await run_job(std::move(job));
            co_return std::move(*out);
        }
    }
    // Nobody waits for `work`, which must not throw (closing a file, tidying up).
    void post(std::function<void()> work);
    std::size_t waiting() const;

private:
    struct impl;
    task<> run_job(std::function<void()> job);
    std::unique_ptr<impl> impl_;
};

} // namespace gateway::net
