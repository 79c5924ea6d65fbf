#pragma once

// Brings model files into a model folder from where they are: over several connections when that is
// faster, taken up again where they were left, and under their final name only when all of it is
// right (downloads.md §0, §3, §4, §5).

#include "core/model.hpp"
#include "store/files.hpp"
#include "work/file_source.hpp"
#include "work/traffic.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

namespace gateway::work {

struct fetch_options : source_options {
    core::download_limits limits;
    traffic_limits traffic;
    std::uint64_t progress_log_each = 100'000'000; // bytes
    std::vector<std::string> allow_folders;        // that file:// may point into
    bool allow_pickle = false;                     // .ckpt and .pt run code when they are loaded
};

// How far a transfer is; kept current while it runs.
struct fetch_progress {
    std::uint64_t bytes = 0;
    std::uint64_t total = 0; // 0: unknown
    double bytes_per_second = 0;
    int connections = 0; // that bring bytes now

    std::optional<duration> eta() const; // nothing while it cannot be known
};

struct fetch_order {
    core::model_ref file;
    std::filesystem::path folder;
    std::uint64_t size_limit = 0;
    // Nobody wants it any more: it ends soon, and what has come is kept to be taken up later.
    std::stop_token stop{};
};

struct fetched_file {
    std::string file_name; // in the folder
    std::uint64_t size = 0;
    std::string sha256; // of its content
};

struct fetch_failure {
    std::string reason;     // for people: which file, from where, what came back, what to do
    bool permanent = false; // asking again would not help
    bool cancelled = false; // order.stop was asked for
};
// For boost::system::result; use has_value() and error().
[[noreturn]] void throw_exception_from_error(const fetch_failure& f,
                                             const boost::source_location& where);
using fetch_result = boost::system::result<fetched_file, fetch_failure>;

class fetcher {
public:
    fetcher(net::executor ex, net::client& http, net::time_source& time, store::model_files& files,
            fetch_options chosen, std::function<double()> random);

    // `progress` is kept current while it runs.
    net::task<fetch_result> fetch(fetch_order order, fetch_progress& progress);
    // Bytes of all transfers since the start.
    std::uint64_t received() const { return traffic_.received(); }

private:
    net::executor ex_;
    net::time_source& time_;
    store::model_files& files_;
    fetch_options options_;
    std::function<double()> random_;
    file_source source_;
    traffic traffic_;
};

} // namespace gateway::work
