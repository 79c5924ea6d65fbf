#pragma once

// From settings to what each part wants to know. No decisions: names on the left, names on the
// right.

#include "config/settings.hpp"
#include "jobs/jobs.hpp"
#include "net/server.hpp"
#include "work/fleet.hpp"
#include "work/models.hpp"
#include "work/webhooks.hpp"

namespace gateway::app {

log::session::options log_options(const config::log_settings& from);
net::server_limits server_limits(const config::server_settings& from);
jobs::limits job_limits(const config::settings& from);
// One for each URL, in order: "webui-0", "webui-1", …
std::vector<work::backend_driver::options> backend_options(const config::settings& from,
                                                           const std::vector<std::string>& urls);
work::runner::options runner_options(const config::settings& from);
work::registry::options registry_options(const config::settings& from,
                                         const std::filesystem::path& data_folder);
work::model_library::options model_options(const config::settings& from);
work::webhooks::options webhook_options(const config::settings& from);

} // namespace gateway::app
