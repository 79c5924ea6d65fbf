#include "proto/image.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway::proto;
using namespace std::string_view_literals;

BOOST_TEST_DONT_PRINT_LOG_VALUE(image_format)

BOOST_AUTO_TEST_SUITE(image_)

BOOST_AUTO_TEST_CASE(a_picture_is_known_by_its_first_bytes)
{
    BOOST_TEST(sniff_image("\x89PNG\r\n\x1a\n...") == image_format::png);
    BOOST_TEST(sniff_image("\xff\xd8\xff\xe0") == image_format::jpeg);
    BOOST_TEST(sniff_image("RIFF\x24\x01\x00\x00WEBPVP8 "sv) == image_format::webp);
    BOOST_TEST(sniff_image("RIFF\x24\x01\x00\x00WAVEfmt "sv) == image_format::unknown);
    BOOST_TEST(sniff_image("") == image_format::unknown);
}

// The texts are what Python's base64 makes of real first bytes.
BOOST_AUTO_TEST_CASE(a_picture_is_known_by_the_start_of_its_base64)
{
    BOOST_TEST(sniff_base64_image("iVBORw0KGgoAAAANSUhEUg==") == image_format::png);
    BOOST_TEST(sniff_base64_image("/9j/4AAQSkZJRgAB") == image_format::jpeg);
    BOOST_TEST(sniff_base64_image("UklGRiQBAABXRUJQVlA4IA==") == image_format::webp);
    BOOST_TEST(sniff_base64_image("UklGRv////9XRUJQVlA4TA==") == image_format::webp);
    BOOST_TEST(sniff_base64_image("UklGRgAAAABXQVZFZm10IA==") == image_format::unknown);
    BOOST_TEST(sniff_base64_image("data:image/png;b") == image_format::unknown);
    BOOST_TEST(sniff_base64_image("UklGR") == image_format::unknown);
    BOOST_TEST(mime_type(image_format::webp) == "image/webp");
}

BOOST_AUTO_TEST_SUITE_END()
