#include "core/catalog.hpp"

#include <algorithm>
#include <utility>

namespace gateway::core {

namespace {

std::string_view without_folder(std::string_view path)
{
    const auto slash = path.find_last_of("/\\");
    return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string_view without_extension(std::string_view name)
{
    for (const std::string_view known : {".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf"})
        if (name.size() > known.size() && name.ends_with(known))
            return name.substr(0, name.size() - known.size());
    return name;
}

std::string_view stem(std::string_view path) { return without_extension(without_folder(path)); }

// "sub/Foo.safetensors [0123456789]" → "sub/Foo.safetensors" (webui.md §4.1)
std::string_view without_hash(std::string_view title)
{
    const auto bracket = title.rfind(" [");
    return bracket == std::string_view::npos || !title.ends_with(']') ? title
                                                                      : title.substr(0, bracket);
}

enum class agreement : std::uint8_t { unknown, same, different };

// Of the hash asked for with what is listed; either may be the start of the other.
agreement compare_hash(const catalog_checkpoint& c, std::string_view wanted)
{
    // An old hash has 8 digits and is no part of the sha256.
    const std::string_view known = !c.sha256.empty()     ? std::string_view(c.sha256)
                                   : c.hash.size() >= 10 ? std::string_view(c.hash)
                                                         : std::string_view();
    if (known.empty() || wanted.empty())
        return agreement::unknown;
    const auto n = std::min(known.size(), wanted.size());
    return known.substr(0, n) == wanted.substr(0, n) ? agreement::same : agreement::different;
}

// How exactly a name means an entry: 1 is best, 0 is not at all.
int reading_of(const catalog_checkpoint& c, const model_ref& wanted)
{
    const std::string_view name = wanted.name;
    if (name == c.title || name == c.name || name == c.model_name ||
        name == without_extension(c.name))
        return 1;
    if (stem(name) == stem(c.name) && without_folder(name) == name)
        return 2;
    return compare_hash(c, wanted.sha256) == agreement::same ? 3 : 0;
}

model_resolution found(std::string send)
{
    return {model_resolution::kind::found, std::move(send), {}};
}
model_resolution not_found(std::string reason)
{
    return {model_resolution::kind::missing, {}, std::move(reason)};
}
model_resolution unclear(std::string reason)
{
    return {model_resolution::kind::ambiguous, {}, std::move(reason)};
}

std::string naming(const model_ref& wanted)
{
    return std::string(to_text(wanted.kind)) + " '" + wanted.name + "'";
}

model_resolution choose(const std::vector<const catalog_checkpoint*>& same, const model_ref& wanted)
{
    if (same.size() == 1)
        return found(same.front()->name);
    for (const auto* c : same)
        if (compare_hash(*c, wanted.sha256) == agreement::same)
            return found(c->name);
    std::string names;
    for (const auto* c : same)
        names += (names.empty() ? "" : ", ") + c->name;
    return unclear(naming(wanted) + " may be any of " + names +
                   ": name one of them with its folder, or give its sha256");
}

} // namespace

template <class Entry>
void catalog::merge(list<Entry>& known, std::map<std::string, Entry> reading, steady_time now)
{
    for (auto& [key, entry] : reading) {
        auto [at, added] = known.try_emplace(key);
        if (added || at->second.entry != entry)
            changed();
        at->second = {.entry = std::move(entry)};
    }
    for (auto at = known.begin(); at != known.end();) {
        auto& l = at->second;
        if (reading.contains(at->first)) {
            ++at;
            continue;
        }
        if (l.misses++ == 0)
            l.first_miss = now;
        if (l.misses < limits_.misses || now - l.first_miss < limits_.over) {
            ++at;
            continue;
        }
        at = known.erase(at);
        changed();
    }
}

void catalog::changed()
{
    ++version_;
    answers_.clear();
}

void catalog::begin(std::uint64_t epoch)
{
    if (epoch == epoch_)
        return;
    epoch_ = epoch;
    checkpoints_.clear();
    loras_.clear();
    vaes_.clear();
    embeddings_.clear();
    samplers_.clear();
    schedulers_.clear();
    dialect_.clear();
    changed();
}

void catalog::read_checkpoints(std::vector<catalog_checkpoint> listing, steady_time now)
{
    std::map<std::string, catalog_checkpoint> reading;
    for (auto& c : listing) {
        if (c.name.empty())
            c.name = without_hash(c.title);
        std::string key = c.filename.empty() ? c.name : c.filename;
        reading.insert_or_assign(std::move(key), std::move(c));
    }
    merge(checkpoints_, std::move(reading), now);
}

void catalog::read_loras(std::vector<catalog_lora> listing, steady_time now)
{
    std::map<std::string, catalog_lora> reading;
    for (auto& l : listing) {
        std::string key = l.name; // of the same stem in two folders the last one wins
        reading.insert_or_assign(std::move(key), std::move(l));
    }
    merge(loras_, std::move(reading), now);
}

void catalog::read_vaes(std::vector<std::string> names, steady_time now)
{
    std::map<std::string, std::string> reading;
    for (auto& n : names)
        reading.emplace(n, n);
    merge(vaes_, std::move(reading), now);
}

void catalog::read_embeddings(std::vector<std::string> names, steady_time now)
{
    std::map<std::string, std::string> reading;
    for (auto& n : names)
        reading.emplace(n, n);
    merge(embeddings_, std::move(reading), now);
}

model_resolution catalog::resolve_checkpoint(const model_ref& wanted) const
{
    std::vector<const catalog_checkpoint*> by_reading[4];
    const catalog_checkpoint* other_content = nullptr;
    for (const auto& [key, l] : checkpoints_) {
        const int reading = reading_of(l.entry, wanted);
        if (reading == 0)
            continue;
        if (compare_hash(l.entry, wanted.sha256) == agreement::different)
            other_content = &l.entry;
        else
            by_reading[reading].push_back(&l.entry);
    }
    for (int reading = 1; reading <= 2; ++reading)
        if (!by_reading[reading].empty())
            return choose(by_reading[reading], wanted);
    if (!by_reading[3].empty()) // the same content under whatever name
        return found(by_reading[3].front()->name);
    if (other_content != nullptr)
        return not_found(naming(wanted) + " is listed as " + other_content->title +
                         ", which is another file than the one with sha256 " + wanted.sha256);
    return not_found(naming(wanted) + " is not among the " + std::to_string(checkpoints_.size()) +
                     " checkpoints of the WebUI");
}

model_resolution catalog::resolve_lora(const model_ref& wanted) const
{
    if (loras_.contains(wanted.name))
        return found(wanted.name);
    const catalog_lora* by_alias = nullptr;
    for (const auto& [name, l] : loras_) {
        if (l.entry.alias != wanted.name)
            continue;
        if (by_alias != nullptr) // the WebUI forbids an alias that is used twice (webui.md §4.5)
            return unclear(naming(wanted) + " is an alias of both " + by_alias->name + " and " +
                           name + ": name the file");
        by_alias = &l.entry;
    }
    if (by_alias != nullptr)
        return found(by_alias->name);
    return not_found(naming(wanted) + " is not among the " + std::to_string(loras_.size()) +
                     " LoRAs of the WebUI");
}

model_resolution catalog::resolve_name(const model_ref& wanted,
                                       const list<std::string>& names) const
{
    if (names.contains(wanted.name))
        return found(wanted.name);
    const std::string* only = nullptr;
    for (const auto& [name, l] : names) {
        if (stem(name) != wanted.name)
            continue;
        if (only != nullptr)
            return unclear(naming(wanted) + " may be " + *only + " or " + name);
        only = &name;
    }
    if (only != nullptr)
        return found(*only);
    return not_found(naming(wanted) + " is not listed by the WebUI");
}

model_resolution catalog::resolve(const model_ref& wanted) const
{
    switch (wanted.kind) {
    case model_kind::checkpoint: return resolve_checkpoint(wanted);
    case model_kind::lora: return resolve_lora(wanted);
    case model_kind::embedding: return resolve_name(wanted, embeddings_);
    case model_kind::vae: return resolve_name(wanted, vaes_);
    }
    return not_found(naming(wanted) + " is of no known kind");
}

std::vector<std::string> catalog::missing(const model_set& files) const
{
    std::vector<std::string> reasons;
    for (const model_ref& file : files) {
        model_resolution r = resolve(file);
        if (r.result != model_resolution::kind::found)
            reasons.push_back(std::move(r.reason));
    }
    return reasons;
}

bool catalog::has_all(const model_set& files) const
{
    return std::all_of(files.begin(), files.end(), [this](const model_ref& file) {
        return resolve(file).result == model_resolution::kind::found;
    });
}

bool catalog::has_all(set_id id, const model_sets& sets)
{
    const auto known = answers_.find(id);
    if (known != answers_.end())
        return known->second;
    const bool all = has_all(sets.at(id));
    answers_.emplace(id, all);
    return all;
}

std::vector<catalog_checkpoint> catalog::checkpoints() const
{
    std::vector<catalog_checkpoint> all;
    for (const auto& [key, l] : checkpoints_)
        all.push_back(l.entry);
    return all;
}

std::vector<catalog_lora> catalog::loras() const
{
    std::vector<catalog_lora> all;
    for (const auto& [key, l] : loras_)
        all.push_back(l.entry);
    return all;
}

} // namespace gateway::core
