#include "api/image_body.hpp"

#include "base/text.hpp"
#include "support/front.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>

using namespace gateway;
using api::parse_range;

namespace {

// Larger than what is decoded at once, and with every byte in it.
std::string picture()
{
    std::string bytes = "\x89PNG\r\n\x1a\n";
    for (std::uint32_t n = 1; bytes.size() < 100'001; n = n * 1664525U + 1013904223U)
        bytes += static_cast<char>(n >> 24);
    return bytes;
}

struct gallery : test::front {
    gallery()
    {
        kept_as = "image_body";
        id = submit();
        complete(begin(),
                 R"({"images":[")" + base64_encode(png) + R"(","\/9j\/4AAQ","????????"]})");
        url = "/api/v1/jobs/" + id + "/images/0";
    }
    test::reply get(std::string_view more_headers, std::string_view method = "GET")
    {
        return ask(method, url, "", more_headers);
    }

    std::string png = picture();
    std::string id;
    std::string url;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(image_body_, gallery)

BOOST_AUTO_TEST_CASE(a_picture_is_served_byte_by_byte_as_it_was_made)
{
    const auto whole = get("");

    BOOST_TEST(whole.status == 200);
    BOOST_TEST(whole.header("content-type") == "image/png");
    BOOST_TEST(whole.header("content-length") == std::to_string(png.size()));
    BOOST_TEST(whole.header("cache-control") == "private, max-age=86400, immutable");
    BOOST_TEST(whole.header("accept-ranges") == "bytes");
    BOOST_TEST((whole.body == png));
}

BOOST_AUTO_TEST_CASE(a_head_tells_the_size)
{
    const auto head = get("", "HEAD");

    BOOST_TEST(head.status == 200);
    BOOST_TEST(head.header("content-length") == std::to_string(png.size()));
    BOOST_TEST(head.body.empty());
}

BOOST_AUTO_TEST_CASE(any_part_can_be_asked_for)
{
    for (const auto& [first, last] : std::vector<std::pair<std::size_t, std::size_t>>{
             {0, 0}, {1, 1}, {2, 7}, {3, 65'540}, {99'999, 100'000}, {0, 100'000}}) {
        const auto part =
            get("Range: bytes=" + std::to_string(first) + "-" + std::to_string(last) + "\r\n");
        BOOST_TEST(part.status == 206);
        BOOST_TEST((part.body == png.substr(first, last - first + 1)));
        BOOST_TEST(part.header("content-range") ==
                   "bytes " + std::to_string(first) + "-" + std::to_string(last) + "/100001");
    }
    BOOST_TEST((get("Range: bytes=-5\r\n").body == png.substr(png.size() - 5)));
    BOOST_TEST((get("Range: bytes=99990-\r\n").body == png.substr(99'990)));
}

BOOST_AUTO_TEST_CASE(a_part_that_is_not_there_is_refused_and_nonsense_is_passed_over)
{
    const auto beyond = get("Range: bytes=100001-\r\n");
    BOOST_TEST(beyond.status == 416);
    BOOST_TEST(beyond.header("content-range") == "bytes */100001");
    BOOST_TEST(get("Range: lines=1-2\r\n").status == 200);
    BOOST_TEST(get("Range: bytes=0-1,5-6\r\n").status == 200);
    BOOST_TEST(get("Range: bytes=0-1\r\nIf-Range: \"other\"\r\n").status == 200);
}

BOOST_AUTO_TEST_CASE(ranges_are_read_as_the_standard_has_them)
{
    const auto part = [](std::string_view text) {
        const auto wish = parse_range(text, 10);
        return wish.impossible ? std::string("impossible")
               : wish.part
                   ? std::to_string(wish.part->first) + "+" + std::to_string(wish.part->length)
                   : std::string("none");
    };
    BOOST_TEST(part("bytes=0-4") == "0+5");
    BOOST_TEST(part("bytes=5-") == "5+5");
    BOOST_TEST(part("bytes=5-99") == "5+5");
    BOOST_TEST(part("bytes=-3") == "7+3");
    BOOST_TEST(part("bytes=-30") == "0+10");
    BOOST_TEST(part("bytes=-0") == "impossible");
    BOOST_TEST(part("bytes=10-") == "impossible");
    for (const auto* text : {"", "bytes=", "bytes=-", "bytes=4-3", "bytes=a-b", "bytes=1",
                             "bytes=-x", "bytes=1-x", "bytes=18446744073709551616-"})
        BOOST_TEST(part(text) == "none", text);
}

BOOST_AUTO_TEST_CASE(a_picture_that_the_client_has_is_not_sent_again)
{
    const auto tag = get("").header("etag");
    BOOST_TEST(tag.size() > 2U);

    const auto again = get("If-None-Match: " + tag + "\r\n");
    BOOST_TEST(again.status == 304);
    BOOST_TEST(again.header("etag") == tag);
    BOOST_TEST(again.body.empty());
    BOOST_TEST(get("If-None-Match: *\r\n").status == 304);
    BOOST_TEST(get("If-None-Match: \"other\"\r\n").status == 200);
    BOOST_TEST(get("Range: bytes=0-1\r\nIf-Range: " + tag + "\r\n").status == 206);
}

BOOST_AUTO_TEST_CASE(escaped_base64_is_understood_too)
{
    url.back() = '1';
    const auto jpeg = get("Range: bytes=0-1\r\n");

    BOOST_TEST(jpeg.status == 200); // its size is not known beforehand
    BOOST_TEST(jpeg.header("content-type") == "image/jpeg");
    BOOST_TEST(jpeg.header("content-length").empty());
    BOOST_TEST((jpeg.body == std::string("\xff\xd8\xff\xe0\x00\x10", 6)));
}

BOOST_AUTO_TEST_CASE(what_is_no_base64_ends_the_connection)
{
    url.back() = '2';
    const auto connection = send(test::http_request("GET", url));

    BOOST_TEST(connection->written().starts_with("HTTP/1.1 200"));
    BOOST_TEST(connection->is_closed());
}

BOOST_AUTO_TEST_CASE(a_disk_that_fails_midway_ends_the_connection)
{
    files.fail(test::fault_files::call::read, 2, EIO, true);
    const auto connection = send(test::http_request("GET", url));

    BOOST_TEST(connection->is_closed());
    BOOST_TEST(connection->written().size() < png.size());
}

BOOST_AUTO_TEST_CASE(there_are_no_other_pictures)
{
    for (const auto* n : {"3", "99", "x", "-1", "0x", "1.0", "99999999999999999999"}) {
        const auto none = ask("GET", "/api/v1/jobs/" + id + "/images/" + n);
        BOOST_TEST(none.status == 404, n);
        BOOST_TEST(none.body.find("\"code\":\"image_not_found\"") != std::string::npos);
        BOOST_TEST(none.body.find("the job has 3 images, counted from 0") != std::string::npos);
    }
}

BOOST_AUTO_TEST_SUITE_END()
