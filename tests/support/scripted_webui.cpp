#include "support/scripted_webui.hpp"

#include "base/text.hpp"
#include "proto/webui.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace gateway::test {

namespace json = boost::json;

namespace {

constexpr const char* missing = R"({"detail":"Not Found"})";
constexpr const char* picture_start = "iVBORw0KGgo"; // base64 of a PNG's first bytes

answer ok(const json::value& body) { return {200, json::serialize(body)}; }

std::string stem_of(const std::string& file)
{
    const auto name = file.substr(file.rfind('/') + 1);
    return name.substr(0, name.rfind('.'));
}

} // namespace

scripted_webui::scripted_webui(world& w, fake_server& on) : world_(w), server_(on), group_(w.ex())
{
    server_.on_request([this](const heard& r) {
        auto a = handle(r);
        a.after += latency;
        return a;
    });
}

scripted_webui::~scripted_webui()
{
    server_.on_request({});
    world_.cancel(group_);
}

void scripted_webui::next_job(answer a, duration busy) { next_.emplace_back(std::move(a), busy); }

std::size_t scripted_webui::interrupts() const
{
    return server_.count("POST", "/sdapi/v1/interrupt");
}

void scripted_webui::kill()
{
    server_.set_port(fake_server::port::closed);
    server_.drop_connections();
    end(number_);
    stamp_ = "0";
}

void scripted_webui::start() { server_.set_port(fake_server::port::open); }

// --- answers ---

answer scripted_webui::handle(const heard& r)
{
    if (before) {
        auto other = before(r);
        if (other)
            return std::move(*other);
    }
    if (!api)
        return {404, missing};
    const bool is_warm_up = r.method == "POST" && r.body == proto::warm_up_body();
    const auto other = instead.find(is_warm_up ? "warm-up" : r.method + " " + r.path());
    if (is_warm_up)
        ++warm_ups_;
    if (other != instead.end())
        return other->second;
    return own(r);
}

answer scripted_webui::own(const heard& r)
{
    const auto path = r.path();
    const auto is = [&](std::string_view method, std::string_view name) {
        return r.method == method && path == "/sdapi/v1/" + std::string(name);
    };
    if (is("GET", "txt2img"))
        return {405, R"({"detail":"Method Not Allowed"})"};
    if (is("POST", "refresh-loras"))
        refresh_loras();
    if (is("GET", "loras") || is("POST", "refresh-loras"))
        return !extensions ? answer(404, missing) : r.method == "GET" ? list_loras() : ok(nullptr);
    const bool let_in =
        login.empty() || r.header("authorization") == "Basic " + base64_encode(login);
    if (!let_in)
        return {401,
                R"({"error":"HTTPException","detail":"Not authenticated","body":"","errors":""})"};
    if (is("POST", "txt2img"))
        return txt2img(r);
    if (is("GET", "progress"))
        return progress();
    if (is("POST", "interrupt")) {
        if (interruptible)
            end(number_);
        return ok(json::object());
    }
    if (is("GET", "sd-models"))
        return list_checkpoints();
    if (is("GET", "options"))
        return options();
    if (is("GET", "sd-vae"))
        return ok(json::array());
    if (is("GET", "samplers"))
        return ok(
            {{{"name", "Euler"}, {"aliases", {"k_euler"}}, {"options", json::object()}},
             {{"name", "DDIM CFG++"}, {"aliases", {"ddim_cfgpp"}}, {"options", json::object()}}});
    if (is("GET", "schedulers"))
        return ok({{{"name", "automatic"}, {"label", "Automatic"}, {"aliases", nullptr}},
                   {{"name", "karras"}, {"label", "Karras"}, {"aliases", nullptr}},
                   {{"name", "beta"}, {"label", "Beta"}, {"aliases", nullptr}}});
    if (is("POST", "refresh-checkpoints")) {
        refresh_checkpoints();
        return ok(nullptr);
    }
    return {404, missing};
}

namespace {
std::vector<std::string> model_files_in(const std::filesystem::path& folder)
{
    std::vector<std::string> names;
    if (!folder.empty() && std::filesystem::exists(folder))
        for (const auto& entry : std::filesystem::directory_iterator(folder))
            if (entry.path().extension() == ".safetensors")
                names.push_back(entry.path().filename().string());
    return names;
}
} // namespace

// What it found in the folder before and is gone now is not listed any more.
void scripted_webui::refresh_checkpoints()
{
    const auto files = model_files_in(checkpoint_folder);
    std::erase_if(checkpoints, [&](const auto& c) {
        return found_.contains(c.file) &&
               std::find(files.begin(), files.end(), c.file) == files.end();
    });
    for (const auto& name : files) {
        if (std::any_of(checkpoints.begin(), checkpoints.end(),
                        [&name](const auto& c) { return c.file == name; }))
            continue;
        checkpoints.push_back({name, ""});
        found_.insert(name);
    }
}

void scripted_webui::refresh_loras()
{
    for (const auto& name : model_files_in(lora_folder))
        if (std::find(loras.begin(), loras.end(), stem_of(name)) == loras.end())
            loras.push_back(stem_of(name));
}

answer scripted_webui::list_checkpoints() const
{
    json::array list;
    for (const auto& c : checkpoints) {
        json::object entry;
        const auto short_hash = c.sha256.substr(0, 10);
        entry["title"] = c.sha256.empty() ? c.file : c.file + " [" + short_hash + "]";
        entry["model_name"] = stem_of(c.file);
        entry["hash"] = c.sha256.empty() ? json::value(nullptr) : json::value(short_hash);
        entry["sha256"] = c.sha256.empty() ? json::value(nullptr) : json::value(c.sha256);
        entry["filename"] = "/webui/models/Stable-diffusion/" + c.file;
        entry["config"] = nullptr;
        list.push_back(entry);
    }
    return ok(list);
}

answer scripted_webui::list_loras() const
{
    json::array list;
    for (const auto& name : loras)
        list.push_back({{"name", name},
                        {"alias", name},
                        {"path", "/webui/models/Lora/" + name + ".safetensors"},
                        {"metadata", json::object()}});
    return ok(list);
}

answer scripted_webui::options() const
{
    return ok({{"samples_format", "png"}, {"sd_model_checkpoint", selected}});
}

answer scripted_webui::progress() const
{
    json::object state{{"skipped", false},        {"interrupted", false},
                       {"job", state_job_},       {"job_count", is_busy() ? 1 : 0},
                       {"job_timestamp", stamp_}, {"job_no", 0},
                       {"sampling_step", 0},      {"sampling_steps", 20}};
    double done = 0;
    if (is_busy()) {
        using seconds = std::chrono::duration<double>;
        const auto passed = seconds(world_.time.now() - began_).count();
        done = frozen ? 0.1 : std::min(1.0, passed / seconds(takes_).count());
        state["sampling_step"] = static_cast<int>(done * 20);
    }
    return ok({{"progress", done},
               {"eta_relative", 1.0},
               {"state", state},
               {"current_image", nullptr},
               {"textinfo", nullptr}});
}

// --- jobs ---

std::string scripted_webui::picture(const std::string& model, const std::string& sha256,
                                    std::size_t size, const std::string& prompt)
{
    json::object info{{"prompt", prompt},
                      {"seed", 1},
                      {"sampler_name", "Euler"},
                      {"sd_model_name", model},
                      {"sd_model_hash", sha256.substr(0, 10)},
                      {"index_of_first_image", 0},
                      {"infotexts", {prompt + "\nSteps: 20, Sampler: Euler, Model: " + model}},
                      {"job_timestamp", "20260101000000"},
                      {"version", "v1.10.1"}};
    if (sha256.empty())
        info["sd_model_hash"] = nullptr;
    std::string image = picture_start;
    image.append(size, 'A');
    const json::object parameters{{"prompt", prompt}};
    return R"({"images":[")" + image + R"("],"parameters":)" + json::serialize(parameters) +
           R"(,"info":)" + json::serialize(json::value(json::serialize(info))) + "}";
}

std::string scripted_webui::prompt_of(const heard& r)
{
    boost::system::error_code ec;
    const auto body = json::parse(r.body, ec);
    if (ec || !body.is_object())
        return {};
    const auto* prompt = body.as_object().if_contains("prompt");
    return prompt != nullptr && prompt->is_string() ? std::string(prompt->as_string()) : "";
}

// Unknown names in override_settings are dropped without a word (webui.md §4.2).
std::string scripted_webui::model_for(const heard& r) const
{
    boost::system::error_code ec;
    const auto body = json::parse(r.body, ec);
    if (ec)
        return selected;
    const auto* overrides = body.as_object().if_contains("override_settings");
    const auto* name = overrides == nullptr || !overrides->is_object()
                           ? nullptr
                           : overrides->as_object().if_contains("sd_model_checkpoint");
    if (name == nullptr)
        return selected;
    for (const auto& c : checkpoints)
        if (c.file == std::string_view(name->as_string()))
            return c.file;
    return selected;
}

answer scripted_webui::txt2img(const heard& r)
{
    if (r.body == proto::warm_up_body()) {
        stamp_ = next_stamp();
        return {200, picture(stem_of(selected))};
    }
    jobs_.push_back(r);
    if (!next_.empty()) {
        auto [a, busy] = std::move(next_.front());
        next_.pop_front();
        if (busy > duration{})
            begin("scripts_txt2img", busy);
        return std::move(a);
    }
    selected = model_for(r);
    begin("scripts_txt2img", job_time);
    std::string sha256;
    for (const auto& c : checkpoints)
        if (c.file == selected)
            sha256 = c.sha256;
    answer a(200, picture(stem_of(selected), sha256, 200, prompt_of(r)));
    a.held = done_;
    return a;
}

std::string scripted_webui::next_stamp() { return std::to_string(20260101000000 + ++stamps_); }

void scripted_webui::begin(std::string job, duration time)
{
    state_job_ = std::move(job);
    stamp_ = next_stamp();
    began_ = world_.time.now();
    takes_ = time;
    done_ = std::make_shared<net::gate>(world_.ex());
    group_.spawn(end_later(*this, ++number_, time));
}

void scripted_webui::end(int number)
{
    if (number != number_ || !is_busy())
        return;
    state_job_.clear();
    done_->open();
}

net::task<> scripted_webui::end_later(scripted_webui& self, int number, duration time)
{
    const auto stopped = co_await self.world_.time.sleep_for(time);
    if (!stopped)
        self.end(number);
}

} // namespace gateway::test
