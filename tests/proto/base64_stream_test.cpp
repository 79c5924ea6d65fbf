#include "proto/base64_stream.hpp"

#include "base/text.hpp"

#include <boost/test/unit_test.hpp>

#include <optional>

using namespace gateway;
using proto::base64_stream;

namespace {

std::optional<std::string> decode(std::string_view text, std::size_t cut = 1)
{
    base64_stream from;
    std::string out;
    for (std::size_t i = 0; i < text.size(); i += cut) {
        if (!from.feed(text.substr(i, cut), out))
            return std::nullopt;
    }
    return from.finish(out) ? std::optional(out) : std::nullopt;
}

std::string all_bytes()
{
    std::string bytes;
    for (int i = 0; i < 256; ++i)
        bytes += static_cast<char>(i);
    return bytes;
}

} // namespace

BOOST_AUTO_TEST_SUITE(base64_stream_)

BOOST_AUTO_TEST_CASE(every_byte_comes_back_however_the_text_is_cut)
{
    for (std::size_t length = 0; length < 256; ++length) {
        const auto bytes = all_bytes().substr(256 - length);
        auto text = base64_encode(bytes);
        for (const std::size_t cut : {1U, 3U, 7U, 1000U})
            BOOST_REQUIRE(decode(text, cut) == bytes);
        while (text.ends_with('='))
            text.pop_back();
        BOOST_REQUIRE(decode(text) == bytes);
    }
}

BOOST_AUTO_TEST_CASE(escapes_of_json_are_understood)
{
    for (const std::size_t cut : {1U, 2U, 5U}) {
        BOOST_TEST((decode(R"(\/\u002f+\u002B\n)", cut) == decode("//++")));
        BOOST_TEST((decode("QU\\nJD\\r\\n", cut) == "ABC"));
    }
}

BOOST_AUTO_TEST_CASE(what_is_no_base64_is_refused)
{
    for (const auto* text : {"Q", "QUJD Q", "Q*==", "QQ=Q", "QQ===", "=", "Q=", "QQ=", "QUJD\\",
                             "QQ\\u00", "QQ\\x", "QQ\\u00zz", "QQ\\u00e4=", "QQ==QQ=="})
        BOOST_TEST(!decode(text).has_value(), text);
}

BOOST_AUTO_TEST_SUITE_END()
