#pragma once

// Asks for model files where they are: every hop is judged before it is followed, gets a request of
// its own, and is given only the credential that was meant for it (downloads.md §0, §5.1, §5.2).

#include "core/download.hpp"
#include "net/client.hpp"
#include "proto/hub.hpp"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace gateway::work {

struct source_options {
    std::vector<std::string> allow_hosts;  // "huggingface.co", "*.hf.co": https, public addresses
    std::vector<std::string> exempt_hosts; // "host" or "host:port": http and private ones, too
    duration connect_timeout = std::chrono::seconds(15);
    duration header_timeout = std::chrono::seconds(60);
    duration stall_timeout = std::chrono::seconds(30);
    int redirects = 10;
    std::string huggingface_endpoint = "https://huggingface.co";
    std::string huggingface_token;
    std::string civitai_token;
    // Host pattern → token, or a whole "Basic …" or "Bearer …".
    std::map<std::string, std::string> credentials;
    std::string proxy;                 // "http://host:port" for https; empty: none
    std::vector<std::string> no_proxy; // hosts, and ".example.org" for all below it
};

// "*.hf.co" covers any host below hf.co, "a.*.example.org" one label in the middle; label by label,
// so that evil-hf.co is not below hf.co.
bool covers(std::string_view pattern, std::string_view host);

class file_source {
public:
    // What came back for one request, after all redirects.
    struct answer {
        std::unique_ptr<net::reply_stream> body;
        net::url at; // that sent it
        core::reply_facts head;
        proto::source_facts facts; // that the source itself told on the way
        // When it is no part of the file:
        bool refused = false;
        core::download_trouble trouble;
    };

    file_source(net::client& http, source_options chosen) : http_(http), options_(std::move(chosen))
    {
    }

    // Asks for bytes; `from` is the source's own URL or one that it has led to. An empty `range`
    // asks for the whole.
    net::task<answer> ask(const proto::model_source& source, net::url from, std::string range);
    // What the source says about the file beforehand; nothing when it does not answer.
    net::task<proto::source_facts> describe(const proto::model_source& source);
    const source_options& options() const { return options_; }

private:
    std::string why_not(const net::url& to) const;
    bool exempt(const net::url& to) const;
    bool goes_direct(const net::url& to) const;
    net::client_request request_for(const net::url& to) const;
    std::string credential_for(const proto::model_source& source, const net::url& to) const;
    net::task<answer> look_at(const proto::model_source& source, answer got, bool had_token) const;

    net::client& http_;
    source_options options_;
};

} // namespace gateway::work
