// txt2img and img2img from the validated request to the reply, in the WebUI's own order of events:
// checks, queue, lock, model, overrides, LoRAs, passes, pictures (webui.md §2, §3, §4).

#include "tools/simulator/job.hpp"
#include "tools/simulator/webui.hpp"

#include <algorithm>
#include <cmath>

namespace gateway::tools::simulator {

namespace {

constexpr std::uint64_t seed_range = 4'294'967'294;
constexpr std::size_t remembered_tasks = 16;
constexpr std::size_t largest_side = 8192; // what a 24 GB GPU can just about decode

duration milliseconds(double ms)
{
    return std::chrono::duration_cast<duration>(std::chrono::duration<double, std::milli>(ms));
}

// A side of the picture: floored to a multiple of eight; nonsense is refused as torch does.
std::size_t side(std::int64_t asked)
{
    if (asked < 8)
        throw python_error("RuntimeError", "Trying to create tensor with negative dimension or "
                                           "zero size: " +
                                               std::to_string(asked / 8));
    if (asked > static_cast<std::int64_t>(largest_side))
        throw python_error("OutOfMemoryError", "CUDA out of memory. Tried to allocate 64.00 GiB");
    return static_cast<std::size_t>(asked) / 8 * 8;
}

// The keys the client sent, to tell "unset" from "set to the default".
json::object keys_of(std::string_view body)
{
    auto parsed = parse_json(body);
    auto* value = std::get_if<json::value>(&parsed);
    if (value == nullptr || !value->is_object())
        return {};
    return std::move(value->get_object());
}

// What the infotext gives where the client said nothing.
void fill_from_infotext(json::object& fields, std::string_view body)
{
    const auto* text = fields.at("infotext").if_string();
    if (text == nullptr || text->empty())
        return;
    const auto given = keys_of(body);
    for (const auto& [key, value] : fields_from_infotext(*text)) {
        if (!given.contains(key))
            fields[key] = value;
    }
}

void read_numbers(job& j)
{
    j.prompt = j.text("prompt");
    j.negative_prompt = j.text("negative_prompt");
    j.n_iter = static_cast<int>(std::clamp<std::int64_t>(j.integer("n_iter", 1), 0, 1000));
    j.batch_size = static_cast<int>(std::clamp<std::int64_t>(j.integer("batch_size", 1), 1, 1000));
    j.steps = static_cast<int>(std::clamp<std::int64_t>(j.integer("steps", 50), 0, 100'000));
    if (const auto* wanted = j.fields.at("override_settings").if_object())
        j.overrides = *wanted;
    if (j.flag("disable_extra_networks"))
        j.tags.text = j.prompt;
    else
        j.tags = parse_tags(j.prompt);
}

} // namespace

// --- the two doors ---

net::task<answer> webui::txt2img(net::request& req)
{
    auto j = std::make_shared<job>();
    j->fields = co_await read_fields(txt2img_model(dialect_), req);
    co_return co_await generate(j, req);
}

net::task<answer> webui::img2img(net::request& req)
{
    auto j = std::make_shared<job>();
    j->is_img2img = true;
    j->fields = co_await read_fields(img2img_model(dialect_), req);
    co_return co_await generate(j, req);
}

net::task<answer> webui::generate(std::shared_ptr<job> j, net::request& req)
{
    const auto thread = co_await threads_.enter();
    if (j->is_img2img && j->fields.at("init_images").is_null())
        throw http_exception(404, "Init image not found");
    fill_from_infotext(j->fields, req.body);
    check_scripts(j->fields, j->is_img2img);
    const auto named = j->text("sampler_name");
    const auto asked = named.empty() ? j->text("sampler_index") : named;
    const auto resolved = resolve_sampler(dialect_, asked, j->text("scheduler"));
    if (!resolved)
        throw http_exception(404, "Sampler not found");
    j->sampler = resolved->sampler;
    j->scheduler = resolved->scheduler;
    if (const auto mask = j->is_img2img ? j->text("mask") : std::string(); !mask.empty())
        decoded_image(mask);
    j->connection = req.connection;
    read_numbers(*j);
    j->echo = j->fields;
    if (j->is_img2img && !j->flag("include_init_images"))
        j->echo["init_images"] = j->echo["mask"] = nullptr;

    j->task_id = j->text("force_task_id");
    if (j->task_id.empty())
        j->task_id = "task(" + std::string(j->is_img2img ? "img2img-" : "txt2img-") +
                     std::to_string(around_.random.next() % 100'000'000) + ")";
    pending_tasks_.push_back(j->task_id);
    co_await run(j);
    if (j->cut)
        throw hang_up();
    co_return co_await reply(j);
}

// --- under the lock ---

// Everything between taking the lock and giving it back. The client may be gone long ago: nobody
// looks (webui.md §3.2).
net::task<> webui::run(std::shared_ptr<job> j)
{
    const auto lock = co_await queue_lock_.enter();
    j->faults = faults_.next_generation(j->prompt);
    if (j->struck_by(fault_kind::drop) != nullptr) {
        std::erase(pending_tasks_, j->task_id);
        throw hang_up();
    }
    if (j->struck_by(fault_kind::no_model) != nullptr)
        throw python_error("AttributeError", "'NoneType' object has no attribute 'lowvram'");
    co_await ensure_model(); // before the job begins: progress still shows idle
    j->timestamp = job_timestamp(around_.time.wall());
    state_.begin(j->is_img2img ? "scripts_img2img" : "scripts_txt2img", around_.time.now(),
                 j->timestamp);
    preview_.clear();
    running_ = j;
    std::erase(pending_tasks_, j->task_id);
    current_task_ = j->task_id;
    std::exception_ptr failure;
    try {
        co_await work(j);
    } catch (...) {
        failure = std::current_exception();
    }
    restore_options(*j);
    state_.end();
    preview_.clear();
    running_.reset();
    const auto outcome = failure != nullptr     ? "failed"
                         : state_.interrupted() ? "interrupted"
                                                : "finished";
    around_.log.end(j->logged, outcome, j->steps_done, j->images.size());
    if (failure)
        std::rethrow_exception(failure); // the task id stays "active" (webui.md §3.4)
    current_task_.clear();
    finished_tasks_.push_back(j->task_id);
    if (finished_tasks_.size() > remembered_tasks)
        finished_tasks_.pop_front();
}

net::task<> webui::work(std::shared_ptr<job> j)
{
    strike_at_begin(*j);
    if (unloaded_)
        throw python_error("RuntimeError",
                           "Expected all tensors to be on the same device, but found at least two "
                           "devices, cpu and cuda:0!");
    if (j->is_img2img)
        check_init_images(*j);
    co_await apply_overrides(j);
    begin_log(*j);
    j->first_width = side(j->integer("width", 512));
    j->first_height = side(j->integer("height", 512));
    plan_hires(*j);
    check_names(*j);
    j->seed = j->integer("seed", -1);
    if (j->seed == -1)
        j->seed = static_cast<std::int64_t>(around_.random.next() % seed_range);
    j->subseed = j->integer("subseed", -1);
    if (j->subseed == -1)
        j->subseed = static_cast<std::int64_t>(around_.random.next() % seed_range);
    co_await apply_loras(j);
    co_await pause(milliseconds(set_.base_ms));
    if (const auto* slow = j->struck_by(fault_kind::slow))
        co_await pause(slow->time);
    state_.plan(j->n_iter * (j->hires ? 2 : 1));
    co_await iterations(j);
    co_await add_grid(j);
}

void webui::begin_log(job& j)
{
    j.logged = around_.log.begin(j.is_img2img ? "img2img" : "txt2img", j.prompt,
                                 j.integer("seed", -1), loaded_ ? loaded_->name : "");
}

void webui::strike_at_begin(job& j)
{
    if (const auto* gone = j.struck_by(fault_kind::missing))
        missing_until_ =
            around_.time.now() + std::chrono::duration_cast<duration>(gone->time / set_.speed);
    if (j.struck_by(fault_kind::cache_db) != nullptr)
        throw python_error("OperationalError", "unable to open database file");
}

void webui::strike_half_way(job& j)
{
    if (j.struck_by(fault_kind::oom) != nullptr)
        throw python_error(
            "OutOfMemoryError",
            "CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 23.65 GiB total "
            "capacity; 22.11 GiB already allocated; 4.06 MiB free; 22.59 GiB reserved "
            "in total by PyTorch)");
    if (const auto* text = j.struck_by(fault_kind::error500))
        throw python_error("RuntimeError", text->argument);
    if (j.struck_by(fault_kind::exit) != nullptr)
        around_.quit(137);
    if (j.struck_by(fault_kind::reset) != nullptr && !j.cut) {
        j.cut = true;
        if (j.connection != nullptr)
            j.connection->close();
    }
}

net::task<> webui::iterations(std::shared_ptr<job> j)
{
    for (int number = 0; number < j->n_iter; ++number) {
        state_.clear_skip();
        if (state_.interrupted())
            co_return;
        // POST options may have changed the model since the last iteration (webui.md §4.3).
        co_await load_selected();
        if (j->n_iter > 1)
            state_.name("Batch " + std::to_string(number + 1) + " out of " +
                        std::to_string(j->n_iter));
        co_await iteration(j, number);
        state_.next_job();
    }
}

net::task<> webui::iteration(std::shared_ptr<job> j, int number)
{
    int passes_steps = j->steps;
    const double strength = denoising(*j);
    if (j->is_img2img)
        passes_steps = static_cast<int>(std::min(strength, 0.999) * j->steps) + 1;
    const int sampled = co_await sample(j, passes_steps, j->first_megapixels());
    double done = passes_steps > 0 ? static_cast<double>(sampled) / passes_steps : 1.0;
    if (j->hires && !state_.interrupted() && !state_.skipped()) {
        if (std::isnan(strength))
            throw python_error("TypeError",
                               "'<' not supported between instances of 'float' and 'NoneType'");
        state_.next_job();
        const auto second = static_cast<int>(j->integer("hr_second_pass_steps"));
        const int steps = second > 0 ? second : j->steps;
        const int refined = co_await sample(j, steps, j->megapixels());
        done = steps > 0 ? 0.5 + 0.5 * refined / steps : 1.0;
    }
    if (j->struck_by(fault_kind::nan) != nullptr)
        throw python_error("NansException",
                           "A tensor with all NaNs was produced in VAE. Use --disable-nan-check "
                           "commandline argument to disable this check.");
    co_await decode(j, number, done);
}

// One pass of the sampler. Interrupt and skip are seen between steps only; returns the steps done.
net::task<int> webui::sample(std::shared_ptr<job> j, int steps, double megapixels)
{
    const auto a_moment = std::chrono::milliseconds(1); // shorter steps are taken several at a time
    const auto step_time = milliseconds(set_.step_ms * megapixels * j->batch_size / set_.speed);
    const int at_once =
        step_time >= a_moment ? 1 : static_cast<int>(a_moment / std::max(step_time, duration(1)));
    const auto start = around_.time.now();
    state_.sample(steps);
    int done = 0;
    bool struck = false;
    while (done < steps && !state_.interrupted() && !state_.skipped()) {
        done += std::min(at_once, steps - done);
        const auto ec = co_await around_.time.sleep_until(start + step_time * done);
        if (ec)
            throw boost::system::system_error(ec);
        state_.step_done(done);
        if (!struck && done * 2 >= steps) {
            struck = true;
            strike_half_way(*j);
        }
    }
    j->steps_done += done;
    co_return done;
}

net::task<> webui::decode(std::shared_ptr<job> j, int number, double done)
{
    co_await pause(milliseconds(set_.step_ms * 2 * j->megapixels() * j->batch_size));
    for (int k = 0; k < j->batch_size; ++k) {
        const int index = number * j->batch_size + k;
        const auto what = subject_of(*j, index, done);
        const auto text = write_infotext(infotext_of(*j, index));
        auto draw = [what, text] { return encode_png(paint(what), text); };
        auto png = co_await around_.pixels.run(std::move(draw));
        j->images.push_back(std::move(png));
        j->infotexts.push_back(text);
    }
}

subject webui::subject_of(const job& j, int index, double done) const
{
    subject out;
    out.prompt = j.tags.text;
    out.seed = j.seed + index;
    out.width = j.width;
    out.height = j.height;
    out.model = loaded_ ? loaded_->name : "";
    out.loras = j.loras + j.init_digest;
    out.done = done;
    return out;
}

// A quarter of the size in each direction, as the cheap decoders make them.
subject webui::preview_subject() const
{
    if (!running_)
        return {};
    const double steps = std::max(1, state_.sampling_steps());
    auto out = subject_of(*running_, 0, state_.sampling_step() / steps);
    out.width = std::max<std::size_t>(8, out.width / 4);
    out.height = std::max<std::size_t>(8, out.height / 4);
    out.prompt.clear();
    return out;
}

} // namespace gateway::tools::simulator
