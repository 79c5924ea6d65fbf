#pragma once

// The registry of a model library (cache_registry.json in the models folder, decisions.md 19), and
// beside it, in the data directory, the list of files whose content this gateway has verified. Both
// are kept in memory and written a while after a change, beside the loop. The registry is read
// again and merged before it is written: other gateways write it too.

#include "core/registry.hpp"
#include "net/async.hpp"
#include "proto/cache_registry.hpp"
#include "store/files.hpp"

#include <filesystem>
#include <map>
#include <string>

namespace gateway::work {

constexpr std::string_view registry_name = "cache_registry.json";

// What became of one merge.
struct merge_result {
    core::model_registry all; // with the changes
    error_code ec;            // when it could not be read or written
    bool busy = false;        // another process is at it
    std::string damage;       // why the file was set aside as NAME.bad; empty: it was well
};
// Reads the registry, applies the changes, and replaces it if anything is new. A registry that is
// missing or damaged starts from `known`. Blocks: call it on a lane. `alone`: under a lock beside
// the file, without which it does nothing but say that it is busy.
merge_result merge_registry(store::file_system& fs, const std::filesystem::path& file,
                            const core::model_changes& changes, const core::model_registry& known,
                            wall_time now, bool alone = true);

// The same on a lane, once no other process is at it; busy after 5 s of that.
net::task<merge_result> merge_when_free(store::file_system& fs, net::lane& disk,
                                        net::time_source& time, std::filesystem::path file,
                                        core::model_changes changes);

class registry {
public:
    struct options {
        std::filesystem::path file;
        std::filesystem::path verified; // empty: what is verified is forgotten at the end
        duration write_after = std::chrono::seconds(5);
    };

    registry(net::executor ex, store::file_system& fs, net::lane& disk, net::time_source& time,
             options chosen);

    // What is on disk. A registry that cannot be read is rebuilt from what is noted.
    net::task<> load();
    // What other gateways have written meanwhile, and what has been noted here.
    net::task<> refresh();
    // Writes what has been noted, until it is cancelled; then what is left.
    net::task<> run();

    const core::model_registry& all() const { return all_; }
    const core::model_record* find(const core::model_key& key) const;
    void note(const core::model_key& key, core::model_change change);

    // The sha256 of the file's content, if it was verified as it looks now; else empty.
    std::string verified(const store::found_file& file) const;
    void note_verified(const store::found_file& file, const std::string& sha256);
    void forget_verified(const std::filesystem::path& file);

    std::uint64_t writes() const { return writes_; } // of the registry

private:
    net::task<> write_changes(bool alone);
    net::task<> write_verified();
    void tell(const merge_result& done);

    store::file_system& fs_;
    net::lane& disk_;
    net::time_source& time_;
    options options_;
    core::model_registry base_; // as it is on disk, as far as known
    core::model_registry all_;  // and with what is pending
    core::model_changes pending_;
    std::map<std::string, proto::verified_file> verified_;
    bool verified_changed_ = false;
    bool writing_ = false;
    net::versions noted_;
    std::string last_trouble_; // told once
    std::uint64_t writes_ = 0;
};

} // namespace gateway::work
