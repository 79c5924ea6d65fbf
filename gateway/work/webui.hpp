#pragma once

// One WebUI's HTTP interface: which connection a call uses, how long it may take, and what may be
// repeated. What an answer means is proto's to say.

#include "net/client.hpp"
#include "proto/webui_job.hpp"

#include <string>
#include <string_view>

namespace gateway::work {

class webui {
public:
    struct options {
        std::string name;     // "webui-0"
        std::string url;      // origin with an optional prefix (decisions.md 8)
        std::string api_auth; // "user:password"; empty: none
        duration connect_timeout = std::chrono::seconds(5);
        int get_retries = 10; // handler.md §1: on 502, 503, 504 and connect failures
        duration get_backoff = std::chrono::milliseconds(100); // doubles each time
    };

    // Throws std::invalid_argument, naming the URL, when it is not one.
    webui(net::client& http, net::dialer& dialer, net::time_source& time, options chosen);

    const std::string& name() const { return options_.name; }
    const std::string& url() const { return shown_; } // without credentials

    // Whether anybody listens: a bare TCP connect, which costs a starting WebUI nothing
    // (webui.md §1.3).
    net::task<net::outcome<bool>> probe_port();
    // `path` begins with '/'. One try.
    net::task<net::outcome<net::reply>> get(std::string path, duration limit);
    // The same, repeated while the answer says that repeating may help.
    net::task<net::outcome<net::reply>> get_patiently(std::string path, duration limit);
    net::task<net::outcome<net::reply>> post(std::string path, std::string body, duration limit);
    // A job: always a fresh connection, the reply's body is read by the caller. No byte comes
    // before the job has ended, so `limit` is the only time limit until then.
    net::task<net::outcome<std::unique_ptr<net::reply_stream>>>
    generate(proto::webui_route route, std::string body, duration limit);

private:
    net::client_request request(std::string method, const std::string& path, duration limit) const;

    net::client& http_;
    net::dialer& dialer_;
    net::time_source& time_;
    options options_;
    net::url base_;
    std::string prefix_; // path in front of every path, without a slash at its end
    std::string authorization_;
    std::string shown_;
};

} // namespace gateway::work
