#pragma once

// Can what is accepted now be kept? Looks beside the loop at the room on the disk and in the spool,
// and tries again, with a small write, what has failed: the service comes back by itself. Its
// answers are in memory, known before anything is accepted.

#include "net/async.hpp"
#include "store/journal.hpp"
#include "store/spool.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace gateway::store {

struct health_limits {
    std::uint64_t min_free = 0;    // bytes of the disk that stay free for what runs; 0: no limit
    std::uint64_t spool_bytes = 0; // of results, from where nothing more is begun; 0: no limit
    duration interval = std::chrono::seconds(1);
};

class health {
public:
    // All of it outlives the health. `folder` is the data directory.
    struct parts {
        net::time_source& time;
        net::lane& disk;
        journal& log;
        store::spool& spool;
        file_system& files = real_files();
    };
    health(std::filesystem::path folder, parts uses, health_limits allowed);

    // Looks again and again, until it is cancelled.
    net::task<> watch();
    net::task<> look();

    // Why nothing more may be accepted, for people. Empty: there is room.
    std::string no_room() const;
    // Why no attempt may be begun: what runs keeps the room that is left, and a result that cannot
    // be written costs the work of a GPU.
    std::string no_start() const;
    // The same by part, for /readyz.
    std::string disk_trouble() const;
    const std::string& journal_trouble() const { return log_.counters().trouble; }
    std::string spool_trouble() const;

    std::uint64_t free_bytes() const { return free_; } // at the last look

private:
    std::string spool_is_full() const;
    void tell();

    std::filesystem::path folder_;
    net::time_source& time_;
    net::lane& disk_;
    journal& log_;
    store::spool& spool_;
    file_system& files_;
    health_limits limits_;
    std::uint64_t free_;
    error_code unseen_; // why the disk could not be looked at
    std::string told_;  // the last that was logged
};

} // namespace gateway::store
