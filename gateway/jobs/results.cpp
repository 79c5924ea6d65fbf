// Stored results, and what becomes of those that the disk has not kept.

#include "base/log.hpp"
#include "jobs/entry.hpp"

namespace gateway::jobs {

net::task<> jobs::reopen_results(std::vector<store::job_record>& records)
{
    for (auto& record : records) {
        if (!record.result)
            continue;
        auto& stored = *record.result;
        auto file = co_await spool_.open(stored.file, stored.size, stored.checksum);
        entry* e = look(record.job.key);
        if (e == nullptr)
            continue;
        if (!file)
            lose_result(*e, stored.file, file.error());
        else
            e->extra().result = stored_result{std::move(*file), stored.splice,
                                              std::move(stored.extra), std::move(stored.index)};
    }
}

net::task<error_code> jobs::check_result(core::job_key key)
{
    entry* e = look(key);
    if (e == nullptr || !e->more || !e->more->result)
        co_return error_code{};
    const auto file = e->more->result->file;
    const auto ec = co_await file.verify();
    const bool is_lost = ec == boost::system::errc::bad_message ||
                         ec == boost::system::errc::no_such_file_or_directory;
    if (!is_lost)
        co_return ec;
    e = look(key);
    if (e != nullptr && e->more && e->more->result && e->more->result->file.name() == file.name()) {
        lose_result(*e, file.name(), ec);
        changed_now(*e);
    }
    co_return error_code{};
}

// The file stays where it is, for whoever wants to look, until the job expires.
void jobs::lose_result(entry& e, const std::string& file, const error_code& why)
{
    ++counters_.results_lost;
    log::error("a stored result is lost",
               {{"job_id", naming_.id(e.job)}, {"file", file}, {"error", why.message()}});
    e.extra().error = "the result was stored in " + file + ", which has been damaged or lost (" +
                      why.message() + "); submit the job again";
    e.extra().result.reset();
}

} // namespace gateway::jobs
