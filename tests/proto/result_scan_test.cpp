#include "proto/result_scan.hpp"

#include "proto/json.hpp"

#include "proto/golden.hpp"

#include <random>

using namespace gateway::proto;

namespace {

struct outcome {
    bool good = false;
    reply_summary found;
    std::string error;
    bool operator==(const outcome&) const = default;
};

outcome scan_in_pieces(std::string_view text, const std::vector<std::size_t>& cuts)
{
    result_scan scan;
    std::size_t from = 0;
    bool good = true;
    for (const std::size_t cut : cuts) {
        good = scan.feed(text.substr(from, cut - from)) && good;
        from = cut;
    }
    good = scan.feed(text.substr(from)) && good;
    good = scan.finish() && good;
    return {good, scan.summary(), scan.error()};
}

outcome scan_whole(std::string_view text) { return scan_in_pieces(text, {}); }

std::string image_text(std::string_view reply, const image_place& place)
{
    return std::string(reply.substr(place.offset, place.length));
}

} // namespace

BOOST_AUTO_TEST_SUITE(result_scan_)

BOOST_AUTO_TEST_CASE(a_reply_gives_its_pictures_its_info_and_its_end)
{
    const std::string reply = golden("webui/txt2img_reply.json");
    const auto [good, found, error] = scan_whole(reply);
    BOOST_TEST(good);
    BOOST_TEST(error == "");
    BOOST_TEST(found.is_object);
    BOOST_TEST(found.has_images);
    BOOST_TEST(found.has_parameters);
    BOOST_TEST(!found.has_error);
    BOOST_TEST(!found.has_detail);
    BOOST_TEST(found.size == reply.size());
    BOOST_TEST(found.closing_brace == reply.size() - 1);
    BOOST_REQUIRE(found.images.size() == 1U);
    BOOST_TEST(image_text(reply, found.images[0]).starts_with("iVBORw0KGgo"));
    BOOST_TEST(image_text(reply, found.images[0]).ends_with("ErkJggg=="));
    BOOST_TEST((found.images[0].format == image_format::png));
    BOOST_REQUIRE(found.info.has_value());
    BOOST_TEST(*found.info == golden("webui/info.json"));
}

BOOST_AUTO_TEST_CASE(a_cut_at_any_byte_gives_the_same_result)
{
    const std::string reply = golden("webui/txt2img_reply.json");
    const outcome whole = scan_whole(reply);
    for (std::size_t cut = 0; cut <= reply.size(); ++cut)
        BOOST_REQUIRE(scan_in_pieces(reply, {cut}) == whole);

    std::vector<std::size_t> every_byte(reply.size());
    for (std::size_t i = 0; i < reply.size(); ++i)
        every_byte[i] = i;
    BOOST_TEST((scan_in_pieces(reply, every_byte) == whole));
}

BOOST_AUTO_TEST_CASE(damage_is_found_alike_however_the_text_is_cut)
{
    const std::string reply = golden("webui/txt2img_reply.json");
    std::mt19937 random(5);
    int refused = 0;
    for (int round = 0; round < 3000; ++round) {
        std::string text = reply;
        for (int c = 0; c < 2; ++c)
            text[random() % text.size()] = static_cast<char>(random() % 256);
        if (round % 3 == 0)
            text.resize(random() % text.size());
        std::vector<std::size_t> cuts;
        for (std::size_t at = random() % 50; at < text.size(); at += 1 + random() % 400)
            cuts.push_back(at);
        const outcome whole = scan_whole(text);
        const outcome cut = scan_in_pieces(text, cuts);
        BOOST_REQUIRE_EQUAL(whole.good, cut.good);
        BOOST_REQUIRE_EQUAL(whole.error, cut.error);
        refused += whole.good ? 0 : 1;
        if (whole.good)
            BOOST_REQUIRE(whole == cut);
    }
    BOOST_TEST(refused > 1000);
}

BOOST_AUTO_TEST_CASE(a_reply_that_ends_too_early_is_not_a_reply)
{
    const std::string reply = golden("webui/txt2img_reply.json");
    for (std::size_t length = 0; length < reply.size(); length += 7)
        BOOST_TEST(!scan_whole(std::string_view(reply).substr(0, length)).good);
    BOOST_TEST(scan_whole(std::string_view(reply).substr(0, 100)).error == "cut short at byte 100");
}

BOOST_AUTO_TEST_CASE(only_the_top_level_counts)
{
    const auto [good, found, error] = scan_whole(
        R"({"parameters":{"images":["no"],"info":"no","error":"no"},"images":["/9j/4AAQ","UklGRiQBAABXRUJQVlA4IA=="],"x":[["images"]]})");
    BOOST_TEST(good);
    BOOST_REQUIRE(found.images.size() == 2U);
    BOOST_TEST((found.images[0].format == image_format::jpeg));
    BOOST_TEST((found.images[1].format == image_format::webp));
    BOOST_TEST(!found.info.has_value());
    BOOST_TEST(!found.has_error);
}

BOOST_AUTO_TEST_CASE(a_keys_letters_may_be_escaped)
{
    const auto [good, found, error] = scan_whole(R"({"\u0069mages":["aGk="],"inf\u006f":"x"})");
    BOOST_TEST(good);
    BOOST_TEST(found.images.size() == 1U);
    BOOST_TEST(found.info.value_or("") == "x");
}

BOOST_AUTO_TEST_CASE(odd_pictures_are_reported)
{
    const auto found =
        scan_whole(R"({"images":[null,"","a\/b",{"x":"y"},["z"]],"info":null})").found;
    BOOST_TEST(found.other_images == 3U);
    BOOST_REQUIRE(found.images.size() == 2U);
    BOOST_TEST(found.images[0].length == 0U);
    BOOST_TEST(found.images[1].escaped);
    BOOST_TEST(found.images[1].length == 4U);
    BOOST_TEST(!found.info.has_value());
}

BOOST_AUTO_TEST_CASE(of_a_key_that_comes_twice_the_last_one_counts)
{
    const auto found =
        scan_whole(R"({"images":["a","b"],"info":"one","images":["c"],"info":"two"})").found;
    BOOST_TEST(found.images.size() == 1U);
    BOOST_TEST(found.info.value_or("") == "two");
}

BOOST_AUTO_TEST_CASE(an_error_in_the_body_is_seen_with_its_words)
{
    const auto oom = scan_whole(golden("replies/out_of_memory.json")).found;
    BOOST_TEST(oom.has_error);
    BOOST_TEST(oom.has_detail);
    BOOST_TEST(oom.error_text.find("CUDA out of memory") != std::string::npos);

    const auto schema = scan_whole(golden("replies/schema.json")).found;
    BOOST_TEST(schema.has_detail);
    BOOST_TEST(!schema.has_error);
    BOOST_TEST(schema.error_text.find("value is not a valid integer") != std::string::npos);

    BOOST_TEST(!scan_whole(R"({"error":null,"detail":null,"images":[]})").found.has_error);
}

BOOST_AUTO_TEST_CASE(info_is_kept_up_to_its_limit)
{
    const std::string reply = R"({"info":")" + std::string(100, 'x') + R"("})";
    result_scan small({.info_bytes = 99, .images = 10});
    BOOST_TEST(small.feed(reply));
    BOOST_TEST(small.finish());
    BOOST_TEST(small.summary().info_too_long);
    BOOST_TEST(!small.summary().info.has_value());

    result_scan enough({.info_bytes = 100, .images = 10});
    BOOST_TEST(enough.feed(reply));
    BOOST_TEST(enough.summary().info.value().size() == 100U);
}

BOOST_AUTO_TEST_CASE(too_many_pictures_end_the_scan)
{
    result_scan scan({.info_bytes = 100, .images = 2});
    BOOST_TEST(!scan.feed(R"({"images":["a","b","c"]})"));
    BOOST_TEST(!scan.finish());
    BOOST_TEST(scan.error() == "more than 2 images");
}

BOOST_AUTO_TEST_CASE(a_large_reply_leaves_nothing_behind_but_places)
{
    result_scan scan;
    BOOST_TEST(scan.feed(R"({"images":["iVBORw0KGgoAAAANSUhEUg)"));
    const std::string piece(64 * 1024, 'A');
    for (int i = 0; i < 320; ++i) // 20 MiB
        BOOST_REQUIRE(scan.feed(piece));
    BOOST_TEST(scan.feed(R"("],"info":"{}"})"));
    BOOST_TEST(scan.finish());
    BOOST_TEST(scan.summary().images.at(0).length == 22 + 320 * piece.size());
}

BOOST_AUTO_TEST_CASE(cache_info_replaces_the_last_brace)
{
    for (const std::string reply : {R"({"images":["aGk="]} )", R"({})", "{ }\n"}) {
        const auto found = scan_whole(reply).found;
        const std::string spliced =
            reply.substr(0, found.closing_brace) + splice_tail(found, {1, 2, 3072.5});
        const document back(spliced);
        BOOST_REQUIRE_MESSAGE(back.ok(), spliced);
        BOOST_TEST(to_json(back.root().at("cache_info")) ==
                   R"({"checkpoints_cached":1,"loras_cached":2,"total_cache_size_mb":3072.5})");
    }
}

BOOST_AUTO_TEST_CASE(the_size_of_a_picture_is_known_however_its_text_is_cut)
{
    for (const auto& [text, bytes] : std::vector<std::pair<std::string, std::uint64_t>>{
             {"", 0}, {"QQ==", 1}, {"QUI=", 2}, {"QUJD", 3}, {"QUJDRA==", 4}, {"QQ", 1}}) {
        const auto reply = R"({"images":[")" + text + R"("]})";
        for (std::size_t cut = 0; cut < reply.size(); ++cut) {
            result_scan scan;
            scan.feed(std::string_view(reply).substr(0, cut));
            scan.feed(std::string_view(reply).substr(cut));
            BOOST_TEST(scan.finish());
            BOOST_TEST(scan.summary().images.at(0).bytes().value() == bytes, text << " " << cut);
        }
    }
}

BOOST_AUTO_TEST_CASE(the_index_says_where_the_pictures_are)
{
    const auto found =
        scan_whole(R"({"images":["iVBORw0KGgoAAAANSUhEUg==","/9j/4AAQ","a\/b=","?"]})").found;
    const auto index = image_index(found);

    BOOST_TEST(index == "12 24 png 2\n39 8 jpeg 0\n50 5 unknown 1 escaped\n58 1 unknown 0\n");
    BOOST_TEST((parse_image_index(index) == found.images));
    BOOST_TEST(found.images[0].bytes().value() == 16U);
    BOOST_TEST(!found.images[2].bytes().has_value());
}

BOOST_AUTO_TEST_CASE(an_index_of_an_older_version_can_be_read)
{
    const auto places = parse_image_index("12 24 png\n39 8 unknown\n");

    BOOST_REQUIRE(places.size() == 2U);
    BOOST_TEST(places[0].offset == 12U);
    BOOST_TEST(places[0].length == 24U);
    BOOST_TEST((places[0].format == image_format::png));
    BOOST_TEST(!places[0].bytes().has_value());
    BOOST_TEST(parse_image_index("what is this\n\n1 x png\n").empty());
}

BOOST_AUTO_TEST_SUITE_END()
