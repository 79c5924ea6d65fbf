#include "app/simulators.hpp"

#include "base/log.hpp"
#include "base/text.hpp"

#include <filesystem>
#include <stdexcept>

namespace gateway::app {

namespace {

using namespace std::chrono_literals;
constexpr auto stop_grace = 2s;

std::string dialect_name(config::webui_dialect which)
{
    switch (which) {
    case config::webui_dialect::a1111_1_10: return "a1111-1.10";
    case config::webui_dialect::a1111_1_9: return "a1111-1.9";
    case config::webui_dialect::reforge: return "reforge";
    case config::webui_dialect::forge: return "forge";
    }
    return "a1111-1.10";
}

} // namespace

simulators::simulators(net::executor ex, net::time_source& time, const config::loaded& settings)
    : ex_(std::move(ex)), time_(time), settings_(settings.settings)
{
    for (std::int64_t i = 0; i < settings_.simulate.count; ++i) {
        const auto port = net::free_loopback_port();
        if (!port)
            throw std::runtime_error("no free port for a simulated WebUI: " +
                                     port.error().message());
        addresses_.push_back("127.0.0.1:" + std::to_string(*port));
        urls_.push_back("http://" + addresses_.back());
    }
}

std::vector<std::string> simulators::command(const std::string& address) const
{
    const auto& s = settings_.simulate;
    std::vector<std::string> words{
        std::filesystem::read_symlink("/proc/self/exe").string(),
        "simulate",
        "--listen",
        address,
        "--models-dir",
        settings_.models.dir,
        "--dialect",
        dialect_name(s.dialect),
        "--startup",
        s.startup == config::webui_startup::nowebui ? "nowebui" : "full-ui",
        "--speed",
        shortest_decimal(s.speed),
        "--step-ms",
        std::to_string(s.step_time.count()),
        "--load-s-per-gb",
        shortest_decimal(std::chrono::duration<double>(s.load_time).count()),
    };
    if (!s.fault.empty()) {
        words.emplace_back("--fault");
        words.push_back(s.fault);
    }
    return words;
}

net::task<> simulators::start()
{
    for (std::size_t i = 0; i < addresses_.size(); ++i) {
        net::process_options options;
        options.command = command(addresses_[i]);
        options.log_file = settings_.data.dir + "/simulator-" + std::to_string(i) + ".log";
        auto child = net::process::start(ex_, options);
        if (!child)
            throw std::runtime_error("the simulated WebUI could not be started: " +
                                     child.error().message());
        log::info("simulated WebUI started",
                  {{"url", urls_[i]}, {"pid", (*child)->pid()}, {"log", options.log_file}});
        children_.push_back(std::move(*child));
    }
    co_return;
}

net::task<> simulators::watch()
{
    const auto ex = co_await net::current_executor();
    net::task_group group(ex);
    for (std::size_t i = 0; i < children_.size(); ++i)
        group.spawn(watch_one(*children_[i], urls_[i]));
    co_await group.join();
}

net::task<> simulators::watch_one(net::process& child, std::string url)
{
    const auto end = co_await child.wait();
    if (end)
        log::error("a simulated WebUI has ended", {{"url", url}, {"how", end->text()}});
}

net::task<> simulators::stop()
{
    for (auto& child : children_)
        co_await child->terminate(time_, stop_grace);
}

} // namespace gateway::app
