#include "config/settings.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

using namespace gateway;
using namespace gateway::config;

namespace {

loaded with(std::vector<flag> flags, std::map<std::string, std::string> environment = {})
{
    sources from;
    from.environment = std::move(environment);
    from.environment.emplace("HOME", "/home/me");
    from.flags = std::move(flags);
    return load(from);
}

bool refused_for(const loaded& l, std::string_view words)
{
    return std::any_of(l.problems.begin(), l.problems.end(),
                       [&](const problem& p) { return p.what.find(words) != std::string::npos; });
}

bool noted(const loaded& l, std::string_view words)
{
    return std::any_of(l.notes.begin(), l.notes.end(), [&](const std::string& note) {
        return note.find(words) != std::string::npos;
    });
}

} // namespace

BOOST_AUTO_TEST_SUITE(derive_)

BOOST_AUTO_TEST_CASE(only_loopback_may_be_open_without_keys)
{
    const std::pair<const char*, bool> cases[] = {
        {"127.0.0.1:8000", true}, {"127.8.9.10:0", true},   {"[::1]:8000", true},
        {"localhost:8000", true}, {"0.0.0.0:8000", false},  {":8000", false},
        {"[::]:8000", false},     {"10.0.0.1:8000", false}, {"128.0.0.1:80", false},
    };
    for (const auto& [listen, is_safe] : cases) {
        BOOST_TEST(is_loopback(listen) == is_safe, listen);
        const loaded l = with({{"--listen", listen}});
        BOOST_TEST(l.ok() == is_safe, listen << ": " << check(l));
        BOOST_TEST(refused_for(l, "no key is set. Set auth.keys") == !is_safe, listen);
    }
    BOOST_TEST(with({{"--listen", "localhost:80"}}).settings.server.listen == "127.0.0.1:80");
}

BOOST_AUTO_TEST_CASE(keys_or_an_edge_open_other_addresses)
{
    struct {
        std::vector<flag> flags;
        std::map<std::string, std::string> environment;
        auth_mode expected;
    } cases[] = {
        {{{"--set", "auth.keys=a"}}, {}, auth_mode::keys},
        {{{"--set", "auth.mode=edge"}}, {}, auth_mode::edge},
        {{}, {{"RUNPOD_ENDPOINT_ID", "abc"}}, auth_mode::edge},
        {{{"--set", "auth.keys=a"}}, {{"RUNPOD_ENDPOINT_ID", "abc"}}, auth_mode::keys},
    };
    for (auto& c : cases) {
        c.flags.push_back({"--listen", "0.0.0.0:8000"});
        const loaded l = with(c.flags, c.environment);
        BOOST_TEST(l.ok(), check(l));
        BOOST_TEST((l.settings.auth.mode == c.expected));
        BOOST_TEST(noted(l, "needs no key") == (c.expected == auth_mode::edge));
    }
}

BOOST_AUTO_TEST_CASE(modes_and_keys_must_agree)
{
    BOOST_TEST(refused_for(with({{"--set", "auth.mode=keys"}}), "but there is none"));
    BOOST_TEST(refused_for(with({{"--set", "auth.mode=none"}, {"--set", "auth.keys=a"}}),
                           "keys that would mean nothing"));
    BOOST_TEST(with({}).ok());
    BOOST_TEST((with({}).settings.auth.mode == auth_mode::none));
}

BOOST_AUTO_TEST_CASE(a_line_of_the_keys_file_is_one_key)
{
    sources from;
    from.environment["HOME"] = "/home/me";
    from.flags = {{"--set", "auth.keys_file=/keys"}};
    from.read_file = [](const std::string&) -> result<std::string> {
        return std::string("a\nb c\n");
    };

    const loaded l = load(from);

    BOOST_REQUIRE_EQUAL(l.problems.size(), 1u);
    BOOST_TEST(l.problems[0].where == "/keys:2");
}

BOOST_AUTO_TEST_CASE(folders_follow_from_each_other)
{
    const settings plain = with({}).settings;
    BOOST_TEST(plain.data.dir == "/home/me/.local/state/webui-gateway");
    BOOST_TEST(plain.models.dir == plain.data.dir + "/models");
    BOOST_TEST(plain.models.checkpoints == plain.models.dir + "/Stable-diffusion");

    const settings chosen =
        with({{"--data-dir", "/d"}, {"--models-dir", "/m"}, {"--set", "models.loras=/elsewhere"}})
            .settings;
    BOOST_TEST(chosen.data.dir == "/d");
    BOOST_TEST(chosen.models.vae == "/m/VAE");
    BOOST_TEST(chosen.models.loras == "/elsewhere");
    BOOST_TEST(chosen.models.embeddings == "/m/embeddings");

    BOOST_TEST(refused_for(load(sources{}), "there is no HOME"));
}

BOOST_AUTO_TEST_CASE(a_webui_url_loses_its_api_path)
{
    const std::pair<const char*, const char*> cases[] = {
        {"http://127.0.0.1:3000/sdapi/v1", "http://127.0.0.1:3000"},
        {"http://127.0.0.1:3000/sdapi/v1/", "http://127.0.0.1:3000"},
        {"https://gpu.lan/sd/", "https://gpu.lan/sd"},
        {"http://[::1]:7860", "http://[::1]:7860"},
    };
    for (const auto& [given, expected] : cases) {
        const loaded l = with({{"--webui", given}});
        BOOST_TEST(l.ok(), check(l));
        BOOST_TEST((l.settings.webui.urls == names{expected}));
    }
    for (const char* bad : {"127.0.0.1:3000", "ftp://a", "http://", "http://u:p@h", "http://h/?q",
                            "http://h:99999", "http://a b"})
        BOOST_TEST(!with({{"--webui", bad}}).ok(), bad);
}

BOOST_AUTO_TEST_CASE(one_webui_is_named_once)
{
    BOOST_TEST(refused_for(with({{"--webui", "http://h:1/"}, {"--webui", "http://h:1/sdapi/v1"}}),
                           "\"http://h:1\" twice"));
    BOOST_TEST(refused_for(with({{"--set", "webui.urls="}}), "webui.urls is empty"));
}

BOOST_AUTO_TEST_CASE(simulated_webuis_replace_the_default_one_and_join_a_named_one)
{
    const loaded alone = with({{"--simulate", "2"}});
    const loaded both = with({{"--simulate", "1"}, {"--webui", "http://a:1"}});

    BOOST_TEST(alone.ok());
    BOOST_TEST(alone.settings.webui.urls.empty());
    BOOST_TEST((both.settings.webui.urls == names{"http://a:1"}));
}

BOOST_AUTO_TEST_CASE(settings_that_contradict_each_other_are_refused)
{
    BOOST_TEST(refused_for(with({{"--set", "download.backoff=1m"}}),
                           "download.max_backoff is 30s; it must not be shorter"));
    BOOST_TEST(refused_for(with({{"--set", "models.default_checkpoint_url=https://h/x"}}),
                           "needs models.default_checkpoint"));
    BOOST_TEST(refused_for(with({{"--set", "webhook.breaker_pause=10m"}}),
                           "webhook.max_breaker_pause is 5m; it must not be shorter"));
}

BOOST_AUTO_TEST_CASE(exemptions_from_the_address_rule_are_said_at_start)
{
    const loaded l = with({{"--allow-host", "127.0.0.1:9000"},
                           {"--set", "net.resolve=files.lan:443=10.0.0.5,b.lan=[::1]:80"},
                           {"--allow-webhook", "app.lan"},
                           {"--set", "webhook.allow_private=true"},
                           {"--set", "recovery.clean_caches=true"}});

    BOOST_TEST(l.ok(), check(l));
    BOOST_TEST(l.settings.net.resolve.at("files.lan:443") == "10.0.0.5");
    BOOST_TEST(noted(l, "download.exempt_hosts: 127.0.0.1:9000"));
    BOOST_TEST(noted(l, "net.resolve: b.lan is [::1]:80"));
    BOOST_TEST(noted(l, "recovery.clean_caches"));
    BOOST_TEST(noted(l, "webhook.allow_hosts: app.lan"));
    BOOST_TEST(noted(l, "webhook.allow_private"));
}

BOOST_AUTO_TEST_CASE(a_proxy_is_used_only_when_it_is_asked_for)
{
    const std::map<std::string, std::string> environment{{"HTTPS_PROXY", "http://p.lan:3128"},
                                                         {"NO_PROXY", "files.lan, .example.org,"}};
    BOOST_TEST(with({}, environment).settings.download.proxy == "");

    const loaded asked = with({{"--set", "download.proxy=environment"}}, environment);
    BOOST_TEST(asked.ok(), check(asked));
    BOOST_TEST(asked.settings.download.proxy == "http://p.lan:3128");
    const names direct{"files.lan", ".example.org"};
    BOOST_TEST(asked.settings.download.no_proxy == direct, boost::test_tools::per_element());
    BOOST_TEST(noted(asked, "checked for the proxy alone"));

    BOOST_TEST(with({{"--set", "download.proxy=environment"}}).settings.download.proxy == "");
    const loaded by_hand =
        with({{"--set", "download.proxy=http://me:word@other.lan:80"}}, environment);
    BOOST_TEST(by_hand.ok(), check(by_hand));
    BOOST_TEST(by_hand.settings.download.proxy == "http://me:word@other.lan:80");
    BOOST_TEST(print(by_hand).find("word") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_proxy_of_another_kind_is_refused)
{
    for (const char* wrong : {"socks5://p.lan:1080", "p.lan:3128", "http://", "http://p.lan/x"})
        BOOST_TEST(!with({{"--set", std::string("download.proxy=") + wrong}}).ok(), wrong);
    BOOST_TEST(refused_for(
        with({{"--set", "download.proxy=environment"}}, {{"ALL_PROXY", "socks5://p.lan:1080"}}),
        "the proxy must be"));
}

BOOST_AUTO_TEST_CASE(credentials_are_by_host_and_never_shown)
{
    const loaded l =
        with({{"--set", "download.credentials=files.lan=abc123,*.example.org=Basic eHl6"}});
    BOOST_TEST(l.ok(), check(l));
    BOOST_TEST(l.settings.download.credentials.at("files.lan") == "abc123");
    BOOST_TEST(l.settings.download.credentials.at("*.example.org") == "Basic eHl6");
    BOOST_TEST(print(l).find("abc123") == std::string::npos);
    BOOST_TEST(!with({{"--set", "download.credentials=files.lan="}}).ok());
}

BOOST_AUTO_TEST_CASE(taking_pickles_is_said_at_start)
{
    BOOST_TEST(noted(with({{"--set", "download.allow_pickle=true"}}), "run code"));
    BOOST_TEST(!noted(with({}), "run code"));
}

BOOST_AUTO_TEST_SUITE_END()
