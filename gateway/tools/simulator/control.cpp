// What changes or reports the state of the simulated process: progress, interrupt, options,
// refreshes, and the server's own switches (webui.md §2.5, §3, §4.3).

#include "tools/simulator/job.hpp"
#include "tools/simulator/route.hpp"

#include <algorithm>

namespace gateway::tools::simulator {

// The body against a model; large ones beside the loop.
net::task<json::object> webui::read_fields(const request_model& fields, net::request& req)
{
    constexpr std::size_t small = 64 * 1024;
    auto read = [&fields, &req, v2 = dialect_.pydantic_v2] {
        return read_body(fields, req.header("content-type"), req.body, v2);
    };
    std::optional<validated> done;
    if (req.body.size() <= small) {
        done = read();
    } else {
        auto elsewhere = co_await around_.pixels.run(std::move(read));
        done = std::move(elsewhere);
    }
    if (auto* wrong = std::get_if<invalid>(&*done))
        throw std::move(*wrong);
    if (std::holds_alternative<unparsable>(*done))
        throw unparsable{};
    co_return std::move(std::get<json::object>(*done));
}

// --- progress ---

// The current image, painted anew after every show_progress_every_n_steps steps.
net::task<std::string> webui::preview()
{
    const int every = static_cast<int>(options_.number("show_progress_every_n_steps", 10));
    if (!options_.is_true("live_previews_enable") || !state_.preview_due(every))
        co_return preview_;
    const auto what = preview_subject();
    auto work = [what] { return to_base64(encode_png(paint(what), {})); };
    auto encoded = co_await around_.pixels.run(std::move(work));
    if (!state_.idle())
        preview_ = encoded;
    co_return preview_;
}

net::task<answer> webui::get_progress(net::request& req)
{
    const auto wish = read_query_flag("skip_current_image", req.parameter("skip_current_image"),
                                      dialect_.pydantic_v2);
    if (const auto* wrong = std::get_if<invalid>(&wish))
        throw invalid(*wrong);
    const auto thread = co_await threads_.enter();
    const bool skip_image = std::get<bool>(wish);
    json::object out{{"progress", state_.progress()},
                     {"eta_relative", state_.eta(around_.time.now())},
                     {"state", state_.dict()},
                     {"current_image", nullptr},
                     {"textinfo", nullptr}};
    if (!state_.idle()) {
        const auto image = co_await preview();
        if (!image.empty() && !skip_image)
            out["current_image"] = image;
    }
    co_return answer::json(std::move(out));
}

net::task<answer> webui::post_interrupt(net::request&)
{
    state_.interrupt();
    around_.log.write("interrupt",
                      {{"n", running_ ? running_->logged : 0}, {"step", state_.sampling_step()}});
    co_return answer::json(json::object{});
}

net::task<answer> webui::post_skip(net::request&)
{
    state_.skip();
    co_return answer::json(nullptr);
}

// webui.md §3.4.
net::task<answer> webui::internal_progress(net::request& req)
{
    const auto fields = co_await read_fields(internal_progress_model(), req);
    const auto thread = co_await threads_.enter();
    const auto* given = fields.at("id_task").if_string();
    const std::string id = given != nullptr ? std::string(*given) : std::string();
    const auto place = std::find(pending_tasks_.begin(), pending_tasks_.end(), id);
    const bool active = !id.empty() && id == current_task_;
    const bool queued = place != pending_tasks_.end();
    const bool completed =
        std::find(finished_tasks_.begin(), finished_tasks_.end(), id) != finished_tasks_.end();
    json::object out{{"active", active},      {"queued", queued},        {"completed", completed},
                     {"progress", nullptr},   {"eta", nullptr},          {"live_preview", nullptr},
                     {"id_live_preview", -1}, {"textinfo", "Waiting..."}};
    if (queued)
        out["textinfo"] = "In queue: " + std::to_string(place - pending_tasks_.begin() + 1) + "/" +
                          std::to_string(pending_tasks_.size());
    if (active) {
        const double progress = std::max(0.0, state_.progress() - 0.01);
        out["progress"] = progress;
        out["textinfo"] = nullptr;
        const auto elapsed = std::chrono::duration<double>(around_.time.now() - state_.started());
        if (progress > 0)
            out["eta"] = elapsed.count() / progress - elapsed.count();
    }
    co_return answer::json(std::move(out));
}

net::task<answer> webui::pending_tasks(net::request&)
{
    json::array tasks(pending_tasks_.begin(), pending_tasks_.end());
    co_return answer::json({{"size", pending_tasks_.size()}, {"tasks", std::move(tasks)}});
}

// --- options ---

net::task<answer> webui::get_options(net::request&) { co_return answer::json(options_.shown()); }

// The callbacks of some options wait for the queue's lock; a load that fails puts the old value
// back and is not reported (webui.md §4.3).
net::task<> webui::option_changed(std::string key, json::value before)
{
    if (key != "sd_model_checkpoint" || dialect_.lazy_options)
        co_return;
    const auto lock = co_await queue_lock_.enter();
    bool failed = false;
    try {
        co_await load_selected();
    } catch (const python_error&) {
        failed = true;
    }
    if (failed)
        options_.set(key, std::move(before));
}

net::task<answer> webui::post_options(net::request& req)
{
    auto read = read_any_object(req.header("content-type"), req.body, dialect_.pydantic_v2);
    if (auto* wrong = std::get_if<invalid>(&read))
        throw std::move(*wrong);
    if (std::holds_alternative<unparsable>(read))
        throw unparsable{};
    const auto wanted = std::move(std::get<json::object>(read));
    const auto thread = co_await threads_.enter();

    const auto* model = wanted.if_contains("sd_model_checkpoint");
    const auto* name = model != nullptr ? model->if_string() : nullptr;
    if (name != nullptr && checkpoints_.find(*name) == nullptr)
        throw python_error("RuntimeError", "model " + repr(std::string_view(*name)) + " not found");
    for (const auto& [key, value] : wanted) {
        const auto before = options_.at(key);
        if (before == value)
            continue;
        if (set_.freeze_settings)
            throw python_error("AssertionError", "changing settings is disabled");
        options_.set(key, value);
        co_await option_changed(key, before);
    }
    co_return answer::json(nullptr);
}

// --- refreshes ---

net::task<answer> webui::refresh_checkpoints(net::request&)
{
    const auto lock = co_await queue_lock_.enter();
    checkpoints_.clear(); // readers see an empty list until the new one is there (webui.md §4.4)
    co_await pause_seconds(set_.refresh_ms / 1000);
    co_await rescan_checkpoints();
    co_return answer::json(nullptr);
}

net::task<answer> webui::refresh_vae(net::request&)
{
    const auto lock = co_await queue_lock_.enter();
    auto scan = [folders = folders_] { return scan_vaes(folders); };
    vaes_ = co_await around_.disk.run(std::move(scan));
    co_return answer::json(nullptr);
}

net::task<answer> webui::refresh_embeddings(net::request&)
{
    const auto lock = co_await queue_lock_.enter();
    co_await rescan_embeddings();
    co_return answer::json(nullptr);
}

// An async route that scans on the event loop: nobody else is answered meanwhile.
net::task<answer> webui::refresh_loras(net::request&)
{
    loop_free_.close();
    std::exception_ptr failure;
    try {
        co_await rescan_networks();
    } catch (...) {
        failure = std::current_exception();
    }
    loop_free_.open();
    if (failure)
        std::rethrow_exception(failure);
    co_return answer::json(nullptr);
}

// --- the model and the server ---

net::task<answer> webui::unload_checkpoint(net::request&)
{
    unloaded_ = true;
    co_return answer::json(json::object{});
}

net::task<answer> webui::reload_checkpoint(net::request&)
{
    if (dialect_.reload_works && unloaded_) {
        co_await pause_seconds(0.2);
        unloaded_ = false;
    }
    co_return answer::json(json::object{});
}

// The process ends inside the handler: the client sees a reset, and that is success.
net::task<answer> webui::server_kill(net::request&)
{
    around_.quit(0);
    throw hang_up();
}

net::task<answer> webui::server_restart(net::request&)
{
    answer out;
    out.status = 501;
    out.content_type.clear();
    co_return out;
}

net::task<answer> webui::server_stop(net::request&)
{
    answer out;
    out.content_type = "text/plain; charset=utf-8";
    out.body = "Stopping.";
    if (set_.startup == startup_mode::full_ui)
        around_.quit(0);
    co_return out;
}

} // namespace gateway::tools::simulator
