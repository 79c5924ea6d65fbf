#include "config/derive.hpp"

#include "base/text.hpp"
#include "config/value.hpp"

#include <algorithm>
#include <array>

#include <arpa/inet.h>

namespace gateway::config {

namespace {

using place = origin::place;

const std::string* variable(const sources& from, const std::string& name)
{
    const auto at = from.environment.find(name);
    return at == from.environment.end() || at->second.empty() ? nullptr : &at->second;
}

std::string origin_of(const loaded& l, const std::string& key)
{
    return to_text(l.origins.at(key));
}

void read_keys(loaded& l, const sources& from)
{
    auth_settings& auth = l.settings.auth;
    if (auth.keys_file.empty())
        return;
    const auto content = from.read_file(auth.keys_file);
    if (!content) {
        l.problems.push_back({origin_of(l, "auth.keys_file"), "auth.keys_file: cannot read " +
                                                                  quoted(auth.keys_file) + ": " +
                                                                  content.error().message()});
        return;
    }
    std::string_view rest = *content;
    for (int line = 1; !rest.empty(); ++line) {
        const auto end = std::min(rest.find('\n'), rest.size());
        const std::string_view key = trim(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (key.empty() || key.starts_with('#'))
            continue;
        if (key.find_first_of(" \t,") == key.npos)
            auth.keys.emplace_back(key);
        else
            l.problems.push_back({auth.keys_file + ':' + std::to_string(line),
                                  "a key has no spaces and no commas; one key on each line"});
    }
}

void settle_auth(loaded& l, const sources& from)
{
    auth_settings& auth = l.settings.auth;
    const std::string& listen = l.settings.server.listen;
    const bool open_to_others = !is_loopback(listen);
    if (auth.mode == auth_mode::automatic && !auth.keys.empty()) {
        auth.mode = auth_mode::keys;
    } else if (auth.mode == auth_mode::automatic && variable(from, "RUNPOD_ENDPOINT_ID")) {
        auth.mode = auth_mode::edge;
        l.origins["auth.mode"] = {place::environment, "RUNPOD_ENDPOINT_ID"};
    } else if (auth.mode == auth_mode::automatic) {
        auth.mode = auth_mode::none;
    }
    if (auth.mode == auth_mode::none && open_to_others)
        l.problems.push_back(
            {origin_of(l, "server.listen"),
             "server.listen is " + quoted(listen) +
                 ", which others can reach, and no key is set. Set auth.keys (or "
                 "WEBUI_GATEWAY_AUTH_KEYS_FILE), or auth.mode = \"edge\" if a proxy in front "
                 "checks who calls, or listen on 127.0.0.1"});
    if (auth.mode == auth_mode::keys && auth.keys.empty())
        l.problems.push_back({origin_of(l, "auth.mode"),
                              "auth.mode is \"keys\", but there is none; set auth.keys or "
                              "auth.keys_file"});
    if (auth.mode == auth_mode::none && !auth.keys.empty())
        l.problems.push_back({origin_of(l, "auth.mode"),
                              "auth.mode is \"none\", but there are keys that would mean nothing; "
                              "remove one of them"});
    if (auth.mode == auth_mode::edge && open_to_others)
        l.notes.push_back("auth.mode is edge: whoever reaches " + listen +
                          " without the proxy in front needs no key");
}

void settle_folders(loaded& l, const sources& from)
{
    std::string& data = l.settings.data.dir;
    if (data.empty()) {
        if (const std::string* home = variable(from, "HOME"))
            data = *home + "/.local/state/webui-gateway";
        else
            l.problems.push_back({origin_of(l, "data.dir"),
                                  "data.dir is not set, and there is no HOME to put it into; set "
                                  "--data-dir or STATE_DIRECTORY"});
    }
    models_settings& models = l.settings.models;
    if (models.dir.empty())
        models.dir = data + "/models";
    // The WebUI's own layout (decisions.md 17).
    const std::pair<std::string&, const char*> folders[] = {
        {models.checkpoints, "/Stable-diffusion"},
        {models.loras, "/Lora"},
        {models.vae, "/VAE"},
        {models.embeddings, "/embeddings"},
    };
    for (const auto& [folder, below] : folders) {
        if (folder.empty())
            folder = models.dir + below;
    }
    if (models.default_checkpoint.empty() && !models.default_checkpoint_url.empty())
        l.problems.push_back({origin_of(l, "models.default_checkpoint_url"),
                              "models.default_checkpoint_url needs models.default_checkpoint, the "
                              "name to keep it under"});
}

void settle_webuis(loaded& l)
{
    names& urls = l.settings.webui.urls;
    // Simulated WebUIs stand in for the default one, not beside it.
    if (l.settings.simulate.count > 0 && urls == webui_settings().urls)
        urls.clear();
    constexpr std::string_view api = "/sdapi/v1";
    for (std::string& url : urls) {
        while (url.ends_with('/'))
            url.pop_back();
        if (url.ends_with(api))
            url.resize(url.size() - api.size());
        while (url.ends_with('/'))
            url.pop_back();
    }
    for (auto at = urls.begin(); at != urls.end(); ++at) {
        if (std::find(urls.begin(), at, *at) != at)
            l.problems.push_back({origin_of(l, "webui.urls"),
                                  "webui.urls has " + quoted(*at) +
                                      " twice; two jobs at a time would get in each other's way"});
    }
    if (urls.empty() && l.settings.simulate.count == 0)
        l.problems.push_back(
            {origin_of(l, "webui.urls"), "webui.urls is empty; name a WebUI, or try --simulate"});
}

void check_numbers(loaded& l)
{
    const download_settings& download = l.settings.download;
    if (download.max_backoff < download.backoff)
        l.problems.push_back({origin_of(l, "download.max_backoff"),
                              "download.max_backoff is " + show_time(download.max_backoff) +
                                  "; it must not be shorter than download.backoff, " +
                                  show_time(download.backoff)});
    const webhook_settings& webhook = l.settings.webhook;
    if (webhook.max_breaker_pause < webhook.breaker_pause)
        l.problems.push_back({origin_of(l, "webhook.max_breaker_pause"),
                              "webhook.max_breaker_pause is " +
                                  show_time(webhook.max_breaker_pause) +
                                  "; it must not be shorter than webhook.breaker_pause, " +
                                  show_time(webhook.breaker_pause)});
}

// The usual variables, in either case; a proxy that is set by hand wins.
void settle_proxy(loaded& l, const sources& from)
{
    auto& download = l.settings.download;
    const auto find = [&from](std::initializer_list<const char*> names_of) -> std::string {
        for (const auto* name : names_of) {
            if (const std::string* value = variable(from, name);
                value != nullptr && !value->empty())
                return *value;
        }
        return {};
    };
    if (download.proxy == "environment") {
        download.proxy = find({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"});
        auto direct = find({"no_proxy", "NO_PROXY"});
        for (std::string_view rest = direct; !rest.empty();) {
            const auto end = std::min(rest.find(','), rest.size());
            if (const auto host = trim(rest.substr(0, end)); !host.empty())
                download.no_proxy.emplace_back(host);
            rest.remove_prefix(std::min(end + 1, rest.size()));
        }
    }
    if (download.proxy.empty())
        return;
    if (!download.proxy.starts_with("http://"))
        l.problems.push_back({origin_of(l, "download.proxy"),
                              "the proxy must be a URL such as \"http://proxy.lan:3128\""});
    l.notes.push_back("download.proxy: downloads go through a proxy; that it may not connect to "
                      "private addresses is checked for the proxy alone, not for the servers");
}

// What decisions.md 21 and 22 want said at start.
void note_exemptions(loaded& l)
{
    const settings& s = l.settings;
    for (const auto& [host, address] : s.net.resolve)
        l.notes.push_back("net.resolve: " + host + " is " + address +
                          " and may be a private address");
    for (const std::string& host : s.download.exempt_hosts)
        l.notes.push_back("download.exempt_hosts: " + host + " may use http and private addresses");
    if (s.download.allow_pickle)
        l.notes.push_back("download.allow_pickle: files are taken that run code when loaded");
    for (const std::string& host : s.webhook.allow_hosts)
        l.notes.push_back("webhook.allow_hosts: " + host + " may have private addresses");
    if (s.webhook.allow_private)
        l.notes.push_back("webhook.allow_private: whoever submits jobs can make the gateway send "
                          "requests into your network");
    if (s.recovery.clean_caches)
        l.notes.push_back("recovery.clean_caches: files are deleted under a WebUI that may run");
}

} // namespace

bool is_loopback(std::string_view listen)
{
    const std::string_view host = listen.substr(0, listen.rfind(':'));
    if (host == "localhost")
        return true;
    in_addr v4{};
    if (::inet_pton(AF_INET, std::string(host).c_str(), &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    in6_addr v6{};
    if (host.size() < 2 || host.front() != '[')
        return false;
    const std::string inner(host.substr(1, host.size() - 2));
    return ::inet_pton(AF_INET6, inner.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6) != 0;
}

void derive(loaded& into, const sources& from)
{
    std::string& listen = into.settings.server.listen;
    if (listen.starts_with("localhost:"))
        listen.replace(0, 9, "127.0.0.1");
    // RunPod names both ports, also when they are the same.
    std::string& health = into.settings.server.health_listen;
    const std::string port = health.substr(health.rfind(':') + 1);
    if (port != "0" && port == listen.substr(listen.rfind(':') + 1))
        health.clear();
    read_keys(into, from);
    settle_auth(into, from);
    settle_folders(into, from);
    settle_webuis(into);
    check_numbers(into);
    settle_proxy(into, from);
    note_exemptions(into);
}

} // namespace gateway::config
