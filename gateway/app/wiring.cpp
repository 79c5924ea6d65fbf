#include "app/wiring.hpp"

#include "api/submission.hpp"
#include "work/fetch_settings.hpp"

#include <unistd.h>

namespace gateway::app {

namespace {

log::format format_of(config::log_format chosen)
{
    switch (chosen) {
    case config::log_format::automatic:
        return isatty(STDERR_FILENO) != 0 ? log::format::human : log::format::json;
    case config::log_format::human: return log::format::human;
    case config::log_format::json: return log::format::json;
    case config::log_format::runpod: return log::format::runpod;
    }
    return log::format::json;
}

core::backend_limits backend_limits(const config::settings& from)
{
    const auto& w = from.webui;
    const auto& r = from.recovery;
    core::backend_limits l;
    if (from.simulate.count > 0 && from.simulate.startup == config::webui_startup::nowebui)
        l.mode = core::webui_mode::nowebui; // we start them ourselves, so we know
    l.port_interval = w.port_interval;
    l.settle = w.settle;
    l.route_interval = w.route_interval;
    l.route_timeout = w.route_timeout;
    l.unregistered_after = w.unregistered_after;
    l.unregistered_interval = w.unregistered_interval;
    l.extensions_wait = w.extensions_timeout;
    l.models_timeout = w.models_timeout;
    l.status_timeout = w.status_timeout;
    l.warm_up = w.warm_up;
    l.warm_up_timeout = w.warm_up_timeout;
    l.give_up_after = w.give_up_after;
    l.original_gates = from.compat.original_gates;
    if (l.original_gates)
        l.models_timeout = w.service_gate_timeout;
    l.service_gate_interval = w.service_gate_interval;
    l.service_gate_tries = static_cast<int>(w.service_gate_tries);
    l.endpoint_gate_interval = w.endpoint_gate_interval;
    l.endpoint_gate_timeout = w.endpoint_gate_timeout;
    l.endpoint_gate_tries = static_cast<int>(w.endpoint_gate_tries);
    l.recovery_wait = r.wait;
    l.clean_caches = r.clean_caches;
    l.recovery_settle = r.settle;
    l.recovery_service_tries = static_cast<int>(r.service_gate_tries);
    l.recovery_endpoint_tries = static_cast<int>(r.endpoint_gate_tries);
    l.recovery_limit = r.time_limit;
    l.health_interval = w.health_interval;
    l.health_timeout = w.health_timeout;
    l.health_strikes = static_cast<int>(w.health_strikes);
    l.progress_interval = w.progress_interval;
    l.interrupt_limit = w.interrupt_timeout;
    return l;
}

} // namespace

log::session::options log_options(const config::log_settings& from)
{
    log::session::options o;
    o.least = from.level;
    o.form = format_of(from.format);
    return o;
}

net::server_limits server_limits(const config::server_settings& from)
{
    net::server_limits l;
    l.header_bytes = from.header_limit;
    l.connections = static_cast<std::size_t>(from.connections);
    l.header_timeout = from.header_timeout;
    l.idle_timeout = from.idle_timeout;
    l.body_timeout = from.body_timeout;
    l.write_timeout = from.write_timeout;
    return l;
}

jobs::limits job_limits(const config::settings& from)
{
    jobs::limits l;
    l.queue.jobs = static_cast<std::size_t>(from.jobs.max_queued);
    l.queue.bytes = from.jobs.max_queued_bytes;
    l.keep_async = from.jobs.keep_async;
    l.keep_sync = from.jobs.keep_sync;
    l.retry.attempts = static_cast<int>(from.retry.attempts);
    l.retry.pause = from.retry.interval;
    l.retry.max_restarts = static_cast<int>(from.retry.max_restarts);
    l.retry.max_crashes = static_cast<int>(from.retry.max_crashes);
    l.retry.resend_after_restart = from.retry.resend_after_restart;
    return l;
}

std::vector<work::backend_driver::options> backend_options(const config::settings& from,
                                                           const std::vector<std::string>& urls)
{
    std::vector<work::backend_driver::options> all;
    for (const auto& url : urls) {
        work::backend_driver::options o;
        o.calls.name = "webui-" + std::to_string(all.size());
        o.calls.url = url;
        o.calls.api_auth = from.webui.api_auth;
        o.calls.connect_timeout = from.webui.connect_timeout;
        o.calls.get_retries = static_cast<int>(from.webui.get_retries);
        o.calls.get_backoff = from.webui.get_backoff;
        o.limits = backend_limits(from);
        o.cache_paths = from.recovery.cache_paths;
        o.log_each = static_cast<int>(from.webui.log_each);
        all.push_back(std::move(o));
    }
    return all;
}

work::runner::options runner_options(const config::settings& from)
{
    work::runner::options o;
    o.limits.reply = from.webui.inference_timeout;
    o.limits.model_load = from.webui.model_load_timeout;
    o.limits.poll = from.webui.progress_interval;
    o.limits.stall = from.webui.stall_timeout;
    o.limits.interrupt_limit = from.webui.interrupt_timeout;
    o.rules = api::rules_of(from).input;
    return o;
}

work::registry::options registry_options(const config::settings& from,
                                         const std::filesystem::path& data_folder)
{
    work::registry::options o;
    o.file = std::filesystem::path(from.models.dir) / work::registry_name;
    o.verified = data_folder / "verified.json";
    return o;
}

work::model_library::options model_options(const config::settings& from)
{
    const auto& d = from.download;
    work::model_library::options o;
    o.folders = {from.models.checkpoints, from.models.loras, from.models.embeddings,
                 from.models.vae};
    o.lenient = from.models.policy == config::model_policy::lenient;
    o.listing_interval = from.models.after_download_settle;
    o.listing_tries = static_cast<int>(from.models.after_download_tries);
    o.pinned.insert(from.models.pinned.begin(), from.models.pinned.end());
    o.eviction.budget = from.models.budget;
    o.eviction.min_free = from.models.min_free;
    o.eviction.unused_after = from.models.unused_after;
    o.eviction.keep_most_used = static_cast<std::size_t>(from.models.keep_most_used);
    o.files_at_once = static_cast<std::size_t>(d.files_at_once);
    o.fetch = work::fetch_options_from(d);
    o.limit_of = {d.max_checkpoint, d.max_lora, d.max_embedding, d.max_vae};
    return o;
}

work::webhooks::options webhook_options(const config::settings& from)
{
    const auto& w = from.webhook;
    work::webhooks::options o;
    o.limits.schedule.assign(w.schedule.begin(), w.schedule.end());
    o.limits.at_once = static_cast<std::size_t>(w.at_once);
    o.limits.at_once_per_host = static_cast<std::size_t>(w.at_once_per_host);
    o.limits.breaker_after = static_cast<int>(w.breaker_after);
    o.limits.breaker_pause = w.breaker_pause;
    o.limits.longest_breaker_pause = w.max_breaker_pause;
    o.timeout = w.timeout;
    o.peers = api::rules_of(from).receivers;
    o.secrets = w.secrets;
    return o;
}

} // namespace gateway::app
