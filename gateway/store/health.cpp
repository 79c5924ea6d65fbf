#include "store/health.hpp"

#include "base/log.hpp"
#include "base/text.hpp"

#include <limits>

namespace gateway::store {

health::health(std::filesystem::path folder, parts uses, health_limits allowed)
    : folder_(std::move(folder)),
      time_(uses.time),
      disk_(uses.disk),
      log_(uses.log),
      spool_(uses.spool),
      files_(uses.files),
      limits_(allowed),
      free_(std::numeric_limits<std::uint64_t>::max())
{
}

net::task<> health::watch()
{
    for (;;) {
        co_await look();
        const auto stopped = co_await time_.sleep_for(limits_.interval);
        if (stopped)
            co_return;
    }
}

net::task<> health::look()
{
    auto measure = [&files = files_, folder = folder_] { return files.free_bytes(folder); };
    const auto found = co_await disk_.run(std::move(measure));
    unseen_ = found ? error_code{} : found.error();
    if (found)
        free_ = *found;
    if (!spool_.counters().trouble.empty())
        co_await spool_.probe();
    if (!journal_trouble().empty()) {
        write nothing; // but the stamp of a transaction
        const auto ec = co_await log_.commit(std::move(nothing));
        (void)ec; // the journal's counters tell
    }
    tell();
}

// Once when it begins, and once when it is over.
void health::tell()
{
    auto now = no_start();
    if (now.empty())
        now = journal_trouble();
    if (now == told_)
        return;
    if (now.empty())
        log::info("jobs can be kept again", {{"free_bytes", free_}});
    else if (told_.empty())
        log::error("jobs cannot be kept or begun", {{"reason", now}});
    told_ = std::move(now);
}

std::string health::disk_trouble() const
{
    if (unseen_)
        return "the free space of " + folder_.string() +
               " cannot be asked for: " + unseen_.message();
    if (free_ >= limits_.min_free)
        return {};
    return "the disk is nearly full: " + folder_.string() + " has " + format_bytes(free_) +
           " free, the least (data.min_free) is " + format_bytes(limits_.min_free);
}

std::string health::spool_is_full() const
{
    const auto used = spool_.counters().bytes;
    if (limits_.spool_bytes == 0 || used < limits_.spool_bytes)
        return {};
    return "the spool is full: kept results take " + format_bytes(used) +
           ", the limit (jobs.max_spool_bytes) is " + format_bytes(limits_.spool_bytes);
}

std::string health::no_room() const
{
    auto why = disk_trouble();
    return why.empty() ? spool_is_full() : why;
}

std::string health::spool_trouble() const
{
    const auto& broken = spool_.counters().trouble;
    return broken.empty() ? spool_is_full() : broken;
}

std::string health::no_start() const
{
    auto why = disk_trouble();
    return why.empty() ? spool_trouble() : why;
}

} // namespace gateway::store
