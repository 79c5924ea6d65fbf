#include "api/keys.hpp"

#include <boost/test/unit_test.hpp>

using namespace gateway;
using api::keys;

namespace {

config::auth_settings settings(config::auth_mode mode, config::names all = {})
{
    config::auth_settings auth;
    auth.mode = mode;
    auth.keys = std::move(all);
    return auth;
}

bool allows(const keys& k, std::string_view authorization)
{
    return k.check(authorization) == keys::decision::allowed;
}

} // namespace

BOOST_AUTO_TEST_SUITE(keys_)

BOOST_AUTO_TEST_CASE(on_loopback_nobody_is_asked)
{
    const keys k(settings(config::auth_mode::none));

    BOOST_TEST(allows(k, ""));
    BOOST_TEST(allows(k, "Bearer whatever"));
}

BOOST_AUTO_TEST_CASE(behind_an_edge_nobody_is_asked_again)
{
    const keys k(settings(config::auth_mode::edge, {"key"}));

    BOOST_TEST(allows(k, ""));
}

BOOST_AUTO_TEST_CASE(a_key_may_come_with_and_without_its_scheme)
{
    const keys k(settings(config::auth_mode::keys, {"first", "second"}));

    for (const auto* given :
         {"Bearer first", "bearer second", "BEARER   first ", "second", " first"})
        BOOST_TEST(allows(k, given), given);
}

BOOST_AUTO_TEST_CASE(a_wrong_key_is_told_from_none)
{
    const keys k(settings(config::auth_mode::keys, {"first"}));

    for (const auto* given : {"", " ", "Bearer", "Bearer ", "bearer  "})
        BOOST_CHECK_MESSAGE(k.check(given) == keys::decision::no_token, '"' << given << '"');
    for (const auto* given :
         {"Bearer firs", "firstfirst", "First", "Basic first", "Bearer first x"})
        BOOST_CHECK_MESSAGE(k.check(given) == keys::decision::invalid_token, given);
}

BOOST_AUTO_TEST_CASE(where_keys_are_needed_and_there_are_none_nobody_gets_in)
{
    const keys none(settings(config::auth_mode::keys));
    const keys empty(settings(config::auth_mode::keys, {""}));
    const keys undecided(settings(config::auth_mode::automatic));

    for (const auto* k : {&none, &empty, &undecided}) {
        BOOST_TEST(!allows(*k, ""));
        BOOST_TEST(!allows(*k, "Bearer x"));
    }
}

BOOST_AUTO_TEST_SUITE_END()
