#include "config/table.hpp"

#include <algorithm>
#include <type_traits>

namespace gateway::config {

namespace {

using namespace std::chrono_literals;

constexpr milliseconds day = hours(24);
constexpr std::int64_t million = 1'000'000;

// Adds the settings of one table. What add() returns can be refined until the next one is added.
template <class Table> class section {
public:
    section(std::vector<setting>& all, std::string name, Table settings::* table)
        : all_(all), name_(std::move(name)), table_(table)
    {
    }

    template <class T>
    section& add(std::string key, T Table::* member, rule<T> how, std::string doc)
    {
        setting s;
        s.table = name_;
        s.key = std::move(key);
        s.doc = std::move(doc);
        s.expected = std::move(how.expected);
        s.assign = [table = table_, member, read = how.read](settings& into, const found& f) {
            auto value = read(f);
            if (value)
                (into.*table).*member = std::move(*value);
            return value.has_value();
        };
        s.show = [table = table_, member, show = std::move(how.show)](const settings& from) {
            return show((from.*table).*member);
        };
        if constexpr (std::is_same_v<T, names>) {
            s.is_list = true;
            s.append = [table = table_, member, read = how.read](settings& into, const found& f) {
                const auto value = read(f);
                names& list = (into.*table).*member;
                if (value)
                    list.insert(list.end(), value->begin(), value->end());
                return value.has_value();
            };
        }
        all_.push_back(std::move(s));
        return *this;
    }
    section& secret()
    {
        all_.back().secret = true;
        return *this;
    }
    section& flag(std::string name, std::string bare = {})
    {
        all_.back().flag = std::move(name);
        all_.back().bare = std::move(bare);
        return *this;
    }
    section& also(std::string variable, std::function<std::string(std::string)> meaning = {})
    {
        all_.back().aliases.push_back({std::move(variable), std::move(meaning)});
        return *this;
    }

private:
    std::vector<setting>& all_;
    std::string name_;
    Table settings::* table_;
};

// systemd gives a list when a unit has several state directories; the first is ours.
std::string first_of_list(std::string text) { return text.substr(0, text.find(':')); }

std::string on_all_addresses(std::string port) { return "0.0.0.0:" + port; }

bool is_path(std::string_view text)
{
    return text.starts_with('/') && text.find_first_of(" \t\r\n?#{}") == text.npos;
}

bool is_bare_host(std::string_view text)
{
    return !text.empty() && text.find_first_of(" \t\r\n/:,*") == text.npos;
}

bool is_origin(std::string_view text)
{
    const auto host = text.find("://");
    return (text.starts_with("http://") || text.starts_with("https://")) &&
           text.size() > host + 3 && text.find_first_of(" \t\r\n/*,", host + 3) == text.npos;
}

bool is_credential_host(std::string_view text) { return is_host(text) || is_host_pattern(text); }

bool is_proxy(std::string_view text)
{
    const auto host = text.substr(std::min(text.find('@') + 1, text.size()));
    return text == "environment" ||
           (text.starts_with("http://") &&
            is_origin(host == text ? text : "http://" + std::string(host)));
}

void add_server(std::vector<setting>& all)
{
    using t = server_settings;
    section(all, "server", &settings::server)
        .add("listen", &t::listen,
             needed_text("an address and port such as \"127.0.0.1:8000\" or \"[::1]:8000\"",
                         is_listen_address),
             "Where clients connect. Any address but loopback needs keys (see auth).")
        .flag("--listen")
        .also("PORT", on_all_addresses)
        .add("header_limit", &t::header_limit, size(kib, mib), "Largest header of a request.")
        .add("body_limit", &t::body_limit, size(kib, gib),
             "Largest body of a request that is not run or runsync (see jobs).")
        .add("connections", &t::connections, number(1, million),
             "Connections open at a time; further ones wait.")
        .add("header_timeout", &t::header_timeout, time(100ms, 1h),
             "How long the header of a request may take from its first byte.")
        .add("body_timeout", &t::body_timeout, time(100ms, 1h),
             "How long the body of a request may bring no byte.")
        .add("write_timeout", &t::write_timeout, time(100ms, 1h),
             "How long a client may take no byte of its answer.")
        .add("idle_timeout", &t::idle_timeout, time(100ms, 24h),
             "How long a connection may wait for its next request.")
        .add("drain_grace", &t::drain_grace, time(0ms, 24h),
             "After SIGTERM: how long a running job may finish before it goes back to the queue.")
        .add("health_listen", &t::health_listen,
             text("an address and port such as \"0.0.0.0:8001\"",
                  [](std::string_view a) { return a.empty() || is_listen_address(a); }),
             "A second port that answers health_path and nothing else. Empty: none.")
        .also("PORT_HEALTH", on_all_addresses)
        .add("health_path", &t::health_path, needed_text("a path such as \"/ping\"", is_path),
             "Where a load balancer asks: 204 starting, 200 ready, 503 broken.")
        .also("HEALTH_CHECK_PATH")
        .add("allow_hosts", &t::allow_hosts, list("host names without ports", is_bare_host),
             "Without keys: names of this machine that clients may use, beside localhost.")
        .add("allow_origins", &t::allow_origins,
             list("origins such as \"https://app.example.org\"", is_origin),
             "Web pages that may call the gateway and read its answers (CORS).");
}

void add_auth(std::vector<setting>& all)
{
    using t = auth_settings;
    section(all, "auth", &settings::auth)
        .add("mode", &t::mode,
             choice<auth_mode>({{"auto", auth_mode::automatic},
                                {"none", auth_mode::none},
                                {"keys", auth_mode::keys},
                                {"edge", auth_mode::edge}},
                               4),
             "auto | none (loopback only) | keys | edge (a proxy in front has checked already).")
        .add("keys", &t::keys,
             list("keys without spaces",
                  [](std::string_view key) { return key.find_first_of(" \t\r\n,") == key.npos; }),
             "Keys that clients may use, with or without \"Bearer\".")
        .secret()
        .add("keys_file", &t::keys_file, text("the path of a file"),
             "A file with more keys, one on each line; lines that start with # are comments.");
}

void add_log(std::vector<setting>& all)
{
    using t = log_settings;
    section(all, "log", &settings::log)
        .add("format", &t::format,
             choice<log_format>({{"auto", log_format::automatic},
                                 {"human", log_format::human},
                                 {"json", log_format::json},
                                 {"runpod", log_format::runpod}},
                                4),
             "auto (human on a terminal, else json) | human | json | runpod.")
        .flag("--log-format")
        .add("level", &t::level,
             choice<log::level>({{"trace", log::level::trace},
                                 {"debug", log::level::debug},
                                 {"info", log::level::info},
                                 {"warning", log::level::warning},
                                 {"error", log::level::error},
                                 {"notset", log::level::trace},
                                 {"warn", log::level::warning},
                                 {"critical", log::level::error},
                                 {"fatal", log::level::error}},
                                5),
             "trace | debug | info | warning | error: the least that is told.")
        .flag("--log-level")
        .also("LOG_LEVEL");
}

void add_data(std::vector<setting>& all)
{
    section(all, "data", &settings::data)
        .add("dir", &data_settings::dir, text("the path of a folder"),
             "Journal, results, lock. Empty: ~/.local/state/webui-gateway.")
        .flag("--data-dir")
        .also("STATE_DIRECTORY", first_of_list)
        .add(
            "min_free", &data_settings::min_free, size(0, 1024 * gib),
            "Free space of its disk below which jobs are answered with 429 and wait. 0: no limit.");
}

void add_webui_readiness(section<webui_settings> webui)
{
    using t = webui_settings;
    webui
        .add("urls", &t::urls,
             list("URLs such as \"http://127.0.0.1:7860\", without user name and query",
                  is_webui_url),
             "The WebUIs, each started with --api; \"/sdapi/v1\" at the end is taken away.")
        .flag("--webui")
        .add("api_auth", &t::api_auth,
             text("\"user:password\"",
                  [](std::string_view text) { return text.find(':') != text.npos; }),
             "What the WebUIs were given as --api-auth: \"user:password\".")
        .secret()
        .add("connect_timeout", &t::connect_timeout, time(100ms, 5min),
             "How long connecting to a WebUI may take.")
        .add("get_retries", &t::get_retries, number(0, 100),
             "How often a GET is repeated after 502, 503, 504 or no connection.")
        .add("get_backoff", &t::get_backoff, time(1ms, 1min),
             "Wait before a GET is first repeated; doubles each time.")
        .add("port_interval", &t::port_interval, time(10ms, 1min),
             "Between tries to connect while a WebUI is down.")
        .add("settle", &t::settle, time(0ms, 10min),
             "From an open port to the first request, which could cost a full UI its API.")
        .add("route_interval", &t::route_interval, time(10ms, 1min),
             "Between looks whether the txt2img route is there.")
        .add("route_timeout", &t::route_timeout, time(100ms, 10min),
             "How long one such look may take.")
        .add("extensions_timeout", &t::extensions_timeout, time(0ms, 10min),
             "How long the LoRA list may stay away before a WebUI is taken to have none.")
        .add("models_timeout", &t::models_timeout, time(100ms, 1h),
             "How long a list of models may take.")
        .add("status_timeout", &t::status_timeout, time(100ms, 10min),
             "How long the options and other small answers may take.")
        .add("warm_up", &t::warm_up, yes_or_no(),
             "Draw one 64x64 picture before the first job, so that the model is loaded.")
        .add("warm_up_timeout", &t::warm_up_timeout, time(1s, 24h),
             "How long that picture may take; it includes loading the model.")
        .add("unregistered_after", &t::unregistered_after, time(1s, 24h),
             "An open port without the API for this long: the WebUI needs --api or a restart.")
        .add("unregistered_interval", &t::unregistered_interval, time(100ms, 1h),
             "Between looks at such a WebUI.")
        .add("give_up_after", &t::give_up_after, time(1s, 7 * day),
             "A WebUI that was never ready for this long has given up.")
        .add("exit_when_unready", &t::exit_when_unready, yes_or_no(),
             "End with an error when every WebUI has given up; for containers.");
}

void add_webui_gates(section<webui_settings> webui)
{
    using t = webui_settings;
    webui
        .add("service_gate_timeout", &t::service_gate_timeout, time(100ms, 1h),
             "Service gate, in recovery and compat.original_gates: limit of one GET of sd-models.")
        .add("service_gate_interval", &t::service_gate_interval, time(1ms, 10min),
             "Service gate: between its tries.")
        .add("service_gate_tries", &t::service_gate_tries, number(1, million),
             "Service gate: how many tries at start-up.")
        .add("endpoint_gate_timeout", &t::endpoint_gate_timeout, time(100ms, 1h),
             "Endpoint gate, likewise: limit of one request to txt2img.")
        .add("endpoint_gate_interval", &t::endpoint_gate_interval, time(1ms, 10min),
             "Endpoint gate: between its tries.")
        .add("endpoint_gate_tries", &t::endpoint_gate_tries, number(1, million),
             "Endpoint gate: how many tries at start-up.")
        .add("log_each", &t::log_each, number(1, 10'000),
             "A repeated wait is logged the first time and then each n-th time.");
}

void add_webui_jobs(section<webui_settings> webui)
{
    using t = webui_settings;
    webui
        .add("health_interval", &t::health_interval, time(100ms, 1h),
             "Between looks at a WebUI that is ready.")
        .add("health_timeout", &t::health_timeout, time(100ms, 1h),
             "How long such a look may take; loading a model can hold it up.")
        .add("health_strikes", &t::health_strikes, number(1, 100),
             "Looks in a row that must fail before a WebUI counts as lost.")
        .add("inference_timeout", &t::inference_timeout, time(1s, 7 * day),
             "How long one generation may take with the model that is loaded.")
        .add("model_load_timeout", &t::model_load_timeout, time(0ms, 24h),
             "How much longer it may take when the job needs another model.")
        .add("progress_interval", &t::progress_interval, time(100ms, 1min),
             "Between looks at the progress of a job; each one costs the GPU a little.")
        .add("stall_timeout", &t::stall_timeout, time(1s, 24h),
             "A job that samples without progress for this long has stalled.")
        .add("interrupt_timeout", &t::interrupt_timeout, time(1s, 1h),
             "How long a WebUI may take to become idle after an interrupt.")
        .add("allow_parameters", &t::allow_parameters, list("names of txt2img parameters"),
             "Further parameters of txt2img that jobs may set.")
        .add("allow_overrides", &t::allow_overrides, list("names of WebUI options"),
             "Keys of override_settings that jobs may set.")
        .add("allow_scripts", &t::allow_scripts, list("titles of scripts"),
             "Scripts (extensions) that jobs may name in alwayson_scripts and script_name.")
        .add("allow_endpoints", &t::allow_endpoints, list("METHOD and path of a route"),
             "Routes of the WebUI that jobs may name with `api`.");
}

void add_recovery(std::vector<setting>& all)
{
    using t = recovery_settings;
    section(all, "recovery", &settings::recovery)
        .add("wait", &t::wait, time(0ms, 10min), "Between the 404 and the first step.")
        .add("clean_caches", &t::clean_caches, yes_or_no(),
             "Delete cache_paths. Harmful while the WebUI runs, so off unless you know.")
        .add("cache_paths", &t::cache_paths, list("paths; * stands for any name"),
             "The WebUI's caches; nothing else is ever deleted.")
        .add("settle", &t::settle, time(0ms, 10min), "Between the cleaning and the gates.")
        .add("service_gate_tries", &t::service_gate_tries, number(1, million),
             "How many tries of the service gate (webui.service_gate_…).")
        .add("endpoint_gate_tries", &t::endpoint_gate_tries, number(1, million),
             "How many tries of the endpoint gate (webui.endpoint_gate_…).")
        .add("time_limit", &t::time_limit, time(1s, 24h),
             "Limit of it all; then the WebUI is out of service and its job goes elsewhere.");
}

void add_retry(std::vector<setting>& all)
{
    using t = retry_settings;
    section(all, "retry", &settings::retry)
        .add("attempts", &t::attempts, number(1, 100), "How often a job is tried.")
        .add("interval", &t::interval, time(0ms, 1h), "Wait between two attempts.")
        .add("max_restarts", &t::max_restarts, number(0, 1000),
             "WebUI restarts and missing routes that one job survives; they are no attempts.")
        .add("resend_after_restart", &t::resend_after_restart, yes_or_no(),
             "Send a job again that was lost when its WebUI restarted.")
        .add("max_crashes", &t::max_crashes, number(1, 100),
             "A job that ran in this many crashes of the gateway fails.");
}

void add_compat(std::vector<setting>& all)
{
    section(all, "compat", &settings::compat)
        .add("original_gates", &compat_settings::original_gates, yes_or_no(),
             "Probe the WebUI as the original handler did: sd-models, then 64x64 pictures.");
}

void add_models(std::vector<setting>& all)
{
    using t = models_settings;
    const auto folder = [] { return text("the path of a folder"); };
    section(all, "models", &settings::models)
        .add("dir", &t::dir, folder(), "The WebUI's models folder. Empty: \"models\" in data.dir.")
        .flag("--models-dir")
        .add("checkpoints", &t::checkpoints, folder(),
             "Checkpoints, if not in \"Stable-diffusion\" there.")
        .add("loras", &t::loras, folder(), "LoRAs, if not in \"Lora\" there.")
        .add("vae", &t::vae, folder(), "VAEs, if not in \"VAE\" there.")
        .add("embeddings", &t::embeddings, folder(), "Embeddings, if not in \"embeddings\" there.")
        .add("default_checkpoint", &t::default_checkpoint, text(),
             "Name of the checkpoint for jobs that bring none. Empty: whatever is loaded.")
        .add("default_checkpoint_url", &t::default_checkpoint_url, text(),
             "Where to get it from, if it is not there yet.")
        .add("policy", &t::policy,
             choice<model_policy>(
                 {{"strict", model_policy::strict}, {"lenient", model_policy::lenient}}, 2),
             "A model that cannot be had: strict (the job fails) | lenient (it runs without).")
        .add("after_download_settle", &t::after_download_settle, time(0ms, 10min),
             "After a download: how long a WebUI that does not list it is given to look again.")
        .add("after_download_tries", &t::after_download_tries, number(1, 10'000),
             "How often it is asked to look again before the jobs that need the file fail.")
        .add("pinned", &t::pinned, list("names of model files"),
             "Models that are never deleted, by name.")
        .add("budget", &t::budget, size(0, 1024 * 1024 * gib),
             "What fetched models may take; the least recently used go. 0: no limit.")
        .add("min_free", &t::min_free, size(0, 1024 * 1024 * gib),
             "Disk that is kept free, in the same way.")
        .add("unused_after", &t::unused_after, time(0ms, 3650 * day),
             "Fetched models that no job has named for this long are deleted. 0: never.")
        .add("keep_most_used", &t::keep_most_used, number(0, million),
             "Not so this many of the most used.");
}

void add_download(std::vector<setting>& all)
{
    using t = download_settings;
    section(all, "download", &settings::download)
        .add("allow_hosts", &t::allow_hosts,
             list("host names in lower case such as \"huggingface.co\" or \"*.hf.co\"",
                  is_host_pattern),
             "Hosts that models may come from, over https.")
        .add("exempt_hosts", &t::exempt_hosts,
             list("hosts such as \"files.lan\" or \"127.0.0.1:9000\"", is_host),
             "Further ones that may use http and private addresses.")
        .flag("--allow-host")
        .add("resolve_timeout", &t::resolve_timeout, time(100ms, 10min),
             "How long looking up a name may take.")
        .add("connect_timeout", &t::connect_timeout, time(100ms, 10min),
             "How long connecting may take, TLS included.")
        .add("header_timeout", &t::header_timeout, time(100ms, 10min),
             "How long a server may take to begin its answer.")
        .add("stall_timeout", &t::stall_timeout, time(100ms, 1h),
             "How long a download may bring no byte.")
        .add("redirects", &t::redirects, number(0, 50), "How many redirects are followed.")
        .add("retries", &t::retries, number(0, 100),
             "How often a download is taken up again after a passing error.")
        .add("backoff", &t::backoff, time(1ms, 1h), "Wait before that; doubles each time.")
        .add("max_backoff", &t::max_backoff, time(1ms, 24h), "The longest such wait.")
        .add("files_at_once", &t::files_at_once, number(1, 256),
             "Downloads that run side by side at most; fewer when they already fill the link.")
        .add("connections", &t::connections, number(1, 64),
             "Connections that one download may use; it uses as many as make it faster.")
        .add("first_connections", &t::first_connections, number(1, 64),
             "Connections that a download begins with, once its server is known to serve parts.")
        .add("host_connections", &t::host_connections, number(1, 1024),
             "Connections of all downloads to one host.")
        .add("total_connections", &t::total_connections, number(1, 4096),
             "Connections of all downloads.")
        .add("bandwidth", &t::bandwidth, size(0, 1024 * gib),
             "What all downloads together may bring in a second. 0: no limit.")
        .add("max_checkpoint", &t::max_checkpoint, size(1, 1024 * gib), "Largest checkpoint.")
        .add("max_lora", &t::max_lora, size(1, 1024 * gib), "Largest LoRA.")
        .add("max_vae", &t::max_vae, size(1, 1024 * gib), "Largest VAE.")
        .add("max_embedding", &t::max_embedding, size(1, 1024 * gib), "Largest embedding.")
        .add("progress_log_each", &t::progress_log_each, size(1, 1024 * gib),
             "Progress is logged each time this much has arrived.")
        .add("huggingface_endpoint", &t::huggingface_endpoint,
             needed_text("an origin such as \"https://huggingface.co\"", is_origin),
             "Hugging Face, or a mirror of it.")
        .also("HF_ENDPOINT")
        .add("huggingface_token", &t::huggingface_token, text(), "Token for Hugging Face.")
        .secret()
        .also("HF_TOKEN")
        .add("civitai_token", &t::civitai_token, text(), "Token for Civitai.")
        .secret()
        .also("CIVITAI_API_TOKEN")
        .also("CIVITAI_TOKEN")
        .add("credentials", &t::credentials,
             map_of("a table such as { \"files.example.org\" = \"<token>\" }", is_credential_host,
                    [](std::string_view token) { return !token.empty(); }),
             "Tokens by host or host pattern, sent as Bearer unless they say Basic or Bearer.")
        .secret()
        .add("allow_folders", &t::allow_folders,
             list("absolute folders such as \"/mnt/models\"",
                  [](std::string_view path) { return path.starts_with('/'); }),
             "Folders that file:// URLs may point into. None: file:// is refused.")
        .add("allow_pickle", &t::allow_pickle, yes_or_no(),
             "Take .ckpt and .pt files, which run code when a WebUI loads them.")
        .add("proxy", &t::proxy,
             text("\"environment\" or a URL such as \"http://proxy.lan:3128\"", is_proxy),
             "Proxy for https downloads. environment: HTTPS_PROXY, ALL_PROXY and NO_PROXY.")
        .secret()
        .add("no_proxy", &t::no_proxy, list("hosts such as \"files.lan\" or \".example.org\""),
             "Hosts that are asked directly.");
}

void add_net(std::vector<setting>& all)
{
    section(all, "net", &settings::net)
        .add("resolve", &net_settings::resolve,
             map_of("a table such as { \"files.lan:443\" = \"10.0.0.5\" }", is_host,
                    is_numeric_address),
             "Fixed addresses, host or host:port to address; exempt from the private-address rule.")
        .add("ca_file", &net_settings::ca_file, text("the path of a PEM file"),
             "Certificate authorities to trust in addition to the system's.");
}

void add_jobs(std::vector<setting>& all)
{
    using t = jobs_settings;
    section(all, "jobs", &settings::jobs)
        .add("max_queued", &t::max_queued, number(1, 100 * million),
             "Jobs that may wait; further ones are answered with 429.")
        .also("MAX_QUEUE_DEPTH")
        .add("max_queued_bytes", &t::max_queued_bytes, size(kib, 1024 * gib),
             "The same for the size of their inputs.")
        .add("max_spool_bytes", &t::max_spool_bytes, size(0, 1024 * gib),
             "Kept results; from there on jobs are answered with 429 and wait. 0: no limit.")
        .add("run_body_limit", &t::run_body_limit, size(kib, gib), "Largest body of run.")
        .add("runsync_body_limit", &t::runsync_body_limit, size(kib, gib),
             "Largest body of runsync.")
        .add("execution_timeout", &t::execution_timeout, time(5s, 7 * day),
             "How long a job may run that does not say so itself (policy.executionTimeout).")
        .add("ttl", &t::ttl, time(10s, 7 * day),
             "How long a job may live that does not say so itself (policy.ttl).")
        .add("keep_async", &t::keep_async, time(1s, 365 * day), "How long a result of run is kept.")
        .add("keep_sync", &t::keep_sync, time(1s, 365 * day),
             "How long a result of runsync is kept.");
}

void add_webhook(std::vector<setting>& all)
{
    using t = webhook_settings;
    section(all, "webhook", &settings::webhook)
        .add("secrets", &t::secrets,
             list("secrets such as \"whsec_\" and base64 of 24 to 64 bytes", is_webhook_secret),
             "What webhooks are signed with (Standard Webhooks). Two while one replaces the other.")
        .secret()
        .also("WEBHOOK_SECRET")
        .add("allow_hosts", &t::allow_hosts,
             list("hosts such as \"app.lan\" or \"127.0.0.1:9000\"", is_host),
             "Receivers in your own network: these may have private addresses.")
        .flag("--allow-webhook")
        .add("allow_private", &t::allow_private, yes_or_no(),
             "Every receiver may; only when all who submit jobs may reach your network.")
        .add("schedule", &t::schedule, times(0ms, 7 * day),
             "The wait before each try of a webhook; as many tries as there are waits.")
        .add("timeout", &t::timeout, time(100ms, 10min),
             "How long a receiver may take to connect, and to begin its answer.")
        .add("at_once", &t::at_once, number(1, 10'000), "Webhooks under way side by side.")
        .add("at_once_per_host", &t::at_once_per_host, number(1, 1000),
             "Those of them to one receiver.")
        .add("breaker_after", &t::breaker_after, number(1, 1000),
             "Failures in a row after which a receiver gets one webhook after a pause.")
        .add("breaker_pause", &t::breaker_pause, time(1ms, 1h),
             "The first such pause; doubles each time.")
        .add("max_breaker_pause", &t::max_breaker_pause, time(1ms, 24h), "The longest one.");
}

void add_simulate(std::vector<setting>& all)
{
    using t = simulate_settings;
    section(all, "simulate", &settings::simulate)
        .add("count", &t::count, number(0, 64), "How many simulated WebUIs to start.")
        .flag("--simulate", "1")
        .add("speed", &t::speed, ratio(0.01, 100'000), "How many times faster their time runs.")
        .add("dialect", &t::dialect,
             choice<webui_dialect>({{"a1111-1.10", webui_dialect::a1111_1_10},
                                    {"a1111-1.9", webui_dialect::a1111_1_9},
                                    {"reforge", webui_dialect::reforge},
                                    {"forge", webui_dialect::forge}},
                                   4),
             "a1111-1.10 | a1111-1.9 | reforge | forge.")
        .add("startup", &t::startup,
             choice<webui_startup>(
                 {{"nowebui", webui_startup::nowebui}, {"full-ui", webui_startup::full_ui}}, 2),
             "nowebui | full-ui: in which order the port and the API come up.")
        .add("fault", &t::fault, text(), "What goes wrong in them, as `simulate --fault` takes it.")
        .add("step_time", &t::step_time, time(0ms, 1min), "What one step of one megapixel takes.")
        .add("load_time", &t::load_time, time(0ms, 10min), "What loading one GB of model takes.");
}

std::vector<setting> build()
{
    std::vector<setting> all;
    add_server(all);
    add_auth(all);
    add_log(all);
    add_data(all);
    const section webui(all, "webui", &settings::webui);
    add_webui_readiness(webui);
    add_webui_gates(webui);
    add_webui_jobs(webui);
    add_recovery(all);
    add_retry(all);
    add_compat(all);
    add_models(all);
    add_download(all);
    add_net(all);
    add_jobs(all);
    add_webhook(all);
    add_simulate(all);
    return all;
}

} // namespace

std::string setting::variable() const
{
    std::string out = std::string(variable_prefix) + table + '_' + key;
    std::transform(out.begin(), out.end(), out.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    return out;
}

const std::vector<setting>& all_settings()
{
    static const std::vector<setting> all = build();
    return all;
}

const std::vector<table_doc>& all_tables()
{
    static const std::vector<table_doc> all = {
        {"server", "The HTTP server that clients talk to."},
        {"auth", "Who may use it."},
        {"log", "What it tells, on standard error."},
        {"data", "Where it remembers."},
        {"webui", "The WebUIs that draw the pictures, and how patient we are with them."},
        {"recovery", "What happens when a WebUI has lost its API (404)."},
        {"retry", "When a job is tried again."},
        {"compat", "Old ways."},
        {"models", "Model files."},
        {"download", "Where model files come from."},
        {"net", "Names and certificates."},
        {"jobs", "The queue and what clients get from it."},
        {"webhook", "Who is told when a job has ended."},
        {"simulate", "Simulated WebUIs, started by us: no GPU needed."},
    };
    return all;
}

const setting* find_setting(std::string_view name)
{
    const auto& all = all_settings();
    const auto at = std::find_if(all.begin(), all.end(), [&](const setting& s) {
        return name.size() == s.table.size() + 1 + s.key.size() && name.starts_with(s.table) &&
               name[s.table.size()] == '.' && name.ends_with(s.key);
    });
    return at == all.end() ? nullptr : &*at;
}

} // namespace gateway::config
