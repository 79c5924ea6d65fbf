#include "work/file_source.hpp"

#include "base/redact.hpp"
#include "net/error.hpp"
#include "proto/file_reply.hpp"

#include <algorithm>

namespace gateway::work {

namespace {

constexpr std::size_t error_body_limit = 4096;
constexpr std::uint64_t description_limit = std::uint64_t{4} << 20;
constexpr auto description_timeout = std::chrono::seconds(10);

bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Statuses that say something about bytes; core::download knows what.
bool is_about_bytes(int status)
{
    return status == 200 || status == 206 || status == 412 || status == 416;
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
    if (!more.commit.empty())
        known.commit = std::move(more.commit);
}

// Why a body with a good status is no model file all the same.
std::string wrong_content(const net::reply_head& head)
{
    const auto type = head.header("content-type");
    if (type.starts_with("text/html") || type.starts_with("application/json"))
        return "it answered " + std::to_string(head.status) + " with " + std::string(type) +
               ", which is no model file";
    const auto coding = head.header("content-encoding");
    if (!coding.empty() && coding != "identity")
        return "it sent the file with Content-Encoding " + std::string(coding);
    return {};
}

std::string_view next_label(std::string_view& text)
{
    const auto dot = text.find('.');
    const auto label = text.substr(0, dot);
    text = dot == std::string_view::npos ? std::string_view{} : text.substr(dot + 1);
    return label;
}

file_source::answer failed(core::download_trouble why)
{
    file_source::answer a;
    a.refused = true;
    a.trouble = std::move(why);
    return a;
}

core::download_trouble for_good(std::string reason) { return {std::move(reason), true}; }

} // namespace

bool covers(std::string_view pattern, std::string_view host)
{
    if (pattern.starts_with("*.")) {
        const auto suffix = pattern.substr(1);
        return host.size() > suffix.size() && host.ends_with(suffix);
    }
    while (!pattern.empty() && !host.empty()) {
        const auto wanted = next_label(pattern);
        const auto found = next_label(host);
        if (wanted != found && (wanted != "*" || found.empty()))
            return false;
    }
    return pattern.empty() && host.empty();
}

bool file_source::exempt(const net::url& to) const
{
    const auto with_port = to.host + ":" + std::to_string(to.port);
    return std::any_of(options_.exempt_hosts.begin(), options_.exempt_hosts.end(),
                       [&](const auto& known) { return known == to.host || known == with_port; });
}

// Empty when this hop may be followed.
std::string file_source::why_not(const net::url& to) const
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
std::string file_source::credential_for(const proto::model_source& source, const net::url& to) const
{
    const auto own = net::url::parse(source.url);
    std::string token;
    if (own && own->origin() == to.origin()) {
        switch (source.from) {
        case proto::hub::huggingface: token = options_.huggingface_token; break;
        case proto::hub::civitai:
            token = source.token.empty() ? options_.civitai_token : source.token;
            break;
        case proto::hub::folder:
        case proto::hub::other: break;
        }
    }
    const auto with_port = to.host + ":" + std::to_string(to.port);
    for (const auto& [pattern, secret] : options_.credentials) {
        if (token.empty() && (to.tls || exempt(to)) &&
            (covers(pattern, to.host) || pattern == with_port))
            token = secret;
    }
    if (token.empty() || token.starts_with("Basic ") || token.starts_with("Bearer "))
        return token;
    return "Bearer " + token;
}

// Exempt hosts are our own network's, which a proxy need not know.
bool file_source::goes_direct(const net::url& to) const
{
    return exempt(to) ||
           std::any_of(options_.no_proxy.begin(), options_.no_proxy.end(),
                       [&](const std::string& host) {
                           return host == "*" || host == to.host ||
                                  to.host.ends_with(host.starts_with('.') ? host : '.' + host);
                       });
}

net::client_request file_source::request_for(const net::url& to) const
{
    net::client_request r;
    r.to = to;
    r.headers.emplace_back("User-Agent", "webui-gateway/" GATEWAY_VERSION);
    r.connect_timeout = options_.connect_timeout;
    r.header_timeout = options_.header_timeout;
    r.idle_timeout = options_.stall_timeout;
    r.peers.allow_private = false;
    r.peers.exempt_hosts.insert(options_.exempt_hosts.begin(), options_.exempt_hosts.end());
    if (!goes_direct(to))
        r.peers.proxy = options_.proxy;
    return r;
}

net::task<file_source::answer> file_source::ask(const proto::model_source& source, net::url from,
                                                std::string range)
{
    auto to = std::move(from);
    const auto own = net::url::parse(source.url);
    const auto home = own ? own->origin() : std::string();
    proto::source_facts facts;
    std::set<std::string> seen;
    for (int hop = 0; hop <= options_.redirects; ++hop) {
        if (auto no = why_not(to); !no.empty())
            co_return failed(for_good(std::move(no)));
        if (!seen.insert(to.text()).second)
            co_return failed(for_good("it redirects in a circle"));
        auto request = request_for(to);
        const auto credential = credential_for(source, to);
        if (!credential.empty())
            request.headers.emplace_back("Authorization", credential);
        if (!range.empty())
            request.headers.emplace_back("Range", range);
        auto reply = co_await http_.stream(std::move(request));
        if (!reply)
            co_return failed(
                {redact(reply.error().what), reply.error().code == net::error::address_refused});
        const auto& head = (*reply)->head();
        if (to.origin() == home) // not the CDN's: its ETag looks like a sha256 and is none
            learn(facts, proto::read_source_facts(source.from, lookup_in(head)));
        if (!is_redirect(head.status)) {
            answer got;
            got.body = std::move(*reply);
            got.at = to;
            got.facts = std::move(facts);
            got.head.from_storage = to.origin() != home;
            co_return co_await look_at(source, std::move(got), !credential.empty());
        }
        const auto location = head.header("location");
        if (proto::is_login_redirect(location))
            co_return failed(for_good(to.host + " asks for a login: give a token"));
        auto next = to.join(location);
        if (!next)
            co_return failed(for_good(to.host + " redirects to something that is no URL"));
        if (to.tls && !next->tls)
            co_return failed(for_good(to.host + " redirects from https to http"));
        to = std::move(*next);
    }
    co_return failed(
        for_good("it redirects more than " + std::to_string(options_.redirects) + " times"));
}

// The last hop has answered: with bytes, or with the reason why not.
net::task<file_source::answer> file_source::look_at(const proto::model_source& source, answer got,
                                                    bool had_token) const
{
    const auto& head = got.body->head();
    const bool from_storage = got.head.from_storage;
    got.head = proto::read_file_reply(head.status, head.content_length, lookup_in(head));
    got.head.from_storage = from_storage;
    got.head.host = got.at.host;
    got.head.known = got.facts.size;
    if (is_about_bytes(head.status)) {
        auto wrong = head.status < 300 ? wrong_content(head) : std::string();
        got.refused = !wrong.empty();
        got.trouble = for_good(std::move(wrong));
        co_return std::move(got);
    }
    std::string body(error_body_limit, '\0');
    std::size_t filled = 0;
    while (filled < body.size()) {
        const std::span<char> into(body.data() + filled, body.size() - filled);
        const auto n = co_await got.body->read(into);
        if (!n || *n == 0)
            break;
        filled += *n;
    }
    body.resize(filled);
    auto why = proto::explain_refusal(source.from, head.status, lookup_in(head), body, had_token);
    got.refused = true;
    got.trouble.reason = redact(why.reason);
    if (from_storage)
        got.trouble.reason =
            "its storage host " + got.at.host + " refuses it: " + got.trouble.reason;
    got.trouble.permanent = why.permanent;
    got.trouble.crowded = head.status == 429 || head.status == 503;
    if (why.wait)
        got.trouble.wait = *why.wait;
    co_return std::move(got);
}

net::task<proto::source_facts> file_source::describe(const proto::model_source& source)
{
    const auto text = proto::description_url(source);
    const auto to = net::url::parse(text);
    if (text.empty() || !to || !why_not(*to).empty())
        co_return proto::source_facts{};
    auto request = request_for(*to);
    request.total_timeout = description_timeout;
    request.body_limit = description_limit;
    const auto reply = co_await http_.fetch(std::move(request));
    if (!reply || reply->head.status != 200)
        co_return proto::source_facts{};
    co_return proto::read_description(source, reply->body);
}

} // namespace gateway::work
