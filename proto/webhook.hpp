#pragma once

// Standard Webhooks: which headers a message carries, and how it is signed (peers.md §5.7,
// https://www.standardwebhooks.com). The body is signed piece by piece and never held. And what a
// client is told of the messages of a job.

#include "base/time.hpp"
#include "core/delivery.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gateway::proto {

// What a secret stands for: "whsec_" and base64 of 24 to 64 bytes. Nothing when it is none.
std::optional<std::string> webhook_key(std::string_view secret);

// One try of one message. While a secret is being replaced there are two, and a signature by each.
class webhook_signer {
public:
    // Secrets must be valid; without any, headers() has no signature.
    webhook_signer(const std::vector<std::string>& secrets, std::string id,
                   std::chrono::seconds time);
    ~webhook_signer();
    webhook_signer(webhook_signer&&) noexcept;

    bool signs() const;
    // The body's next bytes. May be called on any thread, one at a time.
    void add(std::string_view bytes);
    // webhook-id, webhook-timestamp and webhook-signature, once the whole body has been added.
    std::vector<std::pair<std::string, std::string>> headers();

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

// --- the log of deliveries ---

struct webhook_try {
    wall_time when{};
    std::chrono::milliseconds took{};
    int status = 0; // 0: no reply
    std::string error;
};
struct webhook_message {
    std::string id; // webhook-id
    core::job_state told = core::job_state::completed;
    core::delivery_state state = core::delivery_state::pending;
    wall_time opened{};
    wall_time next{}; // of pending ones
    std::vector<webhook_try> tried;
};

// The webhook-id of the n-th end of a job.
std::string webhook_id(std::string_view job_id, std::uint32_t end);
// Oldest first. `url` is shown without its query.
std::string webhook_log_body(std::string_view job_id, std::string_view url,
                             const std::vector<webhook_message>& messages);
// {"id":…,"state":"pending"}
std::string redelivery_body(std::string_view id);

} // namespace gateway::proto
