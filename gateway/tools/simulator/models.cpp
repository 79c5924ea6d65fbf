// The model side of the simulated WebUI: lists from disk, loading, hashing, LoRAs (webui.md §4).

#include "tools/simulator/webui.hpp"

#include <algorithm>

namespace gateway::tools::simulator {

namespace {

constexpr double gigabyte = 1e9;
constexpr double megabyte = 1e6;

} // namespace

net::task<> webui::rescan_checkpoints()
{
    auto scan = [folders = folders_, gguf = dialect_.lists_gguf] {
        return scan_checkpoints(folders, gguf);
    };
    auto found = co_await around_.disk.run(std::move(scan));
    for (auto& c : found) {
        if (!set_.no_hashing)
            c.sha256 = hashes_.find("checkpoint/" + c.name, c.modified).value_or("");
    }
    checkpoints_.assign(std::move(found));
}

net::task<> webui::rescan_networks()
{
    auto scan = [folders = folders_] { return scan_networks(folders); };
    auto found = co_await around_.disk.run(std::move(scan));
    networks_.assign(std::move(found));
}

net::task<> webui::rescan_embeddings()
{
    auto scan = [folders = folders_] { return scan_embeddings(folders); };
    embeddings_ = co_await around_.disk.run(std::move(scan));
}

checkpoint webui::selected() const
{
    const auto wanted = options_.text("sd_model_checkpoint");
    if (const auto* found = checkpoints_.find(wanted))
        return *found;
    if (!checkpoints_.all().empty())
        return checkpoints_.all().front();
    throw python_error("FileNotFoundError",
                       "No checkpoints found. When searching for checkpoints, looked at:\n"
                       " - directory " +
                           folders_.checkpoints.string() +
                           "Can't run without a checkpoint. Find and place a .ckpt or .safetensors "
                           "file into any of those locations.");
}

// Cached under its name; the first time costs reading the whole file (webui.md §4.4).
net::task<std::string> webui::hash_of(model_file file, std::string key, bool behind_header)
{
    if (set_.no_hashing)
        co_return "";
    if (auto known = hashes_.find(key, file.modified))
        co_return std::move(*known);
    auto read = [path = file.path, behind_header] { return hash_file(path, behind_header); };
    auto hash = co_await around_.disk.run(std::move(read));
    co_await pause_seconds(static_cast<double>(file.bytes) / megabyte / set_.hash_mb_per_s);
    hashes_.put(key, file.modified, hash);
    co_return hash;
}

net::task<> webui::load(checkpoint wanted)
{
    const bool same = loaded_ && loaded_->name == wanted.name;
    if (same)
        co_return;
    auto check = [path = wanted.path] { return load_failure(path); };
    const auto failure = co_await around_.disk.run(std::move(check));
    if (failure)
        throw python_error(*failure);
    wanted.sha256 = co_await hash_of(wanted, "checkpoint/" + wanted.name, false);
    if (!wanted.sha256.empty())
        checkpoints_.learn_hash(wanted.name, wanted.sha256);
    co_await pause_seconds(static_cast<double>(wanted.bytes) / gigabyte * set_.load_s_per_gb);
    around_.log.write("load", {{"model", wanted.name}, {"bytes", wanted.bytes}});
    switches_ += loaded_ ? 1 : 0;
    loaded_ = wanted;
    unloaded_ = false;
    options_.set("sd_model_checkpoint", json::value(wanted.title()));
}

net::task<> webui::load_selected()
{
    const auto held = co_await model_lock_.enter();
    const auto wanted = selected();
    co_await load(wanted);
}

net::task<> webui::preload()
{
    if (set_.skip_load_model_at_start)
        co_return;
    try {
        co_await ensure_model();
    } catch (const python_error&) {
        // Printed and forgotten by the WebUI; the first job tries again.
    }
}

net::task<> webui::ensure_model()
{
    const auto held = co_await model_lock_.enter();
    if (loaded_)
        co_return;
    const auto first = selected();
    bool failed = false;
    try {
        co_await load(first);
    } catch (const python_error&) {
        failed = true;
    }
    if (failed)
        throw python_error("AttributeError", "'NoneType' object has no attribute 'lowvram'");
}

} // namespace gateway::tools::simulator
