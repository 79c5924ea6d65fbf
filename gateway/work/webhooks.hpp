#pragma once

// Tells webhooks how their jobs ended: RunPod's body (runpod.md §1.9) with the headers of Standard
// Webhooks, streamed from the spool. When and how often is core::delivery_queue's to say; each try
// is written down before the next one, so a restart goes on where this process was.

#include "core/delivery.hpp"
#include "core/ports.hpp"
#include "jobs/outbox.hpp"
#include "net/client.hpp"
#include "store/recipe.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gateway::work {

class webhooks final : public core::webhooks_port {
public:
    struct parts {
        jobs::outbox& outbox;
        net::client& http;
        store::spool& spool;
        net::time_source& time;
        net::lane& disk; // where large bodies are signed
        std::function<double()> random;
        std::function<std::string(const core::job&)> id; // the public one
    };
    struct options {
        core::delivery_limits limits;
        duration timeout = std::chrono::seconds(30); // to connect, and to begin an answer
        net::address_policy peers{.allow_private = false, .exempt_hosts = {}, .proxy = {}};
        std::vector<std::string> secrets; // "whsec_…"
    };

    webhooks(net::executor ex, parts uses, options chosen);

    // Delivers until it is cancelled. What is under way then is delivered again by the next
    // process.
    net::task<> run();
    // Begins nothing more; returns when what is under way has ended, or at `until`.
    net::task<> drain(steady_time until);

    core::webhook_counts counts() const override;

private:
    struct outcome;
    struct order;
    using decision = core::delivery_queue::decision;

    net::task<> listen();
    net::task<> admit(jobs::outbox::note note);
    void begin_due(net::task_group& children);
    net::task<> carry(core::message_id id);
    net::task<> give_up(core::message_id id, std::uint32_t tries);
    net::task<outcome> attempt(const store::message_content& content);
    net::task<error_code> compose(const store::message_content& content, order& into);
    net::task<error_code> sign(order& o);
    net::task<> unreadable(core::message_id id, error_code why);
    void tell(const store::message_content& content, const outcome& came, const decision& next);
    steady_time steady(wall_time when) const;

    parts uses_;
    options options_;
    core::delivery_queue queue_;
    net::versions changed_;
    core::webhook_counts counts_;
    bool draining_ = false;
};

} // namespace gateway::work
