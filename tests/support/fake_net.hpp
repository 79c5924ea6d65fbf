#pragma once

// A network in memory: names, addresses, ports, and servers whose every answer the test writes.
// Nothing here opens a socket; time passes only when the test says so.

#include "net/client.hpp"
#include "support/world.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gateway::test {

// One request as a server got it.
struct heard {
    std::string method;
    std::string target;
    net::header_list headers; // names in lower case
    std::string body;
    int connection = 0; // counts from 1, over the whole life of the server
    steady_time when{};

    std::string path() const { return target.substr(0, target.find('?')); }
    std::string header(std::string_view lower_case_name) const; // empty when absent
};

// What a server does with a request: waits, then sends an answer, or a part of one.
struct answer {
    enum class ending : std::uint8_t {
        whole,   // all of it; the connection is kept
        closed,  // all of it, without a length: the end of the connection is the end of the body
        cut,     // the connection ends after `part` bytes of head and body together
        reset,   // as cut, with a reset
        stalled, // after `part` bytes nothing more comes
    };

    int status = 200;
    std::string body;
    std::string type = "application/json";
    net::header_list headers;
    std::optional<std::uint64_t> announced; // Content-Length, when it is not the body's own
    duration after{};
    std::shared_ptr<net::gate> held; // and not before this is open
    ending end = ending::whole;
    std::size_t part = 0;

    answer() = default;
    answer(int s, std::string b) : status(s), body(std::move(b)) {}
    static answer redirect(std::string to, int status = 302);
    static answer reset_at(std::size_t part);

    // The size of what comes before the body: `cut` after a head is head_size() + n.
    std::size_t head_size() const;
    std::string head_text() const;
};

class memory_stream;

// One host and port.
class fake_server {
public:
    using handler = std::function<answer(const heard&)>;
    enum class port : std::uint8_t {
        open,
        closed,     // refused
        swallowing, // a connect gets no answer
        resetting,  // connects, and is reset before a byte can be sent
    };

    fake_server(world& w, net::task_group& serving, std::string origin);

    // Without one, everything is 404 with an empty body.
    void on_request(handler h) { handler_ = std::move(h); }
    void set_port(port p) { port_ = p; }
    port state() const { return port_; }
    // Ends every connection there is, with a reset.
    void drop_connections();

    const std::vector<heard>& requests() const { return requests_; }
    std::vector<heard> requests_for(std::string_view path) const;
    std::size_t count(std::string_view method, std::string_view path) const;
    void forget() { requests_.clear(); }
    int connects() const { return connects_; } // asked for, whether or not anybody listened
    std::size_t open_connections() const;

private:
    friend class fake_net;
    std::shared_ptr<net::stream> accept();
    static net::task<> serve(fake_server& self, std::shared_ptr<memory_stream> peer, int number);
    static net::task<bool> give(fake_server& self, std::shared_ptr<memory_stream> peer,
                                answer what);

    world& world_;
    net::task_group& serving_;
    std::string origin_;
    handler handler_;
    port port_ = port::open;
    std::vector<std::weak_ptr<memory_stream>> connections_;
    std::vector<heard> requests_;
    int connects_ = 0;
    int accepted_ = 0;
};

class fake_net final : public net::dialer {
public:
    explicit fake_net(world& w) : world_(w), serving_(w.ex()) {}
    ~fake_net();

    // The server at an origin, made on first use: "http://webui:7860". Its host has a public
    // address unless place() says otherwise.
    fake_server& at(const std::string& origin);
    void place(const std::string& host, std::string ip) { addresses_[host] = std::move(ip); }

    net::task<net::outcome<std::shared_ptr<net::stream>>>
    dial(const net::url& to, const net::address_policy& peers, duration limit) override;

private:
    std::optional<net::failure> why_not(const net::url& to, const net::address_policy& peers) const;

    world& world_;
    net::task_group serving_;
    std::map<std::string, std::unique_ptr<fake_server>> servers_;
    std::map<std::string, std::string> addresses_;
};

} // namespace gateway::test
