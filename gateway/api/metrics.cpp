#include "api/metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <sstream>

namespace gateway::api {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using labels = std::vector<ClientMetric::Label>;

double seconds(duration d) { return std::chrono::duration<double>(d).count(); }

// One family being filled.
class family {
public:
    family(std::vector<MetricFamily>& into, MetricType type, std::string_view name,
           std::string help)
    {
        made_.name = "webui_gateway_" + std::string(name);
        made_.help = std::move(help);
        made_.type = type;
        into_ = &into;
    }
    family(const family&) = delete;
    family& operator=(const family&) = delete;
    ~family()
    {
        if (!made_.metric.empty())
            into_->push_back(std::move(made_));
    }

    template <class Number> family& value(Number n, labels by = {})
    {
        auto& metric = add(std::move(by));
        const auto number = static_cast<double>(n);
        if (made_.type == MetricType::Counter)
            metric.counter.value = number;
        else
            metric.gauge.value = number;
        return *this;
    }
    // `counts` has one more bucket than there are bounds, and none of them is cumulative.
    template <class Bounds, class Counts>
    family& histogram(const Bounds& bounds, const Counts& counts, double sum, labels by = {})
    {
        auto& h = add(std::move(by)).histogram;
        std::uint64_t total = 0;
        for (std::size_t i = 0; i < counts.size(); ++i) {
            total += counts[i];
            if (i < bounds.size())
                h.bucket.push_back({total, bounds[i]});
        }
        h.sample_count = total;
        h.sample_sum = sum;
        return *this;
    }
    family& summary(std::uint64_t count, double sum)
    {
        auto& s = add({}).summary;
        s.sample_count = count;
        s.sample_sum = sum;
        return *this;
    }

private:
    ClientMetric& add(labels by)
    {
        auto& metric = made_.metric.emplace_back();
        metric.label = std::move(by);
        return metric;
    }

    MetricFamily made_;
    std::vector<MetricFamily>* into_;
};

family counter(std::vector<MetricFamily>& into, std::string_view name, std::string help)
{
    return {into, MetricType::Counter, name, std::move(help)};
}
family gauge(std::vector<MetricFamily>& into, std::string_view name, std::string help)
{
    return {into, MetricType::Gauge, name, std::move(help)};
}
family histogram(std::vector<MetricFamily>& into, std::string_view name, std::string help)
{
    return {into, MetricType::Histogram, name, std::move(help)};
}

void add_jobs(std::vector<MetricFamily>& all, const jobs::jobs& jobs, wall_time now)
{
    const auto& n = jobs.numbers();
    const auto submitted = [&n](jobs::door d) { return n.submitted[static_cast<std::size_t>(d)]; };
    counter(all, "jobs_submitted_total", "Jobs accepted, by door")
        .value(submitted(jobs::door::runpod), {{"door", "runpod"}})
        .value(submitted(jobs::door::native), {{"door", "native"}})
        .value(submitted(jobs::door::batch), {{"door", "batch"}});
    counter(all, "jobs_replayed_total", "Requests answered with the job of an Idempotency-Key")
        .value(n.replayed);
    counter(all, "jobs_refused_total", "Jobs not accepted: queue full, stopping, or no disk")
        .value(n.refused);
    counter(all, "jobs_total", "Jobs that have ended, by outcome")
        .value(n.completed, {{"outcome", "completed"}})
        .value(n.failed, {{"outcome", "failed"}})
        .value(n.cancelled, {{"outcome", "cancelled"}})
        .value(n.expired, {{"outcome", "expired"}})
        .value(n.purged, {{"outcome", "purged"}});
    counter(all, "jobs_retried_total", "Dispatches after a job's first, and retries asked for")
        .value(n.retried);
    counter(all, "results_lost_total", "Stored results that were damaged or gone when asked for")
        .value(n.results_lost);
    gauge(all, "queue_depth", "Jobs by state, now")
        .value(jobs.waiting(), {{"state", "queued"}})
        .value(jobs.running(), {{"state", "running"}});
    gauge(all, "queue_bytes", "Bytes of the inputs of waiting jobs").value(jobs.waiting_bytes());
    gauge(all, "jobs_kept", "Jobs in memory, in any state").value(n.kept);
    const auto oldest = jobs.oldest_waiting();
    gauge(all, "queue_oldest_age_seconds", "How long the oldest waiting job has waited")
        .value(oldest ? std::chrono::duration<double>(now - *oldest).count() : 0);

    const auto& bounds = jobs::jobs::histogram_bounds();
    histogram(all, "job_wait_seconds", "From submission to the attempt that was made")
        .histogram(bounds, n.wait_seconds, n.wait_seconds_sum);
    histogram(all, "job_run_seconds", "How long attempts ran that ended their job")
        .histogram(bounds, n.run_seconds, n.run_seconds_sum);
    auto attempts = counter(all, "job_attempts_total", "Attempts that have ended, by outcome");
    for (std::size_t i = 0; i < n.attempts_by_outcome.size(); ++i) {
        if (n.attempts_by_outcome[i] != 0) {
            const auto name = core::to_text(static_cast<core::outcome>(i));
            attempts.value(n.attempts_by_outcome[i], {{"class", std::string(name)}});
        }
    }
}

void add_backends(std::vector<MetricFamily>& all, const core::backends_port& port)
{
    auto up = gauge(all, "backend_up", "1 when the WebUI is ready for jobs");
    auto state = gauge(all, "backend_state", "1 for the state the WebUI is in");
    auto restarts = counter(all, "backend_restarts_total", "Times the WebUI was lost");
    auto attempts = counter(all, "backend_jobs_total", "Attempts that have ended on the WebUI");
    auto busy = counter(all, "backend_gpu_seconds_total", "How long attempts ran on the WebUI");
    auto swaps = counter(all, "model_swaps_total", "Checkpoints loaded for a job");
    for (const auto& backend : port.backends()) {
        const labels by{{"backend", backend.name}};
        up.value(backend.ready ? 1 : 0, by);
        state.value(1, {{"backend", backend.name}, {"state", backend.state}});
        restarts.value(backend.restarts, by);
        attempts.value(backend.jobs, by);
        busy.value(seconds(backend.busy), by);
        swaps.value(backend.swaps, by);
    }
}

void add_models(std::vector<MetricFamily>& all, const core::model_counts& n)
{
    gauge(all, "cache_files", "Model files at hand")
        .value(n.checkpoints, {{"kind", "checkpoint"}})
        .value(n.loras, {{"kind", "lora"}})
        .value(n.embeddings, {{"kind", "embedding"}})
        .value(n.vaes, {{"kind", "vae"}});
    gauge(all, "cache_bytes", "Bytes of the model files at hand").value(n.bytes);
    auto evictions = counter(all, "cache_evictions_total", "Model files deleted, by reason");
    for (const auto& [reason, count] : n.evictions)
        evictions.value(count, {{"reason", reason}});
    counter(all, "cache_evicted_bytes_total", "Bytes of the model files deleted")
        .value(n.evicted_bytes);
    gauge(all, "downloads_active", "Model files being fetched").value(n.downloads_active);
    counter(all, "downloads_total", "Model files fetched, or not")
        .value(n.downloads_done, {{"outcome", "done"}})
        .value(n.downloads_failed, {{"outcome", "failed"}})
        .value(n.downloads_cancelled, {{"outcome", "cancelled"}})
        .value(n.files_shared, {{"outcome", "shared"}});
    auto bytes = counter(all, "download_bytes_total", "Bytes of model files fetched, by source");
    for (const auto& [from, count] : n.downloaded_bytes)
        bytes.value(count, {{"host_class", from}});
    if (!n.download_seconds.empty())
        histogram(all, "download_seconds", "How long fetching a model file took")
            .histogram(core::download_bounds, n.download_seconds, n.download_seconds_sum);
}

void add_health(std::vector<MetricFamily>& all, const store::health& now)
{
    gauge(all, "disk_free_bytes", "Free space of the data directory").value(now.free_bytes());
    const auto well = [](const std::string& trouble) { return trouble.empty() ? 1 : 0; };
    gauge(all, "store_up", "1 when the part of the store is well")
        .value(well(now.disk_trouble()), {{"part", "disk"}})
        .value(well(now.journal_trouble()), {{"part", "journal"}})
        .value(well(now.spool_trouble()), {{"part", "spool"}});
    gauge(all, "store_room", "0 when jobs are refused because there is no room to keep them")
        .value(well(now.no_room()));
}

void add_webhooks(std::vector<MetricFamily>& all, const core::webhook_counts& n)
{
    counter(all, "webhook_deliveries_total", "Tries to deliver a webhook, and webhooks given up")
        .value(n.delivered, {{"outcome", "delivered"}})
        .value(n.failed_tries, {{"outcome", "retried"}})
        .value(n.given_up, {{"outcome", "given_up"}})
        .value(n.gone, {{"outcome", "gone"}});
    gauge(all, "webhook_outbox_depth", "Webhooks that are still to be delivered").value(n.pending);
    gauge(all, "webhook_outbox_oldest_age_seconds", "How long the oldest of them has waited")
        .value(seconds(n.oldest_pending));
    gauge(all, "webhook_deliveries_active", "Webhooks under way").value(n.under_way);
    gauge(all, "webhook_receivers_broken", "Receivers that get one webhook after a pause")
        .value(n.open_breakers);
}

void add_store(std::vector<MetricFamily>& all, const store::journal* journal,
               const store::spool* spool)
{
    if (journal != nullptr) {
        const auto& n = journal->counters();
        family(all, MetricType::Summary, "log_commit_seconds", "Commits of the journal")
            .summary(n.commits, seconds(n.commit_time));
        gauge(all, "log_commit_longest_seconds", "The longest commit of the journal")
            .value(seconds(n.longest_commit));
        counter(all, "log_writes_total", "Writes to the journal; several share a commit")
            .value(n.writes);
        counter(all, "log_failures_total", "Commits of the journal that failed").value(n.failures);
        gauge(all, "log_bytes", "Size of the journal on disk").value(n.bytes);
    }
    if (spool != nullptr) {
        const auto& n = spool->counters();
        gauge(all, "spool_bytes", "Bytes of stored results").value(n.bytes);
        gauge(all, "spool_files", "Stored results").value(n.files);
        counter(all, "spool_failures_total", "Disk operations on results that failed")
            .value(n.failures);
    }
}

void add_http(std::vector<MetricFamily>& all, const net::server::stats* server,
              const http_times* requests)
{
    if (server != nullptr) {
        counter(all, "http_connections_total", "Connections accepted").value(server->accepted);
        gauge(all, "http_connections", "Connections open").value(server->open);
        gauge(all, "http_requests_active", "Requests being handled, held ones included")
            .value(server->active);
        counter(all, "http_protocol_errors_total", "Requests that were not HTTP, or not in time")
            .value(server->protocol_errors);
    }
    if (requests == nullptr)
        return;
    auto times = histogram(all, "http_request_duration_seconds",
                           "From a request's arrival to its answer's last byte, holding included");
    for (const auto& group : requests->groups()) {
        for (const auto& one : group.all) {
            times.histogram(http_times::bounds, one.buckets, one.sum,
                            {{"code", std::to_string(one.status)},
                             {"method", one.method},
                             {"route", group.route}});
        }
    }
}

void add_loop(std::vector<MetricFamily>& all, const net::loop_stats& n)
{
    const auto& bounds = net::duration_histogram::bounds;
    histogram(all, "loop_lag_seconds", "How late the event loop runs what is due")
        .histogram(bounds, n.lag.counts(), n.lag.sum());
    histogram(all, "loop_handler_seconds", "CPU time of one handler on the event loop")
        .histogram(bounds, n.run_time.counts(), n.run_time.sum());
    gauge(all, "loop_handler_longest_seconds", "CPU time of the longest handler so far")
        .value(seconds(n.run_time.longest()));
}

} // namespace

std::vector<MetricFamily> metrics::Collect() const
{
    std::vector<MetricFamily> all;
    gauge(all, "build_info", "Always 1").value(1, {{"version", GATEWAY_VERSION}});
    add_jobs(all, from_.jobs, from_.time.wall());
    add_backends(all, from_.backends);
    if (from_.models != nullptr)
        add_models(all, from_.models->models());
    if (from_.webhooks != nullptr)
        add_webhooks(all, from_.webhooks->counts());
    add_store(all, from_.journal, from_.spool);
    if (from_.health != nullptr)
        add_health(all, *from_.health);
    add_http(all, from_.server ? from_.server() : nullptr,
             from_.requests ? from_.requests() : nullptr);
    if (from_.loop)
        add_loop(all, *from_.loop());
    return all;
}

std::string metrics::text() const
{
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, Collect());
    return std::move(out).str();
}

} // namespace gateway::api
