#include "api/keys.hpp"

#include "base/text.hpp"

namespace gateway::api {

namespace {

bool asks_for_keys(config::auth_mode mode)
{
    switch (mode) {
    case config::auth_mode::none:
    case config::auth_mode::edge: return false;
    case config::auth_mode::keys:
    case config::auth_mode::automatic: return true; // load() leaves none; be safe without it
    }
    return true;
}

// Looks at every byte of what was given, whether or not the first one is right.
bool same(std::string_view given, std::string_view key)
{
    unsigned difference = given.size() == key.size() ? 0 : 1;
    for (std::size_t i = 0; i < given.size(); ++i) {
        const auto a = static_cast<unsigned char>(given[i]);
        const auto b = static_cast<unsigned char>(key[i % key.size()]);
        difference |= static_cast<unsigned>(a ^ b);
    }
    return difference == 0;
}

std::string_view token_in(std::string_view authorization)
{
    const auto value = trim(authorization);
    const auto space = value.find(' ');
    if (iequals(value, "bearer"))
        return {};
    if (space != std::string_view::npos && iequals(value.substr(0, space), "bearer"))
        return trim(value.substr(space));
    return value;
}

} // namespace

keys::keys(const config::auth_settings& auth) : ask_(asks_for_keys(auth.mode))
{
    for (const auto& key : auth.keys) {
        if (!key.empty())
            keys_.push_back(key);
    }
}

keys::decision keys::check(std::string_view authorization) const
{
    if (!ask_)
        return decision::allowed;
    const auto token = token_in(authorization);
    if (token.empty())
        return decision::no_token;
    bool known = false;
    for (const auto& key : keys_)
        known = same(token, key) || known;
    return known ? decision::allowed : decision::invalid_token;
}

std::string_view keys::client(std::string_view authorization) const
{
    return ask_ ? token_in(authorization) : std::string_view();
}

} // namespace gateway::api
