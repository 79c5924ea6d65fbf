#pragma once

// Time limits on what happens on a stream: running out closes it, which ends whatever is pending.

#include "net/stream.hpp"

#include <optional>

namespace gateway::net {

class stream_limit {
public:
    stream_limit(deadline_wheel& wheel, std::shared_ptr<stream> peer)
        : shared_(std::make_shared<shared>())
    {
        shared_->peer = std::move(peer);
        shared_->limit.emplace(wheel, [weak = std::weak_ptr(shared_)] {
            // Expired and set anew in the same turn: the newer setting counts.
            const auto self = weak.lock();
            if (self && self->limit->expired())
                self->peer->close();
        });
    }

    // The limit of the next wait; never later than `end`.
    void set(duration d, steady_time now, steady_time end)
    {
        const auto most = end == steady_time::max() ? duration::max() : end - now;
        const auto wait = std::max(std::min(d, most), duration::zero());
        if (wait == duration::max())
            clear();
        else
            shared_->limit->set(wait);
    }
    void clear() { shared_->limit->clear(); }
    bool expired() const { return shared_->limit->expired(); }

private:
    struct shared {
        std::shared_ptr<stream> peer;
        std::optional<deadline> limit;
    };
    std::shared_ptr<shared> shared_;
};

} // namespace gateway::net
