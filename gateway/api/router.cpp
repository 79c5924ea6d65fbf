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

// "/a/b/c" → "a" and "b/c"; without a second segment the rest is null.
struct split {
    std::string_view first;
    std::optional<std::string_view> rest;
};
split first_segment(std::string_view path)
{
    path.remove_prefix(1);
    const auto slash = path.find('/');
    if (slash == std::string_view::npos)
        return {path, std::nullopt};
    return {path.substr(0, slash), path.substr(slash + 1)};
}

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
               std::uint64_t other_body_limit)
    : routes_(std::move(routes)),
      keys_(std::move(allowed)),
      random_(random),
      other_body_limit_(other_body_limit),
      times_(labels_of(routes_))
{
    for (std::size_t i = 0; i < routes_.size(); ++i) {
        const auto& r = routes_[i];
        const auto [name, rest] = first_segment(r.pattern);
        auto on = std::find_if(resources_.begin(), resources_.end(), [&](const resource& known) {
            return known.name == name && known.has_id == rest.has_value();
        });
        if (on == resources_.end()) {
            resources_.push_back({name, rest.has_value(), r.in_endpoint, {}, {}});
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

router::match router::find(std::string_view method, std::string_view path) const
{
    match m;
    if (path.empty() || path.front() != '/')
        return m;
    auto at = first_segment(path);
    if (at.first == "v2" && at.rest) {
        const auto endpoint_end = at.rest->find('/');
        if (endpoint_end == std::string_view::npos)
            return m;
        m.endpoint = at.rest->substr(0, endpoint_end);
        if (!is_id(m.endpoint)) {
            m.why = problem_code::endpoint_not_found;
            return m;
        }
        at = first_segment(at.rest->substr(endpoint_end));
        m.why = problem_code::not_for_queue;
    }
    for (const auto& r : resources_) {
        if (r.name != at.first || (!m.endpoint.empty() && !r.in_endpoint))
            continue;
        m.why = problem_code::route_not_found;
        if (r.has_id != at.rest.has_value() ||
            (r.has_id && (at.rest->empty() || at.rest->find('/') != std::string_view::npos)))
            continue;
        m.on = &r;
        break;
    }
    if (m.on == nullptr)
        return m;
    m.id = at.rest.value_or(std::string_view());
    if (m.on->has_id && !is_id(m.id)) {
        m.why = problem_code::job_not_found;
        return m;
    }
    m.why = problem_code::method_not_allowed;
    for (const auto i : m.on->routes) {
        const auto& r = routes_[i];
        if (r.method == method || (method == "HEAD" && r.method == "GET"))
            m.to = &r;
    }
    return m;
}

net::service::verdict router::admit(const net::request& head)
{
    const auto m = find(head.method, head.path);
    verdict v;
    v.body_limit = m.to != nullptr ? m.to->body_limit : other_body_limit_;
    if (m.to != nullptr && m.to->open)
        return v;
    switch (keys_.check(head.header("Authorization"))) {
    case keys::decision::allowed: return v;
    case keys::decision::no_token: v.refusal = problem_answer(problem_code::no_token); break;
    case keys::decision::invalid_token:
        v.refusal = problem_answer(problem_code::invalid_token);
        break;
    }
    v.refusal->headers.emplace_back("X-Request-Id", request_id(&head));
    return v;
}

net::task<net::response> router::handle(net::request& req)
{
    const auto m = find(req.method, req.path);
    auto id = request_id(&req);
    std::optional<net::response> answer;
    if (m.to == nullptr) {
        answer = no_route(m);
    } else {
        const call c{req, m.endpoint, m.id, id};
        if (m.to->now)
            answer = m.to->now(c);
        if (!answer)
            answer = co_await m.to->later(c);
    }
    answer->headers.emplace_back("X-Request-Id", std::move(id));
    co_return std::move(*answer);
}

net::response router::no_route(const match& m) const
{
    auto answer = problem_answer(m.why);
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
            const auto* to = head != nullptr ? find(head->method, head->path).to : nullptr;
            return problem_answer(
                proto::body_over_limit(to != nullptr ? to->body_limit : other_body_limit_));
        }
        case net::protocol_error::timeout:
            return protocol_problem(408, "request_timeout", "the request did not arrive in time");
        }
        return protocol_problem(400, "malformed_http", "not a well-formed HTTP request");
    };
    auto answer = make();
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
    auto answer =
        problem_answer(problem_code::internal,
                       "internal error; the gateway's log tells more under request id " + id);
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
