#include "net/async.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <sys/resource.h>

#include <array>
#include <cassert>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace gateway::net {

namespace {
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr auto forever = steady_time::max();

bool is_cancelled(const asio::cancellation_state& state)
{
    return state.cancelled() != asio::cancellation_type::none;
}

void rethrow(std::exception_ptr failure)
{
    if (failure)
        std::rethrow_exception(failure);
}
} // namespace

task<executor> current_executor()
{
    const auto ex = co_await asio::this_coro::executor;
    co_return ex;
}

task<bool> cancelled()
{
    const auto state = co_await asio::this_coro::cancellation_state;
    co_return is_cancelled(state);
}

task<> shield()
{
    const auto reset = asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await reset;
}

// --- time ---

wall_time real_time::wall() const
{
    return std::chrono::time_point_cast<wall_duration>(std::chrono::system_clock::now());
}

task<error_code> real_time::sleep_until(steady_time when)
{
    const auto state = co_await asio::this_coro::cancellation_state;
    if (is_cancelled(state))
        co_return asio::error::operation_aborted;
    const auto ex = co_await asio::this_coro::executor;
    asio::steady_timer timer(ex, when);
    auto [ec] = co_await timer.async_wait(as_result);
    co_return ec;
}

task<error_code> manual_time::sleep_until(steady_time when)
{
    const auto state = co_await asio::this_coro::cancellation_state;
    if (is_cancelled(state))
        co_return asio::error::operation_aborted;
    if (when <= now_)
        co_return error_code{};
    const auto ex = co_await asio::this_coro::executor;
    asio::steady_timer timer(ex, forever);
    const auto place = sleepers_.emplace(when, &timer);
    auto [ec] = co_await timer.async_wait(as_result);
    sleepers_.erase(place);
    co_return now_ >= when ? error_code{} : ec;
}

void manual_time::advance(duration d)
{
    now_ += d;
    wall_ += std::chrono::duration_cast<wall_duration>(d);
    for (auto& [when, timer] : sleepers_) {
        if (when > now_)
            break;
        timer->cancel();
    }
}

std::optional<steady_time> manual_time::next_wake() const
{
    if (sleepers_.empty())
        return std::nullopt;
    return sleepers_.begin()->first;
}

// --- gate and versions ---

gate::gate(executor ex) : waiters_(std::move(ex), forever) {}

void gate::open()
{
    open_ = true;
    waiters_.cancel();
}

task<error_code> gate::wait()
{
    while (!open_) {
        const auto state = co_await asio::this_coro::cancellation_state;
        if (is_cancelled(state))
            co_return asio::error::operation_aborted;
        co_await waiters_.async_wait(as_result);
    }
    co_return error_code{};
}

void arrival::come()
{
    come_ = true;
    for (const auto& each : std::exchange(waiters_, {}))
        each->wake();
}

task<> arrival::wait()
{
    if (come_)
        co_return;
    auto start = [this](auto handler) {
        using handler_type = decltype(handler);
        struct one final : waiter {
            explicit one(handler_type h) : handler(std::move(h)) {}
            void wake() override
            {
                const auto ex = asio::get_associated_executor(handler);
                asio::post(ex, std::move(handler));
            }
            handler_type handler;
        };
        waiters_.push_back(std::make_unique<one>(std::move(handler)));
    };
    auto token = asio::use_awaitable;
    co_await asio::async_initiate<decltype(token), void()>(std::move(start), token);
}

versions::versions(executor ex) : waiters_(std::move(ex), forever) {}

void versions::bump()
{
    ++current_;
    waiters_.cancel();
}

task<error_code> versions::past(std::uint64_t seen)
{
    while (current_ <= seen) {
        const auto state = co_await asio::this_coro::cancellation_state;
        if (is_cancelled(state))
            co_return asio::error::operation_aborted;
        co_await waiters_.async_wait(as_result);
    }
    co_return error_code{};
}

namespace {

// Wakes a waiter when its time is over. Whoever waits may leave first; the alarm then wakes nobody.
class alarm {
public:
    alarm(executor ex, time_source& time, steady_time until, asio::steady_timer& waiters)
        : shared_(std::make_shared<shared>())
    {
        shared_->waiters = &waiters;
        if (until == steady_time::max())
            return;
        auto done = [keep = shared_](std::exception_ptr failure) { rethrow(failure); };
        asio::co_spawn(ex, ring(time, until, shared_),
                       asio::bind_cancellation_slot(shared_->stop.slot(), std::move(done)));
    }
    alarm(const alarm&) = delete;
    alarm& operator=(const alarm&) = delete;
    ~alarm()
    {
        shared_->waiters = nullptr;
        shared_->stop.emit(asio::cancellation_type::terminal);
    }
    bool late() const { return shared_->late; }

private:
    struct shared {
        asio::cancellation_signal stop;
        asio::steady_timer* waiters = nullptr;
        bool late = false;
    };
    static task<> ring(time_source& time, steady_time until, std::shared_ptr<shared> to)
    {
        const auto ec = co_await time.sleep_until(until);
        to->late = !ec;
        if (to->late && to->waiters != nullptr)
            to->waiters->cancel();
    }

    std::shared_ptr<shared> shared_;
};

} // namespace

task<bool> versions::past(std::uint64_t seen, time_source& time, steady_time until)
{
    if (current_ > seen)
        co_return true;
    if (time.now() >= until)
        co_return false;
    const auto ex = co_await asio::this_coro::executor;
    const alarm limit(ex, time, until, waiters_);
    while (current_ <= seen && !limit.late()) {
        const auto state = co_await asio::this_coro::cancellation_state;
        if (is_cancelled(state))
            co_return false;
        co_await waiters_.async_wait(as_result);
    }
    co_return current_ > seen;
}

// --- task_group ---

namespace {
// Cancellation never throws in a child, so that it can wait for its own children on the way out.
task<> unthrown(task<> work)
{
    const auto quiet = asio::this_coro::throw_if_cancelled(false);
    co_await quiet;
    co_await std::move(work);
}
} // namespace

task_group::task_group(executor ex) : ex_(ex), emptied_(ex, forever) {}

task_group::~task_group() { assert(children_.empty() && "join() the group before it dies"); }

void task_group::spawn(task<> work)
{
    const auto self = children_.emplace(children_.end());
    auto on_done = [this, self](std::exception_ptr failure) {
        children_.erase(self);
        if (failure && !failure_)
            failure_ = failure;
        if (children_.empty())
            emptied_.cancel();
    };
    auto slot = self->signal.slot();
    asio::co_spawn(ex_, unthrown(std::move(work)),
                   asio::bind_cancellation_slot(slot, std::move(on_done)));
}

void task_group::cancel()
{
    // A child may finish, and erase itself, while it is being cancelled.
    for (auto it = children_.begin(); it != children_.end();) {
        auto& signal = (it++)->signal;
        signal.emit(asio::cancellation_type::terminal);
    }
}

task<> task_group::join()
{
    const auto quiet = asio::this_coro::throw_if_cancelled(false);
    co_await quiet;
    bool passed_on = false;
    while (!children_.empty()) {
        const auto state = co_await asio::this_coro::cancellation_state;
        if (is_cancelled(state) && !passed_on) {
            passed_on = true;
            cancel();
            continue;
        }
        co_await emptied_.async_wait(as_result);
    }
    if (failure_)
        std::rethrow_exception(std::exchange(failure_, nullptr));
}

// --- deadlines ---

struct deadline_wheel::impl : std::enable_shared_from_this<impl> {
    static constexpr std::size_t slots = 512;

    executor ex;
    time_source& time;
    duration tick;
    std::array<std::list<deadline*>, slots> wheel;
    std::size_t armed = 0;
    std::int64_t swept = 0; // the last tick whose slot has been looked at
    bool running = false;
    bool closed = false;
    asio::cancellation_signal stop;

    impl(executor e, time_source& t, duration d) : ex(std::move(e)), time(t), tick(d) {}

    std::int64_t tick_of(steady_time when) const { return when.time_since_epoch() / tick; }

    void arm(deadline& d)
    {
        d.slot_ = static_cast<std::size_t>(tick_of(d.when_) + 1) % slots;
        d.place_ = wheel[d.slot_].insert(wheel[d.slot_].end(), &d);
        d.armed_ = true;
        ++armed;
        if (!running && !closed)
            start();
    }

    void disarm(deadline& d)
    {
        if (!d.armed_)
            return;
        wheel[d.slot_].erase(d.place_);
        d.armed_ = false;
        --armed;
    }

    void start()
    {
        running = true;
        swept = tick_of(time.now());
        auto done = [self = shared_from_this()](std::exception_ptr failure) {
            self->running = false;
            rethrow(failure);
        };
        asio::co_spawn(ex, turn(shared_from_this()),
                       asio::bind_cancellation_slot(stop.slot(), std::move(done)));
    }

    // Turns while anything is armed, so that an idle gateway does not tick.
    static task<> turn(std::shared_ptr<impl> self)
    {
        while (self->armed > 0 && !self->closed) {
            const auto next = steady_time(self->tick * (self->swept + 1));
            const auto ec = co_await self->time.sleep_until(next);
            if (ec)
                co_return;
            self->sweep();
        }
    }

    void sweep()
    {
        const auto now = time.now();
        const auto last = tick_of(now);
        // After a long pause every slot is due once; looking at one twice finds nothing new.
        const auto first = std::max(swept + 1, last - static_cast<std::int64_t>(slots) + 1);
        std::vector<deadline*> due;
        for (auto t = first; t <= last; ++t) {
            for (auto* d : wheel[static_cast<std::size_t>(t) % slots]) {
                if (d->when_ <= now)
                    due.push_back(d);
            }
        }
        swept = last;
        fire(due);
    }

    void fire(const std::vector<deadline*>& due)
    {
        for (auto* d : due)
            disarm(*d);
        for (auto* d : due) {
            d->expired_ = true;
            // Runs as a handler of its own: it may destroy this deadline, or another one due now.
            asio::post(ex, d->on_expiry_);
        }
    }
};

deadline_wheel::deadline_wheel(executor ex, time_source& time, duration tick)
    : impl_(std::make_shared<impl>(std::move(ex), time, tick))
{
}

deadline_wheel::~deadline_wheel()
{
    impl_->closed = true;
    // Of a turn that has ended the slot still holds a handler, which a loop would call too late.
    if (impl_->running)
        impl_->stop.emit(asio::cancellation_type::terminal);
}

std::size_t deadline_wheel::armed() const { return impl_->armed; }

deadline::deadline(deadline_wheel& wheel, std::function<void()> on_expiry)
    : wheel_(wheel.impl_), on_expiry_(std::move(on_expiry))
{
}

deadline::~deadline() { clear(); }

void deadline::set(duration from_now)
{
    clear();
    expired_ = false;
    when_ = wheel_->time.now() + from_now;
    wheel_->arm(*this);
}

void deadline::clear() { wheel_->disarm(*this); }

// --- lane ---

struct lane::impl {
    std::string name;
    mutable std::mutex mutex;
    std::condition_variable wake;
    std::deque<std::function<void()>> queue;
    bool closing = false;
    std::vector<std::thread> threads;

    void push(std::function<void()> job)
    {
        {
            const std::lock_guard lock(mutex);
            queue.push_back(std::move(job));
        }
        wake.notify_one();
    }

    void work(int nice)
    {
        if (nice != 0)
            setpriority(PRIO_PROCESS, 0, nice); // this thread only, on Linux
        pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
        for (;;) {
            std::function<void()> job;
            {
                std::unique_lock lock(mutex);
                wake.wait(lock, [this] { return closing || !queue.empty(); });
                if (queue.empty())
                    return;
                job = std::move(queue.front());
                queue.pop_front();
            }
            job();
        }
    }
};

lane::lane(std::string name, std::size_t threads, int nice) : impl_(std::make_unique<impl>())
{
    impl_->name = std::move(name);
    for (std::size_t i = 0; i < threads; ++i)
        impl_->threads.emplace_back([self = impl_.get(), nice] { self->work(nice); });
}

lane::~lane()
{
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->closing = true;
    }
    impl_->wake.notify_all();
    for (auto& thread : impl_->threads)
        thread.join();
}

void lane::post(std::function<void()> work)
{
    if (impl_->threads.empty())
        work();
    else
        impl_->push(std::move(work));
}

std::size_t lane::waiting() const
{
    const std::lock_guard lock(impl_->mutex);
    return impl_->queue.size();
}

task<> lane::run_job(std::function<void()> job)
{
    if (impl_->threads.empty()) {
        job();
        co_return;
    }
    // The job refers to the caller's frame, so this wait ignores cancellation: it ends when the job
    // has run, and the coroutine notices at its next await.
    std::exception_ptr failure;
    auto start = [this, &job, &failure](auto handler) {
        const auto ex = asio::get_associated_executor(handler);
        auto done = std::make_shared<decltype(handler)>(std::move(handler));
        impl_->push(
            [&job, &failure, done = std::move(done), guard = asio::make_work_guard(ex)]() mutable {
                try {
                    job();
                } catch (...) {
                    failure = std::current_exception();
                }
                asio::post(guard.get_executor(), [done = std::move(done)] { std::move (*done)(); });
            });
    };
    auto token = asio::use_awaitable;
    co_await asio::async_initiate<decltype(token), void()>(std::move(start), token);
    rethrow(failure);
}

} // namespace gateway::net
