#include "api/ops.hpp"

#include "api/answer.hpp"
#include "api/openapi.hpp"
#include "proto/json.hpp"

#include <algorithm>

namespace gateway::api {

namespace {

constexpr std::string_view page =
    R"(<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>webui-gateway</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44em;margin:3em auto;padding:0 1em}
code{background:#8881;padding:.1em .3em}dt{margin-top:.6em}</style>
<h1>webui-gateway</h1>
<p>A queue with RunPod's job API in front of Stable Diffusion WebUIs. This is version
<code>)" GATEWAY_VERSION
    R"(</code>; every route is described in <a href="/openapi.json">openapi.json</a>.
<h2>Jobs</h2>
<p>Below <code>/v2/ANY_ID</code>, as on RunPod, and without it:
<dl>
<dt><code>POST /run</code> <dd>queue a job: <code>{"input": {"prompt": "a lighthouse at dawn"}}</code>
<dt><code>POST /runsync?wait=MS</code> <dd>the same, and hold the answer until it has ended
<dt><code>GET /status/ID</code>, <code>/status-sync/ID?wait=MS</code> <dd>its state and its result, now or held
<dt><code>GET /stream/ID?wait=MS</code> <dd>its progress since the last call
<dt><code>POST /cancel/ID</code>, <code>/retry/ID</code>, <code>/purge-queue</code> <dd>change it, or empty the queue
<dt><a href="/health"><code>GET /health</code></a> <dd>jobs and workers in numbers
</dl>
<h2>The same jobs, natively</h2>
<dl>
<dt><code>POST /api/v1/jobs</code>, <code>/api/v1/jobs:batch</code> <dd>queue a job, or one for each line
<dt><a href="/api/v1/jobs"><code>GET /api/v1/jobs</code></a> <dd>list them: <code>?status=FAILED&amp;since=TIME&amp;backend=webui-0</code>
<dt><code>GET /api/v1/jobs/ID</code>, <code>…/result</code>, <code>…/images/0</code>, <code>…/events</code> <dd>look at one
<dt><code>POST …/cancel</code>, <code>…/retry</code>, <code>DELETE /api/v1/jobs/ID</code> <dd>change it
</dl>
<h2>Operation</h2>
<dl>
<dt><a href="/livez"><code>/livez</code></a> (<code>/healthz</code>) <dd>the process answers
<dt><a href="/readyz?verbose"><code>/readyz</code></a> <dd>jobs can be accepted and kept
<dt><a href="/ready"><code>/ready</code></a> <dd>a WebUI is ready and the queue has room
<dt><a href="/ping"><code>/ping</code></a> <dd>for RunPod's load balancer: 204 starting, 200 ready, 503 broken
<dt><a href="/metrics"><code>/metrics</code></a> <dd>for Prometheus
</dl>
</html>
)";

net::response fixed(std::string_view type, std::string_view text)
{
    net::response answer;
    answer.content_type = type;
    answer.body = text;
    return answer;
}

std::string describe(const core::backend_status& backend)
{
    return backend.state + (backend.reason.empty() ? "" : ": " + backend.reason);
}

route open_get(std::string_view pattern, std::string_view operation, std::uint64_t body_limit,
               std::function<net::response(const call&)> answer)
{
    auto now = [answer = std::move(answer)](const call& c) { return std::optional(answer(c)); };
    return {"GET", pattern, operation, false, true, body_limit, std::move(now), {}};
}

} // namespace

ops::ops(parts with) : with_(std::move(with)) {}

std::vector<route> ops::routes()
{
    const auto limit = with_.settings.server.body_limit;
    const auto ok = [](const call&) { return json_answer(R"({"status":"ok"})"); };
    const auto index = [](const call&) { return fixed("text/html; charset=utf-8", page); };
    const auto document = [](const call&) { return fixed("application/json", openapi_json()); };
    const auto numbers = [this](const call&) {
        return fixed("text/plain; version=0.0.4; charset=utf-8", with_.metrics.text());
    };
    std::vector<route> all{
        open_get("/livez", "livez", limit, ok),
        open_get("/healthz", "healthz", limit, ok),
        open_get("/readyz", "readyz", limit, [this](const call& c) { return readyz(c); }),
        open_get("/ready", "ready", limit, [this](const call&) { return ready(); }),
        open_get("/ping", "ping", limit, [this](const call&) { return ping(); }),
        open_get("/metrics", "metrics", limit, numbers),
        open_get("/openapi.json", "openapi", limit, document),
        open_get("/", "index", limit, index),
        open_get("/docs", "docs", limit, index),
    };
    // Numbers are not for strangers.
    for (auto& r : all) {
        if (r.pattern == "/metrics")
            r.open = false;
    }
    return with_health_path(std::move(all));
}

std::vector<route> ops::health_routes()
{
    const auto limit = with_.settings.server.body_limit;
    const auto ok = [](const call&) { return json_answer(R"({"status":"ok"})"); };
    return with_health_path(
        {open_get("/livez", "livez", limit, ok),
         open_get("/ping", "ping", limit, [this](const call&) { return ping(); })});
}

// A load balancer may ask under another name; a route of ours that had it gives way.
std::vector<route> ops::with_health_path(std::vector<route> all)
{
    const auto& path = with_.settings.server.health_path;
    std::erase_if(all, [&](const route& r) { return r.pattern == path; });
    all.push_back(open_get(path, "ping", with_.settings.server.body_limit,
                           [this](const call&) { return ping(); }));
    return all;
}

net::response ops::tell(const findings& found, bool verbose)
{
    const bool well =
        std::all_of(found.begin(), found.end(), [](const auto& one) { return one.second.empty(); });
    std::string text;
    proto::object_writer body(text);
    if (verbose || !well) {
        body.key("checks");
        proto::object_writer checks(text);
        for (const auto& [name, trouble] : found)
            checks.text(name, trouble.empty() ? std::string_view("ok") : std::string_view(trouble));
        checks.close();
    }
    body.text("status", well ? "ok" : "unavailable").close();
    auto answer = json_answer(std::move(text));
    answer.status = well ? 200 : 503;
    return answer;
}

std::string ops::trouble_with_queue() const
{
    const auto waiting = with_.jobs.waiting();
    const auto most = static_cast<std::size_t>(with_.settings.jobs.max_queued);
    if (waiting < most)
        return {};
    return std::to_string(waiting) + " jobs wait; the limit is " + std::to_string(most);
}

net::response ops::readyz(const call& c) const
{
    findings found;
    found.emplace_back("intake", draining_ ? "the gateway is stopping" : "");
    found.emplace_back("queue", trouble_with_queue());
    for (const auto& one : with_.checks)
        found.emplace_back(one.name, one.trouble());
    return tell(found, c.request.parameter("verbose").has_value());
}

net::response ops::ready() const
{
    std::string trouble = "no WebUI is configured";
    for (const auto& backend : with_.backends.backends()) {
        if (backend.ready) {
            trouble.clear();
            break;
        }
        trouble = backend.name + " is " + describe(backend);
    }
    return tell({{"backend", trouble},
                 {"intake", draining_ ? "the gateway is stopping" : ""},
                 {"queue", trouble_with_queue()}},
                false);
}

net::response ops::ping() const
{
    if (draining_)
        return tell({{"intake", "the gateway is stopping"}}, true);
    findings found;
    bool starting = false;
    for (const auto& backend : with_.backends.backends()) {
        if (backend.ready)
            return json_answer(R"({"status":"ok"})");
        starting = starting || backend.initializing;
        found.emplace_back(backend.name, describe(backend));
    }
    if (found.empty())
        found.emplace_back("backend", "no WebUI is configured");
    if (!starting)
        return tell(found, true);
    net::response answer;
    answer.status = 204;
    answer.content_type.clear();
    return answer;
}

} // namespace gateway::api
