#include "work/models.hpp"

#include "base/log.hpp"

#include <algorithm>
#include <utility>

namespace gateway::work {

namespace {

// Beside every change of demand: failures are forgotten and lists looked at again this often.
constexpr auto look_again = std::chrono::seconds(1);
// A long queue is not gone through at every submission: so much of a pause for each of its sets.
constexpr auto pause_per_set = std::chrono::microseconds(20);
// Between looks at how fast files come; the pace wants no fewer.
constexpr auto pace_interval = std::chrono::milliseconds(250);
// A transfer with fewer bytes per second, after this time, holds up nobody.
constexpr double hardly_comes = 64 * 1024;
constexpr auto time_to_begin = std::chrono::seconds(2);
// An entry that stands for nothing is kept a little for those who ask about it.
constexpr auto keep_entry = std::chrono::minutes(10);

bool is_lora(const core::model_ref& file) { return file.kind == core::model_kind::lora; }

std::string called(const core::model_ref& file)
{
    return "the " + std::string(core::to_text(file.kind)) + " '" + file.name + "'";
}

// "sub/Foo.safetensors [0123456789]" → "Foo" (webui.md §4.1)
std::string stem_of(std::string_view title)
{
    const auto bracket = title.rfind(" [");
    if (bracket != std::string_view::npos && title.ends_with(']'))
        title = title.substr(0, bracket);
    return std::filesystem::path(title).stem().string();
}

core::pace_limits limits_of(const model_library::options& chosen)
{
    auto limits = chosen.side_by_side;
    limits.most = static_cast<int>(chosen.files_at_once);
    return limits;
}

} // namespace

const std::filesystem::path& model_library::folders::of(core::model_kind kind) const
{
    switch (kind) {
    case core::model_kind::checkpoint: return checkpoints;
    case core::model_kind::lora: return loras;
    case core::model_kind::embedding: return embeddings;
    case core::model_kind::vae: return vae;
    }
    return checkpoints;
}

std::uint64_t model_library::size_limits::of(core::model_kind kind) const
{
    switch (kind) {
    case core::model_kind::checkpoint: return checkpoint;
    case core::model_kind::lora: return lora;
    case core::model_kind::embedding: return embedding;
    case core::model_kind::vae: return vae;
    }
    return checkpoint;
}

model_library::model_library(net::executor ex, parts uses, options chosen)
    : uses_(std::move(uses)),
      options_(std::move(chosen)),
      fetcher_(ex, uses_.http, uses_.time, uses_.files, options_.fetch, uses_.random),
      pace_limits_(limits_of(options_)),
      pace_(pace_limits_),
      failures_(options_.failures),
      changes_(ex)
{
    counts_.download_seconds.resize(core::download_bounds.size() + 1);
    for (const auto* reason : {"unused", "disk", "budget", "asked"})
        counts_.evictions[reason] = 0;
}

net::task<> model_library::run()
{
    const auto ex = co_await net::current_executor();
    net::task_group children(ex);
    co_await uses_.registry.load();
    children.spawn(uses_.registry.run());
    co_await look_around();
    auto next_look = uses_.time.now() + options_.look_interval;
    auto next_clean = uses_.time.now() + options_.clean_interval;
    bool cleaned = false;
    for (;;) {
        const auto demand = uses_.jobs.demand().current();
        const auto changes = changes_.current();
        co_await reconcile(children);
        const auto now = uses_.time.now();
        if (now >= next_look) {
            next_look = now + options_.look_interval;
            co_await look_around();
        }
        // The first time as soon as it is known which checkpoints are loaded.
        const bool is_first = !cleaned && uses_.anyone_ready();
        if (now >= next_clean || is_first || is_short_of_room() || !doomed_.empty()) {
            next_clean = now + options_.clean_interval;
            cleaned = true;
            tidy();
            co_await clean();
        }
        const bool unchanged =
            demand == uses_.jobs.demand().current() && changes == changes_.current();
        if (unchanged)
            co_await uses_.jobs.demand().past(demand, uses_.time, uses_.time.now() + look_again);
        const bool stopped = co_await net::cancelled();
        if (stopped)
            break;
    }
    children.cancel();
    co_await children.join();
}

void model_library::changed()
{
    changes_.bump();
    uses_.jobs.demand().bump();
    uses_.jobs.offers_changed();
}

// --- what waiting jobs need ---

net::task<> model_library::reconcile(net::task_group& children)
{
    mark_needed();
    ++pass_;
    turns_ = 0;
    more_wait_ = false;
    const auto sets = uses_.jobs.wanted_models();
    // While jobs wait and none runs, nothing may slow down the first file.
    may_try_ = sets.empty() || !uses_.jobs.running_models().empty();
    for (const auto set : sets) {
        const auto files = uses_.jobs.sets().at(set);
        std::string hopeless;
        for (const auto& file : files) {
            auto why = settle(file, children);
            if (options_.lenient)
                waive(file, why);
            else if (hopeless.empty())
                hopeless = std::move(why);
        }
        if (!hopeless.empty())
            co_await fail(set, std::move(hopeless));
    }
    for (auto at = wishes_.begin(); at != wishes_.end();) {
        const auto why = settle(at->second, children);
        const auto& e = entries_[at->first];
        const bool held = e.status == status::present && (e.hold || e.cannot_hold);
        const bool told = e.asked > 0 || uses_.listed(at->second) || !uses_.anyone_ready();
        const bool there =
            (held && told) || (e.status == status::absent && uses_.listed(at->second));
        const bool over = there || !why.empty();
        at = over ? wishes_.erase(at) : std::next(at);
    }
    stop_unwanted();
    if (sets.size() * pause_per_set > std::chrono::milliseconds(1)) {
        const auto ec = co_await uses_.time.sleep_for(sets.size() * pause_per_set);
        (void)ec; // run() notices
    }
}

// What runs and what is loaded is needed as much as what jobs wait for.
void model_library::mark_needed()
{
    const auto now = uses_.time.now();
    for (const auto set : uses_.jobs.running_models()) {
        for (const auto& file : uses_.jobs.sets().at(set)) {
            const auto at = entries_.find({file.kind, file.name});
            if (at != entries_.end())
                at->second.wanted = now;
        }
    }
    for (const auto& title : uses_.loaded()) {
        const auto at = entries_.find({core::model_kind::checkpoint, stem_of(title)});
        if (at != entries_.end())
            at->second.wanted = now;
    }
}

// Jobs are cancelled and sent again: a moment without them stops nothing.
void model_library::stop_unwanted()
{
    for (auto& [file, e] : entries_) {
        if (e.status == status::fetching && uses_.time.now() - e.wanted > options_.linger)
            e.stop.request_stop();
    }
}

std::string model_library::settle(const core::model_ref& file, net::task_group& children)
{
    auto& e = entries_[{file.kind, file.name}];
    e.wanted = uses_.time.now();
    switch (e.status) {
    case status::fetching:
        if (e.transfers && uses_link(e) && !has_turn(e)) {
            e.paused = true;
            e.stop.request_stop();
        }
        return {};
    case status::verifying:
    case status::removing: return {};
    case status::elsewhere:
        if (uses_.time.now() < e.until)
            return {};
        break;
    case status::present: return settle_present(file, e, children);
    case status::failed:
    case status::absent: break;
    }
    return settle_absent(file, e, children);
}

std::string model_library::settle_absent(const core::model_ref& file, entry& e,
                                         net::task_group& children)
{
    if (auto why = failures_.reason(failure_key(file), uses_.time.now()))
        return std::move(*why);
    const bool listed = uses_.listed(file);
    e.removed = e.removed && listed;
    if (listed && !e.removed)
        return {};
    if (file.url.empty())
        return uses_.anyone_ready() && !listed
                   ? "no WebUI lists " + called(file) + ", and the job gives no url for it"
                   : "";
    auto source = source_of(file);
    if (const auto* there = same_content(file, source)) {
        e.status = status::fetching;
        e.progress = {};
        e.stop = {};
        e.source = std::move(source);
        e.wanted_sha256 = file.sha256;
        e.transfers = false;
        children.spawn(link_one(file, there->found.path, there->sha256));
        return {};
    }
    if (is_under_way(file, source) || !has_turn(e) ||
        counts_.downloads_active >= options_.files_at_once)
        return {};
    e.status = status::fetching;
    e.progress = {};
    e.stop = {};
    e.source = std::move(source);
    e.wanted_sha256 = file.sha256;
    e.transfers = true;
    e.paused = false;
    e.began = uses_.time.now();
    ++counts_.downloads_active;
    children.spawn(fetch_one(file));
    if (!std::exchange(pacing_, true))
        children.spawn(keep_pace());
    return {};
}

// The first files in the queue have a turn, as many as the pace allows.
bool model_library::has_turn(entry& e)
{
    if (e.pass != pass_) {
        e.pass = pass_;
        e.turn = turns_++;
    }
    const bool yes = e.turn < static_cast<std::size_t>(pace_.wanted());
    more_wait_ = more_wait_ || !yes;
    return yes;
}

// What is nearly there, and what comes from a server that says nothing, leaves its turn to the
// next.
bool model_library::uses_link(const entry& e) const
{
    const auto& p = e.progress;
    const auto left = static_cast<double>(p.total) - static_cast<double>(p.bytes);
    if (p.total > 0 && left <= p.bytes_per_second)
        return false;
    return p.bytes_per_second >= hardly_comes || uses_.time.now() - e.began < time_to_begin;
}

net::task<> model_library::keep_pace()
{
    while (counts_.downloads_active > 0) {
        const auto ec = co_await uses_.time.sleep_for(pace_interval);
        if (ec)
            co_return;
        const auto receiving =
            std::count_if(entries_.begin(), entries_.end(), [](const auto& known) {
                return known.second.status == status::fetching &&
                       known.second.progress.connections > 0;
            });
        pace_.on_sample(fetcher_.received(), static_cast<int>(receiving), more_wait_ && may_try_,
                        uses_.time.now());
        if (more_wait_)
            uses_.jobs.demand().bump(); // somebody may have a turn now, or none any more
    }
    pacing_ = false;
    pace_ = core::pace(pace_limits_);
}

std::string model_library::settle_present(const core::model_ref& file, entry& e,
                                          net::task_group& children)
{
    if (!file.sha256.empty() && e.sha256.empty()) {
        if (auto why = failures_.reason(failure_key(file), uses_.time.now()))
            return std::move(*why);
        e.status = status::verifying;
        children.spawn(verify_one(file));
        return {};
    }
    if (!e.sha256.starts_with(file.sha256))
        return called(file) + " is there with another content (sha256 " + e.sha256 +
               ", the job says " + file.sha256 + "); give it another name";
    if (!e.hold && !e.cannot_hold) {
        if (!e.holding) {
            e.holding = true;
            children.spawn(hold_one({file.kind, file.name}));
        }
        return {};
    }
    return settle_listing(file, e);
}

std::string model_library::settle_listing(const core::model_ref& file, entry& e)
{
    if (e.back && e.asked > 0 && uses_.looks() != e.looks) {
        e.back = false;
        uses_.jobs.offers_changed();
    }
    if ((uses_.listed(file) && !e.back) || !uses_.anyone_ready()) {
        e.asked = 0;
        return {};
    }
    if (uses_.time.now() < e.until || (e.asked > 0 && uses_.looks() == e.looks))
        return {};
    if (e.asked < options_.listing_tries) {
        ++e.asked;
        e.looks = uses_.looks();
        e.until = uses_.time.now() + options_.listing_interval;
        uses_.arrived(file.kind == core::model_kind::checkpoint, is_lora(file));
        return {};
    }
    e.asked = 0; // asked again for the next job
    const auto& path = e.found.path;
    return "'" + path.filename().string() + "' lies in " + path.parent_path().string() +
           ", but no WebUI lists it: that is not the folder it reads (models.dir, or the WebUI's "
           "--ckpt-dir and --lora-dir)";
}

net::task<> model_library::fail(core::set_id set, std::string reason)
{
    for (const auto job : uses_.jobs.waiting_for(set)) {
        const auto ec = co_await uses_.jobs.fail_waiting(job, reason);
        if (ec)
            log::error("a job could not be failed", {{"error", ec.message()}});
    }
}

// A reason: jobs do without this file. None: there is hope again, they wait for it.
void model_library::waive(const core::model_ref& file, const std::string& reason)
{
    auto& e = entries_[{file.kind, file.name}];
    if (e.waived == !reason.empty())
        return;
    e.waived = !reason.empty();
    if (e.waived)
        uses_.jobs.offers_changed();
}

bool model_library::waived(const core::model_ref& file) const
{
    const auto at = entries_.find({file.kind, file.name});
    return at != entries_.end() && at->second.waived;
}

bool model_library::doubtful(const core::model_ref& file) const
{
    const auto at = entries_.find({file.kind, file.name});
    if (at == entries_.end() || at->second.waived)
        return false;
    const auto& e = at->second;
    if (!is_on_disk(e))
        return e.removed;
    if (e.status == status::removing || e.back || (!e.hold && !e.cannot_hold))
        return true;
    return !(e.sha256.size() >= file.sha256.size() && e.sha256.starts_with(file.sha256));
}

void model_library::used(const core::model_set& files)
{
    for (const auto& file : files) {
        const auto at = entries_.find({file.kind, file.name});
        if (at == entries_.end() || !is_on_disk(at->second))
            continue;
        core::model_change use;
        use.uses = 1;
        use.used = uses_.time.wall();
        uses_.registry.note(at->first, std::move(use));
    }
}

bool model_library::is_on_disk(const entry& e)
{
    return e.status == status::present || e.status == status::verifying ||
           e.status == status::removing;
}

bool model_library::is_loaded(const key& file) const
{
    if (file.kind != core::model_kind::checkpoint)
        return false;
    const auto titles = uses_.loaded();
    return std::any_of(titles.begin(), titles.end(),
                       [&](const auto& title) { return stem_of(title) == file.name; });
}

bool model_library::is_needed(const entry& e) const
{
    return e.wanted != steady_time{} && uses_.time.now() - e.wanted < options_.hold_for;
}

// Holds end, and entries that stand for nothing are forgotten.
void model_library::tidy()
{
    for (auto at = entries_.begin(); at != entries_.end();) {
        auto& e = at->second;
        if (e.removed && uses_.looks() != e.looks)
            e.removed = !std::exchange(e.looked, true);
        if (e.hold && !is_needed(e)) {
            e.hold = {};
            --held_;
        }
        const bool nothing = (e.status == status::absent || e.status == status::failed) &&
                             !e.waived && !e.removed && uses_.time.now() - e.wanted > keep_entry;
        at = nothing ? entries_.erase(at) : std::next(at);
    }
}

} // namespace gateway::work
