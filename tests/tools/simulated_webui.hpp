#pragma once

// A simulated WebUI for tests: its real service behind the real HTTP server, over scripted streams
// and a clock turned by hand. Lanes work inline; models lie in a folder of the test's own.

#include "net/server.hpp"
#include "support/scripted_stream.hpp"
#include "support/world.hpp"
#include "tools/simulator/webui.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace gateway::test {

namespace sim = tools::simulator;
constexpr auto an_hour = std::chrono::hours(1);

// What the real WebUI says, from tests/tools/golden.
inline std::string golden(const std::string& name)
{
    std::ifstream in(std::string(GATEWAY_SOURCE_DIR) + "/tests/tools/golden/" + name);
    BOOST_TEST_REQUIRE(in.good(), "golden file " << name);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

struct temporary_folder {
    std::filesystem::path path;
    temporary_folder()
    {
        auto pattern = (std::filesystem::temp_directory_path() / "simulator-test-XXXXXX").string();
        BOOST_TEST_REQUIRE(mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    ~temporary_folder()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
};

// A valid safetensors file; `metadata` is the inside of its __metadata__ object.
inline void write_model(const std::filesystem::path& path, std::size_t bytes = 64,
                        const std::string& metadata = "")
{
    std::filesystem::create_directories(path.parent_path());
    std::string header = "{\"__metadata__\":{" + metadata +
                         "},\"w\":{\"dtype\":\"U8\",\"shape\":[" + std::to_string(bytes) +
                         "],\"data_offsets\":[0," + std::to_string(bytes) + "]}}";
    std::string size;
    for (int shift = 0; shift < 64; shift += 8)
        size += static_cast<char>(header.size() >> shift & 0xff);
    // The content follows the name, so that hashes differ.
    std::string content(bytes, path.filename().string()[0]);
    std::ofstream(path, std::ios::binary) << size << header << content;
}

struct reply {
    int status = 0; // 0: no answer yet; -1: the connection was closed without one
    std::string head;
    std::string body;
    bool complete = false; // the whole body has come

    std::string header(std::string_view name) const
    {
        const auto at = head.find("\r\n" + std::string(name) + ": ");
        if (at == std::string::npos)
            return "";
        const auto begin = at + name.size() + 4;
        return head.substr(begin, head.find("\r\n", begin) - begin);
    }
    sim::json::value json() const
    {
        auto parsed = sim::parse_json(body);
        BOOST_TEST_REQUIRE(std::holds_alternative<sim::json::value>(parsed), body.substr(0, 300));
        return std::get<sim::json::value>(parsed);
    }
    sim::json::value at(const char* pointer) const { return json().at_pointer(pointer); }
    std::string text(const char* pointer) const { return std::string(at(pointer).as_string()); }
    // `info`, taken out of its string.
    sim::json::value info() const
    {
        return std::get<sim::json::value>(sim::parse_json(json().at("info").as_string()));
    }
};

// One connection and its one request.
struct exchange {
    std::shared_ptr<scripted_stream> stream;

    reply now() const
    {
        reply out;
        const auto& text = stream->written();
        const auto end = text.find("\r\n\r\n");
        if (end == std::string::npos) {
            out.status = stream->is_closed() ? -1 : 0;
            return out;
        }
        out.head = text.substr(0, end + 2);
        out.body = text.substr(end + 4);
        out.status = std::stoi(text.substr(9, 3));
        out.complete = out.body.size() == std::stoul(out.header("content-length"));
        return out;
    }
    bool over() const
    {
        const auto r = now();
        return r.status == -1 || (r.status > 0 && (r.complete || stream->is_closed()));
    }
};

struct simulated_webui : world {
    temporary_folder models;
    net::lane inline_lane{"inline", 0};
    seeded_random random{1};
    sim::run_log no_log{"", time};
    net::deadline_wheel wheel{ex(), time};
    std::vector<int> quits;
    sim::settings set;
    std::unique_ptr<sim::webui> ui;
    std::unique_ptr<net::server> server;

    simulated_webui()
    {
        set.models_dir = models.path;
        set.boot = 0;
    }

    ~simulated_webui()
    {
        server.reset();
        settle();
    }

    // Time passes from event to event, so that what is due in between happens on time.
    void advance(duration d)
    {
        const auto end = time.now() + d;
        settle();
        for (auto next = time.next_wake(); next && *next <= end; next = time.next_wake())
            world::advance(std::max(*next - time.now(), duration(0)));
        world::advance(end - time.now());
    }

    std::filesystem::path checkpoint(const std::string& name) const
    {
        return models.path / "Stable-diffusion" / name;
    }
    std::filesystem::path lora(const std::string& name) const
    {
        return models.path / "Lora" / name;
    }

    net::task<> boot()
    {
        co_await ui->list_models();
        co_await ui->boot();
    }

    // Up to the open port; the first model is not loaded unless preload() runs.
    void open_port()
    {
        const auto quit = [this](int status) { quits.push_back(status); };
        ui = std::make_unique<sim::webui>(
            set, sim::surroundings{ex(), time, inline_lane, inline_lane, random, no_log, quit});
        net::server_limits patient;
        patient.idle_timeout = patient.body_timeout = 24 * an_hour;
        server = std::make_unique<net::server>(ex(), time, wheel, *ui, patient);
        run(boot());
    }

    // All the way: every route exists and the first model is loaded.
    void started()
    {
        open_port();
        start(ui->preload());
        start(ui->finish_startup());
        BOOST_TEST_REQUIRE(run_until([&] { return ui->stage() == sim::stage::complete; }, an_hour));
        advance(an_hour); // the load, too
    }

    exchange send(std::string_view method, std::string_view path, std::string_view body = "",
                  std::string_view headers = "Content-Type: application/json\r\n")
    {
        exchange out{std::make_shared<scripted_stream>(ex())};
        std::string text = std::string(method) + " " + std::string(path) +
                           " HTTP/1.1\r\nHost: h\r\n" + std::string(headers) +
                           "Connection: close\r\n";
        if (!body.empty() || method == "POST")
            text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
        out.stream->arrives(text + "\r\n" + std::string(body));
        start(server->serve(out.stream, "test"));
        settle();
        return out;
    }

    reply finish(const exchange& e, duration limit = an_hour)
    {
        run_until([&] { return e.over(); }, limit);
        return e.now();
    }

    reply get(std::string_view path) { return finish(send("GET", path)); }
    reply post(std::string_view path, std::string_view body = "")
    {
        return finish(send("POST", path, body));
    }
    reply api_get(std::string_view path) { return get("/sdapi/v1/" + std::string(path)); }
    reply api_post(std::string_view path, std::string_view body = "")
    {
        return post("/sdapi/v1/" + std::string(path), body);
    }
    // A small quick picture: `more` is added to the request.
    static std::string job(std::string_view more, int steps = 2)
    {
        return "{\"width\":64,\"height\":64,\"steps\":" + std::to_string(steps) + "," +
               std::string(more) + "}";
    }
    reply generate(std::string_view more = "\"prompt\":\"a cat\",\"seed\":1")
    {
        return api_post("txt2img", job(more));
    }
    // Begins a picture of one megapixel whose every step takes a second.
    exchange begin_long(std::string_view more = "\"prompt\":\"long\"", int steps = 20)
    {
        return send("POST", "/sdapi/v1/txt2img",
                    "{\"width\":1000,\"height\":1000,\"steps\":" + std::to_string(steps) + "," +
                        std::string(more) + "}");
    }
    sim::json::value progress() { return api_get("progress?skip_current_image=true").json(); }
};

} // namespace gateway::test
