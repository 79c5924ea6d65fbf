#include "proto/part_note.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::proto;

namespace {

part_note some_note()
{
    part_note note;
    note.url_hash = std::string(64, 'a');
    note.size = 1'000'000'000'000;
    note.sha256 = std::string(64, 'b');
    note.etag = R"("it's ""quoted")";
    note.etag_host = "cdn.hf.co";
    note.commit = std::string(40, 'c');
    note.have = {{0, 64}, {100, 200}, {300, 1'000'000'000'000}};
    note.written = wall_time(wall_duration(1'700'000'000'123));
    return note;
}

} // namespace

BOOST_AUTO_TEST_SUITE(part_note_)

BOOST_AUTO_TEST_CASE(a_note_reads_back_as_it_was_written)
{
    const auto note = some_note();
    const auto back = parse_part_note(to_text(note));
    BOOST_REQUIRE(back.has_value());
    BOOST_TEST(back->url_hash == note.url_hash);
    BOOST_TEST(back->size == note.size);
    BOOST_TEST(back->sha256 == note.sha256);
    BOOST_TEST(back->etag == note.etag);
    BOOST_TEST(back->etag_host == note.etag_host);
    BOOST_TEST(back->commit == note.commit);
    BOOST_TEST((back->have == note.have));
    BOOST_TEST((back->written == note.written));
    BOOST_TEST(parse_part_note(to_text(part_note{})).has_value());
}

BOOST_AUTO_TEST_CASE(any_damage_makes_it_no_note)
{
    const auto text = to_text(some_note());
    for (std::size_t at = 0; at < text.size(); ++at) {
        BOOST_TEST(!parse_part_note(text.substr(0, at)).has_value());
        auto spoiled = text;
        spoiled[at] = static_cast<char>(spoiled[at] ^ 1);
        BOOST_TEST(!parse_part_note(spoiled).has_value(), "byte " << at);
        spoiled[at] = '\0';
        BOOST_TEST(!parse_part_note(spoiled).has_value(), "byte " << at);
    }
    BOOST_TEST(!parse_part_note(std::string(text.size(), '\0')).has_value());
    BOOST_TEST(!parse_part_note(text + text).has_value());
}

BOOST_AUTO_TEST_CASE(ranges_that_contradict_the_file_make_it_no_note)
{
    const std::vector<std::vector<core::byte_range>> wrong{
        {{0, 11}}, {{5, 5}}, {{5, 4}}, {{5, 7}, {0, 2}}, {{0, 5}, {4, 6}}};
    for (const auto& have : wrong) {
        part_note note;
        note.size = 10;
        note.have = have;
        BOOST_TEST(!parse_part_note(to_text(note)).has_value());
    }
}

BOOST_AUTO_TEST_SUITE_END()
