#pragma once

// What all downloads together may use: connections, per host and altogether, and bytes per second.

#include "core/token_bucket.hpp"
#include "net/async.hpp"

#include <map>
#include <string>

namespace gateway::work {

struct traffic_limits {
    int connections = 32;
    int per_host = 16;
    std::uint64_t bytes_per_second = 0; // 0: no limit
};

class traffic {
public:
    traffic(net::executor ex, traffic_limits limits)
        : limits_(limits), bucket_(limits.bytes_per_second), freed_(std::move(ex))
    {
    }

    // The right to one connection, given back when it is destroyed; outlives nothing by it.
    class place {
    public:
        place() = default;
        place(place&& other) noexcept
            : of_(std::exchange(other.of_, nullptr)), host_(std::move(other.host_))
        {
        }
        place& operator=(place&& other) noexcept
        {
            std::swap(of_, other.of_);
            std::swap(host_, other.host_);
            return *this;
        }
        ~place()
        {
            if (of_ != nullptr)
                of_->give_back(host_);
        }

        // A redirect has led there: that is the host it counts for from now on.
        void move_to(const std::string& host);

    private:
        friend class traffic;
        place(traffic& of, std::string host) : of_(&of), host_(std::move(host)) {}
        traffic* of_ = nullptr;
        std::string host_;
    };

    // Waits for one; without one only when the waiter is cancelled.
    net::task<place> take(std::string host);
    // How long whoever has received so much must wait before reading on.
    duration received(std::uint64_t bytes, steady_time now)
    {
        received_ += bytes;
        return bucket_.take(bytes, now);
    }
    std::uint64_t received() const { return received_; } // since the start
    int open() const { return open_; }

private:
    void give_back(const std::string& host);

    traffic_limits limits_;
    core::token_bucket bucket_;
    net::versions freed_;
    std::map<std::string, int> by_host_;
    int open_ = 0;
    std::uint64_t received_ = 0;
};

} // namespace gateway::work
