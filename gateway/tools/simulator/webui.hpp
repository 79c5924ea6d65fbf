#pragma once

// A simulated WebUI as an HTTP service: which routes exist when, who may use them, which thread and
// lock they wait for, and what they answer. One object per process; everything runs on the loop,
// disk and pixels on lanes.

#include "base/ids.hpp"
#include "net/server.hpp"
#include "tools/simulator/answer.hpp"
#include "tools/simulator/catalog.hpp"
#include "tools/simulator/fault_plan.hpp"
#include "tools/simulator/infotext.hpp"
#include "tools/simulator/options.hpp"
#include "tools/simulator/picture.hpp"
#include "tools/simulator/progress.hpp"
#include "tools/simulator/request_model.hpp"
#include "tools/simulator/run_log.hpp"
#include "tools/simulator/settings.hpp"
#include "tools/simulator/turnstile.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <set>

namespace gateway::tools::simulator {

// What a starting WebUI has reached (webui.md §1.2).
enum class stage {
    booting,    // nothing listens
    ui_only,    // full UI: the port is open, /sdapi is not there
    window,     // full UI: the middleware is set up, one HTTP request now costs the API
    api,        // the API's own routes
    complete,   // and those of extensions
    without_api // full UI for ever without /sdapi
};

struct surroundings {
    net::executor ex;
    net::time_source& time;
    net::lane& disk;   // model files
    net::lane& pixels; // pictures, base64, large bodies
    random_source& random;
    run_log& log;
    std::function<void(int status)> quit; // ends the process
};

struct job;
struct route;

class webui final : public net::service {
public:
    webui(settings set, surroundings around);
    ~webui() override;

    // The start, in the WebUI's order. First the model lists.
    net::task<> list_models();
    // Beside the rest: the first model into memory.
    net::task<> preload();
    // Until the port opens.
    net::task<> boot();
    // From the open port to the last route.
    net::task<> finish_startup();
    simulator::stage stage() const { return stage_; }

    verdict admit(const net::request& head) override;
    net::task<net::response> handle(net::request& req) override;
    net::response refuse(net::protocol_error what, const net::request* head) override;
    net::response internal_error(const net::request& req, std::string_view what) override;

private:
    using handler = net::task<answer> (webui::*)(net::request&);
    friend struct route;
    friend struct job;

    static const std::vector<route>& routes();
    bool exists(const route& r) const;
    bool no_api() const;
    net::task<answer> dispatch(net::request& req);
    net::task<answer> call(const route& r, net::request& req);
    net::task<answer> guarded(const route& r, net::request& req);
    void check_login(const net::request& req) const;
    std::optional<answer> preflight(const net::request& req) const;
    std::string redirect_target(const net::request& req) const;
    std::optional<answer> missing_route(const net::request& req, const route*& found) const;
    net::task<net::response> dress(answer what, net::request& req, steady_time received);
    net::task<> pause(duration at_speed_one);
    net::task<> pause_seconds(double seconds_at_speed_one);

    // --- pages and lists ---
    net::task<answer> root(net::request&);
    net::task<answer> docs(net::request&);
    net::task<answer> openapi(net::request&);
    net::task<answer> ping(net::request&);
    net::task<answer> pending_tasks(net::request&);
    net::task<answer> internal_progress(net::request&);
    net::task<answer> get_samplers(net::request&);
    net::task<answer> get_schedulers(net::request&);
    net::task<answer> get_upscalers(net::request&);
    net::task<answer> get_latent_modes(net::request&);
    net::task<answer> get_models(net::request&);
    net::task<answer> get_vaes(net::request&);
    net::task<answer> get_modules(net::request&);
    net::task<answer> get_hypernetworks(net::request&);
    net::task<answer> get_face_restorers(net::request&);
    net::task<answer> get_realesrgan(net::request&);
    net::task<answer> get_styles(net::request&);
    net::task<answer> get_extensions(net::request&);
    net::task<answer> get_embeddings(net::request&);
    net::task<answer> get_loras(net::request&);
    net::task<answer> get_cmd_flags(net::request&);
    net::task<answer> get_memory(net::request&);
    net::task<answer> get_scripts(net::request&);
    net::task<answer> get_script_info(net::request&);

    // --- control ---
    net::task<answer> get_progress(net::request&);
    net::task<answer> post_interrupt(net::request&);
    net::task<answer> post_skip(net::request&);
    net::task<answer> get_options(net::request&);
    net::task<answer> post_options(net::request&);
    net::task<answer> refresh_checkpoints(net::request&);
    net::task<answer> refresh_vae(net::request&);
    net::task<answer> refresh_embeddings(net::request&);
    net::task<answer> refresh_loras(net::request&);
    net::task<answer> unload_checkpoint(net::request&);
    net::task<answer> reload_checkpoint(net::request&);
    net::task<answer> server_kill(net::request&);
    net::task<answer> server_restart(net::request&);
    net::task<answer> server_stop(net::request&);

    // --- pictures ---
    net::task<answer> txt2img(net::request&);
    net::task<answer> img2img(net::request&);
    net::task<answer> png_info(net::request&);
    net::task<answer> extra_single(net::request&);
    net::task<answer> extra_batch(net::request&);
    net::task<answer> interrogate(net::request&);
    net::task<> upscale(json::object fields);

    // --- generation (generate.cpp) ---
    net::task<json::object> read_fields(const request_model& fields, net::request& req);
    void check_scripts(const json::object& fields, bool img2img) const;
    net::task<answer> generate(std::shared_ptr<job> j, net::request& req);
    net::task<> run(std::shared_ptr<job> j);
    net::task<> work(std::shared_ptr<job> j);
    net::task<> iterations(std::shared_ptr<job> j);
    net::task<int> sample(std::shared_ptr<job> j, int steps, double megapixels);
    void strike_half_way(job& j);
    void strike_at_begin(job& j);
    net::task<> iteration(std::shared_ptr<job> j, int number);
    net::task<> decode(std::shared_ptr<job> j, int iteration, double done);
    subject subject_of(const job& j, int number, double done) const;
    net::task<answer> reply(std::shared_ptr<job> j);
    net::task<> apply_overrides(std::shared_ptr<job> j);
    void restore_options(const job& j);
    net::task<> apply_loras(std::shared_ptr<job> j);
    net::task<> find_vae(std::shared_ptr<job> j);
    std::string decoded_image(std::string_view text) const;
    void check_init_images(job& j) const;
    void plan_hires(job& j) const;
    void check_names(const job& j) const;
    void begin_log(job& j);
    infotext infotext_of(const job& j, int index) const;
    json::object info_of(const job& j) const;
    net::task<> add_grid(std::shared_ptr<job> j);
    net::task<std::string> preview();
    subject preview_subject() const;
    net::task<> option_changed(std::string key, json::value before);

    // --- models (models.cpp) ---
    net::task<> rescan_checkpoints();
    net::task<> rescan_networks();
    net::task<> rescan_embeddings();
    checkpoint selected() const;         // by the option, else the first; FileNotFoundError
    net::task<> load(checkpoint wanted); // into memory, if it is not there
    net::task<> load_selected();         // what the options say
    net::task<> ensure_model();          // what every job needs first; AttributeError
    net::task<std::string> hash_of(model_file file, std::string key, bool behind_header);

    settings set_;
    surroundings around_;
    const dialect& dialect_;
    fault_plan faults_;
    simulator::stage stage_ = stage::booting;
    bool poisoned_ = false;       // a request came in the middleware window
    std::string cached_schema_;   // /openapi.json as first fetched
    steady_time missing_until_{}; // fault 404-for
    net::gate loop_free_;         // closed while refresh-loras blocks the event loop

    turnstile threads_;
    turnstile queue_lock_;
    turnstile model_lock_;

    shared_state state_;
    option_set options_;
    model_folders folders_;
    checkpoint_list checkpoints_;
    network_list networks_;
    std::vector<model_file> vaes_;
    std::vector<model_file> embeddings_;
    std::int64_t embeddings_changed_ = 0;
    hash_cache hashes_;
    std::optional<checkpoint> loaded_;
    std::set<std::string> loras_in_memory_;
    bool unloaded_ = false; // unload-checkpoint was called
    int switches_ = 0;

    std::shared_ptr<job> running_;
    std::string preview_; // base64 of the current image
    std::deque<std::string> pending_tasks_;
    std::deque<std::string> finished_tasks_;
    std::string current_task_;
};

} // namespace gateway::tools::simulator
