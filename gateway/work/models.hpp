#pragma once

// The model library: what waiting jobs need and is not there is fetched while the GPUs work, each
// content once, and the WebUIs are told when it has arrived. A job whose file cannot be had fails
// with the reason. What nobody needs goes when room is wanted (core/eviction). Other gateways may
// use the same folders: a file is fetched under a claim, needed under a hold, and deleted only when
// nobody holds it (store/shared_files).

#include "core/eviction.hpp"
#include "core/failures.hpp"
#include "core/pace.hpp"
#include "core/ports.hpp"
#include "jobs/jobs.hpp"
#include "store/files.hpp"
#include "store/shared_files.hpp"
#include "work/fetch.hpp"
#include "work/registry.hpp"

#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <stop_token>

namespace gateway::work {

class model_library final : public core::models_port, public core::library_port {
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
        // Files come in the order of the queue, as many side by side as together come faster: what
        // is wanted first is not held up by what is wanted next.
        std::size_t files_at_once = 6; // at most
        core::pace_limits side_by_side{.settle = std::chrono::seconds(1),
                                       .measure = std::chrono::seconds(2),
                                       .gain = 1.25,
                                       .pause = std::chrono::minutes(1)};
        core::failure_memory::limits failures;
        core::eviction_limits eviction;
        std::set<std::string> pinned;                // names that are never deleted
        duration linger = std::chrono::seconds(30);  // a transfer that nobody wants goes on so long
        duration hold_for = std::chrono::minutes(1); // a file stays held after its last use
        duration claim_interval = std::chrono::seconds(2); // between looks at another's transfer
        duration clean_interval = std::chrono::minutes(1);
        duration look_interval = std::chrono::minutes(10); // into the folders, for what others did
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
        store::shared_files& shared;
        work::registry& registry;
        std::function<double()> random;
        // Whether a WebUI lists this file already, whoever put it there.
        std::function<bool(const core::model_ref&)> listed;
        // New files are in the folders, or some are gone.
        std::function<void(bool checkpoints, bool loras)> arrived;
        // Whether the lists of at least one WebUI are known.
        std::function<bool()> anyone_ready;
        // How often WebUIs have looked into their folders: one that runs a job does so later.
        std::function<std::uint64_t()> looks;
        // The WebUIs that list this file, and the checkpoints that are loaded now, as they name
        // them.
        std::function<std::vector<std::string>(const core::model_ref&)> listed_by;
        std::function<std::vector<std::string>()> loaded;
    };

    model_library(net::executor ex, parts uses, options chosen);

    // Looks at what is there, then fetches what is wanted and deletes what must go, until it is
    // cancelled.
    net::task<> run();

    // With models.policy = "lenient": this file could not be had, and jobs run without it.
    bool waived(const core::model_ref& file) const;
    // A WebUI may list a file of that name, but it is not sure that it is there and the right one.
    bool doubtful(const core::model_ref& file) const;
    // A job that names these files goes to a WebUI.
    void used(const core::model_set& files);
    // Moves on whenever files() shows something new, progress apart.
    net::versions& changes() { return changes_; }

    core::model_counts models() const override;
    std::vector<core::model_wait> missing(core::set_id set) const override;

    std::vector<core::model_status> files() const override;
    std::optional<core::model_status> file(core::model_kind kind,
                                           const std::string& name) const override;
    reply pull(const core::model_ref& file) override;
    reply remove(core::model_kind kind, const std::string& name) override;
    reply pin(core::model_kind kind, const std::string& name, bool on) override;

private:
    using key = core::model_key;
    enum class status : std::uint8_t {
        absent,    // not in the folders
        elsewhere, // another process fetches it; looked at again at `until`
        fetching,  // on its way, or being linked to bytes that are there already
        verifying, // there, and being hashed because a job says what the hash must be
        present,   // there
        removing,  // being deleted
        failed,    // could not be had; failures_ says for how long that is believed
    };
    struct entry {
        model_library::status status = status::absent;
        fetch_progress progress;
        std::string reason;      // when failed
        bool waived = false;     // jobs run without it
        bool removed = false;    // it was there: a list that still has it is old,
        bool looked = false;     // unless WebUIs have looked since
        steady_time wanted{};    // when a job (or an operator) needed it last
        steady_time until{};     // elsewhere: next look; present: when to ask for a look again
        int asked = 0;           // how often the WebUIs have been asked to look
        std::uint64_t looks = 0; // when they were asked last
        // What is there.
        store::found_file found;
        std::string sha256; // empty: not known yet
        // What is being fetched.
        std::string source;
        std::string wanted_sha256;
        std::stop_source stop;
        bool back = false;      // it was gone for a while: WebUIs must look before they are sent it
        bool transfers = false; // not being linked
        bool paused = false;    // told to stop because it is not its turn
        std::uint64_t pass = 0; // of reconcile() that gave it
        steady_time began{};    // the transfer
        std::size_t turn = 0;   // this place in the queue
        // Against other processes that would delete it.
        store::shared_lock hold;
        bool holding = false;     // under way
        bool cannot_hold = false; // so it is not waited for
    };

    // run()
    net::task<> look_around();
    net::task<> reconcile(net::task_group& children);
    void mark_needed();
    void stop_unwanted();
    void tidy();
    net::task<> clean();
    bool is_short_of_room() const;

    // Empty while there is hope; else why jobs that need this file must fail.
    std::string settle(const core::model_ref& file, net::task_group& children);
    std::string settle_absent(const core::model_ref& file, entry& e, net::task_group& children);
    std::string settle_present(const core::model_ref& file, entry& e, net::task_group& children);
    std::string settle_listing(const core::model_ref& file, entry& e);
    bool has_turn(entry& e);
    bool uses_link(const entry& e) const;
    void waive(const core::model_ref& file, const std::string& reason);
    net::task<> fail(core::set_id set, std::string reason);

    // children
    net::task<> keep_pace();
    net::task<> fetch_one(core::model_ref file);
    net::task<> link_one(core::model_ref file, std::filesystem::path from, std::string sha256);
    net::task<> verify_one(core::model_ref file);
    net::task<> hold_one(key file);
    net::task<bool> find_on_disk(const core::model_ref& file, entry& e);
    net::task<> transfer(const core::model_ref& file, entry& e);
    net::task<> remove_one(key file, std::string why, std::uint64_t bytes);

    std::string source_of(const core::model_ref& file) const;
    std::string failure_key(const core::model_ref& file) const;
    const entry* same_content(const core::model_ref& file, const std::string& source) const;
    bool is_under_way(const core::model_ref& file, const std::string& source) const;
    void is_there(const key& file, entry& e, store::found_file found, std::string sha256);
    void has_gone(const key& file, entry& e);
    void failed(const core::model_ref& file, entry& e, std::string reason, bool permanent);
    void count_download(const core::model_ref& file, std::uint64_t bytes, duration took);
    void changed();
    bool is_needed(const entry& e) const;
    bool is_needed_by_jobs(const key& file) const;
    bool is_loaded(const key& file) const;
    bool is_pinned(const key& file) const;
    core::stored_model stored_as(const key& file, const entry& e) const;
    static bool is_on_disk(const entry& e);
    core::model_status shown(const key& file, const entry& e) const;
    static std::string_view state_of(const entry& e);

    parts uses_;
    options options_;
    fetcher fetcher_;
    core::pace_limits pace_limits_;
    core::pace pace_; // of files, not of connections
    std::uint64_t pass_ = 0;
    std::size_t turns_ = 0;  // given in this pass
    bool more_wait_ = false; // for their turn
    bool may_try_ = false;   // whether more at once are faster
    bool pacing_ = false;    // keep_pace() runs
    core::failure_memory failures_;
    std::map<key, entry> entries_;          // whatever a coroutine works on is not erased (tidy)
    std::map<key, core::model_ref> wishes_; // of operators
    std::set<key> doomed_;                  // by operators
    std::size_t held_ = 0;
    net::versions changes_;
    core::model_counts counts_;
};

} // namespace gateway::work
