#pragma once

// The model files a job names, and sets of them: thousands of queued jobs want the same few files,
// so each distinct set is kept once and known by a number.

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::core {

enum class model_kind : std::uint8_t {
    checkpoint,
    lora,
    embedding,
    vae,
};

std::string_view to_text(model_kind kind); // "checkpoint", "lora", …

// One file as a job asks for it.
struct model_ref {
    model_kind kind = model_kind::checkpoint;
    std::string name;   // without folder or extension (decisions.md 18)
    std::string url;    // where it comes from; empty when it must be there already
    std::string sha256; // lower-case hex, whole or a prefix of at least 10; empty when unknown

    auto operator<=>(const model_ref&) const = default;
};

using model_set = std::vector<model_ref>;

using set_id = std::uint32_t;
constexpr set_id no_models = 0; // the empty set

// Interned model sets. Ids are dense, never reused, and mean nothing outside this process.
class model_sets {
public:
    model_sets();
    // The order of the files does not matter; duplicates count once.
    set_id intern(model_set files);
    const model_set& at(set_id id) const { return *by_id_.at(id); }
    std::size_t size() const { return by_id_.size(); }

private:
    std::map<model_set, set_id> ids_;
    std::vector<const model_set*> by_id_;
};

} // namespace gateway::core
