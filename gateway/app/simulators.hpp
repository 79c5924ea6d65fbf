#pragma once

// The simulated WebUIs of `serve --simulate[=N]`: child processes on free loopback ports that share
// the gateway's model folders and die with it (decisions.md 9).

#include "config/settings.hpp"
#include "net/process.hpp"

#include <memory>
#include <string>
#include <vector>

namespace gateway::app {

class simulators {
public:
    // Chooses the ports; starts nothing yet. Throws when there is no free port.
    simulators(net::executor ex, net::time_source& time, const config::loaded& settings);

    const std::vector<std::string>& urls() const { return urls_; }
    net::task<> start();
    // Says when one has ended by itself; until it is cancelled.
    net::task<> watch();
    net::task<> stop();

private:
    std::vector<std::string> command(const std::string& address) const;
    net::task<> watch_one(net::process& child, std::string url);

    net::executor ex_;
    net::time_source& time_;
    const config::settings& settings_;
    std::vector<std::string> addresses_;
    std::vector<std::string> urls_;
    std::vector<std::unique_ptr<net::process>> children_;
};

} // namespace gateway::app
