#pragma once

// A whole gateway without its doors: library, fleet and jobs, wired as in the program, and a server
// of model files.

#include "support/fault_files.hpp"
#include "support/model_file.hpp"
#include "support/work_world.hpp"
#include "work/models.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>
#include <map>
#include <optional>

namespace gateway::test {

inline const std::string files_origin = "https://files.test";

struct library_world : work_world {
    library_world()
    {
        const auto root = folder.path() / "models";
        options.folders = {root / "Stable-diffusion", root / "Lora", root / "embeddings",
                           root / "VAE"};
        options.limit_of = {50'000'000, 50'000'000, 50'000'000, 50'000'000};
        options.fetch.allow_hosts = {"files.test"};
        options.side_by_side.first = 6; // tests of the pace begin with one
        registry_options.file = root / "cache_registry.json";
        registry_options.verified = folder.path() / "verified.json";
        webui.checkpoint_folder = options.folders.checkpoints;
        webui.lora_folder = options.folders.loras;
        files_server.on_request([this](const heard& r) {
            const auto at = remote.find(r.path());
            return at == remote.end() ? answer(404, "no such file") : at->second;
        });
    }
    ~library_world() { stop(); }

    // The library, wired to the fleet as in the program.
    void make_library()
    {
        work::model_library::parts parts{
            *jobs,
            http,
            time,
            files,
            shared,
            registry.emplace(ex(), disk_faults, disk, time, registry_options),
            [] { return 0.0; },
            [this](const core::model_ref& f) { return fleet->lists(f); },
            [this](bool checkpoints, bool loras) { fleet->files_arrived(checkpoints, loras); },
            [this] { return fleet->anyone_ready(); },
            [this] { return fleet->looks(); },
            [this](const core::model_ref& f) { return fleet->listed_by(f); },
            [this] { return fleet->loaded(); }};
        models.emplace(ex(), std::move(parts), options);
        library = &*models;
        waived = [this](const core::model_ref& f) { return models->waived(f); };
        doubtful = [this](const core::model_ref& f) { return models->doubtful(f); };
        used = [this](const core::model_set& s) { models->used(s); };
    }

    void begin_library()
    {
        make_library();
        begin_ready();
        group_.spawn(models->run());
        settle();
    }

    // Puts a file on the server.
    void offer(const std::string& name, std::string body = model_file(10'000))
    {
        answer a(200, std::move(body));
        a.type = "application/octet-stream";
        remote["/" + name] = std::move(a);
    }
    static std::string url(const std::string& name) { return files_origin + "/" + name; }
    std::filesystem::path checkpoint(const std::string& name) const
    {
        return options.folders.checkpoints / (name + ".safetensors");
    }
    void put_checkpoint(const std::string& name, const std::string& body)
    {
        std::filesystem::create_directories(options.folders.checkpoints);
        std::ofstream(checkpoint(name), std::ios::binary) << body;
    }
    std::size_t asked(const std::string& name) { return files_server.count("GET", "/" + name); }
    std::string shown_state(const core::job& job) const
    {
        return std::string(core::to_text(state(job)));
    }
    void check_completed(const core::job& job)
    {
        finish(job, std::chrono::hours(1));
        BOOST_TEST(shown_state(job) == "COMPLETED", error_of(job));
    }
    void check_failed(const core::job& job, std::string_view why)
    {
        finish(job, std::chrono::hours(1));
        BOOST_TEST(shown_state(job) == "FAILED");
        BOOST_TEST(error_of(job).find(why) != std::string::npos, error_of(job));
    }
    std::string last_body() const { return webui.jobs().back().body; }

    fault_files disk_faults;
    net::lane hash{"hash", 0};
    store::model_files files{disk_faults, disk, hash, "0a1b2c3d"};
    store::shared_files shared{disk_faults, disk};
    work::registry::options registry_options;
    std::optional<work::registry> registry;
    fake_server& files_server = wires.at(files_origin);
    std::map<std::string, answer> remote;
    work::model_library::options options;
    std::optional<work::model_library> models;
};

struct wish {
    std::string checkpoint{};
    std::vector<std::string> loras{};
    std::string sha256{};    // of the checkpoint
    bool is_default = false; // named by the settings, without a URL
    std::string url_of{};    // another file's
};

inline jobs::submission wanting(const wish& w)
{
    core::model_set files;
    std::string input = R"({"prompt":"a cat")";
    const auto& remote_name = w.url_of.empty() ? w.checkpoint : w.url_of;
    const auto url = w.is_default ? "" : files_origin + "/" + remote_name;
    if (!w.checkpoint.empty()) {
        files.push_back({core::model_kind::checkpoint, w.checkpoint, url, w.sha256});
    }
    if (!w.checkpoint.empty() && !w.is_default) {
        input += R"(,"checkpoint":{"name":")" + w.checkpoint + R"(","url":")" + url + '"';
        if (!w.sha256.empty())
            input += R"(,"hash":")" + w.sha256 + '"';
        input += '}';
    }
    input += R"(,"loras":[)";
    for (std::size_t i = 0; i < w.loras.size(); ++i) {
        const auto lora_url = files_origin + "/" + w.loras[i];
        files.push_back({core::model_kind::lora, w.loras[i], lora_url, ""});
        input += (i > 0 ? "," : "") + (R"({"name":")" + w.loras[i]) + R"(","url":")" + lora_url +
                 R"(","scale":1.0})";
    }
    auto s = a_job_with(std::move(files));
    s.input = input + "]}";
    return s;
}

} // namespace gateway::test
