#include "proto/webui_dialect.hpp"

#include "proto/golden.hpp"

#include <set>

using namespace gateway::proto;

BOOST_TEST_DONT_PRINT_LOG_VALUE(dialect)

namespace {

const std::string vae = "/sdapi/v1/sd-vae";
const std::string options = "/sdapi/v1/options";
const std::string schedulers = "/sdapi/v1/schedulers";
const std::string samplers = "/sdapi/v1/samplers";

dialect detected(const std::vector<probe_result>& results, std::string_view version = {})
{
    return detect_dialect(results, version);
}

} // namespace

BOOST_AUTO_TEST_SUITE(webui_dialect_)

BOOST_AUTO_TEST_CASE(the_first_route_that_answers_settles_it)
{
    BOOST_TEST(detected({{"/sdcpp/v1/capabilities", 200, ""}}) == dialect::sdcpp);
    BOOST_TEST(detected({{"/api/extra/version", 200, ""}}) == dialect::koboldcpp);
    BOOST_TEST(detected({{"/sdapi/v1/version", 200, ""}, {vae, 200, "[]"}}) == dialect::sdnext);
    BOOST_TEST(detected({{"/sdapi/v1/version", 404, ""}, {"/sdapi/v1/sd-modules", 200, ""}}) ==
               dialect::forge);
    BOOST_TEST(detected({{vae, 200, "[]"}}) == dialect::a1111_1_10);
}

BOOST_AUTO_TEST_CASE(reforge_is_known_by_its_options)
{
    BOOST_TEST(detected({{vae, 200, "[]"},
                         {options, 200, R"({"sd_model_checkpoint":null,"reforge_x":true})"}}) ==
               dialect::reforge);
    BOOST_TEST(detected({{vae, 200, "[]"}, {options, 200, R"({"sd_model_checkpoint":null})"}}) ==
               dialect::a1111_1_10);
}

BOOST_AUTO_TEST_CASE(old_and_new_a1111_differ_in_their_lists)
{
    const std::string old_list = R"([{"name":"karras","label":"Karras","aliases":null}])";
    const std::string old_samplers = R"([{"name":"DPM++ 2M Karras","aliases":[],"options":{}}])";
    BOOST_TEST(detected({{vae, 200, "[]"}, {schedulers, 200, golden("webui/schedulers.json")}}) ==
               dialect::a1111_1_10);
    BOOST_TEST(detected({{vae, 200, "[]"}, {schedulers, 200, old_list}}) == dialect::a1111_1_9);
    BOOST_TEST(detected({{vae, 200, "[]"}, {schedulers, 404, ""}}) == dialect::a1111_1_9);
    BOOST_TEST(detected({{vae, 200, "[]"}, {samplers, 200, old_samplers}}) == dialect::a1111_1_9);
}

BOOST_AUTO_TEST_CASE(the_version_of_a_picture_settles_what_lists_leave_open)
{
    const std::vector<probe_result> open{{vae, 200, "[]"}, {schedulers, 404, ""}};
    BOOST_TEST(detected(open, "v1.10.1") == dialect::a1111_1_10);
    BOOST_TEST(detected(open, "v1.9.4") == dialect::a1111_1_9);
    BOOST_TEST(detected(open, "1.6.0") == dialect::a1111_1_9);
    BOOST_TEST(detected(open, "82a973c0") == dialect::a1111_1_9); // a commit says nothing
    BOOST_TEST(detected({{vae, 200, "[]"}}, "v2.0") == dialect::a1111_1_10);
}

BOOST_AUTO_TEST_CASE(silence_and_refusals_are_unknown)
{
    BOOST_TEST(detected({}) == dialect::unknown);
    BOOST_TEST(detected({{vae, 404, ""}, {options, 500, "{}"}}) == dialect::unknown);
    BOOST_TEST(detected({{vae, 200, "[]"}, {options, 200, "not json"}}) == dialect::a1111_1_10);
}

BOOST_AUTO_TEST_CASE(every_dialect_has_a_name_of_its_own)
{
    std::set<std::string_view> names;
    for (int i = 0; i <= static_cast<int>(dialect::unknown); ++i) {
        const auto which = static_cast<dialect>(i);
        names.insert(to_text(which));
        BOOST_TEST((parse_dialect(to_text(which)) == which));
    }
    BOOST_TEST(names.size() == 8U);
    BOOST_TEST(!parse_dialect("comfy"));
}

BOOST_AUTO_TEST_CASE(the_relatives_differ_as_the_table_says)
{
    BOOST_TEST(traits_of(dialect::a1111_1_10).route_probe);
    BOOST_TEST(!traits_of(dialect::sdcpp).route_probe);
    BOOST_TEST(!traits_of(dialect::koboldcpp).has_progress);
    BOOST_TEST(traits_of(dialect::a1111_1_9).checks_samplers);
    BOOST_TEST(!traits_of(dialect::reforge).checks_samplers);
    BOOST_TEST(traits_of(dialect::forge).one_lora_drops_all);
    BOOST_TEST(traits_of(dialect::sdnext).default_steps == 20);
    BOOST_TEST(traits_of(dialect::a1111_1_10).default_steps == 50);
    BOOST_TEST(detection_steps().size() == 8U);
    BOOST_TEST(detection_steps()[0].path == "/sdcpp/v1/capabilities");
}

BOOST_AUTO_TEST_SUITE_END()
