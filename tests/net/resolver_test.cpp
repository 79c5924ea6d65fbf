#include "net/resolver.hpp"

#include "net/error.hpp"
#include "support/world.hpp"

#include <boost/asio/error.hpp>
#include <boost/test/unit_test.hpp>

#include <future>

using namespace gateway;
using namespace gateway::net;
using namespace std::chrono_literals;

namespace {

struct naming : test::world {
    lane inline_dns{"dns", 0};
    std::map<std::string, result<std::vector<std::string>>> names;
    int lookups = 0;
    std::optional<resolver> names_of;
    address_policy policy;
    std::optional<result<std::vector<address>>> got;

    naming()
    {
        names_of.emplace(inline_dns, time, 5s, 30s, [this](const std::string& host) {
            ++lookups;
            const auto place = names.find(host);
            if (place == names.end())
                return result<std::vector<std::string>>(error_code(asio::error::host_not_found));
            return place->second;
        });
        policy.allow_private = false;
    }

    static task<> resolve_into(resolver& from, std::string host, const address_policy& policy,
                               std::optional<result<std::vector<address>>>& into)
    {
        auto found = co_await from.resolve(std::move(host), 443, policy);
        into.emplace(std::move(found));
    }
    void ask(std::string host)
    {
        got.reset();
        run(resolve_into(*names_of, std::move(host), policy, got));
    }
    // "ip:port ip:port", or the error.
    std::string answer(std::string host)
    {
        ask(std::move(host));
        if (!got)
            return "waiting";
        if (!*got)
            return got->error().message();
        std::string text;
        for (const auto& at : **got)
            text += (text.empty() ? "" : " ") + at.ip + "|" + std::to_string(at.port);
        return text;
    }
    bool refuses(std::string host)
    {
        ask(std::move(host));
        return got && !*got && got->error() == net::error::address_refused;
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(resolver_, naming)

BOOST_AUTO_TEST_CASE(only_globally_routable_addresses_are_public)
{
    for (const char* ip :
         {"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1",
          "192.0.1.1", "192.167.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255",
          "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "2002:0808:0808::1", "2001:200::1"})
        BOOST_TEST(is_public_address(ip), ip);
    for (const char* ip : {"0.0.0.0",
                           "0.1.2.3",
                           "10.0.0.1",
                           "100.64.0.1",
                           "100.127.255.255",
                           "127.0.0.1",
                           "127.255.255.255",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.0.1",
                           "192.0.2.1",
                           "192.88.99.1",
                           "192.168.0.1",
                           "198.18.0.1",
                           "198.19.255.255",
                           "198.51.100.1",
                           "203.0.113.1",
                           "224.0.0.1",
                           "239.1.1.1",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "::7f00:1",
                           "::ffff:127.0.0.1",
                           "::ffff:10.0.0.1",
                           "64:ff9b::7f00:1",
                           "64:ff9b::808:808",
                           "64:ff9b:1::1",
                           "100::1",
                           "2001::1",
                           "2001:0:808:808::1",
                           "2001:1ff::1",
                           "2001:db8::1",
                           "2002:7f00:1::",
                           "2002:c0a8:1::1",
                           "fc00::1",
                           "fd12::1",
                           "fe80::1",
                           "fe80::1%1",
                           "febf::1",
                           "fec0::1",
                           "ff02::1",
                           "2606:4700::5efe:808:808",
                           "2606:4700::200:5efe:a00:1",
                           "",
                           "localhost",
                           "1.1.1",
                           "01.1.1.1",
                           "1.1.1.1.1"})
        BOOST_TEST(!is_public_address(ip), ip);
}

BOOST_AUTO_TEST_CASE(a_numeric_address_needs_no_lookup)
{
    policy.allow_private = true;
    BOOST_TEST(answer("127.0.0.1") == "127.0.0.1|443");
    BOOST_TEST(answer("::1") == "::1|443");
    BOOST_TEST(lookups == 0);
}

BOOST_AUTO_TEST_CASE(one_private_address_among_public_ones_refuses_the_host)
{
    names.emplace("mixed.test", std::vector<std::string>{"8.8.8.8", "10.0.0.1"});
    names.emplace("public.test", std::vector<std::string>{"8.8.8.8", "2606:4700::1"});

    BOOST_TEST(refuses("mixed.test"));
    BOOST_TEST(refuses("127.0.0.1"));
    BOOST_TEST(refuses("::ffff:169.254.169.254"));
    BOOST_TEST(answer("public.test") == "8.8.8.8|443 2606:4700::1|443");
    policy.allow_private = true;
    BOOST_TEST(answer("mixed.test") == "8.8.8.8|443 10.0.0.1|443");
}

BOOST_AUTO_TEST_CASE(an_exempt_host_may_be_private)
{
    names.emplace("lan.test", std::vector<std::string>{"192.168.0.9"});
    policy.exempt_hosts = {"lan.test", "127.0.0.1:443", "other.test:80"};

    BOOST_TEST(answer("LAN.test") == "192.168.0.9|443");
    BOOST_TEST(answer("127.0.0.1") == "127.0.0.1|443");
    names.emplace("other.test", std::vector<std::string>{"192.168.0.9"});
    BOOST_TEST(refuses("other.test")); // exempt on another port
}

BOOST_AUTO_TEST_CASE(odd_spellings_of_an_address_are_refused_before_anyone_is_asked)
{
    for (const char* host :
         {"0x7f.1", "2130706433", "017700000001", "127.1", "0x7f000001", "0x7F.0.0.1", "127.0.0.01",
          "127.0.0.1.", "1.2.3.4.5", "a.0x10", "a.1", "0x"})
        BOOST_TEST(refuses(host), host);
    BOOST_TEST(lookups == 0);
}

BOOST_AUTO_TEST_CASE(some_hosts_are_refused_for_what_their_name_says)
{
    net::address_policy strict;
    strict.allow_private = false;
    for (const char* host : {"127.0.0.1", "10.1.2.3", "::1", "fe80::1", "169.254.169.254",
                             "localhost", "LOCALHOST", "app.localhost", "0x7f.1", "2130706433"})
        BOOST_TEST(net::refused_unseen(host, 80, strict), host);
    for (const char* host : {"8.8.8.8", "2606:4700::1111", "app.test", "lan", "localhost.test"})
        BOOST_TEST(!net::refused_unseen(host, 80, strict), host);

    strict.exempt_hosts = {"127.0.0.1:9000", "localhost"};
    BOOST_TEST(!net::refused_unseen("127.0.0.1", 9000, strict));
    BOOST_TEST(net::refused_unseen("127.0.0.1", 9001, strict));
    BOOST_TEST(!net::refused_unseen("localhost", 1, strict));
    BOOST_TEST(!net::refused_unseen("127.0.0.1", 1, net::address_policy{}));
}

BOOST_AUTO_TEST_CASE(an_answer_is_kept_for_a_while_and_an_error_is_not)
{
    names.emplace("a.test", std::vector<std::string>{"8.8.8.8"});
    answer("a.test");
    answer("A.TEST");
    BOOST_TEST(lookups == 1);
    advance(31s);
    answer("a.test");
    BOOST_TEST(lookups == 2);

    BOOST_TEST(answer("unknown.test") == "Host not found (authoritative)");
    answer("unknown.test");
    BOOST_TEST(lookups == 4);
}

BOOST_AUTO_TEST_CASE(a_private_answer_in_the_cache_is_judged_each_time)
{
    names.emplace("lan.test", std::vector<std::string>{"10.0.0.1"});
    policy.allow_private = true;
    BOOST_TEST(answer("lan.test") == "10.0.0.1|443");
    policy.allow_private = false;
    BOOST_TEST(refuses("lan.test"));
}

BOOST_AUTO_TEST_CASE(a_mapped_host_goes_where_it_is_mapped_to_and_is_exempt)
{
    BOOST_TEST(names_of->map("Huggingface.co", "127.0.0.1"));
    BOOST_TEST(names_of->map("civitai.com:443", "127.0.0.1:8443"));
    BOOST_TEST(names_of->map("six.test", "[::1]:8080"));
    BOOST_TEST(!names_of->map("bad.test", "elsewhere"));
    BOOST_TEST(!names_of->map("bad.test", "127.0.0.1:x"));

    BOOST_TEST(answer("huggingface.co") == "127.0.0.1|443");
    BOOST_TEST(answer("civitai.com") == "127.0.0.1|8443");
    BOOST_TEST(answer("six.test") == "::1|8080");
}

BOOST_AUTO_TEST_CASE(a_lookup_that_takes_too_long_is_given_up_and_its_late_answer_dropped)
{
    std::promise<void> let_go;
    std::promise<void> asked;
    lane slow("dns", 1);
    int calls = 0;
    names_of.emplace(slow, time, 5s, 30s, [&](const std::string&) {
        if (++calls == 1) {
            asked.set_value();
            let_go.get_future().wait();
        }
        return result<std::vector<std::string>>(std::vector<std::string>{"8.8.4.4"});
    });
    start(resolve_into(*names_of, "slow.test", policy, got));
    std::optional<result<std::vector<address>>> second;
    start(resolve_into(*names_of, "slow.test", policy, second));
    settle();
    asked.get_future().wait();
    BOOST_TEST(!got.has_value());

    advance(5s);

    BOOST_REQUIRE(got && second);
    BOOST_TEST((got->error() == asio::error::timed_out));
    BOOST_TEST((second->error() == asio::error::timed_out));
    let_go.set_value();
    loop.restart();
    loop.run_one_for(10s); // the late answer comes back from its lane

    got.reset();
    start(resolve_into(*names_of, "slow.test", policy, got));
    settle();
    while (!got && loop.run_one_for(10s) > 0) {
    }
    BOOST_REQUIRE(got);
    BOOST_TEST(got->has_value());
    BOOST_TEST(calls == 2);
}

BOOST_AUTO_TEST_CASE(those_who_ask_for_one_name_together_share_one_lookup)
{
    std::promise<void> let_go;
    lane slow("dns", 1);
    names_of.emplace(slow, time, 5s, 30s, [&](const std::string&) {
        ++lookups;
        let_go.get_future().wait();
        return result<std::vector<std::string>>(std::vector<std::string>{"8.8.4.4"});
    });
    std::array<std::optional<result<std::vector<address>>>, 3> all;
    for (auto& one : all)
        start(resolve_into(*names_of, "a.test", policy, one));
    settle();
    let_go.set_value();
    loop.restart();
    while (!(all[0] && all[1] && all[2]) && loop.run_one_for(10s) > 0) {
    }

    for (const auto& one : all)
        BOOST_TEST((one && one->has_value()));
    BOOST_TEST(lookups == 1);
}

BOOST_AUTO_TEST_CASE(the_system_knows_where_localhost_is)
{
    const auto found = look_up_with_system("localhost");

    BOOST_REQUIRE(found.has_value());
    BOOST_TEST(!found->empty());
    BOOST_TEST(!is_public_address(found->front()));
}

BOOST_AUTO_TEST_SUITE_END()
