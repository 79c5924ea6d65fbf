#pragma once

// What happens to a job, as server-sent events (peers.md §5.9): its log from the journal, numbered
// from 1, and its progress in between, numbered "log.version". So a client that comes back with
// Last-Event-ID misses nothing that lasts, whichever process answers. Ends after the job has.

#include "jobs/jobs.hpp"
#include "net/http.hpp"
#include "proto/job_id.hpp"

#include <memory>

namespace gateway::api {

// The log as it is now, read together with what memory says. Nothing when the job is gone.
net::task<result<std::vector<core::job_event>>> read_log(jobs::jobs& all, net::time_source& time,
                                                         proto::job_ref job);

class event_stream final : public net::body_source {
public:
    // All but `client` outlives the stream; `client` lives as long as it. Streams end when `open`
    // becomes false.
    struct parts {
        jobs::jobs& jobs;
        net::time_source& time;
        std::shared_ptr<bool> open;
        const net::request& client;
    };
    // `last_id` as the client gave it; empty for a new stream.
    event_stream(parts with, proto::job_ref job, std::string_view last_id);

    std::optional<std::uint64_t> size() const override { return std::nullopt; }
    net::task<result<std::size_t>> read(std::span<char> into) override;

private:
    net::task<> go_on();
    net::task<> tell_log();
    void tell_progress(const jobs::view& v);
    void tell(std::string_view event, std::string id, std::string_view data);
    std::optional<jobs::view> look() const;

    parts with_;
    proto::job_ref job_;
    std::string id_;
    std::string ready_ = "retry: 2000\n\n";
    std::uint64_t told_ = 0;         // entries of the log
    std::uint64_t progress_ = 0;     // version of the last progress told
    std::uint64_t seen_ = 0;         // version of the job
    std::optional<core::job> known_; // as it was when the log was last read
    steady_time heartbeat_;
    bool ended_ = false;
};

// The number of the log's last entry that the client has; 0: none, or no such id.
std::uint64_t number_in(std::string_view last_event_id);

} // namespace gateway::api
