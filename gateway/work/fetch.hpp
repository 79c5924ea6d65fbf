#pragma once

// Brings one model file from an HTTP(S) server into a model folder, over one connection: every hop
// is judged before it is followed, every byte is counted and hashed, and the file gets its final
// name only when all of it is right (downloads.md §0, §3.1, §4, §5).

#include "core/backoff.hpp"
#include "core/model.hpp"
#include "net/client.hpp"
#include "proto/hub.hpp"
#include "store/files.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace gateway::work {

struct fetch_options {
    std::vector<std::string> allow_hosts;  // "huggingface.co", "*.hf.co": https, public addresses
    std::vector<std::string> exempt_hosts; // "host" or "host:port": http and private ones, too
    duration connect_timeout = std::chrono::seconds(15);
    duration header_timeout = std::chrono::seconds(60);
    duration stall_timeout = std::chrono::seconds(30);
    int redirects = 10;
    int retries = 5;
    core::backoff_limits backoff{
        .first = std::chrono::seconds(1), .cap = std::chrono::seconds(30), .jitter = 0.5};
    std::uint64_t progress_log_each = 100'000'000; // bytes
    std::string huggingface_endpoint = "https://huggingface.co";
    std::string huggingface_token;
    std::string civitai_token;
};

// How far a transfer is; kept current while it runs.
struct fetch_progress {
    std::uint64_t bytes = 0;
    std::uint64_t total = 0; // 0: unknown
    double bytes_per_second = 0;
};

struct fetch_order {
    core::model_ref file;
    std::filesystem::path folder;
    std::uint64_t size_limit = 0;
};

struct fetched_file {
    std::string file_name; // in the folder
    std::uint64_t size = 0;
    std::string sha256; // of its content
};

struct fetch_failure {
    std::string reason;     // for people: which file, from where, what came back, what to do
    bool permanent = false; // asking again would not help
};
// For boost::system::result; use has_value() and error().
[[noreturn]] void throw_exception_from_error(const fetch_failure& f,
                                             const boost::source_location& where);

class fetcher {
public:
    fetcher(net::client& http, net::time_source& time, store::model_files& files,
            fetch_options chosen, std::function<double()> random);

    net::task<boost::system::result<fetched_file, fetch_failure>> fetch(fetch_order order,
                                                                        fetch_progress& progress);

private:
    struct failure; // of one try
    struct opened;
    template <class T> using tried = boost::system::result<T, failure>;

    net::task<tried<fetched_file>> try_once(const fetch_order& order, fetch_progress& progress);
    net::task<tried<opened>> open(const fetch_order& order);
    net::task<failure> refused(const proto::model_source& from, net::reply_stream& reply,
                               bool had_token) const;
    net::task<tried<fetched_file>> receive(const fetch_order& order, opened& from,
                                           fetch_progress& progress);
    std::string why_not(const net::url& to) const;
    bool exempt(const net::url& to) const;
    net::client_request request_for(const net::url& to) const;
    std::string token_for(const proto::model_source& from, const net::url& to) const;

    net::client& http_;
    net::time_source& time_;
    store::model_files& files_;
    fetch_options options_;
    std::function<double()> random_;
};

} // namespace gateway::work
