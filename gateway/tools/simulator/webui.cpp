#include "tools/simulator/webui.hpp"

#include "base/text.hpp"
#include "tools/simulator/picture.hpp"
#include "tools/simulator/route.hpp"
#include "tools/simulator/wire.hpp"

#include <algorithm>
#include <cmath>

namespace gateway::tools::simulator {

namespace {

constexpr std::uint64_t largest_body = 1ULL << 30; // the WebUI has no limit of its own

duration seconds(double s)
{
    return std::chrono::duration_cast<duration>(std::chrono::duration<double>(s));
}

} // namespace

webui::webui(settings set, surroundings around)
    : set_(std::move(set)),
      around_(std::move(around)),
      dialect_(dialect_of(set_.dialect)),
      faults_(fault_plan::parse(set_.faults)),
      loop_free_(around_.ex),
      threads_(around_.ex, set_.threads),
      queue_lock_(around_.ex, 1),
      model_lock_(around_.ex, 1),
      options_(dialect_),
      folders_(set_.models_dir)
{
    loop_free_.open();
}

webui::~webui() = default;

net::task<> webui::pause(duration at_speed_one)
{
    const auto wait = std::chrono::duration_cast<duration>(at_speed_one / set_.speed);
    if (wait <= duration::zero())
        co_return;
    const auto ec = co_await around_.time.sleep_for(wait);
    if (ec)
        throw boost::system::system_error(ec);
}

net::task<> webui::pause_seconds(double seconds_at_speed_one)
{
    return pause(seconds(seconds_at_speed_one));
}

// --- start-up (webui.md §1) ---

net::task<> webui::list_models()
{
    auto prepare = [folders = folders_, fill = !set_.no_download_sd_model,
                    gguf = dialect_.lists_gguf] {
        folders.create();
        if (fill && scan_checkpoints(folders, gguf).empty())
            write_first_checkpoint(folders);
    };
    co_await around_.disk.run(std::move(prepare));
    co_await rescan_checkpoints();
    co_await rescan_networks();
    co_await rescan_embeddings();
    auto scan = [folders = folders_] { return scan_vaes(folders); };
    vaes_ = co_await around_.disk.run(std::move(scan));
}

net::task<> webui::boot()
{
    co_await pause_seconds(set_.boot);
    if (set_.startup == startup_mode::nowebui)
        stage_ = set_.api ? stage::complete : stage::without_api;
    else
        stage_ = set_.api ? stage::ui_only : stage::without_api;
}

net::task<> webui::finish_startup()
{
    if (stage_ != stage::ui_only)
        co_return;
    co_await pause_seconds(set_.ui);
    poisoned_ = false;
    stage_ = stage::window;
    co_await pause_seconds(set_.window);
    if (poisoned_ && dialect_.race == race_outcome::exits) {
        around_.quit(1);
        co_return;
    }
    if (poisoned_ && dialect_.race == race_outcome::never_has_api) {
        stage_ = stage::without_api;
        co_return;
    }
    stage_ = stage::api;
    co_await pause_seconds(set_.extensions);
    stage_ = stage::complete;
}

// --- routing ---

bool webui::exists(const route& r) const
{
    switch (r.part) {
    case route::page: return r.path != "/" || set_.startup == startup_mode::full_ui;
    case route::internal: return set_.startup == startup_mode::full_ui && stage_ >= stage::window;
    case route::api: return stage_ == stage::api || stage_ == stage::complete;
    case route::vae_list: return dialect_.has_vae_list && stage_ >= stage::api && !no_api();
    case route::module_list: return !dialect_.has_vae_list && stage_ >= stage::api && !no_api();
    case route::server_stop: return set_.api_server_stop && stage_ >= stage::api && !no_api();
    case route::extension: return stage_ == stage::complete;
    }
    return false;
}

bool webui::no_api() const { return stage_ == stage::without_api; }

net::service::verdict webui::admit(const net::request&)
{
    // The middleware stack is rebuilt by whatever request comes first (webui.md §1.3).
    if (stage_ == stage::window && dialect_.race != race_outcome::immune)
        poisoned_ = true;
    return {largest_body, std::nullopt};
}

std::string webui::redirect_target(const net::request& req) const
{
    auto path = std::string(req.path);
    if (path.size() > 1 && path.ends_with('/'))
        path.erase(path.find_last_not_of('/') + 1);
    else
        path += '/';
    const bool known = std::any_of(routes().begin(), routes().end(),
                                   [&](const route& r) { return r.path == path && exists(r); });
    if (!known || path.empty())
        return {};
    auto target = "http://" + std::string(req.header("host")) + path;
    if (!req.query.empty())
        target += "?" + std::string(req.query);
    return target;
}

// What is answered when no route takes the request; `found` when one does.
std::optional<answer> webui::missing_route(const net::request& req, const route*& found) const
{
    const auto path = net::percent_decode(req.path);
    const route* other_method = nullptr;
    for (const auto& r : routes()) {
        if (r.path != path || !exists(r))
            continue;
        if (r.method == req.method) {
            found = &r;
            return std::nullopt;
        }
        if (other_method == nullptr)
            other_method = &r;
    }
    if (other_method != nullptr)
        return method_not_allowed(other_method->method);
    const auto elsewhere = redirect_target(req);
    if (elsewhere.empty())
        return not_found();
    answer out;
    out.status = 307;
    out.content_type.clear();
    out.last_headers = {{"location", elsewhere}};
    return out;
}

// Starlette's CORSMiddleware, which is there with --cors-allow-origins.
std::optional<answer> webui::preflight(const net::request& req) const
{
    const auto origin = req.header("origin");
    const auto method = req.header("access-control-request-method");
    if (set_.cors_allow_origins.empty() || req.method != "OPTIONS" || origin.empty() ||
        method.empty())
        return std::nullopt;
    const auto allowed = "," + set_.cors_allow_origins + ",";
    answer out;
    out.content_type = "text/plain; charset=utf-8";
    out.first_headers = {{"vary", "Origin"},
                         {"access-control-allow-methods", "*"},
                         {"access-control-max-age", "600"},
                         {"access-control-allow-credentials", "true"}};
    if (allowed.find("," + std::string(origin) + ",") == std::string::npos) {
        out.status = 400;
        out.body = "Disallowed CORS origin";
    } else {
        out.first_headers.emplace_back("access-control-allow-origin", std::string(origin));
        out.body = "OK";
    }
    return out;
}

net::task<answer> webui::dispatch(net::request& req)
{
    const auto unblocked = co_await loop_free_.wait();
    if (unblocked)
        throw boost::system::system_error(unblocked);
    if (around_.time.now() < missing_until_)
        co_return not_found();
    if (auto early = preflight(req))
        co_return std::move(*early);
    const route* found = nullptr;
    if (auto missing = missing_route(req, found))
        co_return std::move(*missing);
    if (req.method == "GET") {
        if (const auto slow = faults_.next_get())
            co_await pause(slow->time);
    }
    co_return co_await call(*found, req);
}

// Turns what a handler throws into what the WebUI's exception handlers send.
net::task<answer> webui::call(const route& r, net::request& req)
{
    std::optional<answer> failed;
    try {
        co_return co_await guarded(r, req);
    } catch (const http_exception& e) {
        failed = from(e, dialect_);
    } catch (const python_error& e) {
        failed = from(e, dialect_);
    } catch (invalid& e) {
        failed = unprocessable(std::move(e.body));
    } catch (const unparsable&) {
        failed = answer::json({{"detail", "There was an error parsing the body"}});
        failed->status = 400; // Starlette's own exception, which the WebUI's handler does not take
    }
    co_return std::move(*failed);
}

net::task<answer> webui::guarded(const route& r, net::request& req)
{
    if (r.part != route::page && r.part != route::internal && r.part != route::extension)
        check_login(req);
    std::optional<turnstile::place> thread;
    if (r.runs == route::on_thread) {
        auto place = co_await threads_.enter();
        thread.emplace(std::move(place));
    }
    co_return co_await (this->*r.run)(req);
}

// HTTP Basic as FastAPI reads it, compared as the WebUI does (webui.md §1.4).
void webui::check_login(const net::request& req) const
{
    if (set_.api_auth.empty())
        return;
    const auto given = req.header("authorization");
    const auto space = given.find(' ');
    if (space == std::string_view::npos || !iequals(given.substr(0, space), "basic"))
        throw http_exception(401, "Not authenticated");
    const auto pair = base64_decode(trim(given.substr(space)));
    if (!pair || pair->find(':') == std::string::npos)
        throw http_exception(401, "Invalid authentication credentials");
    std::string_view accounts = set_.api_auth;
    while (!accounts.empty()) {
        const auto comma = std::min(accounts.find(','), accounts.size());
        if (trim(accounts.substr(0, comma)) == *pair)
            return;
        accounts.remove_prefix(std::min(comma + 1, accounts.size()));
    }
    throw http_exception(401, "Incorrect username or password");
}

// --- the service ---

net::task<net::response> webui::handle(net::request& req)
{
    const auto received = around_.time.now();
    answer out;
    bool cut = false;
    try {
        out = co_await dispatch(req);
    } catch (const hang_up&) {
        cut = true;
    }
    if (!cut)
        co_return co_await dress(std::move(out), req, received);
    if (req.connection != nullptr)
        req.connection->close();
    net::response nothing;
    nothing.close = true;
    co_return nothing;
}

net::task<net::response> webui::dress(answer what, net::request& req, steady_time received)
{
    const bool middleware = set_.startup == startup_mode::nowebui || stage_ >= stage::window;
    const bool api_middleware = middleware && stage_ >= stage::api && !no_api();
    if (middleware && wants_gzip(req.header("accept-encoding"), what.body.size())) {
        auto pack = [&what] { return gzipped(what.body); };
        what.body = co_await around_.pixels.run(std::move(pack));
        what.last_headers.insert(what.last_headers.begin(),
                                 {{"content-encoding", "gzip"}, {"vary", "Accept-Encoding"}});
    }
    const auto taken = around_.time.now() - received;
    if (api_middleware && what.timed)
        what.last_headers.emplace_back("x-process-time", process_time(taken));
    co_return as_uvicorn(std::move(what), around_.time, req.connection);
}

net::response webui::refuse(net::protocol_error, const net::request*)
{
    answer out;
    out.status = 400;
    out.content_type = "text/plain; charset=utf-8";
    out.body = "Invalid HTTP request received.";
    auto response = as_uvicorn(std::move(out), around_.time, nullptr);
    response.close = true;
    return response;
}

net::response webui::internal_error(const net::request&, std::string_view what)
{
    const python_error e("RuntimeError", std::string(what));
    return as_uvicorn(from(e, dialect_), around_.time, nullptr);
}

} // namespace gateway::tools::simulator
