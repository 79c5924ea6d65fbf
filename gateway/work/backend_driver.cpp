#include "work/backend_driver.hpp"

#include "base/log.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <filesystem>

namespace gateway::work {

namespace {

using core::backend;
using core::backend_action;

// Lists and options answer at once unless the WebUI is busy loading (webui.md §7.2).
constexpr auto list_limit = std::chrono::seconds(30);
constexpr auto interrupt_limit = std::chrono::seconds(10);

duration limit_or(duration asked, duration otherwise)
{
    return asked > duration{} ? asked : otherwise;
}

// What a request that brought no usable answer says about the WebUI.
backend::event no_use(const net::failure& f)
{
    if (f.phase == net::phase::resolving || f.phase == net::phase::connecting)
        return backend::port_refused{f.what};
    return backend::no_answer{f.what};
}

backend::event no_use(std::string_view path, const net::reply& reply)
{
    if (reply.head.status == 401)
        return backend::denied{};
    if (proto::classify_route_probe(reply.head.status, reply.body) == proto::route_probe::missing)
        return backend::route_missing{};
    return backend::no_answer{"GET " + std::string(path) + " answered " +
                              std::to_string(reply.head.status)};
}

// Deletes what the paths name; a last part may hold one `*`. Nothing outside them is touched.
void remove_caches(const std::vector<std::string>& paths)
{
    namespace fs = std::filesystem;
    for (const auto& text : paths) {
        const fs::path path(text);
        const auto pattern = path.filename().string();
        const auto star = pattern.find('*');
        std::error_code ignored;
        if (star == std::string::npos) {
            fs::remove_all(path, ignored);
            continue;
        }
        const auto head = pattern.substr(0, star), tail = pattern.substr(star + 1);
        for (const auto& entry : fs::directory_iterator(path.parent_path(), ignored)) {
            const auto name = entry.path().filename().string();
            if (name.size() >= head.size() + tail.size() && name.starts_with(head) &&
                name.ends_with(tail))
                fs::remove_all(entry.path(), ignored);
        }
    }
}

// "sub/Foo.safetensors [0123456789]" → "Foo": what `info` calls the same file.
std::string bare_name(std::string_view title)
{
    title = title.substr(0, title.rfind(" ["));
    if (const auto slash = title.find_last_of("/\\"); slash != std::string_view::npos)
        title.remove_prefix(slash + 1);
    return std::string(title.substr(0, title.rfind('.')));
}

std::vector<core::catalog_checkpoint>
to_catalog(const std::vector<proto::checkpoint_entry>& entries)
{
    std::vector<core::catalog_checkpoint> list;
    for (const auto& e : entries)
        list.push_back({e.title, e.model_name, std::string(proto::listed_name(e)), e.hash, e.sha256,
                        e.filename});
    return list;
}

std::vector<core::catalog_lora> to_catalog(const std::vector<proto::lora_entry>& entries)
{
    std::vector<core::catalog_lora> list;
    for (const auto& e : entries)
        list.push_back({e.name, e.alias, e.path});
    return list;
}

} // namespace

core::progress_reading reading_of(const proto::progress_report& r)
{
    return {r.job,  r.job_timestamp, r.job_count, r.job_no,
            r.step, r.steps,         r.progress,  r.eta_seconds};
}

backend_driver::backend_driver(net::executor ex, parts uses, options chosen)
    : time_(uses.time),
      disk_(uses.disk),
      sets_(uses.sets),
      offers_changed_(std::move(uses.offers_changed)),
      waived_(std::move(uses.waived)),
      doubtful_(std::move(uses.doubtful)),
      cache_paths_(std::move(chosen.cache_paths)),
      calls_(uses.http, uses.dialer, uses.time, std::move(chosen.calls)),
      machine_(chosen.limits, uses.time.now()),
      changes_(std::move(ex)),
      log_each_(std::max(1, chosen.log_each)),
      told_at_(uses.time.now())
{
    told_epoch_ = machine_.epoch();
    catalog_.begin(told_epoch_);
    step_ = machine_.on(backend::tick{}, time_.now());
}

net::task<> backend_driver::run()
{
    for (;;) {
        const auto seen = changes_.current();
        if (step_.at > time_.now()) {
            const bool replanned = co_await changes_.past(seen, time_, step_.at);
            const bool stopped = co_await net::cancelled();
            if (stopped)
                co_return;
            if (replanned)
                continue;
        }
        const auto answer = co_await perform(step_);
        const bool stopped = co_await net::cancelled();
        if (stopped)
            co_return;
        tell(answer);
    }
}

void backend_driver::tell(const backend::event& e)
{
    step_ = machine_.on(e, time_.now());
    after_event();
    changes_.bump();
}

void backend_driver::after_event()
{
    if (machine_.epoch() != told_epoch_) {
        told_epoch_ = machine_.epoch();
        catalog_.begin(told_epoch_);
        dialect_ = proto::dialect::unknown;
        loaded_.clear();
        log::warning("WebUI restarted", {{"backend", name()}, {"epoch", told_epoch_}});
    }
    tell_state(machine_.describe(time_.now()));
    if (catalog_.version() != told_catalog_) {
        told_catalog_ = catalog_.version();
        offers_changed_();
    }
}

// Changes are told with how long the state before lasted; a wait that goes on, each n-th try.
void backend_driver::tell_state(const core::backend_view& now)
{
    const bool entered = now.state != told_state_;
    const bool still = now.tries > told_tries_ && now.tries % log_each_ == 0;
    told_tries_ = now.tries;
    if (!entered && !still && now.reason == told_reason_)
        return;
    const bool bad = now.gave_up || now.stuck;
    const auto level = bad ? log::level::warning : log::level::info;
    if (log::enabled(level))
        log::write(level, std::string("backend ").append(core::to_text(now.state)),
                   {{"backend", name()},
                    {"reason", now.reason},
                    {"tries", now.tries},
                    {"after", format_duration(time_.now() - told_at_)}});
    told_reason_ = now.reason;
    if (!entered)
        return;
    told_state_ = now.state;
    told_at_ = time_.now();
    if (now.state == core::backend_state::ready)
        offers_changed_();
}

// --- the probes ---

net::task<backend::event> backend_driver::perform(core::backend_step step)
{
    const auto limit = limit_or(step.timeout, list_limit);
    switch (step.what) {
    case backend_action::wait: break;
    case backend_action::probe_port: co_return co_await probe_port();
    case backend_action::probe_route: co_return co_await probe_route(limit);
    case backend_action::probe_extension: co_return co_await probe_extension(limit);
    case backend_action::read_models: co_return co_await read_models(limit);
    case backend_action::read_options: co_return co_await read_options(limit);
    case backend_action::probe_progress: co_return co_await probe_progress(limit);
    case backend_action::warm_up: co_return co_await warm_up(limit);
    case backend_action::interrupt: co_return co_await interrupt(interrupt_limit);
    case backend_action::clean_caches: co_return co_await clean_caches();
    }
    co_return backend::tick{};
}

net::task<backend::event> backend_driver::probe_port()
{
    const auto open = co_await calls_.probe_port();
    if (!open)
        co_return backend::port_refused{open.error().what};
    co_return backend::port_open{};
}

net::task<backend::event> backend_driver::probe_route(duration limit)
{
    const auto reply = co_await calls_.get("/sdapi/v1/txt2img", limit);
    if (!reply)
        co_return no_use(reply.error());
    if (proto::classify_route_probe(reply->head.status, reply->body) == proto::route_probe::present)
        co_return backend::route_exists{};
    co_return no_use("/sdapi/v1/txt2img", *reply);
}

net::task<backend::event> backend_driver::probe_extension(duration limit)
{
    const auto reply = co_await calls_.get("/sdapi/v1/loras", limit);
    if (!reply)
        co_return no_use(reply.error());
    if (reply->head.status == 404)
        co_return backend::extensions_missing{};
    const auto list = proto::parse_loras(reply->body);
    if (reply->head.status != 200 || !list)
        co_return no_use("/sdapi/v1/loras", *reply);
    catalog_.read_loras(to_catalog(*list), time_.now());
    co_return backend::extensions_read{};
}

net::task<backend::event> backend_driver::read_models(duration limit)
{
    co_await detect(limit);
    const bool refreshed = co_await refresh(limit);
    if (!refreshed)
        co_return backend::no_answer{"the WebUI did not refresh its lists"};
    const auto reply = co_await calls_.get_patiently("/sdapi/v1/sd-models", limit);
    if (!reply)
        co_return no_use(reply.error());
    const auto list = proto::parse_checkpoints(reply->body);
    if (reply->head.status != 200 || !list)
        co_return no_use("/sdapi/v1/sd-models", *reply);
    catalog_.read_checkpoints(to_catalog(*list), time_.now());
    co_await read_side_lists(limit);
    if (!refresh_checkpoints_ && !refresh_loras_)
        ++looks_;
    co_return backend::models_read{list->size()};
}

// Which relative this is, once per life of its process (webui.md §6).
net::task<> backend_driver::detect(duration limit)
{
    if (detected_in_ == machine_.epoch() && dialect_ != proto::dialect::unknown)
        co_return;
    std::vector<proto::probe_result> results;
    for (const auto& step : proto::detection_steps()) {
        const std::string path(step.path);
        auto reply = co_await calls_.get(path, limit);
        if (!reply)
            co_return;
        const bool found = reply->head.status == 200 && step.means != proto::dialect::unknown;
        results.push_back({path, reply->head.status, std::move(reply->body)});
        if (found)
            break;
    }
    dialect_ = proto::detect_dialect(results);
    detected_in_ = machine_.epoch();
    catalog_.set_dialect(std::string(proto::to_text(dialect_)));
    log::info("backend recognised", {{"backend", name()}, {"dialect", proto::to_text(dialect_)}});
}

// Makes the WebUI look at its folders again. That waits behind a running job (webui.md §2.5): it is
// put off until the job is over, for a call that hangs looks like a WebUI that does.
net::task<bool> backend_driver::refresh(duration limit)
{
    if (refresh_checkpoints_ && running_ == 0) {
        const auto reply = co_await calls_.post("/sdapi/v1/refresh-checkpoints", "", limit);
        if (!reply || reply->head.status >= 500)
            co_return false;
        refresh_checkpoints_ = false;
    }
    if (refresh_loras_) {
        const auto reply = co_await calls_.post("/sdapi/v1/refresh-loras", "", limit);
        if (!reply || reply->head.status >= 500)
            co_return false;
        refresh_loras_ = false;
    }
    co_return true;
}

// LoRAs, samplers and schedulers. A list that cannot be had stays as it was.
net::task<> backend_driver::read_side_lists(duration limit)
{
    const auto loras = co_await calls_.get_patiently("/sdapi/v1/loras", limit);
    if (loras && loras->head.status == 200) {
        const auto list = proto::parse_loras(loras->body);
        if (list)
            catalog_.read_loras(to_catalog(*list), time_.now());
    }
    const auto samplers = co_await calls_.get_patiently("/sdapi/v1/samplers", limit);
    if (samplers && samplers->head.status == 200) {
        auto list = proto::parse_samplers(samplers->body);
        if (list)
            samplers_ = std::move(*list);
    }
    const auto schedulers = co_await calls_.get_patiently("/sdapi/v1/schedulers", limit);
    if (schedulers && schedulers->head.status == 200) {
        auto list = proto::parse_schedulers(schedulers->body);
        if (list)
            schedulers_ = std::move(*list);
    }
}

net::task<backend::event> backend_driver::read_options(duration limit)
{
    const auto reply = co_await calls_.get_patiently("/sdapi/v1/options", limit);
    if (!reply)
        co_return no_use(reply.error());
    const auto read = proto::parse_options(reply->body);
    if (reply->head.status != 200 || !read)
        co_return no_use("/sdapi/v1/options", *reply);
    if (loaded_.empty())
        loaded_ = bare_name(read->checkpoint);
    co_return backend::options_read{read->checkpoint};
}

net::task<backend::event> backend_driver::probe_progress(duration limit)
{
    const auto reply = co_await calls_.get("/sdapi/v1/progress?skip_current_image=true", limit);
    if (!reply)
        co_return no_use(reply.error());
    if (reply->head.status == 404 && !proto::traits_of(dialect_).has_progress)
        co_return backend::progress_unknown{};
    const auto report = proto::parse_progress(reply->body);
    if (reply->head.status != 200 || !report)
        co_return no_use("/sdapi/v1/progress", *reply);
    co_return backend::progress_read{reading_of(*report)};
}

net::task<backend::event> backend_driver::warm_up(duration limit)
{
    const auto reply =
        co_await calls_.post("/sdapi/v1/txt2img", std::string(proto::warm_up_body()), limit);
    if (!reply)
        co_return no_use(reply.error());
    proto::reply_facts facts;
    facts.status = reply->head.status;
    facts.content_type = reply->head.header("content-type");
    facts.body = reply->body;
    facts.from = dialect_;
    auto verdict = proto::classify(facts);
    if (verdict.what == core::outcome::done)
        co_return backend::warm_up_done{};
    if (verdict.what == core::outcome::route_missing)
        co_return backend::route_missing{};
    if (verdict.what == core::outcome::unauthorized)
        co_return backend::denied{};
    co_return backend::warm_up_failed{verdict.what, std::move(verdict.reason)};
}

net::task<backend::event> backend_driver::interrupt(duration limit)
{
    const auto reply = co_await calls_.post("/sdapi/v1/interrupt", "", limit);
    if (!reply)
        co_return no_use(reply.error());
    co_return backend::interrupt_sent{};
}

net::task<backend::event> backend_driver::clean_caches()
{
    auto work = [paths = cache_paths_] { remove_caches(paths); };
    co_await disk_.run(std::move(work));
    log::warning("WebUI caches cleaned", {{"backend", name()}});
    co_return backend::caches_cleaned{};
}

// --- what others ask and tell ---

bool backend_driver::can_run(core::set_id files)
{
    if (!machine_.ready() || running_ != 0)
        return false;
    const auto& set = sets_.at(files);
    const bool in_doubt =
        doubtful_ && std::any_of(set.begin(), set.end(),
                                 [this](const core::model_ref& file) { return doubtful_(file); });
    if (in_doubt)
        return false;
    if (catalog_.has_all(files, sets_))
        return true;
    return std::all_of(set.begin(), set.end(), [this](const core::model_ref& file) {
        return is_waived(file) ||
               catalog_.resolve(file).result == core::model_resolution::kind::found;
    });
}

bool backend_driver::has_loaded(std::string_view listed_name) const
{
    return !loaded_.empty() && bare_name(listed_name) == loaded_;
}

void backend_driver::job_began(core::job_key job)
{
    running_ = job;
    tell(backend::job_began{});
}

void backend_driver::job_over(duration took, std::string checkpoint_used)
{
    running_ = 0;
    ++jobs_;
    busy_ += took;
    if (refresh_checkpoints_)
        tell(backend::lists_changed{});
    if (checkpoint_used.empty() || checkpoint_used == loaded_)
        return;
    if (!loaded_.empty())
        ++swaps_;
    loaded_ = std::move(checkpoint_used);
}

void backend_driver::files_arrived(bool checkpoints, bool loras)
{
    refresh_checkpoints_ = refresh_checkpoints_ || checkpoints;
    refresh_loras_ = refresh_loras_ || loras;
    tell(backend::lists_changed{});
}

core::backend_status backend_driver::status() const
{
    const auto now = view();
    core::backend_status s;
    s.name = calls_.name();
    s.url = calls_.url();
    s.state = core::to_text(now.state);
    s.reason = now.reason;
    s.dialect = dialect_ == proto::dialect::unknown ? "" : proto::to_text(dialect_);
    s.checkpoint = loaded_;
    s.ready = now.state == core::backend_state::ready;
    s.initializing = now.initializing;
    s.epoch = now.epoch;
    s.restarts = now.epoch - 1;
    s.jobs = jobs_;
    s.swaps = swaps_;
    s.busy = busy_;
    s.running = running_;
    return s;
}

} // namespace gateway::work
