#pragma once

// A WebUI as its client sees it (webui.md §1–§3), on a server of the fake network: lists, one
// picture at a time, progress, interrupt, restarts. A test says what is different today.

#include "support/fake_net.hpp"

#include <deque>
#include <filesystem>
#include <map>
#include <set>

namespace gateway::test {

class scripted_webui {
public:
    struct checkpoint {
        std::string file; // "sub/Foo.safetensors"
        std::string sha256;
    };

    scripted_webui(world& w, fake_server& on);
    ~scripted_webui();
    scripted_webui(const scripted_webui&) = delete;
    scripted_webui& operator=(const scripted_webui&) = delete;

    // --- what it has ---
    std::vector<checkpoint> checkpoints{{"Dream.safetensors", ""}, {"Photo.safetensors", ""}};
    std::vector<std::string> loras{"landscape"};
    // Where its files lie, looked into when it is told to refresh; empty: nothing is ever new.
    std::filesystem::path checkpoint_folder, lora_folder;
    std::string selected = "Dream.safetensors"; // loaded, and in its options
    bool api = true;                            // false: every route is missing (webui.md §1.2)
    bool extensions = true;                     // false: the routes of extensions are not there yet
    std::string login;                          // "user:password"; empty: none needed
    duration job_time = std::chrono::seconds(10);
    duration latency{};        // of every answer
    bool frozen = false;       // its progress stands still
    bool interruptible = true; // false: interrupts do nothing
    // Answers instead of its own, by "METHOD /path"; the warm-up is "warm-up".
    std::map<std::string, answer> instead;
    // Asked first; nothing lets the request through.
    std::function<std::optional<answer>(const heard&)> before;

    // --- the jobs that come next ---
    // Answered like this; the WebUI is at work for `busy` whatever the answer is. Without one a job
    // takes job_time and makes a picture.
    void next_job(answer a, duration busy = {});
    // What has been asked for, without warm-ups.
    const std::vector<heard>& jobs() const { return jobs_; }
    std::size_t warm_ups() const { return warm_ups_; }
    std::size_t interrupts() const;
    bool is_busy() const { return !state_job_.empty(); }
    // Somebody else's job begins.
    void begin_foreign_job(duration time) { begin("scripts_img2img", time); }

    // --- its process ---
    void kill();  // the port is closed, connections are reset
    void start(); // a new process, with the port open
    // Both, a little later.
    void restart() { kill(), start(); }

    fake_server& server() { return server_; }
    // A picture made with this model, as the WebUI sends it.
    static std::string picture(const std::string& model, const std::string& sha256 = {},
                               std::size_t size = 200, const std::string& prompt = "a cat");
    // What a job asks for.
    static std::string prompt_of(const heard& r);

private:
    answer handle(const heard& r);
    answer own(const heard& r);
    answer list_checkpoints() const;
    answer list_loras() const;
    answer options() const;
    answer progress() const;
    std::string next_stamp(); // of whatever begins now
    answer txt2img(const heard& r);
    std::string model_for(const heard& r) const;
    void refresh_checkpoints();
    void refresh_loras();
    void begin(std::string job, duration time);
    void end(int number);
    static net::task<> end_later(scripted_webui& self, int number, duration time);

    world& world_;
    fake_server& server_;
    net::task_group group_;
    std::deque<std::pair<answer, duration>> next_;
    std::vector<heard> jobs_;
    std::size_t warm_ups_ = 0;
    // the job that runs
    std::set<std::string> found_; // in checkpoint_folder
    std::string state_job_;
    std::string stamp_ = "0";
    steady_time began_{};
    duration takes_{};
    std::shared_ptr<net::gate> done_;
    int number_ = 0;
    int stamps_ = 0;
};

} // namespace gateway::test
