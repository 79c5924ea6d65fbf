#include "store/journal.hpp"

namespace gateway::store {

namespace {

// Boost's base class has a protected destructor that is not virtual, on purpose; GCC warns of it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
class category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "journal"; }

    std::string message(int value) const override
    {
        switch (static_cast<journal_errc>(value)) {
        case journal_errc::conflict: return "the job is not in the state this needs";
        case journal_errc::unknown:
            return "the journal broke while committing; whether it happened is not known";
        case journal_errc::io: return "the journal cannot be read or written";
        case journal_errc::full: return "the journal's disk is full";
        case journal_errc::corrupt: return "the journal is damaged";
        case journal_errc::closed: return "the journal is closed";
        case journal_errc::missing: return "the journal knows no such job";
        }
        return "journal error " + std::to_string(value);
    }
};
#pragma GCC diagnostic pop

} // namespace

const boost::system::error_category& journal_category()
{
    static const category instance;
    return instance;
}

error_code make_error_code(journal_errc e) { return {static_cast<int>(e), journal_category()}; }

} // namespace gateway::store
