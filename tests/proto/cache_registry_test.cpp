#include "proto/cache_registry.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::proto;
using core::model_key;
using core::model_kind;
using core::model_record;
using core::model_registry;

namespace {

const wall_time noon{std::chrono::milliseconds(1'767'355'200'034)}; // 2026-01-02T12:00:00.034Z

model_record whole()
{
    model_record r;
    r.url = "https://files.test/dream";
    r.path = "/models/Stable-diffusion/dream.safetensors";
    r.sha256 = std::string(64, 'a');
    r.size = 6'938'040'682;
    r.uses = 12;
    r.downloaded = noon;
    r.last_used = noon + std::chrono::hours(1);
    return r;
}

model_registry read(std::string_view text)
{
    const auto all = read_registry(text);
    BOOST_REQUIRE_MESSAGE(all.has_value(), text);
    return *all;
}

} // namespace

BOOST_AUTO_TEST_SUITE(cache_registry_)

BOOST_AUTO_TEST_CASE(a_registry_is_written_in_the_shape_of_the_original)
{
    const model_registry all{{{model_kind::checkpoint, "dream"}, whole()}};
    BOOST_TEST(
        write_registry(all, noon) ==
        R"({
"checkpoints": {
"dream": {"url":"https://files.test/dream","path":"/models/Stable-diffusion/dream.safetensors","hash":")" +
            std::string(64, 'a') +
            R"(","file_size":6938040682,"usage_count":12,"downloaded_at":"2026-01-02T12:00:00.034Z","last_used":"2026-01-02T13:00:00.034Z"}},
"loras": {},
"embeddings": {},
"vae": {},
"last_updated": "2026-01-02T12:00:00.034Z"
}
)");
}

BOOST_AUTO_TEST_CASE(what_is_written_reads_back_the_same)
{
    model_registry all;
    for (const auto kind :
         {model_kind::checkpoint, model_kind::lora, model_kind::embedding, model_kind::vae})
        all.emplace(model_key{kind, "same name"}, whole());
    auto& odd = all[{model_kind::lora, "Ünïcode \"quoted\" {…}"}];
    odd.pinned = odd.adopted = true;
    BOOST_TEST((read(write_registry(all, noon)) == all));
    BOOST_TEST(read(write_registry({}, noon)).empty());
}

BOOST_AUTO_TEST_CASE(the_originals_own_times_are_understood)
{
    const auto all = read(R"({"checkpoints":{
        "a":{"url":"u","downloaded_at":"2026-01-02T12:00:00.034512","last_used":"2026-01-02 12:00:00"},
        "b":{"url":"u","downloaded_at":1767355200.034,"last_used":1767355200},
        "c":{"url":"u","downloaded_at":"yesterday","last_used":null},
        "d":{"url":"u","downloaded_at":"2026-13-45T99:00:00","last_used":-5}}})");
    const auto record = [&](const char* name) { return all.at({model_kind::checkpoint, name}); };
    BOOST_TEST(
        (record("a").downloaded - noon < std::chrono::milliseconds(2))); // microseconds are rounded
    BOOST_TEST((record("a").last_used == noon - std::chrono::milliseconds(34)));
    BOOST_TEST((record("b").downloaded == noon));
    BOOST_TEST((record("c").downloaded == wall_time{}));
    BOOST_TEST((record("d").downloaded == wall_time{}));
    BOOST_TEST((record("d").last_used == wall_time{}));
}

BOOST_AUTO_TEST_CASE(fields_that_make_no_sense_cost_no_entry_and_entries_no_registry)
{
    const auto all = read(R"({"loras":{
        "odd":{"url":7,"hash":"ABCD","file_size":-1,"usage_count":"3","pinned":"maybe"},
        "no object":5},
        "embeddings":[], "future":{"x":{}}})");
    BOOST_REQUIRE(all.size() == 1u);
    const auto& odd = all.at({model_kind::lora, "odd"});
    BOOST_TEST(odd.url == "");
    BOOST_TEST(odd.sha256 == "abcd");
    BOOST_TEST(odd.size == 0u);
    BOOST_TEST(odd.uses == 3u);
    BOOST_TEST(!odd.pinned);
}

BOOST_AUTO_TEST_CASE(a_text_that_is_no_registry_is_refused)
{
    for (const auto* text : {"", "{", "[]", "null", "\0\0\0\0", "{\"checkpoints\":{\"a\":"}) {
        BOOST_TEST_INFO(text);
        BOOST_TEST(!read_registry(text).has_value());
        BOOST_TEST(!read_verified(text).has_value());
    }
}

BOOST_AUTO_TEST_CASE(verified_files_read_back_the_same)
{
    const std::vector<verified_file> all{
        {"/m/Lora/a.safetensors", 10, 1234567, noon, std::string(64, 'b')},
        {"/m/Lora/b \"x\".safetensors", 0, 1, wall_time{}, std::string(64, 'c')}};
    const auto again = read_verified(write_verified(all));
    BOOST_REQUIRE(again.has_value());
    BOOST_TEST((*again == all));
}

BOOST_AUTO_TEST_CASE(a_verified_file_without_its_hash_is_not_verified)
{
    const auto all = read_verified(R"({"/a":{"size":1},"/b":{"size":1,"sha256":"cc"}})");
    BOOST_REQUIRE(all.has_value());
    BOOST_REQUIRE(all->size() == 1u);
    BOOST_TEST(all->front().path == "/b");
}

BOOST_AUTO_TEST_SUITE_END()
