#pragma once

// Who may come in: nobody is asked on loopback, or everybody for a key, or an edge in front of us
// has asked already (decisions.md 15).

#include "config/settings.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace gateway::api {

class keys {
public:
    // With `keys` and no key at all, nobody gets in.
    explicit keys(const config::auth_settings& auth);

    enum class decision {
        allowed,
        no_token,      // nothing was brought
        invalid_token, // not one of the keys
    };
    // `authorization` is the header's value: "Bearer KEY", or the bare key as RunPod's own samples
    // send it. All keys are compared, each in a time that does not depend on what is in it.
    decision check(std::string_view authorization) const;
    // The key that an allowed request brought; empty where nobody is asked for one.
    std::string_view client(std::string_view authorization) const;

private:
    bool ask_;
    std::vector<std::string> keys_;
};

} // namespace gateway::api
