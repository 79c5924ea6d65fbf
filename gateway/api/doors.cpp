#include "api/doors.hpp"

namespace gateway::api {

namespace {
std::vector<route> together(std::vector<std::vector<route>> all)
{
    std::vector<route> routes;
    for (auto& some : all)
        routes.insert(routes.end(), std::make_move_iterator(some.begin()),
                      std::make_move_iterator(some.end()));
    return routes;
}
} // namespace

doors::doors(parts with)
    : metrics_({with.jobs, with.backends, with.models, with.journal, with.spool, with.health,
                with.time, std::move(with.loop),
                [this] { return server_ != nullptr ? &server_->counters() : nullptr; },
                [this] { return &router_.times(); }, with.webhooks}),
      intake_({with.jobs, with.parsing, with.settings}),
      runpod_({with.jobs, intake_, with.backends, with.time, with.settings}),
      native_({with.jobs, intake_, with.backends, with.models, with.time, with.settings}),
      deliveries_({with.jobs, with.settings}),
      ops_({with.jobs, with.backends, with.settings, metrics_, std::move(with.checks)}),
      models_({with.library, with.library_changes, with.time, with.settings}),
      router_(together({runpod_.routes(), native_.routes(), deliveries_.routes(), models_.routes(),
                        ops_.routes()}),
              keys(with.settings.auth), with.random, with.settings.server.body_limit,
              origins(with.settings)),
      health_(ops_.health_routes(), keys(with.settings.auth), with.random,
              with.settings.server.body_limit)
{
}

void doors::watch(net::server& server)
{
    server_ = &server;
    server.observe([this](const net::request& req, int status, duration elapsed) {
        router_.observe(req, status, elapsed);
    });
}

void doors::drain()
{
    runpod_.release_held();
    native_.release_held();
    ops_.draining();
    models_.draining();
}

} // namespace gateway::api
