#include "work/models.hpp"

#include "base/log.hpp"
#include "base/text.hpp"

#include <algorithm>

namespace gateway::work {

namespace {
// Beside every change of demand: failures are forgotten and lists looked at again this often.
constexpr auto look_again = std::chrono::seconds(1);
// A partial file that nobody has written to for so long is not taken up again (downloads.md §8).
constexpr auto partials_kept = std::chrono::hours(24);

bool is_lora(const core::model_ref& file) { return file.kind == core::model_kind::lora; }
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
      changes_(ex)
{
}

net::task<> model_library::run()
{
    const auto ex = co_await net::current_executor();
    net::task_group transfers(ex);
    co_await look_around();
    for (;;) {
        const auto demand = uses_.jobs.demand().current();
        const auto changes = changes_.current();
        co_await reconcile(transfers);
        const bool unchanged =
            demand == uses_.jobs.demand().current() && changes == changes_.current();
        if (unchanged)
            co_await uses_.jobs.demand().past(demand, uses_.time, uses_.time.now() + look_again);
        const bool stopped = co_await net::cancelled();
        if (stopped)
            break;
    }
    transfers.cancel();
    co_await transfers.join();
}

// What is in the folders already.
net::task<> model_library::look_around()
{
    for (const auto kind : {core::model_kind::checkpoint, core::model_kind::lora,
                            core::model_kind::embedding, core::model_kind::vae}) {
        const auto folder = options_.folders.of(kind);
        const auto swept =
            co_await uses_.files.sweep_partials(folder, uses_.time.wall() - partials_kept);
        if (swept > 0)
            log::info("partial downloads removed", {{"folder", folder.string()}, {"files", swept}});
        const auto found = co_await uses_.files.list(folder);
        for (const auto& file : found) {
            auto& e = entries_[{kind, file.name}];
            e.status = status::present;
            e.until = uses_.time.now() + options_.listing_interval; // it may be reading just now
            e.path = file.path;
            e.size = file.size;
            count({kind, file.name, "", ""}, file.size);
        }
    }
}

void model_library::count(const core::model_ref& file, std::uint64_t size)
{
    counts_.bytes += size;
    if (file.kind == core::model_kind::checkpoint)
        ++counts_.checkpoints;
    if (is_lora(file))
        ++counts_.loras;
}

// --- what waiting jobs need ---

net::task<> model_library::reconcile(net::task_group& transfers)
{
    for (const auto set : uses_.jobs.wanted_models()) {
        const auto files = uses_.jobs.sets().at(set);
        std::string hopeless;
        for (const auto& file : files) {
            auto why = settle(file, transfers);
            if (options_.lenient)
                waive(file, why);
            else if (hopeless.empty())
                hopeless = std::move(why);
        }
        if (!hopeless.empty())
            co_await fail(set, std::move(hopeless));
    }
}

std::string model_library::settle(const core::model_ref& file, net::task_group& transfers)
{
    auto& e = entries_[{file.kind, file.name}];
    switch (e.status) {
    case status::fetching:
    case status::verifying: return {};
    case status::present: return settle_present(file, e, transfers);
    case status::failed:
        if (uses_.time.now() < e.until && e.failed_for == file)
            return e.reason;
        e.status = status::absent;
        break;
    case status::absent: break;
    }
    if (uses_.listed(file))
        return {};
    if (file.url.empty())
        return uses_.anyone_ready()
                   ? "no WebUI lists the " + std::string(core::to_text(file.kind)) + " '" +
                         file.name + "', and the job gives no url for it"
                   : "";
    if (counts_.downloads_active >= options_.files_at_once)
        return {};
    e.status = status::fetching;
    ++counts_.downloads_active;
    transfers.spawn(fetch_one(file));
    return {};
}

std::string model_library::settle_present(const core::model_ref& file, entry& e,
                                          net::task_group& transfers)
{
    if (!file.sha256.empty() && e.sha256.empty()) {
        e.status = status::verifying;
        transfers.spawn(verify_one(file));
        return {};
    }
    if (!e.sha256.starts_with(file.sha256))
        return "the " + std::string(core::to_text(file.kind)) + " '" + file.name +
               "' is there with another content (sha256 " + e.sha256 + ", the job says " +
               file.sha256 + "); give it another name";
    if (uses_.listed(file) || !uses_.anyone_ready()) {
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
    return "'" + e.path.filename().string() + "' lies in " + e.path.parent_path().string() +
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
    if (file.sha256.empty())
        return false;
    const auto at = entries_.find({file.kind, file.name});
    if (at == entries_.end())
        return false;
    const auto& e = at->second;
    const bool there = e.status == status::present || e.status == status::verifying;
    return there && !(e.sha256.size() >= file.sha256.size() && e.sha256.starts_with(file.sha256));
}

// --- transfers ---

net::task<> model_library::fetch_one(core::model_ref file)
{
    log::info("download begins",
              {{"kind", core::to_text(file.kind)}, {"file", file.name}, {"url", file.url}});
    const auto began = uses_.time.now();
    auto& e = entries_[{file.kind, file.name}]; // entries are never erased
    fetch_order order{file, options_.folders.of(file.kind), options_.limit_of.of(file.kind)};
    auto done = co_await fetcher_.fetch(std::move(order), e.progress);
    --counts_.downloads_active;
    if (done) {
        e.status = status::present;
        e.path = options_.folders.of(file.kind) / done->file_name;
        e.size = done->size;
        e.sha256 = done->sha256;
        e.asked = 0;
        e.until = uses_.time.now(); // the WebUIs are told at once
        ++counts_.downloads_done;
        counts_.downloaded_bytes += done->size;
        count(file, done->size);
        log::info("download done", {{"file", done->file_name},
                                    {"bytes", done->size},
                                    {"took", format_duration(uses_.time.now() - began)}});
    } else {
        e.status = status::failed;
        e.reason = done.error().reason;
        e.failed_for = file;
        e.until = uses_.time.now() + (done.error().permanent ? options_.remember_failure
                                                             : options_.remember_passing_failure);
        ++counts_.downloads_failed;
        log::error("download failed", {{"file", file.name}, {"reason", e.reason}});
    }
    changes_.bump();
    uses_.jobs.demand().bump();
    uses_.jobs.offers_changed();
}

net::task<> model_library::verify_one(core::model_ref file)
{
    auto& e = entries_[{file.kind, file.name}];
    const auto sum = co_await uses_.files.sha256_of(e.path);
    if (sum) {
        e.sha256 = *sum;
        e.status = status::present;
    } else {
        e.status = status::failed;
        e.reason = "'" + e.path.string() + "' cannot be read: " + sum.error().message();
        e.failed_for = file;
        e.until = uses_.time.now() + options_.remember_passing_failure;
    }
    changes_.bump();
    uses_.jobs.demand().bump();
    uses_.jobs.offers_changed();
}

std::vector<core::model_wait> model_library::missing(core::set_id set) const
{
    std::vector<core::model_wait> waits;
    for (const auto& file : uses_.jobs.sets().at(set)) {
        const auto at = entries_.find({file.kind, file.name});
        if (at == entries_.end() || at->second.status == status::present)
            continue;
        const auto& p = at->second.progress;
        waits.push_back({file.name, p.bytes, p.total, p.bytes_per_second});
    }
    return waits;
}

} // namespace gateway::work
