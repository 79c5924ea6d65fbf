#include "net/client.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::net;

namespace {

std::string taken_apart(std::string_view text)
{
    const auto u = url::parse(text);
    if (!u)
        return "refused";
    return (u->tls ? "tls " : "plain ") + u->host + " " + std::to_string(u->port) + " " + u->target;
}

std::string joined(std::string_view base, std::string_view location)
{
    const auto u = url::parse(base)->join(location);
    return u ? u->text() : "refused";
}

} // namespace

BOOST_AUTO_TEST_SUITE(url_)

BOOST_AUTO_TEST_CASE(a_url_is_taken_apart_byte_exact)
{
    BOOST_TEST(taken_apart("http://127.0.0.1:7860/sdapi/v1?a=%2F&b") ==
               "plain 127.0.0.1 7860 /sdapi/v1?a=%2F&b");
    BOOST_TEST(taken_apart("HTTPS://Hugging.Face") == "tls hugging.face 443 /");
    BOOST_TEST(taken_apart("http://h?x=1#frag") == "plain h 80 /?x=1");
    BOOST_TEST(taken_apart("http://h:/a//b/../c") == "plain h 80 /a//b/../c");
    BOOST_TEST(taken_apart("https://[::1]:8443/a") == "tls ::1 8443 /a");
    BOOST_TEST(taken_apart("http://[2001:DB8::1]") == "plain 2001:db8::1 80 /");
}

BOOST_AUTO_TEST_CASE(what_is_not_plainly_http_is_refused)
{
    for (const char* text : {"",
                             "h",
                             "/a",
                             "//h/a",
                             "ftp://h/",
                             "file:///etc/passwd",
                             "http:/h",
                             "http:///a",
                             "http://user@h/",
                             "http://user:pw@h/",
                             "http://h:0/",
                             "http://h:65536/",
                             "http://h:x/",
                             "http://h:-1/",
                             "http://h%2e/",
                             "http://h\\@evil/",
                             "http://h /",
                             "http://h/a b",
                             "http://h/\r\nX: y",
                             "http://[::1/",
                             "http://[::1]x/",
                             "http://[h]/",
                             "http://h]/",
                             "http://a:1:2/"})
        BOOST_TEST(taken_apart(text) == "refused", text);
    BOOST_TEST(taken_apart("http://h/" + std::string(9000, 'x')) == "refused");
}

BOOST_AUTO_TEST_CASE(it_is_put_together_again_with_the_port_only_when_it_matters)
{
    BOOST_TEST(url::parse("http://h:80/a?b")->text() == "http://h/a?b");
    BOOST_TEST(url::parse("https://h:80")->text() == "https://h:80/");
    BOOST_TEST(url::parse("https://[::1]:443/")->origin() == "https://[::1]");
    BOOST_TEST(url::parse("http://[::1]:8000/")->host_header() == "[::1]:8000");
}

BOOST_AUTO_TEST_CASE(a_location_is_resolved_against_where_it_came_from)
{
    const char* base = "http://a:81/b/c/d;p?q";
    const std::vector<std::pair<std::string, std::string>> table{
        // RFC 3986 §5.4, as far as it concerns http
        {"g", "http://a:81/b/c/g"},
        {"./g", "http://a:81/b/c/g"},
        {"g/", "http://a:81/b/c/g/"},
        {"/g", "http://a:81/g"},
        {"//g", "http://g/"},
        {"?y", "http://a:81/b/c/d;p?y"},
        {"g?y", "http://a:81/b/c/g?y"},
        {"#s", "http://a:81/b/c/d;p?q"},
        {"g#s", "http://a:81/b/c/g"},
        {";x", "http://a:81/b/c/;x"},
        {"", "http://a:81/b/c/d;p?q"},
        {".", "http://a:81/b/c/"},
        {"./", "http://a:81/b/c/"},
        {"..", "http://a:81/b/"},
        {"../", "http://a:81/b/"},
        {"../g", "http://a:81/b/g"},
        {"../..", "http://a:81/"},
        {"../../g", "http://a:81/g"},
        {"../../../g", "http://a:81/g"},
        {"/./g", "http://a:81/g"},
        {"/../g", "http://a:81/g"},
        {"g.", "http://a:81/b/c/g."},
        {"..g", "http://a:81/b/c/..g"},
        {"./../g", "http://a:81/b/g"},
        {"g/./h", "http://a:81/b/c/g/h"},
        {"g/../h", "http://a:81/b/c/h"},
        {"g?y/../x", "http://a:81/b/c/g?y/../x"},
        {"https://cdn.test/x?sig=a%2Fb", "https://cdn.test/x?sig=a%2Fb"},
        {"file:///etc/passwd", "refused"},
        {"/a b", "refused"},
        {"//user@h/", "refused"},
    };
    for (const auto& [location, expected] : table)
        BOOST_TEST(joined(base, location) == expected, location);
}

BOOST_AUTO_TEST_SUITE_END()
