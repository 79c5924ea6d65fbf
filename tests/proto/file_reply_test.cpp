#include "proto/file_reply.hpp"

#include <boost/test/unit_test.hpp>

#include <map>

using namespace gateway;
using namespace gateway::proto;

namespace {

core::reply_facts read(std::map<std::string, std::string, std::less<>> headers)
{
    return read_file_reply(206, 100, [&headers](std::string_view name) -> std::string_view {
        const auto at = headers.find(name);
        return at == headers.end() ? std::string_view() : std::string_view(at->second);
    });
}

} // namespace

BOOST_AUTO_TEST_SUITE(file_reply_)

BOOST_AUTO_TEST_CASE(a_content_range_is_read_exactly)
{
    const auto head = read({{"content-range", "bytes 5-104/1000"}});
    BOOST_TEST(head.status == 206);
    BOOST_TEST(head.length.value() == 100u);
    BOOST_TEST((head.range == core::byte_range{5, 105}));
    BOOST_TEST(head.total.value() == 1000u);
    BOOST_TEST((read({{"content-range", "Bytes 0-0/1"}}).range == core::byte_range{0, 1}));
    const auto open = read({{"content-range", "bytes 5-104/*"}});
    BOOST_TEST(open.range.has_value());
    BOOST_TEST(!open.total.has_value());
    const auto none = read({{"content-range", "bytes */1000"}});
    BOOST_TEST(!none.range.has_value());
    BOOST_TEST(none.total.value() == 1000u);
}

BOOST_AUTO_TEST_CASE(what_is_no_content_range_says_nothing)
{
    for (const char* text :
         {"", "bytes", "5-104/1000", "bytes 5-/1000", "bytes -5/1000", "bytes 9-5/1000",
          "bytes 5-104", "bytes 5-104x/1000", "bytes +5-104/1000", "items 5-104/1000",
          "bytes 0-18446744073709551615/1000", "bytes 99999999999999999999-9/1"}) {
        const auto head = read({{"content-range", text}});
        BOOST_TEST(!head.range.has_value(), text);
    }
}

BOOST_AUTO_TEST_CASE(only_strong_etags_count)
{
    BOOST_TEST(read({{"etag", "\"abc\""}}).etag == "\"abc\"");
    for (const char* weak : {"W/\"abc\"", "abc", "\"\"", "\"abc", ""})
        BOOST_TEST(read({{"etag", weak}}).etag == "", weak);
}

BOOST_AUTO_TEST_CASE(several_parts_in_one_body_are_noticed)
{
    BOOST_TEST(read({{"content-type", "Multipart/byteranges; boundary=x"}}).multipart);
    BOOST_TEST(!read({{"content-type", "application/octet-stream"}}).multipart);
}

BOOST_AUTO_TEST_CASE(a_range_is_asked_for_with_its_last_byte)
{
    BOOST_TEST(range_header({0, 100}, false) == "bytes=0-99");
    BOOST_TEST(range_header({64, 100}, true) == "bytes=64-");
}

BOOST_AUTO_TEST_SUITE_END()
