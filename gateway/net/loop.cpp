#include "net/loop.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <utility>

namespace gateway::net {

// --- figures ---

void duration_histogram::add(duration d, std::uint64_t times)
{
    const double seconds = std::chrono::duration<double>(d).count();
    const auto place = std::lower_bound(bounds.begin(), bounds.end(), seconds);
    counts_[static_cast<std::size_t>(place - bounds.begin())] += times;
    total_ += times;
    sum_ += seconds * static_cast<double>(times);
    longest_ = std::max(longest_, d);
}

double duration_histogram::quantile(double share) const
{
    const double wanted = share * static_cast<double>(total_);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < bounds.size(); ++i) {
        seen += counts_[i];
        if (static_cast<double>(seen) >= wanted)
            return bounds[i];
    }
    return std::chrono::duration<double>(longest_).count();
}

void turn_meter::read(duration used)
{
    constexpr duration calm_turn = std::chrono::microseconds(50);
    constexpr unsigned calm_enough = 32;
    constexpr unsigned group_size = 8;
    used = std::max(used, duration::zero());
    const bool calm = used < calm_turn * static_cast<int>(group_);
    if (group_ == 1 || calm) {
        run_time_.add(used / static_cast<int>(group_), group_);
    } else {
        run_time_.add(used);
        run_time_.add(duration::zero(), group_ - 1);
    }
    turns_ += group_;
    calm_ = calm ? calm_ + 1 : 0;
    group_ = calm_ >= calm_enough ? group_size : 1;
    left_ = group_;
}

namespace {

duration cpu_time()
{
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

} // namespace

// --- the loop ---

struct loop::impl {
    asio::io_context context{1};
    asio::steady_timer probe{context};
    std::list<asio::signal_set> signals;
    duration probe_every;
    turn_meter meter;
    loop_stats stats;
    real_time clock;
    bool finished = false;

    void listen(asio::signal_set& to, std::function<void(int)> heard)
    {
        to.async_wait([this, &to, heard = std::move(heard)](error_code ec, int signal) mutable {
            if (ec || finished)
                return;
            heard(signal);
            if (!finished)
                listen(to, std::move(heard));
        });
    }

    void probe_from(steady_time when)
    {
        probe.expires_at(when);
        probe.async_wait([this, when](error_code ec) {
            if (ec || finished)
                return;
            const auto now = clock.now();
            stats.lag.add(now - when);
            probe_from(now + probe_every);
        });
    }
};

loop::loop(duration probe_every) : impl_(std::make_unique<impl>())
{
    impl_->probe_every = probe_every;
    // A peer that has gone shows up as an error of the write, not as a signal.
    std::signal(SIGPIPE, SIG_IGN);
}

loop::~loop() = default;

executor loop::ex() { return impl_->context.get_executor(); }

void loop::on_signal(std::initializer_list<int> signals, std::function<void(int)> heard)
{
    auto& waiting = impl_->signals.emplace_back(impl_->context);
    for (const int signal : signals)
        waiting.add(signal);
    impl_->listen(waiting, std::move(heard));
}

void loop::run()
{
    auto& self = *impl_;
    self.probe_from(self.clock.now() + self.probe_every);
    auto mark = cpu_time();
    while (self.context.run_one() > 0) {
        if (!self.meter.is_due())
            continue;
        const auto now = cpu_time();
        self.meter.read(now - mark);
        mark = now;
    }
}

void loop::stop() { impl_->context.stop(); }

void loop::finish()
{
    impl_->finished = true;
    impl_->probe.cancel();
    for (auto& waiting : impl_->signals) {
        error_code ignored;
        waiting.cancel(ignored);
    }
}

const loop_stats& loop::stats()
{
    impl_->stats.turns = impl_->meter.turns();
    impl_->stats.run_time = impl_->meter.run_time();
    return impl_->stats;
}

} // namespace gateway::net
