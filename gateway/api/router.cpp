#include "api/router.hpp"

#include "api/answer.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <stdexcept>

namespace gateway::api {

namespace {

using proto::problem_code;

constexpr std::size_t longest_request_id = 128;

bool is_id(std::string_view text)
{
    const auto fits = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-';
    };
    return !text.empty() && std::all_of(text.begin(), text.end(), fits);
}

bool is_placeholder(std::string_view segment) { return segment.starts_with('{'); }

std::vector<std::string> labels_of(const std::vector<route>& routes)
{
    std::vector<std::string> labels;
    for (const auto& r : routes)
        labels.emplace_back(r.pattern);
    labels.emplace_back("other");
    return labels;
}

// Like proto's problems, for what never became a request and so has no place in their catalogue.
net::response protocol_problem(int status, std::string_view code, std::string_view detail)
{
    const auto quoted = json_quoted(detail);
    net::response answer;
    answer.status = status;
    answer.body = "{\"status\":" + std::to_string(status) +
                  ",\"title\":" + json_quoted(net::reason_phrase(status)) +
                  ",\"detail\":" + quoted + ",\"code\":" + json_quoted(code) +
                  ",\"error\":" + quoted + "}";
    return answer;
}

} // namespace

router::router(std::vector<route> routes, keys allowed, random_source& random,
               std::uint64_t other_body_limit, origins pages)
    : routes_(std::move(routes)),
      keys_(std::move(allowed)),
      origins_(std::move(pages)),
      random_(random),
      other_body_limit_(other_body_limit),
      times_(labels_of(routes_))
{
    for (std::size_t i = 0; i < routes_.size(); ++i) {
        const auto& r = routes_[i];
        const auto pattern = cut(r.pattern);
        if (pattern.count > segments::most)
            throw std::logic_error("a route with too many segments: " + std::string(r.pattern));
        auto on = std::find_if(resources_.begin(), resources_.end(), [&](const resource& known) {
            return known.pattern.count == pattern.count && known.pattern.at == pattern.at;
        });
        if (on == resources_.end()) {
            resources_.push_back({pattern, r.in_endpoint, {}, {}});
            on = std::prev(resources_.end());
        }
        for (const auto other : on->routes) {
            if (routes_[other].method == r.method)
                throw std::logic_error("two routes for " + std::string(r.method) + ' ' +
                                       std::string(r.pattern));
        }
        on->routes.push_back(i);
        on->allow += (on->allow.empty() ? "" : ", ") + std::string(r.method) +
                     (r.method == "GET" ? ", HEAD" : "");
    }
}

// --- paths ---

// "/a/b/" has three segments, the last one empty.
router::segments router::cut(std::string_view path)
{
    segments all;
    while (!path.empty()) {
        path.remove_prefix(1);
        const auto end = std::min(path.find('/'), path.size());
        if (all.count++ == segments::most)
            break;
        all.at[all.count - 1] = path.substr(0, end);
        path.remove_prefix(end);
    }
    return all;
}

bool router::fits(const resource& r, const segments& path)
{
    if (r.pattern.count != path.count)
        return false;
    for (std::size_t i = 0; i < path.count; ++i) {
        const auto wanted = r.pattern.at[i];
        if (is_placeholder(wanted) ? path.at[i].empty() : path.at[i] != wanted)
            return false;
    }
    return true;
}

void router::capture(match& m, const segments& path)
{
    for (std::size_t i = 0; i < path.count; ++i) {
        if (is_placeholder(m.on->pattern.at[i]))
            (m.id.empty() ? m.id : m.part) = path.at[i];
        if (m.on->pattern.at[i] == "{id}" && !is_id(path.at[i]))
            m.why = problem_code::job_not_found;
    }
}

router::match router::find(std::string_view method, std::string_view path) const
{
    match m;
    if (path.empty() || path.front() != '/')
        return m;
    if (path.starts_with("/v2/")) {
        const auto endpoint_end = path.find('/', 4);
        if (endpoint_end == std::string_view::npos)
            return m;
        m.endpoint = path.substr(4, endpoint_end - 4);
        if (!is_id(m.endpoint)) {
            m.why = problem_code::endpoint_not_found;
            return m;
        }
        path.remove_prefix(endpoint_end);
        m.why = problem_code::not_for_queue;
    }
    const auto wanted = cut(path);
    for (const auto& r : resources_) {
        if (r.pattern.at[0] != wanted.at[0] || (!m.endpoint.empty() && !r.in_endpoint))
            continue;
        m.why = problem_code::route_not_found;
        if (!fits(r, wanted))
            continue;
        m.on = &r;
        break;
    }
    if (m.on == nullptr)
        return m;
    capture(m, wanted);
    if (m.why == problem_code::job_not_found)
        return m;
    m.why = problem_code::method_not_allowed;
    for (const auto i : m.on->routes) {
        const auto& r = routes_[i];
        if (r.method == method || (method == "HEAD" && r.method == "GET"))
            m.to = &r;
    }
    return m;
}

// --- requests ---

// Who may not come in, and why.
std::optional<net::response> router::objection(const net::request& head, const match& m) const
{
    if (m.to != nullptr && m.to->open)
        return std::nullopt;
    switch (keys_.check(credentials_of(head))) {
    case keys::decision::allowed: break;
    case keys::decision::no_token:
        return problem_on(head.path, proto::make_problem(problem_code::no_token));
    case keys::decision::invalid_token:
        return problem_on(head.path, proto::make_problem(problem_code::invalid_token));
    }
    auto why = origins_.objection(head);
    if (!why)
        return std::nullopt;
    return problem_on(head.path, proto::make_problem(problem_code::forbidden, std::move(*why)));
}

net::service::verdict router::admit(const net::request& head)
{
    const auto m = find(head.method, head.path);
    verdict v;
    v.body_limit = m.to != nullptr ? m.to->body_limit : other_body_limit_;
    v.streams = m.to != nullptr && m.to->streams;
    if (m.on != nullptr)
        v.refusal = origins_.preflight(head, m.on->allow);
    if (!v.refusal)
        v.refusal = objection(head, m);
    if (v.refusal) {
        origins_.mark(head, *v.refusal);
        v.refusal->headers.emplace_back("X-Request-Id", request_id(&head));
    }
    return v;
}

net::task<net::response> router::handle(net::request& req)
{
    const auto m = find(req.method, req.path);
    auto id = request_id(&req);
    std::optional<net::response> answer;
    if (m.to == nullptr) {
        answer = no_route(m, req.path);
    } else {
        const call c{req, m.endpoint, m.id, id, m.part};
        if (m.to->now)
            answer = m.to->now(c);
        if (!answer)
            answer = co_await m.to->later(c);
    }
    origins_.mark(req, *answer);
    answer->headers.emplace_back("X-Request-Id", std::move(id));
    co_return std::move(*answer);
}

net::response router::no_route(const match& m, std::string_view path) const
{
    auto answer = problem_on(path, proto::make_problem(m.why));
    if (m.why == problem_code::method_not_allowed)
        answer.headers.emplace_back("Allow", m.on->allow);
    return answer;
}

net::response router::refuse(net::protocol_error what, const net::request* head)
{
    const auto make = [&] {
        switch (what) {
        case net::protocol_error::malformed:
            return protocol_problem(400, "malformed_http",
                                    "not a well-formed HTTP/1.1 request; check the request line, "
                                    "Host, Content-Length and Transfer-Encoding");
        case net::protocol_error::header_too_large:
            return protocol_problem(431, "header_too_large", "the request header is too large");
        case net::protocol_error::body_too_large: {
            const auto path = head != nullptr ? head->path : std::string_view();
            const auto* to = head != nullptr ? find(head->method, path).to : nullptr;
            return problem_on(
                path, proto::body_over_limit(to != nullptr ? to->body_limit : other_body_limit_));
        }
        case net::protocol_error::timeout:
            return protocol_problem(408, "request_timeout", "the request did not arrive in time");
        }
        return protocol_problem(400, "malformed_http", "not a well-formed HTTP request");
    };
    auto answer = make();
    if (head != nullptr)
        origins_.mark(*head, answer);
    answer.headers.emplace_back("X-Request-Id", request_id(head));
    return answer;
}

net::response router::internal_error(const net::request& req, std::string_view what)
{
    auto id = request_id(&req);
    log::error("a request could not be answered", {{"method", req.method},
                                                   {"path", req.path},
                                                   {"error", what},
                                                   {"request_id", std::string_view(id)}});
    auto answer = problem_on(
        req.path,
        proto::make_problem(problem_code::internal,
                            "internal error; the gateway's log tells more under request id " + id));
    origins_.mark(req, answer);
    answer.headers.emplace_back("X-Request-Id", std::move(id));
    return answer;
}

void router::observe(const net::request& req, int status, duration elapsed)
{
    const auto m = find(req.method, req.path);
    const auto group = m.to != nullptr ? static_cast<std::size_t>(m.to - routes_.data())
                                       : routes_.size(); // "other"
    times_.add(group, req.method, status, elapsed);
    if (log::enabled(log::level::debug)) {
        const double took = std::chrono::duration<double, std::milli>(elapsed).count();
        log::debug("request", {{"method", req.method},
                               {"path", req.path},
                               {"status", status},
                               {"took_ms", took},
                               {"peer", req.peer}});
    }
}

// The client's own id goes on when it is short and harmless.
std::string router::request_id(const net::request* head)
{
    const auto given = head != nullptr ? head->header("X-Request-Id") : std::string_view();
    const auto harmless = [](char c) { return c >= '!' && c <= '~'; };
    if (!given.empty() && given.size() <= longest_request_id &&
        std::all_of(given.begin(), given.end(), harmless))
        return std::string(given);
    return gateway::request_id(random_);
}

} // namespace gateway::api
