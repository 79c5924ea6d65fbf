#pragma once

// What can go wrong in net that neither the operating system nor Asio has a code for.

#include "base/result.hpp"

namespace gateway::net {

enum class error {
    address_refused = 1, // the policy forbids an address of this host
    cut_short,           // the peer closed before the message was complete
    malformed,           // not HTTP, or ambiguous HTTP
    too_large,           // over the limit that was given
    not_a_url,           // cannot be taken apart, or of another scheme
};

error_code make_error_code(error e) noexcept;

} // namespace gateway::net

template <> struct boost::system::is_error_code_enum<gateway::net::error> : std::true_type {};
