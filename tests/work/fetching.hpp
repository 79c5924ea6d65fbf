#pragma once

// Downloads over a network in memory into a folder on disk.

#include "support/fake_net.hpp"
#include "support/fault_files.hpp"
#include "support/model_file.hpp"
#include "support/temp_folder.hpp"
#include "work/fetch.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>
#include <sstream>

namespace gateway::test {

using namespace std::chrono_literals;

inline const std::string hub = "https://huggingface.co";
inline const std::string storage = "https://cdn-lfs.hf.co";
inline const std::string file_path = "/someone/model/resolve/main/dream.safetensors";
inline const std::string file_url = hub + file_path;

struct fetching : world {
    fetching()
    {
        options.allow_hosts = {"huggingface.co", "*.hf.co", "civitai.com"};
        options.huggingface_token = "hf_secretsecretsecret";
        options.civitai_token = "civitai-secret";
        order.file = {core::model_kind::checkpoint, "dream", file_url, ""};
        order.folder = folder / "Stable-diffusion";
        order.size_limit = 50'000'000;
        serve(hub, [this](const heard&) { return file; });
    }

    void serve(const std::string& origin, fake_server::handler h)
    {
        wires.at(origin).on_request(std::move(h));
    }
    boost::system::result<work::fetched_file, work::fetch_failure> fetch()
    {
        work::fetcher f(ex(), http, time, files, options, [] { return 0.0; });
        std::optional<boost::system::result<work::fetched_file, work::fetch_failure>> got;
        start(keep(f.fetch(order, progress), got));
        run_until([&] { return got.has_value(); }, 6h);
        return std::move(got.value());
    }
    template <class T> static net::task<> keep(net::task<T> from, std::optional<T>& into)
    {
        auto value = co_await std::move(from);
        into.emplace(std::move(value));
    }
    // The whole folder must hold nothing but what is named.
    std::vector<std::string> there() const
    {
        std::vector<std::string> names;
        if (std::filesystem::exists(order.folder))
            for (const auto& e : std::filesystem::directory_iterator(order.folder))
                names.push_back(e.path().filename().string());
        return names;
    }
    std::string content() const
    {
        std::ifstream in(order.folder / "dream.safetensors", std::ios::binary);
        std::ostringstream text;
        text << in.rdbuf();
        return text.str();
    }
    void check_fetched()
    {
        const auto got = fetch();
        BOOST_TEST(got.has_value(), (got.has_value() ? "" : got.error().reason));
        BOOST_TEST(content() == file.body);
        BOOST_TEST(there().size() == 1u);
    }
    // Fails with this in its reason, and leaves nothing behind. How many requests it took.
    void check_fails(std::string_view why, bool permanent)
    {
        const auto got = fetch();
        BOOST_REQUIRE(!got.has_value());
        BOOST_TEST(got.error().reason.find(why) != std::string::npos, got.error().reason);
        BOOST_TEST(got.error().reason.find("checkpoint 'dream'") != std::string::npos);
        BOOST_TEST(got.error().permanent == permanent);
        BOOST_TEST(got.error().reason.find("secret") == std::string::npos);
        BOOST_TEST(there().empty());
    }
    const std::vector<heard>& asked(const std::string& origin)
    {
        return wires.at(origin).requests();
    }

    temp_folder folder;
    fault_files disk_faults;
    net::lane disk{"disk", 0};
    net::lane hash{"hash", 0};
    store::model_files files{disk_faults, disk, hash, "0a1b2c3d"};
    net::deadline_wheel wheel{ex(), time};
    fake_net wires{*this};
    net::client http{wires, time, wheel};
    work::fetch_options options;
    work::fetch_order order;
    work::fetch_progress progress;
    answer file = [] {
        answer a(200, model_file(100'000));
        a.type = "application/octet-stream";
        return a;
    }();
};

} // namespace gateway::test
