#include "tools/simulate.hpp"

#include "net/loop.hpp"
#include "tools/simulator/webui.hpp"

#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdlib>
#include <iostream>

namespace gateway::tools {

namespace {

namespace fs = std::filesystem;
using namespace simulator;
using namespace std::chrono_literals;

constexpr auto keep_alive_of_gradio = 5s;   // uvicorn's default, which gradio leaves alone
constexpr auto keep_alive_of_nowebui = 30s; // --timeout-keep-alive

const std::map<std::string, startup_mode>& startup_names()
{
    static const std::map<std::string, startup_mode> names{{"nowebui", startup_mode::nowebui},
                                                           {"full-ui", startup_mode::full_ui}};
    return names;
}

std::map<std::string, kind> dialect_by_name()
{
    std::map<std::string, kind> out;
    for (const auto k : {kind::a1111_1_10, kind::a1111_1_9, kind::reforge, kind::forge})
        out.emplace(dialect_of(k).name, k);
    return out;
}

// A models folder of our own, gone with the process.
class temporary_folder {
public:
    temporary_folder()
    {
        auto pattern = (fs::temp_directory_path() / "webui-simulator-XXXXXX").string();
        if (mkdtemp(pattern.data()) == nullptr)
            throw std::runtime_error("cannot create a folder like " + pattern);
        path_ = pattern;
    }
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;
    ~temporary_folder()
    {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

net::server_limits limits_of(const settings& set)
{
    net::server_limits out;
    out.idle_timeout = set.startup == startup_mode::nowebui ? duration(keep_alive_of_nowebui)
                                                            : duration(keep_alive_of_gradio);
    out.header_bytes = 64 * 1024;
    out.body_timeout = std::chrono::hours(1); // uvicorn waits for a slow body as long as it takes
    return out;
}

// The WebUI's own order: lists, model in the background, port, routes.
net::task<> start(webui& ui, net::server& server, const settings& set, net::task_group& tasks)
{
    co_await ui.list_models();
    tasks.spawn(ui.preload());
    co_await ui.boot();
    const auto port = server.listen(set.listen);
    if (!port)
        throw std::runtime_error("cannot listen on " + set.listen + ": " + port.error().message());
    const auto host = set.listen.substr(0, set.listen.rfind(':'));
    std::cout << "simulate: " << dialect_of(set.dialect).name << " listening on http://" << host
              << ":" << *port << std::endl;
    co_await ui.finish_startup();
    std::cout << "simulate: start-up done" << std::endl;
}

// A start that fails ends the process.
net::task<> start_or_quit(webui& ui, net::server& server, const settings& set,
                          net::task_group& tasks, std::function<void(int)> quit)
{
    std::optional<std::string> failure;
    try {
        co_await start(ui, server, set, tasks);
    } catch (const std::exception& e) {
        failure = e.what();
    }
    if (failure) {
        std::cerr << "simulate: " << *failure << std::endl;
        quit(1);
    }
}

// Ends the process as a crash would: nothing is drained and nobody gets an answer.
[[noreturn]] void end_process(run_log& log, const temporary_folder* folder, std::string_view reason,
                              int status)
{
    log.close(reason);
    if (folder != nullptr) {
        std::error_code ignored;
        fs::remove_all(folder->path(), ignored);
    }
    std::cout.flush();
    std::_Exit(status);
}

int run_until_ended(settings set)
{
    std::optional<temporary_folder> folder;
    if (set.models_dir.empty())
        set.models_dir = folder.emplace().path();
    set.models_dir = fs::absolute(set.models_dir);

    net::loop loop;
    net::real_time time;
    net::deadline_wheel wheel(loop.ex(), time);
    net::lane disk("disk", 1);
    net::lane pixels("pixels", 2);
    system_random random;
    run_log log(set.log_file, time);
    const auto* owned = folder ? &*folder : nullptr;
    const auto quit = [&](int status) { end_process(log, owned, "exit", status); };
    webui ui(set, {loop.ex(), time, disk, pixels, random, log, quit});
    net::server server(loop.ex(), time, wheel, ui, limits_of(set));
    net::task_group tasks(loop.ex());

    loop.on_signal({SIGINT, SIGTERM}, [&](int) { end_process(log, owned, "signal", 0); });
    log.write("start", {{"dialect", dialect_of(set.dialect).name}});
    tasks.spawn(start_or_quit(ui, server, set, tasks, quit));
    loop.run();
    return 0;
}

} // namespace

void add_simulate_flags(CLI::App& command, simulate_options& into)
{
    command.add_option("--listen", into.listen, "Address and port; port 0 takes a free one")
        ->capture_default_str();
    command.add_option("--models-dir", into.models_dir,
                       "Folder with Stable-diffusion/ Lora/ VAE/ embeddings/ (default: a temporary "
                       "one; an empty folder gets a tiny first checkpoint)");
    command.add_option("--dialect", into.dialect, "Which WebUI to be")
        ->transform(CLI::CheckedTransformer(dialect_by_name()).description(""))
        ->type_name(std::string(dialect_names()));
    command.add_option("--startup", into.startup, "nowebui: port last; full-ui: port first")
        ->transform(CLI::CheckedTransformer(startup_names()).description(""))
        ->type_name("nowebui, full-ui");
    command.add_option("--speed", into.speed, "Divides every time below")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command.add_option("--fault", into.faults, "What goes wrong, and when (see below)");
    command.add_option("--log-file", into.log_file, "JSON lines: every generation begun and ended");

    const auto seconds = [&command](const char* name, double& value, const char* what) {
        command.add_option(name, value, what)
            ->check(CLI::NonNegativeNumber)
            ->capture_default_str()
            ->group("Times");
    };
    seconds("--step-ms", into.step_ms, "One sampling step of one megapixel, milliseconds");
    seconds("--base-ms", into.base_ms, "Everything around the sampling, milliseconds");
    seconds("--load-s-per-gb", into.load_s_per_gb, "A model into memory, seconds per gigabyte");
    command.add_option("--hash-mb-s", into.hash_mb_per_s, "Hashing at first load, MB per second")
        ->check(CLI::PositiveNumber)
        ->capture_default_str()
        ->group("Times");
    seconds("--refresh-ms", into.refresh_ms, "A model list being rebuilt, milliseconds");
    seconds("--boot-s", into.boot, "Until the port opens");
    seconds("--ui-s", into.ui, "full-ui: open port until the middleware window");
    seconds("--window-s", into.window, "full-ui: the middleware window");
    seconds("--extensions-s", into.extensions, "full-ui: API until the extensions' routes");

    const auto flag = [&command](const char* name, bool& value, const char* what) {
        command.add_flag(name, value, what)->group("Flags of the WebUI");
    };
    flag("--api,!--no-api", into.api, "Whether there is an API at all");
    command.add_option("--api-auth", into.api_auth, "user:password[,user:password]")
        ->group("Flags of the WebUI");
    command.add_option("--cors-allow-origins", into.cors_allow_origins, "Separated by commas")
        ->group("Flags of the WebUI");
    flag("--no-hashing", into.no_hashing, "No sha256 of models, no Lora hashes");
    flag("--no-download-sd-model", into.no_download_sd_model, "Leave an empty folder empty");
    flag("--skip-load-model-at-start", into.skip_load_model_at_start, "Load in the first job");
    flag("--freeze-settings", into.freeze_settings, "Options cannot be changed");
    flag("--api-server-stop", into.api_server_stop, "Routes server-kill, -restart and -stop");
    command.footer(std::string(fault_plan::help()));
}

int simulate(const simulate_options& options)
{
    try {
        return run_until_ended(options);
    } catch (const std::invalid_argument& wrong) {
        std::cerr << "simulate: " << wrong.what() << '\n';
        return 2;
    } catch (const std::exception& failure) {
        std::cerr << "simulate: " << failure.what() << '\n';
        return 1;
    }
}

} // namespace gateway::tools
