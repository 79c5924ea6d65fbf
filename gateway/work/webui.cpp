#include "work/webui.hpp"

#include "base/text.hpp"

#include <stdexcept>

namespace gateway::work {

namespace {

constexpr std::string_view api_suffix = "/sdapi/v1";
constexpr auto longest_backoff = std::chrono::seconds(5);

bool may_help_to_repeat(const net::outcome<net::reply>& answer)
{
    if (!answer)
        return answer.error().phase <= net::phase::connecting;
    const int status = answer->head.status;
    return status == 502 || status == 503 || status == 504;
}

} // namespace

webui::webui(net::client& http, net::dialer& dialer, net::time_source& time, options chosen)
    : http_(http), dialer_(dialer), time_(time), options_(std::move(chosen))
{
    const auto parsed = net::url::parse(options_.url);
    if (!parsed)
        throw std::invalid_argument("webui.urls: '" + options_.url +
                                    "' is not an http or https address such as "
                                    "http://127.0.0.1:3000");
    base_ = *parsed;
    prefix_ = base_.target.substr(0, base_.target.find('?'));
    while (prefix_.ends_with('/'))
        prefix_.pop_back();
    if (prefix_.ends_with(api_suffix))
        prefix_.resize(prefix_.size() - api_suffix.size());
    if (!options_.api_auth.empty())
        authorization_ = "Basic " + base64_encode(options_.api_auth);
    shown_ = base_.origin() + prefix_;
}

net::client_request webui::request(std::string method, const std::string& path,
                                   duration limit) const
{
    net::client_request r;
    r.method = std::move(method);
    r.to = base_;
    r.to.target = prefix_ + path;
    r.connect_timeout = options_.connect_timeout;
    r.header_timeout = limit;
    r.idle_timeout = limit;
    r.total_timeout = limit;
    if (!authorization_.empty())
        r.headers.emplace_back("Authorization", authorization_);
    return r;
}

net::task<net::outcome<bool>> webui::probe_port()
{
    const net::address_policy anywhere;
    auto connection = co_await dialer_.dial(base_, anywhere, options_.connect_timeout);
    if (!connection)
        co_return connection.error();
    (*connection)->close();
    co_return true;
}

net::task<net::outcome<net::reply>> webui::get(std::string path, duration limit)
{
    auto r = request("GET", path, limit);
    co_return co_await http_.fetch(std::move(r));
}

net::task<net::outcome<net::reply>> webui::get_patiently(std::string path, duration limit)
{
    auto pause = options_.get_backoff;
    for (int tries = 0;; ++tries) {
        auto answer = co_await get(path, limit);
        if (tries >= options_.get_retries || !may_help_to_repeat(answer))
            co_return answer;
        const auto stopped = co_await time_.sleep_for(pause);
        if (stopped)
            co_return answer;
        pause = std::min<duration>(pause * 2, longest_backoff);
    }
}

net::task<net::outcome<net::reply>> webui::post(std::string path, std::string body, duration limit)
{
    auto r = request("POST", path, limit);
    r.headers.emplace_back("Content-Type", "application/json");
    r.body = std::move(body);
    co_return co_await http_.fetch(std::move(r));
}

net::task<net::outcome<std::unique_ptr<net::reply_stream>>>
webui::generate(proto::webui_route route, std::string body, duration limit)
{
    auto r = request(std::move(route.method), route.path, limit);
    if (!body.empty())
        r.headers.emplace_back("Content-Type", "application/json");
    r.body = std::move(body);
    r.fresh_connection = true;
    r.idle_timeout = std::chrono::seconds(60); // once the reply has begun
    co_return co_await http_.stream(std::move(r));
}

} // namespace gateway::work
