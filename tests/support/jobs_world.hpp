#pragma once

// A jobs part over a journal that takes its time, a spool in a temporary folder and a clock turned
// by hand; and the few coroutines with which a test plays client and runner.

#include "jobs/jobs.hpp"
#include "support/fault_files.hpp"
#include "support/test_journal.hpp"
#include "support/world.hpp"

#include <filesystem>

namespace gateway::test {

// A folder of its own, deleted with everything in it.
class temporary_folder {
public:
    temporary_folder();
    ~temporary_folder();
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

struct jobs_world : world {
    static constexpr auto commit_time = std::chrono::milliseconds(50);

    jobs_world();
    ~jobs_world();

    // Throws the part away, as a crash would, and starts a new one over what is durable; of the
    // writes on their way the first `survivors` are.
    void restart(std::size_t survivors = 0);

    core::job submit(jobs::submission s = {});
    // Submits and expects a refusal.
    jobs::refusal refused(jobs::submission s = {});
    // What the doors would show.
    std::optional<core::job> shown(const core::job& of) const;
    core::job_state state(const core::job& of) const;
    // A runner's turn; nothing when there is no job for it now.
    std::optional<jobs::lease> lease(std::string backend = "webui-0");
    void end(const jobs::lease& l, core::outcome what, std::string reason = "because");
    core::verdict complete(const jobs::lease& l, std::string result = R"({"images":[]})");
    core::verdict retry(const core::job& of);
    void cancel(const core::job& of);
    std::size_t purge();
    // Runs until the coroutines that wait for commits are done.
    void let_commits_pass();
    void look(); // at the disk

    temporary_folder folder;
    net::lane disk{"disk", 0};
    fault_files files; // syncs nothing
    std::unique_ptr<test_journal> journal;
    std::unique_ptr<store::spool> spool;
    store::health_limits room; // build() gives them on; look() sees what has become of the disk
    std::unique_ptr<store::health> health;
    jobs::limits limits;
    std::unique_ptr<jobs::jobs> jobs;
    std::uint64_t secrets = 1000;
    // Ends whoever else works with `jobs`, before a restart throws it away.
    std::function<void()> on_restart;

private:
    void build();
};

jobs::submission a_job(std::string prompt = "a cat");
jobs::submission a_job_with(core::model_set files);

} // namespace gateway::test
