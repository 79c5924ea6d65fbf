#pragma once

// The model library: what waiting jobs need and is not there is fetched while the GPUs work, each
// file once, and the WebUIs are told when it has arrived. A job whose file cannot be had fails with
// the reason.

#include "core/ports.hpp"
#include "jobs/jobs.hpp"
#include "store/files.hpp"
#include "work/fetch.hpp"

#include <filesystem>
#include <map>
#include <memory>

namespace gateway::work {

class model_library final : public core::models_port {
public:
    struct folders {
        std::filesystem::path checkpoints, loras, embeddings, vae;
        const std::filesystem::path& of(core::model_kind kind) const;
    };
    struct size_limits {
        std::uint64_t checkpoint = 0, lora = 0, embedding = 0, vae = 0;
        std::uint64_t of(core::model_kind kind) const;
    };
    struct options {
        model_library::folders folders;
        size_limits limit_of;
        bool lenient = false; // a file that cannot be had is left out of the job
        std::size_t files_at_once = 6;
        duration remember_failure = std::chrono::minutes(10); // permanent ones
        duration remember_passing_failure = std::chrono::seconds(30);
        // A file that no WebUI lists: how often they are asked to look again, and how long each
        // time is given to help. After the last one it is in the wrong place.
        int listing_tries = 30;
        duration listing_interval = std::chrono::seconds(3);
        fetch_options fetch;
    };
    struct parts {
        jobs::jobs& jobs;
        net::client& http;
        net::time_source& time;
        store::model_files& files;
        std::function<double()> random;
        // Whether a WebUI lists this file already, whoever put it there.
        std::function<bool(const core::model_ref&)> listed;
        // New files are in the folders.
        std::function<void(bool checkpoints, bool loras)> arrived;
        // Whether the lists of at least one WebUI are known.
        std::function<bool()> anyone_ready;
        // How often WebUIs have looked into their folders: one that runs a job does so later.
        std::function<std::uint64_t()> looks;
    };

    model_library(net::executor ex, parts uses, options chosen);

    // Looks at what is there, then fetches what is wanted until it is cancelled.
    net::task<> run();

    // With models.policy = "lenient": this file could not be had, and jobs run without it.
    bool waived(const core::model_ref& file) const;
    // A file of that name is in our folders, but it is not sure that its content is the right one.
    bool doubtful(const core::model_ref& file) const;

    core::model_counts models() const override { return counts_; }
    std::vector<core::model_wait> missing(core::set_id set) const override;

private:
    using key = std::pair<core::model_kind, std::string>; // kind and name
    enum class status : std::uint8_t {
        absent,    // not in the folders
        fetching,  // on its way
        verifying, // there, and being hashed because a job says what the hash must be
        present,   // there
        failed,    // cannot be had, and that is remembered until `until`
    };
    struct entry {
        model_library::status status = status::absent;
        fetch_progress progress;
        std::string reason;         // when failed
        core::model_ref failed_for; // another URL or hash deserves a try of its own
        bool waived = false;        // jobs run without it
        steady_time until{};     // failed: remembered until; present: when to ask for a look again
        int asked = 0;           // how often the WebUIs have been asked to look
        std::uint64_t looks = 0; // when they were asked last
        std::filesystem::path path;
        std::uint64_t size = 0;
        std::string sha256; // empty: not known yet
    };

    net::task<> look_around();
    net::task<> fetch_one(core::model_ref file);
    net::task<> verify_one(core::model_ref file);
    net::task<> reconcile(net::task_group& transfers);
    // Empty while there is hope; else why jobs that need this file must fail.
    std::string settle(const core::model_ref& file, net::task_group& transfers);
    std::string settle_present(const core::model_ref& file, entry& e, net::task_group& transfers);
    void waive(const core::model_ref& file, const std::string& reason);
    net::task<> fail(core::set_id set, std::string reason);
    void count(const core::model_ref& file, std::uint64_t size);

    parts uses_;
    options options_;
    fetcher fetcher_;
    std::map<key, entry> entries_;
    net::versions changes_;
    core::model_counts counts_;
};

} // namespace gateway::work
