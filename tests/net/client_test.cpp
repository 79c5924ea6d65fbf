#include "net/client.hpp"

#include "net/error.hpp"
#include "support/scripted_stream.hpp"
#include "support/world.hpp"

#include <boost/asio/error.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::net;
using namespace std::chrono_literals;
using gateway::test::scripted_stream;

namespace {

// Hands out scripted connections in turn; none left is a refused port.
struct scripted_dialer final : dialer {
    std::deque<std::shared_ptr<scripted_stream>> next;
    int dialled = 0;
    duration patience{};

    task<outcome<std::shared_ptr<stream>>> dial(const url& to, const address_policy&,
                                                duration limit) override
    {
        ++dialled;
        patience = limit;
        if (next.empty()) {
            failure f;
            f.code = asio::error::connection_refused;
            f.what = "cannot connect to " + to.origin();
            co_return f;
        }
        std::shared_ptr<stream> peer = next.front();
        next.pop_front();
        co_return peer;
    }
};

struct calling : test::world {
    deadline_wheel wheel{ex(), time};
    scripted_dialer wires;
    std::optional<client> http;
    std::optional<outcome<reply>> got;
    std::optional<outcome<std::unique_ptr<reply_stream>>> opened;
    std::vector<std::shared_ptr<scripted_stream>> made;

    calling() { http.emplace(wires, time, wheel); }
    ~calling()
    {
        opened.reset();
        for (const auto& peer : made)
            peer->close();
        http.reset();
        settle();
    }

    std::shared_ptr<scripted_stream> wire()
    {
        auto peer = std::make_shared<scripted_stream>(ex());
        made.push_back(peer);
        wires.next.push_back(peer);
        return peer;
    }

    static client_request request(std::string method = "GET", std::string body = {})
    {
        client_request r;
        r.method = std::move(method);
        r.to = *url::parse("http://webui.test:7860/sdapi/v1/x?y=1");
        r.body = std::move(body);
        return r;
    }

    static task<> fetch_into(client& from, client_request r, std::optional<outcome<reply>>& into)
    {
        auto result = co_await from.fetch(std::move(r));
        into.emplace(std::move(result));
    }
    static task<> open_into(client& from, client_request r,
                            std::optional<outcome<std::unique_ptr<reply_stream>>>& into)
    {
        auto result = co_await from.stream(std::move(r));
        into.emplace(std::move(result));
    }

    void fetch(client_request r)
    {
        got.reset();
        start(fetch_into(*http, std::move(r), got));
        settle();
    }
    void arrives(const std::shared_ptr<scripted_stream>& peer, std::string bytes)
    {
        peer->arrives(std::move(bytes));
        settle();
    }
    failure failed()
    {
        BOOST_REQUIRE(got);
        BOOST_REQUIRE(!got->has_value());
        return got->error();
    }
    std::string body()
    {
        BOOST_REQUIRE(got);
        BOOST_REQUIRE_MESSAGE(got->has_value(), (got->has_value() ? "" : got->error().what));
        return (*got)->body;
    }
};

const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

} // namespace

BOOST_FIXTURE_TEST_SUITE(client_, calling)

BOOST_AUTO_TEST_CASE(a_request_leaves_in_one_write_with_what_a_webui_needs)
{
    const auto peer = wire();
    auto r = request("POST", "{}");
    r.headers.emplace_back("Content-Type", "application/json");

    fetch(r);
    arrives(peer, ok);

    BOOST_TEST(peer->writes() == 1U);
    BOOST_TEST(peer->written() == "POST /sdapi/v1/x?y=1 HTTP/1.1\r\n"
                                  "Host: webui.test:7860\r\n"
                                  "Content-Type: application/json\r\n"
                                  "Accept-Encoding: identity\r\n"
                                  "Connection: keep-alive\r\n"
                                  "Content-Length: 2\r\n\r\n{}");
    BOOST_TEST(body() == "ok");
}

BOOST_AUTO_TEST_SUITE_END()
