#pragma once

// What can be set, as one struct per table of the configuration file. The initializers here are the
// defaults; names, ranges and words are in table.cpp. load() says where each value came from, or
// everything that is wrong at once.

#include "base/log.hpp"
#include "base/result.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::config {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using bytes = std::uint64_t;
using names = std::vector<std::string>;

constexpr bytes kib = 1024;
constexpr bytes mib = 1024 * kib;
constexpr bytes gib = 1024 * mib;

struct server_settings {
    std::string listen = "127.0.0.1:8000";
    bytes header_limit = 16 * kib;
    bytes body_limit = mib; // of requests that are not run or runsync
    std::int64_t connections = 10'000;
    milliseconds header_timeout = seconds(30);
    milliseconds body_timeout = seconds(60);
    milliseconds write_timeout = seconds(60);
    milliseconds idle_timeout = seconds(75);
    milliseconds drain_grace = seconds(25);
    std::string health_listen;         // a second listener, for health alone; empty: none
    std::string health_path = "/ping"; // where a load balancer asks
    names allow_hosts;   // names of this machine beside the loopback ones; without keys only
    names allow_origins; // web pages that may call: "https://app.example.org"
};

enum class auth_mode {
    automatic, // only in what was written: load() turns it into one of the others
    none,      // loopback only
    keys,
    edge, // something in front of us has checked already
};

struct auth_settings {
    auth_mode mode = auth_mode::automatic;
    names keys; // with those of keys_file
    std::string keys_file;
};

enum class log_format {
    automatic, // human on a terminal, else JSON
    human,
    json,
    runpod,
};

struct log_settings {
    log_format format = log_format::automatic;
    log::level level = log::level::info;
};

struct data_settings {
    std::string dir; // load() fills it (decisions.md 16)
    bytes min_free = 512 * mib;
};

// One WebUI and what is asked of it. Gates: handler.md §1; readiness: webui.md §7.2.
struct webui_settings {
    names urls = {"http://127.0.0.1:3000"}; // origins with an optional prefix, without /sdapi/v1
    std::string api_auth;                   // "user:password"
    milliseconds connect_timeout = seconds(5);

    // GETs, which may be repeated.
    std::int64_t get_retries = 10;
    milliseconds get_backoff = milliseconds(100); // doubles each time

    // From an open port to READY.
    milliseconds port_interval = milliseconds(200);  // between tries to connect
    milliseconds settle = seconds(5);                // after the port opened, before any request
    milliseconds route_interval = milliseconds(500); // between GETs of the txt2img route
    milliseconds route_timeout = seconds(30);
    milliseconds extensions_timeout = seconds(10); // how long GET loras may stay away
    milliseconds models_timeout = seconds(120);    // GET sd-models
    milliseconds status_timeout = seconds(30);     // GET options and the like
    bool warm_up = true;
    milliseconds warm_up_timeout = minutes(10);
    milliseconds unregistered_after = seconds(120); // of ROUTE_MISSING (decisions.md 2)
    milliseconds unregistered_interval = seconds(30);
    milliseconds give_up_after = minutes(10); // never ready since the start
    bool exit_when_unready = false;           // serve exits when every backend has given up

    // The original's gates (compat.original_gates) and the bounds of the recovery ladder.
    milliseconds service_gate_timeout = seconds(120); // per request
    milliseconds service_gate_interval = milliseconds(200);
    std::int64_t service_gate_tries = 300;
    milliseconds endpoint_gate_timeout = seconds(30);
    milliseconds endpoint_gate_interval = milliseconds(500);
    std::int64_t endpoint_gate_tries = 240;
    std::int64_t log_each = 15; // repeated waits are told the first time, then each n-th

    // Ready.
    milliseconds health_interval = seconds(10);
    milliseconds health_timeout = seconds(30);
    std::int64_t health_strikes = 3;

    // A job.
    milliseconds inference_timeout = seconds(600);
    milliseconds model_load_timeout = seconds(900); // more, when the model is not the loaded one
    milliseconds progress_interval = seconds(1);
    milliseconds stall_timeout = seconds(120); // no progress while sampling
    milliseconds interrupt_timeout = seconds(60);
    names allow_parameters; // of txt2img, beyond those of handler.md §3; see table.cpp
    names allow_overrides;  // keys of override_settings that a job may bring
    names allow_scripts = {"ControlNet"}; // titles, for alwayson_scripts and script_name
    names allow_endpoints;                // routes an input may name: "POST sdapi/v1/img2img"

    webui_settings(); // fills the long lists
};

// The ladder after a missing route (handler.md §4).
struct recovery_settings {
    milliseconds wait = seconds(5);
    bool clean_caches = false;
    names cache_paths = {"/stable-diffusion-webui/cache",
                         "/stable-diffusion-webui/models/Stable-diffusion/*.cache",
                         "/stable-diffusion-webui/models/Lora/*.cache"};
    milliseconds settle = seconds(3);
    std::int64_t service_gate_tries = 60;
    std::int64_t endpoint_gate_tries = 120;
    milliseconds time_limit = minutes(10); // for the whole ladder
};

struct retry_settings {
    std::int64_t attempts = 3;
    milliseconds interval = seconds(5);
    std::int64_t max_restarts = 20;
    bool resend_after_restart = true;
    std::int64_t max_crashes = 3; // of this program, with the job running
};

struct compat_settings {
    bool original_gates = false;
};

enum class model_policy {
    strict,  // a model that cannot be prepared fails the job
    lenient, // … is logged, and the job runs without it
};

struct models_settings {
    std::string dir; // the WebUI's models folder; load() fills it
    // Folders that are not where the WebUI's layout has them; load() fills them.
    std::string checkpoints;
    std::string loras;
    std::string vae;
    std::string embeddings;
    std::string default_checkpoint; // name, for jobs that bring none
    std::string default_checkpoint_url;
    model_policy policy = model_policy::strict;
    milliseconds after_download_settle = seconds(3);
    std::int64_t after_download_tries = 30;     // of the service gate
    names pinned;                               // never deleted
    bytes budget = 0;                           // of fetched and adopted files; 0: no limit
    bytes min_free = 10 * gib;                  // on the disk
    milliseconds unused_after = hours(30 * 24); // 0: files do not age
    std::int64_t keep_most_used = 10;           // do not age either
};

struct download_settings {
    names allow_hosts;  // "huggingface.co", "*.hf.co"; https and public addresses only
    names exempt_hosts; // "host" or "host:port": http and private addresses allowed, and the host
    milliseconds resolve_timeout = seconds(10);
    milliseconds connect_timeout = seconds(15);
    milliseconds header_timeout = seconds(60);
    milliseconds stall_timeout = seconds(30);
    std::int64_t redirects = 10;
    std::int64_t retries = 5;
    milliseconds backoff = seconds(1); // doubles up to max_backoff, with jitter
    milliseconds max_backoff = seconds(30);
    std::int64_t files_at_once = 6;
    std::int64_t connections = 8; // of one download, when they make it faster
    std::int64_t first_connections = 1;
    std::int64_t host_connections = 16;
    std::int64_t total_connections = 32;
    bytes bandwidth = 0; // per second, of all together; 0: no limit
    bytes max_checkpoint = 30 * gib;
    bytes max_lora = 4 * gib;
    bytes max_vae = 4 * gib;
    bytes max_embedding = 256 * mib;
    bytes progress_log_each = 100'000'000;
    std::string huggingface_endpoint = "https://huggingface.co";
    std::string huggingface_token;
    std::string civitai_token;
    std::map<std::string, std::string> credentials; // host pattern → token, or a file with it
    names allow_folders;                            // for file:// URLs
    bool allow_pickle = false;                      // .ckpt and .pt run code when loaded
    std::string proxy; // "http://host:port"; load() reads the environment for "environment"
    names no_proxy;    // hosts that are asked directly; ".example.org" for all below it

    download_settings(); // fills allow_hosts
};

struct net_settings {
    std::map<std::string, std::string> resolve; // "host:port" → address (decisions.md 22)
    std::string ca_file;                        // in addition to the system's store
};

struct jobs_settings {
    std::int64_t max_queued = 100'000;
    bytes max_queued_bytes = gib;
    bytes max_spool_bytes = 50 * gib;
    bytes run_body_limit = 10 * mib;
    bytes runsync_body_limit = 20 * mib;
    milliseconds execution_timeout = seconds(600);
    milliseconds ttl = hours(24);
    milliseconds keep_async = minutes(30); // a result of /run
    milliseconds keep_sync = minutes(1);   // a result of /runsync
};

struct webhook_settings {
    names secrets;                      // "whsec_…"; every one of them signs
    names allow_hosts;                  // "host" or "host:port" that may have private addresses
    bool allow_private = false;         // as every host may
    std::vector<milliseconds> schedule; // the wait before each try
    milliseconds timeout = seconds(30);
    std::int64_t at_once = 128;
    std::int64_t at_once_per_host = 4;
    std::int64_t breaker_after = 5; // failures in a row
    milliseconds breaker_pause = seconds(5);
    milliseconds max_breaker_pause = minutes(5);

    webhook_settings(); // fills schedule
};

enum class webui_dialect { a1111_1_10, a1111_1_9, reforge, forge };
enum class webui_startup { nowebui, full_ui };

// The simulators that `serve --simulate` starts.
struct simulate_settings {
    std::int64_t count = 0;
    double speed = 1.0; // time runs this many times faster
    webui_dialect dialect = webui_dialect::a1111_1_10;
    webui_startup startup = webui_startup::nowebui;
    std::string fault;
    milliseconds step_time = milliseconds(100); // per step and megapixel
    milliseconds load_time = seconds(1);        // per GB of model
};

struct settings {
    server_settings server;
    auth_settings auth;
    log_settings log;
    data_settings data;
    webui_settings webui;
    recovery_settings recovery;
    retry_settings retry;
    compat_settings compat;
    models_settings models;
    download_settings download;
    net_settings net;
    jobs_settings jobs;
    webhook_settings webhook;
    simulate_settings simulate;
};

// Where a value came from.
struct origin {
    enum class place { program, file, environment, flag };
    place from = place::program;
    std::string where; // "gateway.toml:12", "PORT", "--listen"
};
std::string to_text(const origin& o); // "default", "gateway.toml:12", "environment PORT", …

struct flag {
    std::string name;  // "--listen", "--set"
    std::string value; // "127.0.0.1:8000", "server.listen=127.0.0.1:8000"
};

// Everything load() looks at. It touches nothing else.
struct sources {
    std::string file_name; // for messages
    std::optional<std::string> file_text;
    std::map<std::string, std::string> environment;
    std::vector<flag> flags; // in the order given; a list collects what its flags bring
    // For the files that settings name: secrets in `…_FILE` and auth.keys_file.
    std::function<result<std::string>(const std::string& path)> read_file = no_file;

    static result<std::string> no_file(const std::string& path); // "No such file", always
};

// One thing that is wrong: where, what was found, what would be right.
struct problem {
    std::string where; // "gateway.toml:12", "environment PORT", "flag --listen"
    std::string what;
};
std::string to_text(const problem& p); // "where: what"

struct loaded {
    config::settings settings;
    std::map<std::string, origin> origins; // by "table.key"; every setting has one
    std::vector<problem> problems;         // empty: the settings can be used
    std::vector<std::string> notes;        // allowed, but to be said at start

    bool ok() const { return problems.empty(); }
};

loaded load(const sources& from);

// load() from this process's environment and disk. An empty path means no file.
loaded load_from_system(const std::string& file_path, std::vector<flag> flags);

// `config print`: every setting as TOML with its origin; secrets masked.
std::string print(const loaded& of);
// `config check`: "ok" with the notes, or every problem on a line of its own.
std::string check(const loaded& of);
// The documented file with every default: what config/webui-gateway.toml holds.
std::string reference();

// A flag that has a name of its own, for the command line's help.
struct flag_help {
    std::string name; // "--listen"
    std::string key;  // "server.listen"
    std::string help;
    bool repeatable = false;
    std::string bare; // the value when the flag stands alone ("1" for --simulate); else empty
};
std::vector<flag_help> flags();

// Whether "127.0.0.1:8000" or "[::1]:8000" can only be reached from this machine.
bool is_loopback(std::string_view listen);

} // namespace gateway::config
