#include "store/model_text.hpp"

#include "support/journal_jobs.hpp"

using namespace gateway;
using store::read_models;
using store::write_models;

BOOST_AUTO_TEST_SUITE(model_text_)

BOOST_AUTO_TEST_CASE(any_set_comes_back)
{
    const core::model_set files = test::some_files();
    const auto back = read_models(write_models(files));
    BOOST_REQUIRE(back.has_value());
    BOOST_TEST((*back == files));
    BOOST_TEST(write_models({}).empty());
    BOOST_TEST(read_models("")->empty());
}

BOOST_AUTO_TEST_CASE(a_damaged_text_is_noticed)
{
    const auto text = write_models({{core::model_kind::lora, "a", "b", "c"}});
    for (std::size_t size = 1; size < text.size(); ++size)
        BOOST_TEST(!read_models(text.substr(0, size)).has_value(), text.substr(0, size));
    for (const auto* bad : {"x1:a1:b1:c", "l:a1:b1:c", "l-1:a", "l99999999999999999999:a", "l2:a"})
        BOOST_TEST(!read_models(bad).has_value(), bad);
}

BOOST_AUTO_TEST_SUITE_END()
