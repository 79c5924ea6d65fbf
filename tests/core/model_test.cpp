#include "core/model.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway::core;

BOOST_AUTO_TEST_SUITE(model_)

const model_ref base{model_kind::checkpoint, "base", "http://files/base", ""};
const model_ref style{model_kind::lora, "style", "http://files/style", ""};

BOOST_AUTO_TEST_CASE(the_same_files_are_one_set_in_any_order_and_number)
{
    model_sets sets;
    const set_id id = sets.intern({base, style});

    BOOST_TEST(sets.intern({style, base}) == id);
    BOOST_TEST(sets.intern({style, base, style}) == id);
    BOOST_TEST(sets.at(id).size() == 2u);
    BOOST_TEST(sets.size() == 2u);
}

BOOST_AUTO_TEST_CASE(another_place_or_hash_is_another_file)
{
    model_sets sets;
    model_ref moved = base;
    moved.url = "http://elsewhere/base";
    model_ref hashed = base;
    hashed.sha256 = "0123456789";

    const set_id first = sets.intern({base});
    BOOST_TEST(sets.intern({moved}) != first);
    BOOST_TEST(sets.intern({hashed}) != first);
}

BOOST_AUTO_TEST_CASE(the_empty_set_has_the_number_zero)
{
    model_sets sets;
    BOOST_TEST(sets.intern({}) == no_models);
    BOOST_TEST(sets.at(no_models).empty());
}

BOOST_AUTO_TEST_CASE(a_set_stays_where_it_is_while_others_come)
{
    model_sets sets;
    const model_set* first = &sets.at(sets.intern({base}));
    for (int i = 0; i < 1000; ++i)
        sets.intern({{model_kind::lora, "l" + std::to_string(i), "", ""}});
    BOOST_TEST(&sets.at(1) == first);
}

BOOST_AUTO_TEST_SUITE_END()
