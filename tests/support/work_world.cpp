#include "support/work_world.hpp"

#include <filesystem>
#include <stdexcept>

namespace gateway::test {

using namespace std::chrono_literals;

work_world::work_world()
{
    auto& first = backends.emplace_back();
    first.calls.name = "webui-0";
    first.calls.url = first_webui;
}

work_world::~work_world() { stop(); }

void work_world::begin()
{
    fleet.emplace(ex(),
                  work::fleet::parts{http, wires, time, disk, *jobs, *spool, *library, waived,
                                     doubtful, used},
                  backends, running);
    group_.spawn(fleet->run());
    settle();
}

void work_world::begin_ready()
{
    begin();
    const auto all_ready = [this] {
        const auto all = fleet->backends();
        return std::all_of(all.begin(), all.end(), [](const auto& b) { return b.ready; });
    };
    if (!run_until(all_ready, 1min))
        throw std::runtime_error("the WebUI is not ready but " + status().state + ": " +
                                 status().reason);
}

void work_world::stop()
{
    world::cancel(group_);
    run_until([this] { return group_.size() == 0; }, 5min);
}

void work_world::pass(duration d)
{
    const auto end = time.now() + d;
    run_until([] { return false; }, d);
    if (time.now() < end)
        advance(end - time.now());
}

bool work_world::is_over(const core::job& job) const { return core::is_final(state(job)); }

void work_world::finish(const core::job& job, duration limit)
{
    if (run_until([&] { return is_over(job); }, limit))
        return;
    throw std::runtime_error("the job is still " + std::string(core::to_text(state(job))) +
                             ", the WebUI is " + status().state + ": " + status().reason);
}

std::string work_world::error_of(const core::job& job) const
{
    const auto v = jobs->find(job.key, job.secret);
    return v && v->error != nullptr ? *v->error : "";
}

namespace {

net::task<> read_all(store::spool_file file, std::string& into)
{
    std::string piece(4096, '\0');
    for (;;) {
        const std::span<char> room(piece);
        const auto n = co_await file.read(into.size(), room);
        if (!n || *n == 0)
            co_return;
        into.append(piece, 0, *n);
    }
}

} // namespace

// As a door puts it together.
std::string work_world::result_of(const core::job& job)
{
    const auto v = jobs->find(job.key, job.secret);
    if (!v || v->result == nullptr)
        return {};
    std::string text;
    run(read_all(v->result->file, text));
    text.insert(v->result->splice, v->result->extra);
    return text;
}

core::backend_status work_world::status(std::size_t backend) const
{
    return fleet->backends().at(backend);
}

std::size_t work_world::spooled() const
{
    std::size_t n = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path() / "spool"))
        n += entry.is_regular_file();
    return n;
}

} // namespace gateway::test
