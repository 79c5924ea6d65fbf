#include "tools/models_pull.hpp"

#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/redact.hpp"
#include "base/text.hpp"
#include "net/loop.hpp"
#include "net/resolver.hpp"
#include "proto/text.hpp"
#include "proto/webui_job.hpp"
#include "store/sha256.hpp"
#include "store/shared_files.hpp"
#include "work/fetch_settings.hpp"
#include "work/registry.hpp"

#include <CLI/CLI.hpp>

#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iostream>
#include <map>
#include <set>

namespace gateway::tools {

namespace {

using namespace std::chrono_literals;

constexpr int interrupted_exit = 130;
constexpr auto on_a_terminal = 200ms;
constexpr auto in_a_file = 5s;
constexpr auto claim_interval = 2s;

// One machine and user goes on with its own partial files; 8 hex digits, as store wants them.
std::string owner()
{
    std::string host(256, '\0');
    ::gethostname(host.data(), host.size() - 1);
    std::string machine;
    std::getline(std::ifstream("/etc/machine-id"), machine);
    store::sha256_sum sum;
    sum.add("models pull " + std::string(host.c_str()) + ' ' + machine + ' ' +
            std::to_string(::getuid()));
    return sum.hex().substr(0, 8);
}

std::string name_in(const std::string& url)
{
    const auto path = url.substr(0, url.find_first_of("?#"));
    return path.substr(path.rfind('/') + 1);
}

struct item {
    core::model_ref file;
    work::fetch_progress progress;
    bool done = false;
};

std::string describe(const item& one)
{
    const auto& p = one.progress;
    std::string text = one.file.name + ": " + format_bytes(p.bytes);
    if (p.total > 0)
        text +=
            " of " + format_bytes(p.total) + " (" + std::to_string(p.bytes * 100 / p.total) + " %)";
    text += ", " + format_bytes(static_cast<std::uint64_t>(p.bytes_per_second)) + "/s";
    if (const auto eta = p.eta())
        text += ", " + format_duration(*eta) + " left";
    if (p.connections > 1)
        text += ", " + std::to_string(p.connections) + " connections";
    return text;
}

// All parts of one call, in the order in which they are built.
class puller {
public:
    puller(const pull_options& options, const config::settings& settings);
    int run();

private:
    net::task<> main();
    net::task<> fetch_one(item& one);
    net::task<store::shared_lock> claimed(const item& one, std::filesystem::path folder);
    net::task<> remember(const core::model_ref& file, const work::fetched_file& got,
                         std::filesystem::path folder);
    net::task<> show();
    void show_once();
    void tell_stats();

    const pull_options& options_;
    const config::settings& settings_;
    net::loop loop_;
    net::real_time time_;
    net::lane disk_{"disk", 2};
    net::lane hash_{"hash", 1};
    net::lane dns_{"dns", 4};
    system_random random_;
    net::deadline_wheel wheel_{loop_.ex(), time_};
    net::resolver names_{dns_, time_, settings_.download.resolve_timeout};
    std::unique_ptr<net::dialer> dialer_ =
        net::make_dialer(names_, time_, wheel_, {settings_.net.ca_file});
    net::client http_{*dialer_, time_, wheel_};
    store::model_files files_{store::real_files(), disk_, hash_, owner()};
    store::shared_files shared_{store::real_files(), disk_};
    work::fetcher fetcher_{
        loop_.ex(), http_, time_, files_, work::fetch_options_from(settings_.download), [this] {
            return random_.fraction();
        }};
    std::list<item> items_;
    std::size_t running_ = 0;
    net::versions changes_{loop_.ex()};
    std::stop_source stop_;
    bool terminal_ = ::isatty(STDERR_FILENO) != 0;
    int exit_code_ = 0;
};

puller::puller(const pull_options& options, const config::settings& settings)
    : options_(options), settings_(settings)
{
    for (const auto& [name, address] : settings_.net.resolve)
        names_.map(name, address);
    std::set<std::string> taken;
    for (const auto& url : options.urls) {
        const auto wanted = options.name.empty() ? name_in(url) : options.name;
        const auto name = proto::parse_model_name(wanted, options.kind, true);
        if (!name)
            throw std::invalid_argument(name.error().detail + "; give it one with --name");
        if (!taken.insert(*name).second)
            throw std::invalid_argument("two files would be called " + *name +
                                        "; pull them one by one, with --name");
        items_.push_back({{options.kind, *name, url, options.sha256}, {}, false});
    }
}

int puller::run()
{
    loop_.on_signal({SIGTERM, SIGINT}, [this](int) {
        if (stop_.stop_requested())
            std::_Exit(interrupted_exit);
        stop_.request_stop();
    });
    net::task_group top(loop_.ex());
    top.spawn(main());
    loop_.run();
    return stop_.stop_requested() ? interrupted_exit : exit_code_;
}

net::task<> puller::main()
{
    const auto ex = co_await net::current_executor();
    net::task_group transfers(ex);
    net::task_group showing(ex);
    showing.spawn(show());
    const auto most = static_cast<std::size_t>(settings_.download.files_at_once);
    for (auto& one : items_) {
        while (running_ >= most && !stop_.stop_requested())
            co_await changes_.past(changes_.current());
        if (stop_.stop_requested())
            break;
        ++running_;
        transfers.spawn(fetch_one(one));
    }
    co_await transfers.join();
    showing.cancel();
    co_await showing.join();
    http_.close_idle();
    if (options_.stats)
        tell_stats();
    loop_.finish();
}

net::task<> puller::fetch_one(item& one)
{
    work::fetch_order order{one.file, work::folder_from(settings_.models, one.file.kind),
                            work::size_limit_from(settings_.download, one.file.kind),
                            stop_.get_token()};
    const auto folder = order.folder;
    const auto claim = co_await claimed(one, folder);
    const auto done = co_await fetcher_.fetch(std::move(order), one.progress);
    if (terminal_)
        std::cerr << "\r\033[K";
    if (done) {
        std::cout << (folder / done->file_name).string() << ' ' << done->size << " bytes sha256 "
                  << done->sha256 << std::endl;
        co_await remember(one.file, *done, folder);
    } else {
        std::cerr << done.error().reason << std::endl;
        exit_code_ = 1;
    }
    one.done = true;
    --running_;
    changes_.bump();
}

// The right to fetch it, once no gateway is at it; fetched by then, it is compared and left.
net::task<store::shared_lock> puller::claimed(const item& one, std::filesystem::path folder)
{
    for (int tries = 1; !stop_.stop_requested(); ++tries) {
        auto claim = co_await shared_.claim(folder, one.file.name);
        if (!claim)
            break; // the transfer says what is wrong with the folder
        if (*claim)
            co_return std::move(*claim);
        if (tries == 1)
            std::cerr << "another process fetches " << one.file.name << "; waiting for it"
                      << std::endl;
        const auto ec = co_await time_.sleep_for(claim_interval);
        if (ec)
            break;
    }
    co_return store::shared_lock();
}

// Gateways may delete it when room is needed, as if they had fetched it.
net::task<> puller::remember(const core::model_ref& file, const work::fetched_file& got,
                             std::filesystem::path folder)
{
    core::model_change change;
    auto& record = change.came.emplace();
    record.url = redact(file.url);
    record.path = (folder / got.file_name).string();
    record.sha256 = got.sha256;
    record.size = got.size;
    record.downloaded = time_.wall();
    core::model_changes changes;
    changes[{file.kind, file.name}] = std::move(change);
    const auto registry = std::filesystem::path(settings_.models.dir) / work::registry_name;
    const auto done = co_await work::merge_when_free(store::real_files(), disk_, time_, registry,
                                                     std::move(changes));
    if (done.busy || done.ec)
        std::cerr << "the registry " << registry.string() << " cannot be written: "
                  << (done.busy ? "another process is at it" : done.ec.message()) << std::endl;
}

net::task<> puller::show()
{
    const duration each = terminal_ ? duration(on_a_terminal) : duration(in_a_file);
    for (;;) {
        const auto ec = co_await time_.sleep_for(each);
        if (ec)
            co_return;
        show_once();
    }
}

void puller::show_once()
{
    std::size_t bringing = 0;
    const item* first = nullptr;
    for (const auto& one : items_) {
        if (one.done || one.progress.bytes == 0)
            continue;
        ++bringing;
        first = first == nullptr ? &one : first;
        if (!terminal_)
            std::cerr << describe(one) << std::endl;
    }
    if (!terminal_ || first == nullptr)
        return;
    std::cerr << "\r\033[K" << describe(*first);
    if (bringing > 1)
        std::cerr << ", and " << bringing - 1 << " more";
    std::cerr << std::flush;
}

// For benchmarks: how late the loop was, in milliseconds.
void puller::tell_stats()
{
    const auto& s = loop_.stats();
    std::cerr << "{\"lag_p999_ms\": " << s.lag.quantile(0.999) * 1e3
              << ", \"lag_samples\": " << s.lag.total()
              << ", \"handler_p9999_ms\": " << s.run_time.quantile(0.9999) * 1e3
              << ", \"turns\": " << s.turns << "}" << std::endl;
}

const std::map<std::string, core::model_kind>& kinds()
{
    static const std::map<std::string, core::model_kind> all = [] {
        std::map<std::string, core::model_kind> names;
        for (const auto kind : {core::model_kind::checkpoint, core::model_kind::lora,
                                core::model_kind::embedding, core::model_kind::vae})
            names.emplace(core::to_text(kind), kind);
        return names;
    }();
    return all;
}

} // namespace

void add_pull_flags(CLI::App& command, pull_options& into)
{
    command.add_option("url", into.urls, "Where the files are")->required();
    command.add_option("--kind", into.kind, "What they are")
        ->transform(CLI::CheckedTransformer(kinds()).description(""))
        ->type_name("checkpoint, lora, embedding, vae")
        ->default_str("checkpoint");
    command.add_option("--name", into.name, "Name of the file (default: what the URL ends with)");
    command.add_option("--sha256", into.sha256,
                       "What the file must have, whole or 10 to 12 digits");
    command.add_flag("--stats", into.stats, "Tell at the end how late the event loop was");
}

int pull(const pull_options& options, const config::settings& settings)
{
    auto chosen = options;
    try {
        if (options.urls.size() > 1 && (!options.name.empty() || !options.sha256.empty()))
            throw std::invalid_argument("--name and --sha256 are for one URL at a time");
        if (!options.sha256.empty()) {
            const auto hash = proto::parse_model_hash(options.sha256);
            if (!hash)
                throw std::invalid_argument(hash.error().detail);
            chosen.sha256 = *hash;
        }
        log::session::options o;
        o.least = std::max(settings.log.level, log::level::warning);
        const log::session logging(std::move(o));
        puller p(chosen, settings);
        return p.run();
    } catch (const std::invalid_argument& wrong) {
        std::cerr << "models pull: " << wrong.what() << '\n';
        return 2;
    } catch (const std::exception& failure) {
        std::cerr << "models pull: " << failure.what() << '\n';
        return 1;
    }
}

} // namespace gateway::tools
