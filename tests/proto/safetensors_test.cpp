#include "proto/safetensors.hpp"

#include <boost/test/unit_test.hpp>

#include <random>

using namespace gateway::proto;
using namespace std::string_view_literals;

using check_state = safetensors_check::state;

BOOST_TEST_DONT_PRINT_LOG_VALUE(check_state)
BOOST_TEST_DONT_PRINT_LOG_VALUE(file_kind)

namespace {

// The first bytes of a file with this header.
std::string file_with(std::string_view header)
{
    std::string file;
    for (std::uint64_t i = 0, n = header.size(); i < 8; ++i, n >>= 8)
        file += static_cast<char>(n & 0xff);
    file += header;
    return file;
}

safetensors_check check(std::string_view header) { return check_safetensors(file_with(header)); }

constexpr std::string_view two_tensors =
    R"({"__metadata__":{"ss_output_name":"landscape_v2","sshs_model_hash":"abcdef"},)"
    R"("b":{"dtype":"F16","shape":[2,3],"data_offsets":[16,28]},)"
    R"("a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}  )";

} // namespace

BOOST_AUTO_TEST_SUITE(safetensors_)

BOOST_AUTO_TEST_CASE(the_header_alone_gives_the_size_of_the_file)
{
    const auto found = check(two_tensors);
    BOOST_TEST(found.error == "");
    BOOST_TEST(found.result == check_state::valid);
    BOOST_TEST(found.total_size == 8 + two_tensors.size() + 28);
    BOOST_TEST(found.tensors == 2U);
    BOOST_TEST(found.ss_output_name == "landscape_v2");
    BOOST_TEST(found.sshs_model_hash == "abcdef");
    BOOST_TEST(found.warnings.empty());
}

BOOST_AUTO_TEST_CASE(it_asks_for_as_much_as_it_needs)
{
    const std::string file = file_with(two_tensors);
    for (std::size_t length = 0; length < file.size(); ++length) {
        const auto found = check_safetensors(std::string_view(file).substr(0, length));
        BOOST_REQUIRE(found.result == check_state::need_more);
        BOOST_REQUIRE_EQUAL(found.need, length < 8 ? 8 : file.size());
    }
    BOOST_TEST(check_safetensors(file + "data").result == check_state::valid);
}

BOOST_AUTO_TEST_CASE(headers_that_keep_the_rules_are_accepted)
{
    for (
        const auto header : {
            R"({})"sv,
            R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})"sv,
            R"({"a":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]}})"sv,
            R"({"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}})"sv,
            R"({"a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3],"extra_is_odd":"x"}})"sv,
            R"({"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}})"sv,
            R"({"__metadata__":{}})"sv,
        })
        BOOST_TEST(check(header).error == "");
}

BOOST_AUTO_TEST_CASE(headers_that_break_a_rule_are_refused_by_name)
{
    struct {
        std::string_view header;
        std::string_view part_of_error;
    } cases[] = {
        {"[]", "does not begin with '{'"},
        {R"({"a":1})", "holds a number where none belongs"},
        {R"({"a":null})", "holds null"},
        {R"({"a":"x"})", "holds a text where none belongs"},
        {R"({"a":[]})", "holds an array where none belongs"},
        {R"({"a":{}})", "is no tensor"},
        {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "is no tensor"},
        {R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", "is no tensor"},
        {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", "is no tensor"},
        {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "negative"},
        {R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", "not whole"},
        {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", "array where none"},
        {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "ends before it begins"},
        {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "(a hole)"},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "need 8"},
        {R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", "whole bytes"},
        {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})",
         "larger than a number"},
        {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
         "(an overlap)"},
        {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
         "there twice"},
        {R"({"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", "comes twice"},
        {R"({"__metadata__":{},"__metadata__":{}})", "there twice"},
        {R"({"__metadata__":{"a":1}})", "number where none"},
        {R"({"__metadata__":{"a":{}}})", "object where none"},
        {R"({"a")", "not JSON"},
        {R"({}x)", "not JSON"},
        {"{\"\xff\":{}}", "not JSON"},
    };
    for (const auto& c : cases) {
        const auto found = check(c.header);
        BOOST_TEST(found.result == check_state::invalid, c.header);
        BOOST_TEST(found.error.find(c.part_of_error) != std::string::npos,
                   c.header << " gave: " << found.error);
    }
}

BOOST_AUTO_TEST_CASE(an_unknown_type_is_a_warning_and_its_size_is_not_checked)
{
    const auto found = check(R"({"a":{"dtype":"F128","shape":[1],"data_offsets":[0,99]}})");
    BOOST_TEST(found.result == check_state::valid);
    BOOST_REQUIRE(found.warnings.size() == 1U);
    BOOST_TEST(found.warnings[0].find("F128") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(other_files_are_not_waited_for)
{
    for (const auto other :
         {"<!DOCTYPE html><html>"sv, "version https://git-lfs.github.com/spec/v1\n"sv,
          "\xff\xff\xff\xff\xff\xff\xff\xff{"sv, "\x00\x00\x00\x00\x00\x00\x00\x00{"sv,
          "\x10\x00\x00\x00\x00\x00\x00\x00x"sv})
        BOOST_TEST(check_safetensors(other).result == check_state::invalid);
}

BOOST_AUTO_TEST_CASE(a_name_over_the_limit_is_refused_and_long_metadata_is_not)
{
    const std::string name(70 * 1024, 'n');
    BOOST_TEST(
        check("{\"" + name + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})").result ==
        check_state::invalid);
    BOOST_TEST(
        check(R"({"__metadata__":{"ss_tag_frequency":")" + name + R"(","ss_output_name":"x"}})")
            .ss_output_name == "x");
}

BOOST_AUTO_TEST_CASE(damage_never_ends_in_anything_but_an_answer)
{
    std::mt19937 random(9);
    const std::string good = file_with(two_tensors);
    int valid = 0;
    for (int i = 0; i < 20'000; ++i) {
        std::string file = good;
        for (int c = 0; c < 2; ++c)
            file[random() % file.size()] = static_cast<char>(random() % 256);
        const auto found = check_safetensors(file);
        valid += found.result == check_state::valid ? 1 : 0;
        BOOST_REQUIRE_EQUAL(found.result == check_state::invalid, !found.error.empty());
    }
    BOOST_TEST(valid > 0); // names and metadata may change
    BOOST_TEST(valid < 10'000);
}

BOOST_AUTO_TEST_CASE(a_file_is_known_by_its_first_bytes)
{
    const std::string tensors = file_with(two_tensors);
    struct {
        std::string_view bytes;
        file_kind kind;
    } cases[] = {
        {"<!DOCTYPE html>", file_kind::html},
        {"\xef\xbb\xbf\n  <html>", file_kind::html},
        {"<?xml version", file_kind::html},
        {R"({"error":"no"})", file_kind::json},
        {"[1]", file_kind::json},
        {"version https://git-lfs.github.com/spec/v1", file_kind::lfs_pointer},
        {"PK\x03\x04rest", file_kind::zip},
        {"\x80\x02}q"sv, file_kind::pickle},
        {"\x80\x04\x95"sv, file_kind::pickle},
        {"GGUF\x03", file_kind::gguf},
        {"\x89PNG\r\n\x1a\n", file_kind::image},
        {"RIFF\x24\x01\x00\x00WEBPVP8 "sv, file_kind::image},
        {tensors, file_kind::safetensors},
        {"", file_kind::unknown},
        {"hello", file_kind::unknown},
    };
    for (const auto& c : cases)
        BOOST_TEST(to_text(sniff_file(c.bytes)) == to_text(c.kind));
}

BOOST_AUTO_TEST_SUITE_END()
