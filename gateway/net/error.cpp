#include "net/error.hpp"

#include <string>

namespace gateway::net {

namespace {

std::string_view sentence(error e)
{
    switch (e) {
    case error::address_refused: return "an address of this host is not public and not allowed";
    case error::cut_short: return "the connection ended in the middle of a message";
    case error::malformed: return "the message is not valid HTTP";
    case error::too_large: return "the message is larger than allowed";
    case error::not_a_url: return "not an http or https URL";
    }
    return "unknown network error";
}

// Boost's base class has a protected destructor that is not virtual, on purpose; GCC warns of it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
class category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "net"; }
    std::string message(int value) const override
    {
        return std::string(sentence(static_cast<error>(value)));
    }
};
#pragma GCC diagnostic pop

} // namespace

error_code make_error_code(error e) noexcept
{
    static const category instance;
    return {static_cast<int>(e), instance};
}

} // namespace gateway::net
