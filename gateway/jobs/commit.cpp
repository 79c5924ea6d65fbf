#include "jobs/commit.hpp"

#include "base/log.hpp"

namespace gateway::jobs {

namespace {
constexpr auto pause = std::chrono::seconds(1);
}

net::task<error_code> commit_known(store::journal& journal, net::time_source& time, store::write w,
                                   bool doubtful)
{
    for (;;) {
        auto copy = w;
        const auto ec = co_await journal.commit(std::move(copy));
        if (doubtful && ec == store::journal_errc::conflict)
            co_return error_code{};
        doubtful = doubtful || ec == store::journal_errc::unknown;
        if (!doubtful || !ec)
            co_return ec;
        if (ec == store::journal_errc::closed)
            co_return store::journal_errc::unknown; // the next start finds out
        log::error("it is not known whether a change was kept; asking again",
                   {{"error", ec.message()}});
        const auto stopped = co_await time.sleep_for(pause);
        if (stopped)
            co_return store::journal_errc::unknown;
    }
}

net::task<error_code> commit_surely(store::journal& journal, net::time_source& time, store::write w)
{
    for (;;) {
        auto copy = w;
        const auto ec = co_await commit_known(journal, time, std::move(copy));
        if (!ec || ec == store::journal_errc::conflict || ec == store::journal_errc::closed ||
            ec == store::journal_errc::unknown)
            co_return ec;
        log::error("what has happened could not be written; trying again",
                   {{"error", ec.message()}});
        const auto stopped = co_await time.sleep_for(pause);
        if (stopped)
            co_return ec;
    }
}

} // namespace gateway::jobs
