#include "work/fetch.hpp"

#include "base/log.hpp"
#include "base/redact.hpp"
#include "base/text.hpp"
#include "net/error.hpp"
#include "proto/safetensors.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace gateway::work {

namespace {

constexpr std::size_t read_size = 256 * 1024;
constexpr std::size_t error_body_limit = 4096;

// "*.hf.co" covers any host below hf.co; label by label, so that evil-hf.co is not below it.
bool covers(std::string_view pattern, std::string_view host)
{
    if (!pattern.starts_with("*."))
        return pattern == host;
    const auto suffix = pattern.substr(1);
    return host.size() > suffix.size() && host.ends_with(suffix);
}

bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

proto::header_lookup lookup_in(const net::reply_head& head)
{
    return [&head](std::string_view name) { return head.header(name); };
}

// A renamed repository redirects before it tells.
void learn(proto::source_facts& known, proto::source_facts more)
{
    if (!more.sha256.empty())
        known.sha256 = std::move(more.sha256);
    if (more.size)
        known.size = more.size;
}

// `given` may be the first digits only.
bool same_hash(std::string_view given, std::string_view whole)
{
    return given.empty() || whole.starts_with(given);
}

} // namespace

void throw_exception_from_error(const fetch_failure& f, const boost::source_location&)
{
    throw std::runtime_error(f.reason);
}

struct fetcher::failure {
    explicit failure(std::string why = {}, bool for_good = true,
                     std::optional<std::chrono::seconds> asked = std::nullopt)
        : reason(std::move(why)), permanent(for_good), wait(asked)
    {
    }
    std::string reason;
    bool permanent;
    std::optional<std::chrono::seconds> wait;
};

// A 200 whose body is the file, as far as its header can tell.
struct fetcher::opened {
    std::unique_ptr<net::reply_stream> body;
    proto::source_facts facts;
    std::optional<std::uint64_t> size;
    std::string host;
};

fetcher::fetcher(net::client& http, net::time_source& time, store::model_files& files,
                 fetch_options chosen, std::function<double()> random)
    : http_(http),
      time_(time),
      files_(files),
      options_(std::move(chosen)),
      random_(std::move(random))
{
}

net::task<boost::system::result<fetched_file, fetch_failure>>
fetcher::fetch(fetch_order order, fetch_progress& progress)
{
    const std::string what = std::string(core::to_text(order.file.kind)) + " '" + order.file.name +
                             "' from " + redact(order.file.url);
    for (int tries = 1;; ++tries) {
        progress = {};
        auto done = co_await try_once(order, progress);
        if (done)
            co_return std::move(*done);
        const auto failed = done.error();
        fetch_failure f{what + ": " + failed.reason, failed.permanent};
        if (failed.permanent || tries > options_.retries) {
            if (!failed.permanent)
                f.reason += " (tried " + std::to_string(tries) + " times)";
            co_return f;
        }
        duration pause = core::backoff_delay(options_.backoff, tries, random_());
        if (failed.wait)
            pause = std::max<duration>(pause, *failed.wait);
        log::warning("download failed, trying again", {{"file", order.file.name},
                                                       {"reason", failed.reason},
                                                       {"pause", format_duration(pause)}});
        const auto stopped = co_await time_.sleep_for(pause);
        if (stopped)
            co_return fetch_failure{what + ": the gateway is stopping", false};
    }
}

net::task<fetcher::tried<fetched_file>> fetcher::try_once(const fetch_order& order,
                                                          fetch_progress& progress)
{
    auto from = co_await open(order);
    if (!from)
        co_return from.error();
    if (from->size && *from->size > order.size_limit)
        co_return failure{"it has " + format_bytes(*from->size) + ", the limit for a " +
                          std::string(core::to_text(order.file.kind)) + " is " +
                          format_bytes(order.size_limit)};
    progress.total = from->size.value_or(0);
    co_return co_await receive(order, *from, progress);
}

// --- hops ---

bool fetcher::exempt(const net::url& to) const
{
    const auto with_port = to.host + ":" + std::to_string(to.port);
    return std::any_of(options_.exempt_hosts.begin(), options_.exempt_hosts.end(),
                       [&](const auto& known) { return known == to.host || known == with_port; });
}

// Empty when this hop may be followed.
std::string fetcher::why_not(const net::url& to) const
{
    if (exempt(to))
        return {};
    const bool known = std::any_of(options_.allow_hosts.begin(), options_.allow_hosts.end(),
                                   [&](const auto& pattern) { return covers(pattern, to.host); });
    if (!known)
        return "the host " + to.host +
               " is not allowed; add it to download.allow_hosts (or --allow-host for a server in "
               "your own network)";
    if (!to.tls)
        return "plain http to " + to.host + " is not allowed; use https";
    if (to.port != 443)
        return "port " + std::to_string(to.port) + " of " + to.host + " is not allowed";
    return {};
}

// A token goes to the exact origin it is for, and nowhere else (downloads.md §0 rule 1).
std::string fetcher::token_for(const proto::model_source& from, const net::url& to) const
{
    const auto own = net::url::parse(from.url);
    if (!own || own->origin() != to.origin())
        return {};
    switch (from.from) {
    case proto::hub::huggingface: return options_.huggingface_token;
    case proto::hub::civitai: return from.token.empty() ? options_.civitai_token : from.token;
    case proto::hub::other: return {};
    }
    return {};
}

net::client_request fetcher::request_for(const net::url& to) const
{
    net::client_request r;
    r.to = to;
    r.headers.emplace_back("User-Agent", "webui-gateway/" GATEWAY_VERSION);
    r.connect_timeout = options_.connect_timeout;
    r.header_timeout = options_.header_timeout;
    r.idle_timeout = options_.stall_timeout;
    r.peers.allow_private = false;
    r.peers.exempt_hosts.insert(options_.exempt_hosts.begin(), options_.exempt_hosts.end());
    return r;
}

net::task<fetcher::tried<fetcher::opened>> fetcher::open(const fetch_order& order)
{
    const auto source = proto::parse_model_source(order.file.url, options_.huggingface_endpoint);
    if (!source)
        co_return failure{source.error().detail};
    auto to = net::url::parse(source->url);
    if (!to)
        co_return failure{"the URL cannot be read"};
    const auto home = to->origin();
    proto::source_facts facts;
    std::set<std::string> seen;
    for (int hop = 0; hop <= options_.redirects; ++hop) {
        if (const auto no = why_not(*to); !no.empty())
            co_return failure{no};
        if (!seen.insert(to->text()).second)
            co_return failure{"it redirects in a circle"};
        auto request = request_for(*to);
        const auto token = token_for(*source, *to);
        if (!token.empty())
            request.headers.emplace_back("Authorization", "Bearer " + token);
        auto reply = co_await http_.stream(std::move(request));
        if (!reply)
            co_return failure{reply.error().what,
                              reply.error().code == net::error::address_refused};
        const auto& head = (*reply)->head();
        if (to->origin() == home) // not the CDN's: its ETag looks like a sha256 and is none
            learn(facts, proto::read_source_facts(source->from, lookup_in(head)));
        if (!is_redirect(head.status)) {
            if (head.status != 200)
                co_return co_await refused(*source, **reply, !token.empty());
            auto size = head.content_length ? head.content_length : facts.size;
            co_return opened{std::move(*reply), std::move(facts), size, to->host};
        }
        const auto location = head.header("location");
        if (proto::is_login_redirect(location))
            co_return failure{to->host + " asks for a login: give a token"};
        auto next = to->join(location);
        if (!next)
            co_return failure{to->host + " redirects to something that is no URL"};
        if (to->tls && !next->tls)
            co_return failure{to->host + " redirects from https to http"};
        to = std::move(next);
    }
    co_return failure{"it redirects more than " + std::to_string(options_.redirects) + " times"};
}

net::task<fetcher::failure> fetcher::refused(const proto::model_source& from,
                                             net::reply_stream& reply, bool had_token) const
{
    std::string body(error_body_limit, '\0');
    std::size_t filled = 0;
    while (filled < body.size()) {
        const std::span<char> into(body.data() + filled, body.size() - filled);
        const auto n = co_await reply.read(into);
        if (!n || *n == 0)
            break;
        filled += *n;
    }
    body.resize(filled);
    auto why = proto::explain_refusal(from.from, reply.head().status, lookup_in(reply.head()), body,
                                      had_token);
    co_return failure{redact(why.reason), why.permanent, why.wait};
}

// --- the body ---

namespace {

// Looks at the start of a file while it arrives: is it what a model file can be?
class format_gate {
public:
    explicit format_gate(std::optional<std::uint64_t> announced) : announced_(announced) {}

    // Empty while all is well.
    std::string feed(std::string_view bytes)
    {
        if (decided_)
            return {};
        start_.append(bytes);
        if (start_.size() < 64)
            return {};
        return decide();
    }
    // The file has ended with this size.
    std::string finish(std::uint64_t size)
    {
        if (!decided_) {
            auto why = decide();
            if (!why.empty())
                return why;
        }
        if (!decided_)
            return "the file ends inside its header";
        return contradiction(size, "it has ");
    }

private:
    std::string decide()
    {
        const auto kind = proto::sniff_file(start_);
        if (kind != proto::file_kind::safetensors)
            return std::string(proto::explain(kind));
        if (start_.size() < need_)
            return {};
        const auto check = proto::check_safetensors(start_);
        switch (check.result) {
        case proto::safetensors_check::state::need_more: need_ = check.need; return {};
        case proto::safetensors_check::state::invalid: return "not safetensors: " + check.error;
        case proto::safetensors_check::state::valid: break;
        }
        decided_ = true;
        expected_ = check.total_size;
        start_ = {};
        // A wrong file is known now, and not after its last gigabyte (downloads.md §4.4).
        return announced_ ? contradiction(*announced_, "announced are ") : std::string();
    }
    std::string contradiction(std::uint64_t size, const char* which) const
    {
        if (size == expected_)
            return {};
        return "its header speaks of " + std::to_string(expected_) + " bytes, " + which +
               std::to_string(size);
    }

    std::optional<std::uint64_t> announced_;
    std::string start_;
    std::uint64_t need_ = 0;
    std::uint64_t expected_ = 0;
    bool decided_ = false;
};

std::string wrong_content(const net::reply_head& head)
{
    const auto type = head.header("content-type");
    if (type.starts_with("text/html") || type.starts_with("application/json"))
        return "it answered 200 with " + std::string(type) + ", which is no model file";
    const auto coding = head.header("content-encoding");
    if (!coding.empty() && coding != "identity")
        return "it sent the file with Content-Encoding " + std::string(coding);
    return {};
}

} // namespace

net::task<fetcher::tried<fetched_file>> fetcher::receive(const fetch_order& order, opened& from,
                                                         fetch_progress& progress)
{
    if (const auto wrong = wrong_content(from.body->head()); !wrong.empty())
        co_return failure{wrong};
    auto writer = co_await files_.create(order.folder, order.file.name, from.size);
    if (!writer)
        co_return failure{writer.error().what, writer.error().permanent};
    format_gate gate(from.size);
    std::vector<char> piece(read_size);
    const auto began = time_.now();
    std::uint64_t told = 0;
    for (;;) {
        const std::span<char> into(piece);
        const auto n = co_await from.body->read(into);
        if (!n)
            co_return failure{n.error().what, false};
        if (*n == 0)
            break;
        const std::string_view bytes(piece.data(), *n);
        progress.bytes += *n;
        if (progress.bytes > order.size_limit)
            co_return failure{"it is longer than " + format_bytes(order.size_limit)};
        if (const auto wrong = gate.feed(bytes); !wrong.empty())
            co_return failure{wrong};
        const auto ec = co_await writer->append(bytes);
        if (ec)
            co_return failure{
                "it cannot be written to " + order.folder.string() + ": " + ec.message(), false};
        const auto took = std::chrono::duration<double>(time_.now() - began).count();
        progress.bytes_per_second = took > 0 ? static_cast<double>(progress.bytes) / took : 0;
        if (progress.bytes - told >= options_.progress_log_each) {
            told = progress.bytes;
            log::info(
                "downloading",
                {{"file", order.file.name},
                 {"bytes", progress.bytes},
                 {"total", progress.total},
                 {"rate",
                  format_bytes(static_cast<std::uint64_t>(progress.bytes_per_second)) + "/s"}});
        }
    }
    if (from.size && progress.bytes != *from.size)
        co_return failure{"it ended after " + std::to_string(progress.bytes) + " of " +
                              std::to_string(*from.size) + " bytes",
                          false};
    if (const auto wrong = gate.finish(progress.bytes); !wrong.empty())
        co_return failure{wrong};
    const auto hashed = co_await writer->sha256();
    if (!hashed)
        co_return failure{"it cannot be read back: " + hashed.error().message(), false};
    const auto& sum = *hashed;
    if (!same_hash(order.file.sha256, sum))
        co_return failure{"its sha256 is " + sum + ", the job says " + order.file.sha256};
    if (order.file.sha256.empty() && !same_hash(from.facts.sha256, sum))
        co_return failure{"its sha256 is " + sum + ", its source says " + from.facts.sha256};
    const auto name = order.file.name + ".safetensors";
    const auto published = co_await writer->publish(name);
    if (!published)
        co_return failure{published.error().what, published.error().permanent};
    co_return fetched_file{name, progress.bytes, sum};
}

} // namespace gateway::work
