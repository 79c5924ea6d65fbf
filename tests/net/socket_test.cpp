// The one test of net with real sockets, all on loopback: what scripted streams cannot show. Every
// case is bounded and none waits for time to pass.

#include "net/client.hpp"
#include "net/server.hpp"

#include "net/tcp.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>

using namespace gateway;
using namespace gateway::net;
using namespace std::chrono_literals;
using asio::ip::tcp;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

struct echo_service final : service {
    verdict admit(const request&) override { return {64 * 1024 * 1024, std::nullopt}; }
    task<response> handle(request& req) override
    {
        response answer;
        answer.headers.emplace_back("X-Peer", std::string(req.peer));
        answer.body = std::string(req.method) + ' ' + req.body;
        co_return answer;
    }
    response refuse(protocol_error what, const request*) override
    {
        response answer;
        answer.status = what == protocol_error::body_too_large ? 413 : 400;
        answer.body = "refused";
        return answer;
    }
    response internal_error(const request&, std::string_view what) override
    {
        response answer;
        answer.status = 500;
        answer.body = std::string(what);
        return answer;
    }
};

struct small_service final : service {
    echo_service others;
    verdict admit(const request&) override { return {10, std::nullopt}; }
    task<response> handle(request& req) override { co_return co_await others.handle(req); }
    response refuse(protocol_error what, const request* r) override
    {
        return others.refuse(what, r);
    }
    response internal_error(const request& r, std::string_view what) override
    {
        return others.internal_error(r, what);
    }
};

struct loopback {
    asio::io_context loop{1};
    real_time time;
    lane dns{"dns", 0};
    deadline_wheel wheel{loop.get_executor(), time, 10ms};
    resolver names{dns, time};
    tls_settings tls;
    std::unique_ptr<dialer> wires;
    std::optional<client> http;
    std::optional<outcome<reply>> got;

    client& calls()
    {
        if (!wires)
            wires = make_dialer(names, time, wheel, tls);
        if (!http)
            http.emplace(*wires, time, wheel);
        return *http;
    }
    void run(task<> work)
    {
        bool done = false;
        asio::co_spawn(loop, std::move(work), [&done](std::exception_ptr failure) {
            done = true;
            if (failure)
                std::rethrow_exception(failure);
        });
        const auto end = time.now() + 20s;
        loop.restart();
        while (!done && time.now() < end)
            loop.run_one_for(1s);
        BOOST_REQUIRE(done);
    }
    void drain(server& door) { run(drain_now(door)); }
    static task<> drain_now(server& door) { co_await door.drain(1s); }
    static task<> fetch_into(client& from, client_request r, std::optional<outcome<reply>>& into)
    {
        auto result = co_await from.fetch(std::move(r));
        into.emplace(std::move(result));
    }
    void fetch(const std::string& to, std::string body = {}, std::string by_proxy = {})
    {
        client_request r;
        r.peers.proxy = std::move(by_proxy);
        r.method = body.empty() ? "GET" : "POST";
        r.to = *url::parse(to);
        r.body = std::move(body);
        r.body_limit = 64 * 1024 * 1024;
        got.reset();
        run(fetch_into(calls(), std::move(r), got));
    }
    std::string body()
    {
        BOOST_REQUIRE(got);
        BOOST_REQUIRE_MESSAGE(got->has_value(), (got->has_value() ? "" : got->error().what));
        return (*got)->body;
    }
};

std::uint16_t listen(server& door)
{
    const auto port = door.listen("127.0.0.1:0");
    BOOST_REQUIRE(port.has_value());
    return *port;
}

std::string at(std::uint16_t port) { return "http://127.0.0.1:" + std::to_string(port); }

// A certificate for one host that is its own authority, made here and now.
struct throwaway_certificate {
    std::filesystem::path file = std::filesystem::temp_directory_path() /
                                 ("socket_test_" + std::to_string(::getpid()) + ".pem");
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();

    explicit throwaway_certificate(const std::string& names)
    {
        X509_set_version(certificate, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
        X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
        X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
        X509_set_pubkey(certificate, key);
        auto* const name = X509_get_subject_name(certificate);
        const auto* const text = reinterpret_cast<const unsigned char*>("throwaway");
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0);
        X509_set_issuer_name(certificate, name);
        auto* const alternative =
            X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
        X509_add_ext(certificate, alternative, -1);
        X509_EXTENSION_free(alternative);
        X509_sign(certificate, key, EVP_sha256());
        std::FILE* const out = std::fopen(file.c_str(), "w");
        PEM_write_X509(out, certificate);
        std::fclose(out);
    }
    throwaway_certificate(const throwaway_certificate&) = delete;
    throwaway_certificate& operator=(const throwaway_certificate&) = delete;
    ~throwaway_certificate()
    {
        X509_free(certificate);
        EVP_PKEY_free(key);
        std::filesystem::remove(file);
    }
};

// Answers one request over TLS.
task<> serve_tls(tcp::acceptor& door, asio::ssl::context& context)
{
    auto [ec, socket] = co_await door.async_accept(as_result);
    if (ec)
        co_return;
    asio::ssl::stream<tcp::socket> peer(std::move(socket), context);
    auto [bad] = co_await peer.async_handshake(asio::ssl::stream_base::server, as_result);
    if (bad)
        co_return;
    std::array<char, 4096> block{};
    const auto room = asio::buffer(block);
    auto [unread, n] = co_await peer.async_read_some(room, as_result);
    if (unread)
        co_return;
    const std::string_view text = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
    const auto answer = asio::buffer(text.data(), text.size());
    auto [unsent, m] = co_await peer.async_write_some(answer, as_result);
    (void)unsent;
    (void)m;
}

struct tls_peer {
    throwaway_certificate identity;
    asio::ssl::context context{asio::ssl::context::tls_server};
    tcp::acceptor door;

    tls_peer(asio::io_context& loop, const std::string& names)
        : identity(names), door(loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0))
    {
        SSL_CTX_use_certificate(context.native_handle(), identity.certificate);
        SSL_CTX_use_PrivateKey(context.native_handle(), identity.key);
        asio::co_spawn(loop, serve_tls(door, context), [](std::exception_ptr) {});
    }
    std::uint16_t port() const { return door.local_endpoint().port(); }
};

task<> pass_on(tcp::socket& from, tcp::socket& to)
{
    std::array<char, 4096> block{};
    for (;;) {
        const auto room = asio::buffer(block);
        auto [ended, n] = co_await from.async_read_some(room, as_result);
        if (ended)
            break;
        const auto piece = asio::buffer(block.data(), n);
        auto [broken, m] = co_await asio::async_write(to, piece, as_result);
        (void)m;
        if (broken)
            break;
    }
    error_code ignored;
    to.shutdown(tcp::socket::shutdown_send, ignored);
}

// An HTTP proxy for one connection: answers CONNECT as it is told, and leads to `to`.
struct proxy {
    tcp::acceptor door;
    tcp::socket client, server;
    std::uint16_t to;
    std::string answer = "HTTP/1.1 200 Connection established\r\n\r\n";
    std::string asked;

    proxy(asio::io_context& loop, std::uint16_t leads_to)
        : door(loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
          client(loop),
          server(loop),
          to(leads_to)
    {
        asio::co_spawn(loop, serve(*this), [](std::exception_ptr) {});
    }
    std::string url(const std::string& who = {}) const
    {
        return "http://" + who + "127.0.0.1:" + std::to_string(door.local_endpoint().port());
    }
    static task<> serve(proxy& self)
    {
        auto [ec] = co_await self.door.async_accept(self.client, as_result);
        while (!ec && self.asked.find("\r\n\r\n") == std::string::npos) {
            std::array<char, 7> block{};
            const auto room = asio::buffer(block);
            auto [ended, n] = co_await self.client.async_read_some(room, as_result);
            ec = ended;
            self.asked.append(block.data(), n);
        }
        const auto text = asio::buffer(self.answer);
        auto [unsent, m] = co_await asio::async_write(self.client, text, as_result);
        (void)m;
        if (ec || unsent || self.answer.find(" 200 ") == std::string::npos) {
            self.client.close();
            co_return;
        }
        const tcp::endpoint peer(asio::ip::address_v4::loopback(), self.to);
        auto [closed] = co_await self.server.async_connect(peer, as_result);
        (void)closed;
        const auto ex = co_await asio::this_coro::executor;
        asio::co_spawn(ex, pass_on(self.server, self.client), [](std::exception_ptr) {});
        co_await pass_on(self.client, self.server);
    }
};

task<> read_until_closed(std::shared_ptr<stream> from, std::optional<error_code>& into)
{
    std::array<char, 16> block{};
    const std::span<char> room(block);
    const auto n = co_await from->read_some(room);
    into = n ? error_code() : n.error();
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(socket_, loopback)

BOOST_AUTO_TEST_CASE(a_client_and_a_server_talk_over_a_kept_connection)
{
    echo_service echo;
    server door(loop.get_executor(), time, wheel, echo);
    const auto port = listen(door);

    fetch(at(port) + "/a");
    BOOST_TEST(body() == "GET ");
    const std::string first((*got)->head.header("x-peer"));
    fetch(at(port) + "/a", "hello");
    BOOST_TEST(body() == "POST hello");
    BOOST_TEST((*got)->head.header("x-peer") == first);
    BOOST_TEST(door.counters().accepted == 1U);
    drain(door);
}

BOOST_AUTO_TEST_CASE(megabytes_pass_both_ways)
{
    echo_service echo;
    server door(loop.get_executor(), time, wheel, echo);
    const auto port = listen(door);
    std::string large(20'000'000, 'x');
    for (std::size_t i = 0; i < large.size(); i += 997)
        large[i] = static_cast<char>('a' + i % 26);

    fetch(at(port), large);

    BOOST_TEST((body() == "POST " + large));
    drain(door);
}

BOOST_AUTO_TEST_CASE(an_upload_that_is_refused_ends_in_an_answer_and_not_in_a_reset)
{
    small_service small;
    server door(loop.get_executor(), time, wheel, small);
    const auto port = listen(door);
    for (int i = 0; i < 10; ++i) {
        fetch(at(port), std::string(10'000'000, 'x'));
        BOOST_TEST(body() == "refused");
        BOOST_TEST((*got)->head.status == 413);
    }
    drain(door);
}

BOOST_AUTO_TEST_CASE(a_port_that_nobody_listens_on_is_refused)
{
    std::uint16_t port = 0;
    {
        const tcp::acceptor gone(loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
        port = gone.local_endpoint().port();
    }
    fetch(at(port));

    BOOST_REQUIRE(!got->has_value());
    BOOST_TEST((got->error().phase == phase::connecting));
    BOOST_TEST((got->error().code == asio::error::connection_refused));
    BOOST_TEST(got->error().nothing_sent);
}

BOOST_AUTO_TEST_CASE(a_port_that_is_taken_or_an_address_that_is_none_cannot_be_listened_on)
{
    echo_service echo;
    server door(loop.get_executor(), time, wheel, echo);
    const auto port = listen(door);

    BOOST_TEST(
        (door.listen("127.0.0.1:" + std::to_string(port)).error() == asio::error::address_in_use));
    for (const char* bad :
         {"", "8000", "host:8000", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000"})
        BOOST_TEST((door.listen(bad).error() == asio::error::invalid_argument), bad);
    drain(door);
}

BOOST_AUTO_TEST_CASE(all_addresses_include_the_loopback_ones)
{
    echo_service echo;
    server door(loop.get_executor(), time, wheel, echo);
    const auto port = door.listen(":0");
    BOOST_REQUIRE(port.has_value());

    fetch(at(*port));

    BOOST_TEST(body() == "GET ");
    BOOST_TEST((*got)->head.header("x-peer").find("127.0.0.1") != std::string_view::npos);
    drain(door);
}

BOOST_AUTO_TEST_CASE(further_connections_than_allowed_wait_until_one_ends)
{
    echo_service echo;
    server_limits limits;
    limits.connections = 1;
    server door(loop.get_executor(), time, wheel, echo, limits);
    const auto port = listen(door);
    for (int i = 0; i < 3; ++i) {
        fetch(at(port));
        BOOST_TEST(body() == "GET ");
        http.reset(); // lets go of its connection
    }
    BOOST_TEST(door.counters().accepted == 3U);
    drain(door);
}

BOOST_AUTO_TEST_CASE(a_mapped_name_leads_to_loopback)
{
    echo_service echo;
    server door(loop.get_executor(), time, wheel, echo);
    const auto port = listen(door);
    BOOST_TEST(names.map("civitai.test:80", "127.0.0.1:" + std::to_string(port)));

    fetch("http://civitai.test/");

    BOOST_TEST(body() == "GET ");
    drain(door);
}

BOOST_AUTO_TEST_CASE(a_private_address_is_refused_before_anyone_is_connected_to)
{
    client_request r;
    r.to = *url::parse("http://127.0.0.1:9/");
    r.peers.allow_private = false;
    run(fetch_into(calls(), r, got));

    BOOST_REQUIRE(!got->has_value());
    BOOST_TEST((got->error().phase == phase::resolving));
}

BOOST_AUTO_TEST_CASE(tls_is_spoken_with_whoever_the_certificate_names)
{
    tls_peer peer(loop, "DNS:models.test");
    tls.ca_file = peer.identity.file.string();
    names.map("models.test", "127.0.0.1:" + std::to_string(peer.port()));

    fetch("https://models.test/");

    BOOST_TEST(body() == "secret");
}

BOOST_AUTO_TEST_CASE(a_numeric_address_is_verified_too)
{
    tls_peer peer(loop, "IP:127.0.0.1");
    tls.ca_file = peer.identity.file.string();

    fetch("https://127.0.0.1:" + std::to_string(peer.port()));

    BOOST_TEST(body() == "secret");
}

BOOST_AUTO_TEST_CASE(a_certificate_for_somebody_else_is_not_accepted)
{
    tls_peer peer(loop, "DNS:other.test");
    tls.ca_file = peer.identity.file.string();
    names.map("models.test", "127.0.0.1:" + std::to_string(peer.port()));

    fetch("https://models.test/");

    BOOST_REQUIRE(!got->has_value());
    BOOST_TEST((got->error().phase == phase::connecting));
    BOOST_TEST(got->error().nothing_sent);
    BOOST_TEST_MESSAGE(got->error().what);
    BOOST_TEST(got->error().what.find("https://models.test") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_certificate_of_an_unknown_authority_is_not_accepted)
{
    tls_peer peer(loop, "DNS:models.test");
    names.map("models.test", "127.0.0.1:" + std::to_string(peer.port()));

    fetch("https://models.test/");

    BOOST_REQUIRE(!got->has_value());
    BOOST_TEST((got->error().phase == phase::connecting));
    BOOST_TEST(got->error().what.find("self-signed certificate") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(tls_goes_through_a_proxy_and_is_verified_behind_it)
{
    tls_peer peer(loop, "DNS:behind.test");
    tls.ca_file = peer.identity.file.string();
    proxy between(loop, peer.port());

    fetch("https://behind.test:8443/x", {}, between.url("user:secret@"));

    BOOST_TEST(body() == "secret");
    BOOST_TEST(between.asked.starts_with("CONNECT behind.test:8443 HTTP/1.1\r\n"));
    BOOST_TEST(between.asked.find("Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n") !=
               std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_proxy_that_does_not_connect_is_named)
{
    proxy between(loop, 1);
    between.answer = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";

    fetch("https://behind.test/x", {}, between.url());

    BOOST_REQUIRE(!got->has_value());
    BOOST_TEST((got->error().phase == phase::connecting));
    BOOST_TEST(got->error().what.find("407") != std::string::npos, got->error().what);
    BOOST_TEST(got->error().what.find("proxy 127.0.0.1") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_peer_that_speaks_no_tls_is_a_failure_to_connect)
{
    echo_service echo;
    server door(loop.get_executor(), time, wheel, echo);
    fetch("https://127.0.0.1:" + std::to_string(listen(door)));

    BOOST_REQUIRE(!got->has_value());
    BOOST_TEST((got->error().phase == phase::connecting));
    drain(door);
}

BOOST_AUTO_TEST_CASE(a_certificate_file_that_cannot_be_read_is_said_at_start)
{
    tls.ca_file = "/nonexistent/ca.pem";

    BOOST_CHECK_EXCEPTION(calls(), std::runtime_error, [](const std::runtime_error& e) {
        return std::string(e.what()).find("/nonexistent/ca.pem") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(a_stream_knows_what_its_peer_does_and_closing_it_ends_a_pending_read)
{
    tcp::acceptor door(loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    tcp::socket far(loop);
    far.connect(door.local_endpoint());
    const auto near = make_tcp_stream(door.accept());
    BOOST_TEST(!near->pending());
    BOOST_TEST(!near->peer_closed());

    std::optional<error_code> ended;
    asio::co_spawn(loop, read_until_closed(near, ended), [](std::exception_ptr) {});
    loop.poll();
    BOOST_TEST(!ended.has_value());
    near->close();
    loop.restart();
    loop.poll();
    BOOST_TEST((ended == error_code(asio::error::operation_aborted)));
    BOOST_TEST(near->peer_closed());
    error_code end;
    std::array<char, 1> byte{};
    BOOST_TEST(far.read_some(asio::buffer(byte), end) == 0U);
    BOOST_TEST((end == asio::error::eof));
}

BOOST_AUTO_TEST_CASE(bytes_and_the_end_are_seen_without_being_read)
{
    tcp::acceptor door(loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    tcp::socket far(loop);
    far.connect(door.local_endpoint());
    const auto near = make_tcp_stream(door.accept());

    far.write_some(asio::buffer("x", 1));
    BOOST_TEST(near->pending());
    BOOST_TEST(!near->peer_closed()); // there may be more behind the byte
    std::optional<error_code> read;
    run(read_until_closed(near, read));
    BOOST_TEST((read == error_code()));
    far.close();

    BOOST_TEST(near->pending());
    BOOST_TEST(near->peer_closed());
}

BOOST_AUTO_TEST_SUITE_END()
