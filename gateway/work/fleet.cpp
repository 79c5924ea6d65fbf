#include "work/fleet.hpp"

#include "base/log.hpp"

#include <algorithm>

namespace gateway::work {

namespace {
// How often the fleet as a whole is looked at; each WebUI looks after itself.
constexpr auto watch_interval = std::chrono::seconds(1);
} // namespace

fleet::fleet(net::executor ex, parts uses, std::vector<backend_driver::options> backends,
             runner::options running)
    : jobs_(uses.jobs), time_(uses.time), stopping_(ex), changes_(ex)
{
    auto offers_changed = [this] {
        jobs_.offers_changed();
        changes_.bump();
    };
    const backend_driver::parts driving{uses.http,
                                        uses.dialer,
                                        uses.time,
                                        uses.disk,
                                        uses.jobs.sets(),
                                        std::move(offers_changed),
                                        std::move(uses.waived),
                                        std::move(uses.doubtful)};
    for (auto& options : backends) {
        drivers_.push_back(std::make_unique<backend_driver>(ex, driving, std::move(options)));
        runners_.push_back(std::make_unique<runner>(
            *drivers_.back(),
            runner::parts{uses.jobs, uses.spool, uses.time, uses.models, stopping_, uses.used},
            running));
    }
}

net::task<> fleet::run()
{
    const auto ex = co_await net::current_executor();
    net::task_group group(ex);
    for (auto& driver : drivers_)
        group.spawn(driver->run());
    for (auto& one : runners_)
        group.spawn(one->run());
    group.spawn(watch());
    co_await group.join();
}

net::task<> fleet::watch()
{
    for (;;) {
        const auto stopped = co_await time_.sleep_for(watch_interval);
        if (stopped)
            co_return;
        if (all_unauthorized())
            co_await fail_unauthorized();
    }
}

bool fleet::all_unauthorized() const
{
    return !drivers_.empty() &&
           std::all_of(drivers_.begin(), drivers_.end(), [](const auto& driver) {
               return driver->view().state == core::backend_state::unauthorized;
           });
}

// No WebUI accepts our credentials, so no job can run until somebody mends that (decisions.md 6).
net::task<> fleet::fail_unauthorized()
{
    for (const auto set : jobs_.wanted_models()) {
        for (const auto key : jobs_.waiting_for(set)) {
            const auto ec = co_await jobs_.fail_waiting(key, drivers_.front()->view().reason);
            if (ec)
                log::error("a job could not be failed", {{"error", ec.message()}});
        }
    }
}

bool fleet::hopeless() const
{
    return std::all_of(drivers_.begin(), drivers_.end(),
                       [](const auto& driver) { return driver->view().gave_up; });
}

void fleet::files_arrived(bool checkpoints, bool loras)
{
    for (auto& driver : drivers_)
        driver->files_arrived(checkpoints, loras);
}

std::uint64_t fleet::looks() const
{
    std::uint64_t sum = 0;
    for (const auto& driver : drivers_)
        sum += driver->looks();
    return sum;
}

bool fleet::lists(const core::model_ref& file) const
{
    return std::any_of(drivers_.begin(), drivers_.end(), [&file](const auto& driver) {
        return driver->offers().resolve(file).result == core::model_resolution::kind::found;
    });
}

std::vector<std::string> fleet::listed_by(const core::model_ref& file) const
{
    std::vector<std::string> names;
    for (const auto& driver : drivers_) {
        if (driver->offers().resolve(file).result == core::model_resolution::kind::found)
            names.push_back(driver->name());
    }
    return names;
}

std::vector<std::string> fleet::loaded() const
{
    std::vector<std::string> titles;
    for (const auto& driver : drivers_) {
        auto title = driver->status().checkpoint;
        if (!title.empty())
            titles.push_back(std::move(title));
    }
    return titles;
}

bool fleet::anyone_ready() const
{
    return std::any_of(drivers_.begin(), drivers_.end(), [](const auto& driver) {
        return driver->view().state == core::backend_state::ready;
    });
}

std::vector<core::backend_status> fleet::backends() const
{
    std::vector<core::backend_status> all;
    for (const auto& driver : drivers_)
        all.push_back(driver->status());
    return all;
}

} // namespace gateway::work
