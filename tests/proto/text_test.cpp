#include "proto/text.hpp"

#include <boost/test/unit_test.hpp>

#include <array>

using namespace gateway::proto;

BOOST_AUTO_TEST_SUITE(text_)

BOOST_AUTO_TEST_CASE(edits_are_counted_without_regard_to_case)
{
    BOOST_TEST(edit_distance("steps", "steps") == 0U);
    BOOST_TEST(edit_distance("Steps", "stesp") == 1U);
    BOOST_TEST(edit_distance("step", "steps") == 1U);
    BOOST_TEST(edit_distance("", "abc") == 3U);
    BOOST_TEST(edit_distance(std::string(65, 'a'), std::string(65, 'a')) == 64U);
}

BOOST_AUTO_TEST_CASE(only_a_close_name_is_suggested)
{
    constexpr std::array<std::string_view, 3> names{"width", "height", "cfg_scale"};
    BOOST_TEST(nearest("witdh", names) == "width");
    BOOST_TEST(nearest("cfgscale", names) == "cfg_scale");
    BOOST_TEST(nearest("banana", names).empty());
}

BOOST_AUTO_TEST_CASE(one_known_extension_is_taken_off)
{
    BOOST_TEST(without_model_extension("a.safetensors") == "a");
    BOOST_TEST(without_model_extension("a.v1.CKPT") == "a.v1");
    BOOST_TEST(without_model_extension("a.v1") == "a.v1");
    BOOST_TEST(without_model_extension(".pt") == ".pt");
    BOOST_TEST(base_name("sub\\deep/Foo.ckpt") == "Foo.ckpt");
}

BOOST_AUTO_TEST_SUITE_END()
