#pragma once

// What one WebUI offers in its current epoch: checkpoints, LoRAs and the rest, as its lists say. A
// list read while the WebUI rebuilds it may be short; nothing is taken for gone at the first such
// reading (webui.md §4.4).

#include "base/time.hpp"
#include "core/model.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gateway::core {

struct catalog_checkpoint {
    std::string title;      // "sub/Foo.safetensors [0123456789]"
    std::string model_name; // "sub_Foo"
    std::string name;       // "sub/Foo.safetensors", what a request should say; empty: from title
    std::string hash;       // 10 hex; 8 of the old kind; empty when unknown
    std::string sha256;     // empty when unknown
    std::string filename;   // absolute, on the WebUI's machine

    bool operator==(const catalog_checkpoint&) const = default;
};

struct catalog_lora {
    std::string name; // the stem, what a tag says
    std::string alias;
    std::string path;

    bool operator==(const catalog_lora&) const = default;
};

struct catalog_limits {
    int misses = 3;                          // readings without an entry before it is gone
    duration over = std::chrono::seconds(2); // and at least this long after the first
};

// What a name means on this WebUI.
struct model_resolution {
    enum class kind : std::uint8_t { found, missing, ambiguous };
    kind result = kind::missing;
    std::string send;   // when found: what the request must say
    std::string reason; // when not, for people
};

class catalog {
public:
    explicit catalog(catalog_limits limits = {}) : limits_(limits) {}

    // Another process: everything is forgotten.
    void begin(std::uint64_t epoch);
    std::uint64_t epoch() const { return epoch_; }

    // Readings of the lists, as complete as the WebUI gave them.
    void read_checkpoints(std::vector<catalog_checkpoint> list, steady_time now);
    void read_loras(std::vector<catalog_lora> list, steady_time now);
    void read_vaes(std::vector<std::string> names, steady_time now);
    void read_embeddings(std::vector<std::string> names, steady_time now);
    void set_samplers(std::vector<std::string> names) { samplers_ = std::move(names); }
    void set_schedulers(std::vector<std::string> names) { schedulers_ = std::move(names); }
    void set_dialect(std::string name) { dialect_ = std::move(name); }

    // Best reading first: exact title, name or model_name; file name without folder and extension;
    // sha256. A hash that is known on both sides must agree. Two files at the same reading are
    // ambiguous.
    model_resolution resolve(const model_ref& wanted) const;
    // The files of a set that this WebUI does not offer, with the reason of each.
    std::vector<std::string> missing(const model_set& files) const;
    bool has_all(const model_set& files) const;
    // The same, remembered per set until a list changes: a lease asks this of every waiting set.
    bool has_all(set_id id, const model_sets& sets);

    // Grows with every change of what resolve() may answer.
    std::uint64_t version() const { return version_; }
    std::vector<catalog_checkpoint> checkpoints() const;
    std::vector<catalog_lora> loras() const;
    const std::vector<std::string>& samplers() const { return samplers_; }
    const std::vector<std::string>& schedulers() const { return schedulers_; }
    const std::string& dialect() const { return dialect_; }

private:
    // A listed thing and how often it has not been listed since.
    template <class Entry> struct listed {
        Entry entry;
        int misses = 0;
        steady_time first_miss{};
    };
    // By a key that stays when titles change after the first load.
    template <class Entry> using list = std::map<std::string, listed<Entry>>;
    template <class Entry>
    void merge(list<Entry>& known, std::map<std::string, Entry> reading, steady_time now);

    model_resolution resolve_checkpoint(const model_ref& wanted) const;
    model_resolution resolve_lora(const model_ref& wanted) const;
    model_resolution resolve_name(const model_ref& wanted, const list<std::string>& names) const;
    void changed();

    catalog_limits limits_;
    std::uint64_t epoch_ = 0;
    std::uint64_t version_ = 0;
    list<catalog_checkpoint> checkpoints_;
    list<catalog_lora> loras_;
    list<std::string> vaes_;
    list<std::string> embeddings_;
    std::vector<std::string> samplers_;
    std::vector<std::string> schedulers_;
    std::string dialect_;
    std::unordered_map<set_id, bool> answers_; // of has_all, at this version
};

} // namespace gateway::core
