#include "work/fetch.hpp"

#include "base/log.hpp"
#include "base/redact.hpp"
#include "work/transfer.hpp"

#include <stdexcept>

namespace gateway::work {

void throw_exception_from_error(const fetch_failure& f, const boost::source_location&)
{
    throw std::runtime_error(f.reason);
}

std::optional<duration> fetch_progress::eta() const
{
    if (total < bytes || total == 0 || bytes_per_second < 1)
        return std::nullopt;
    const auto left = static_cast<double>(total - bytes) / bytes_per_second;
    return std::chrono::duration_cast<duration>(std::chrono::duration<double>(left));
}

fetcher::fetcher(net::executor ex, net::client& http, net::time_source& time,
                 store::model_files& files, fetch_options chosen, std::function<double()> random)
    : ex_(std::move(ex)),
      time_(time),
      files_(files),
      options_(std::move(chosen)),
      random_(std::move(random)),
      source_(http, options_),
      traffic_(ex_, options_.traffic)
{
}

net::task<fetch_result> fetcher::fetch(fetch_order order, fetch_progress& progress)
{
    progress = {};
    const std::string what = std::string(core::to_text(order.file.kind)) + " '" + order.file.name +
                             "' from " + redact(order.file.url) + ": ";
    auto source = proto::parse_model_source(order.file.url, options_.huggingface_endpoint);
    if (!source)
        co_return fetch_failure{what + source.error().detail, true};
    transfer one(ex_, {source_, traffic_, time_, files_, random_}, options_, order,
                 std::move(*source), progress);
    auto done = co_await one.run();
    if (done)
        co_return std::move(done);
    auto why = done.error();
    why.reason = what + why.reason;
    co_return why;
}

} // namespace gateway::work
