#pragma once

// Model files on disk, seen as the WebUI sees them: names, titles, aliases, hashes (webui.md §4.1,
// §4.5, §5). Functions here block and belong on a lane; the lists are snapshots that only change
// when they are assigned.

#include "tools/simulator/python.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::tools::simulator {

// The WebUI's own layout under one folder (decisions.md 17).
struct model_folders {
    std::filesystem::path checkpoints, loras, vaes, embeddings;
    explicit model_folders(const std::filesystem::path& root = {});
    void create() const;
};

struct model_file {
    std::string name; // relative to its folder: "sub/Foo.safetensors"
    std::string path; // absolute
    std::uint64_t bytes = 0;
    std::int64_t modified = 0; // nanoseconds since the epoch

    std::string stem() const; // "Foo"
};

struct checkpoint : model_file {
    std::string model_name; // "sub_Foo"
    std::string old_hash;   // 8 hex over 64 KiB at 1 MiB
    std::string sha256;     // empty until the first load
    std::string config;     // "Foo.yaml" beside it, or empty

    std::string short_hash() const { return sha256.substr(0, 10); }
    std::string title() const;
    std::vector<std::string> ids() const; // everything that is accepted as its name
};

struct network : model_file {
    std::string alias; // metadata's ss_output_name, else the stem
    json::object metadata;
};

// What a disk scan found. Blocking.
std::vector<checkpoint> scan_checkpoints(const model_folders& folders, bool with_gguf);
std::vector<network> scan_networks(const model_folders& folders);
std::vector<model_file> scan_vaes(const model_folders& folders);
std::vector<model_file> scan_embeddings(const model_folders& folders);
// sha256 in hex; for LoRAs of the part behind the safetensors header, as the addnet hash is.
std::string hash_file(const std::string& path, bool behind_header);
// Why the file cannot be loaded: an exception's type and text; nothing when it can.
std::optional<python_error> load_failure(const std::string& path);
// A tiny but valid checkpoint, for an empty folder (the WebUI downloads one).
void write_first_checkpoint(const model_folders& folders);

// The checkpoint list as of its last refresh, and every name it answers to.
class checkpoint_list {
public:
    void assign(std::vector<checkpoint> files);
    void clear() { assign({}); }
    const std::vector<checkpoint>& all() const { return files_; }
    // Exact and case-sensitive; the last listed wins a name that two share.
    const checkpoint* find(std::string_view id) const;
    // By any part of the title: only for the refiner and the hires checkpoint.
    const checkpoint* find_fuzzy(std::string_view part) const;
    // After the first load: new title, more names.
    void learn_hash(std::string_view name, const std::string& sha256);

private:
    void index();
    std::vector<checkpoint> files_;
    std::map<std::string, std::size_t, std::less<>> ids_;
};

// LoRAs as of their last scan.
class network_list {
public:
    void assign(std::vector<network> files);
    const std::map<std::string, network>& all() const { return by_name_; }
    // By stem, or by an alias that no other file claims.
    const network* find(std::string_view name) const;

private:
    std::map<std::string, network> by_name_;
    std::map<std::string, std::string, std::less<>> by_alias_; // alias → name, empty when forbidden
};

// Hashes by relative name. Stale only when the file is newer than the entry (webui.md §5).
class hash_cache {
public:
    std::optional<std::string> find(const std::string& key, std::int64_t modified) const;
    void put(const std::string& key, std::int64_t modified, std::string sha256);

private:
    struct entry {
        std::int64_t modified;
        std::string sha256;
    };
    std::map<std::string, entry> entries_;
};

} // namespace gateway::tools::simulator
