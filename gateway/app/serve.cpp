#include "app/serve.hpp"

#include "api/doors.hpp"
#include "app/simulators.hpp"
#include "app/wiring.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "net/loop.hpp"
#include "net/resolver.hpp"
#include "proto/job_id.hpp"
#include "store/lock.hpp"

#include <systemd/sd-daemon.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>

namespace gateway::app {

namespace {

using namespace std::chrono_literals;

constexpr int interrupted_exit = 130;
constexpr auto watch_interval = 100ms;
constexpr auto answer_grace = 2s; // for answers under way once nothing runs any more

std::string public_id(const core::job& job)
{
    return proto::to_text(proto::job_ref{job.key, job.secret, job.sync});
}

// Tells systemd, when it started us with Type=notify; otherwise nothing happens.
void notify(const std::string& state) { sd_notify(0, state.c_str()); }

net::resolver& with_fixed_names(net::resolver& names, const config::net_settings& from)
{
    for (const auto& [name, address] : from.resolve)
        names.map(name, address);
    return names;
}

// Every part, in the order in which it is built: each holds references only to those above it.
class program {
public:
    explicit program(config::loaded loaded);
    int run();

private:
    net::task<> main();
    net::task<> close(net::task_group& everything, std::exception_ptr& failure);
    net::task<> start();
    net::task<> drain();
    net::task<> wait_for_the_end();
    void listen();
    void hear(int signal);
    std::vector<std::string> webui_urls();
    std::vector<api::check> checks();

    config::loaded loaded_;
    const config::settings& settings_ = loaded_.settings;
    log::session log_{log_options(settings_.log)};
    store::data_dir data_{settings_.data.dir};
    net::loop loop_;
    net::real_time time_;
    net::lane journal_lane_{"journal", 1};
    net::lane disk_{"disk", 2};
    net::lane hash_{"hash", 1, 10};
    net::lane dns_{"dns", 4};
    system_random random_;
    net::deadline_wheel wheel_{loop_.ex(), time_};
    net::resolver names_{dns_, time_, settings_.download.resolve_timeout};
    std::unique_ptr<net::dialer> dialer_ = net::make_dialer(with_fixed_names(names_, settings_.net),
                                                            time_, wheel_, {settings_.net.ca_file});
    net::client http_{*dialer_, time_, wheel_};
    simulators simulators_{loop_.ex(), time_, loaded_};
    std::unique_ptr<store::journal> journal_ =
        store::open_sqlite(data_.journal_file().string(), journal_lane_);
    store::spool spool_{data_.spool_folder(), disk_};
    store::model_files files_{store::real_files(), disk_, hash_, data_.owner()};
    store::health store_health_{data_.folder(),
                                {time_, disk_, *journal_, spool_},
                                {settings_.data.min_free, settings_.jobs.max_spool_bytes}};
    store::shared_files shared_{store::real_files(), disk_};
    work::registry registry_{loop_.ex(), store::real_files(), disk_, time_,
                             registry_options(settings_, data_.folder())};
    jobs::jobs jobs_{loop_.ex(),
                     time_,
                     *journal_,
                     spool_,
                     job_limits(settings_),
                     {[this] { return random_.next(); }, public_id},
                     &store_health_};
    work::model_library models_;
    work::fleet fleet_;
    work::webhooks webhooks_{loop_.ex(),
                             {jobs_.outbox(), http_, spool_, time_, disk_,
                              [this] { return random_.fraction(); }, public_id},
                             webhook_options(settings_)};
    api::doors doors_;
    net::server server_;
    net::server health_;
    net::gate stop_{loop_.ex()};
    int exit_code_ = 0;
    bool signalled_ = false;
};

program::program(config::loaded loaded)
    : loaded_(std::move(loaded)),
      models_(loop_.ex(),
              {jobs_, http_, time_, files_, shared_, registry_,
               [this] { return random_.fraction(); },
               [this](const core::model_ref& file) { return fleet_.lists(file); },
               [this](bool checkpoints, bool loras) { fleet_.files_arrived(checkpoints, loras); },
               [this] { return fleet_.anyone_ready(); }, [this] { return fleet_.looks(); },
               [this](const core::model_ref& file) { return fleet_.listed_by(file); },
               [this] { return fleet_.loaded(); }},
              model_options(settings_)),
      fleet_(loop_.ex(),
             {http_, *dialer_, time_, disk_, jobs_, spool_, models_,
              [this](const core::model_ref& file) { return models_.waived(file); },
              [this](const core::model_ref& file) { return models_.doubtful(file); },
              [this](const core::model_set& files) { models_.used(files); }},
             backend_options(settings_, webui_urls()), runner_options(settings_)),
      doors_({jobs_, fleet_, &models_, journal_.get(), &spool_, &store_health_, time_, disk_,
              settings_, random_, checks(), [this] { return &loop_.stats(); }, &webhooks_, &models_,
              &models_.changes()}),
      server_(loop_.ex(), time_, wheel_, doors_.service(), server_limits(settings_.server)),
      health_(loop_.ex(), time_, wheel_, doors_.health(), server_limits(settings_.server))
{
}

std::vector<std::string> program::webui_urls()
{
    return settings_.simulate.count > 0 ? simulators_.urls() : settings_.webui.urls;
}

// What must be well before a job can be accepted and kept.
std::vector<api::check> program::checks()
{
    auto disk = [this] { return store_health_.disk_trouble(); };
    auto journal = [this] { return store_health_.journal_trouble(); };
    auto spool = [this] { return store_health_.spool_trouble(); };
    return {
        {"disk", std::move(disk)}, {"journal", std::move(journal)}, {"spool", std::move(spool)}};
}

int program::run()
{
    for (const auto& note : loaded_.notes)
        log::warning(note);
    loop_.on_signal({SIGTERM, SIGINT}, [this](int signal) { hear(signal); });
    net::task_group top(loop_.ex());
    top.spawn(main());
    std::exception_ptr failure;
    net::task_group closing(loop_.ex());
    closing.spawn(close(top, failure));
    loop_.run();
    if (failure)
        std::rethrow_exception(failure);
    return exit_code_;
}

// Lets the loop run dry once everything has ended.
net::task<> program::close(net::task_group& everything, std::exception_ptr& failure)
{
    try {
        co_await everything.join();
    } catch (...) {
        failure = std::current_exception();
    }
    http_.close_idle();
    loop_.finish();
}

void program::hear(int signal)
{
    if (signalled_) {
        log::warning("stopped at once", {{"signal", signal}});
        log_.flush();
        std::_Exit(interrupted_exit);
    }
    signalled_ = true;
    log::info("stopping: no more jobs are taken; a second signal stops at once",
              {{"signal", signal},
               {"running", jobs_.running()},
               {"grace", format_duration(settings_.server.drain_grace)}});
    stop_.open();
}

net::task<> program::main()
{
    const auto ex = co_await net::current_executor();
    net::task_group parts(ex);
    co_await start();
    parts.spawn(store_health_.watch());
    parts.spawn(jobs_.keep_house());
    parts.spawn(models_.run());
    parts.spawn(fleet_.run());
    parts.spawn(webhooks_.run());
    parts.spawn(simulators_.watch());
    co_await wait_for_the_end();
    co_await drain();
    parts.cancel();
    co_await parts.join();
    co_await simulators_.stop();
    co_await journal_->close();
    log::info("stopped", {{"waiting", jobs_.waiting()}});
}

net::task<> program::start()
{
    co_await simulators_.start();
    const auto ec = co_await jobs_.replay();
    if (ec)
        throw std::runtime_error("the journal " + data_.journal_file().string() +
                                 " cannot be read back: " + ec.message() +
                                 "; `webui-gateway store check` says what is damaged. Restore it "
                                 "from a copy, or move it and its -wal and -shm files away to "
                                 "start with an empty queue");
    co_await store_health_.look();
    listen();
}

std::uint16_t listen_on(net::server& server, const std::string& address, std::string_view advice)
{
    const auto port = server.listen(address);
    if (!port)
        throw std::runtime_error("cannot listen on " + address + ": " + port.error().message() +
                                 " (" + std::string(advice) + ")");
    return *port;
}

void program::listen()
{
    const auto port = listen_on(server_, settings_.server.listen,
                                "server.listen or --listen chooses another address");
    doors_.watch(server_);
    const auto host = settings_.server.listen.substr(0, settings_.server.listen.rfind(':'));
    log::info("listening", {{"address", host + ":" + std::to_string(port)},
                            {"data", settings_.data.dir},
                            {"version", GATEWAY_VERSION}});
    const auto& health = settings_.server.health_listen;
    if (!health.empty()) {
        const auto other = listen_on(health_, health, "server.health_listen or PORT_HEALTH");
        log::info("listening for health checks",
                  {{"address", health.substr(0, health.rfind(':') + 1) + std::to_string(other)},
                   {"path", settings_.server.health_path}});
    }
    notify("READY=1\nSTATUS=accepting jobs");
}

net::task<> program::wait_for_the_end()
{
    while (!stop_.is_open()) {
        const auto seen = fleet_.changes().current();
        if (settings_.webui.exit_when_unready && fleet_.hopeless()) {
            log::error("every WebUI has been given up; webui.exit_when_unready is on");
            exit_code_ = 1;
            co_return;
        }
        const bool moved =
            co_await fleet_.changes().past(seen, time_, time_.now() + watch_interval);
        (void)moved;
    }
}

// Stop taking, let running jobs end within the grace, hand back the rest.
net::task<> program::drain()
{
    notify("STOPPING=1");
    doors_.drain();
    jobs_.stop_intake();
    const auto grace_ends = time_.now() + settings_.server.drain_grace;
    while (jobs_.running() > 0 && time_.now() < grace_ends) {
        const auto ec = co_await time_.sleep_for(watch_interval);
        (void)ec;
    }
    if (jobs_.running() > 0)
        log::warning("grace is over; running jobs wait for the next start",
                     {{"running", jobs_.running()}});
    fleet_.hand_back();
    const auto hand_back_ends = time_.now() + settings_.webui.interrupt_timeout;
    while (jobs_.running() > 0 && time_.now() < hand_back_ends) {
        const auto ec = co_await time_.sleep_for(watch_interval);
        (void)ec;
    }
    co_await webhooks_.drain(std::max(grace_ends, time_.now() + answer_grace));
    co_await server_.drain(answer_grace);
    co_await health_.drain(answer_grace);
}

} // namespace

int serve(config::loaded settings)
{
    program p(std::move(settings));
    return p.run();
}

} // namespace gateway::app
