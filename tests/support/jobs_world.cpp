#include "support/jobs_world.hpp"

#include <cstdlib>

namespace gateway::test {

using namespace std::chrono_literals;

temporary_folder::temporary_folder()
{
    std::string name = (std::filesystem::temp_directory_path() / "webui-gateway-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr)
        throw std::runtime_error("no temporary folder can be made as " + name);
    path_ = name;
}

temporary_folder::~temporary_folder()
{
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

jobs::submission a_job(std::string prompt)
{
    jobs::submission s;
    s.input = R"({"prompt":")" + prompt + R"("})";
    return s;
}

jobs::submission a_job_with(core::model_set files)
{
    auto s = a_job();
    s.files = std::move(files);
    return s;
}

jobs_world::jobs_world() : journal(std::make_unique<test_journal>(time))
{
    files.skip_syncs();
    journal->set_delay(commit_time);
    build();
}

jobs_world::~jobs_world()
{
    jobs->stop_intake();
    let_commits_pass();
}

void jobs_world::build()
{
    spool = std::make_unique<store::spool>(folder.path() / "spool", disk, files);
    const store::health::parts uses{time, disk, *journal, *spool, files};
    health = std::make_unique<store::health>(folder.path(), uses, room);
    jobs::jobs::naming names;
    names.secret = [this] { return ++secrets; };
    names.id = [](const core::job& job) { return "job-" + std::to_string(job.key); };
    jobs = std::make_unique<jobs::jobs>(ex(), time, *journal, *spool, limits, std::move(names),
                                        health.get());
}

void jobs_world::look()
{
    start(health->look());
    let_commits_pass();
}

namespace {

template <class T> net::task<> put(net::task<T> from, std::optional<T>& into)
{
    auto value = co_await std::move(from);
    into.emplace(std::move(value));
}

} // namespace

void jobs_world::let_commits_pass()
{
    for (int i = 0; i < 20 && (i < 4 || journal->waiting() > 0); ++i)
        advance(commit_time);
}

void jobs_world::restart(std::size_t survivors)
{
    auto durable = journal->crashed(survivors);
    if (on_restart)
        on_restart();
    jobs->stop_intake();
    run_until([] { return false; }, 3s); // whoever waits for the old journal gives up
    jobs.reset();
    health.reset();
    spool.reset();
    journal = std::move(durable);
    journal->set_delay(commit_time);
    build();
    std::optional<error_code> done;
    start(put(jobs->replay(), done));
    run_until([&] { return done.has_value(); }, 1min);
    if (!done || *done)
        throw std::runtime_error("replay did not end well");
}

core::job jobs_world::submit(jobs::submission s)
{
    if (s.input.empty())
        s = a_job();
    std::optional<jobs::jobs::answer> answer;
    start(put(jobs->submit(std::move(s)), answer));
    let_commits_pass();
    if (!answer || !answer->has_value())
        throw std::runtime_error("the job was not accepted");
    return (*answer)->job;
}

jobs::refusal jobs_world::refused(jobs::submission s)
{
    if (s.input.empty())
        s = a_job();
    std::optional<jobs::jobs::answer> answer;
    start(put(jobs->submit(std::move(s)), answer));
    let_commits_pass();
    if (!answer || answer->has_value())
        throw std::runtime_error("the job was not refused");
    return answer->error();
}

std::optional<core::job> jobs_world::shown(const core::job& of) const
{
    const auto v = jobs->find(of.key, of.secret);
    if (!v)
        return std::nullopt;
    return *v->job;
}

core::job_state jobs_world::state(const core::job& of) const
{
    const auto job = shown(of);
    if (!job)
        throw std::runtime_error("the job is not there");
    return job->state;
}

namespace {

net::task<> lease_once(jobs::jobs& jobs, std::string backend, std::optional<jobs::lease>& into)
{
    const core::scheduler::runnable anything = [](core::set_id) { return true; };
    auto got = co_await jobs.next_lease(std::move(backend), anything);
    if (got)
        into.emplace(std::move(*got));
}

net::task<> lease_briefly(world& w, jobs::jobs& jobs, std::string backend,
                          std::optional<jobs::lease>& into)
{
    const auto ex = co_await net::current_executor();
    net::task_group group(ex);
    group.spawn(lease_once(jobs, std::move(backend), into));
    const auto ec = co_await w.time.sleep_for(10 * jobs_world::commit_time);
    (void)ec;
    group.cancel();
    co_await group.join();
}

} // namespace

std::optional<jobs::lease> jobs_world::lease(std::string backend)
{
    std::optional<jobs::lease> got;
    start(lease_briefly(*this, *jobs, std::move(backend), got));
    for (int i = 0; i < 12; ++i)
        advance(commit_time);
    return got;
}

void jobs_world::end(const jobs::lease& l, core::outcome what, std::string reason)
{
    std::optional<error_code> done;
    start(put(jobs->end_attempt(l.fence, what, std::move(reason)), done));
    let_commits_pass();
}

namespace {

net::task<> finish(jobs::jobs& jobs, store::spool& spool, core::fence by, std::string result,
                   std::optional<core::verdict>& out)
{
    auto name = std::to_string(by.job) + "-" + std::to_string(by.attempt);
    auto writer = co_await spool.create(name);
    const auto ec = co_await writer->append(result);
    (void)ec;
    auto file = co_await writer->finish();
    store::result_record record;
    record.file = file->name();
    record.size = file->size();
    record.splice = result.size() - 1;
    record.checksum = file->checksum();
    const auto done = co_await jobs.complete(by, std::move(record), *file);
    out = done ? *done : core::verdict::stale;
}

} // namespace

core::verdict jobs_world::complete(const jobs::lease& l, std::string result)
{
    std::optional<core::verdict> out;
    start(finish(*jobs, *spool, l.fence, std::move(result), out));
    let_commits_pass();
    return out.value();
}

core::verdict jobs_world::retry(const core::job& of)
{
    std::optional<boost::system::result<core::verdict>> out;
    start(put(jobs->retry(of.key), out));
    let_commits_pass();
    return out->value();
}

void jobs_world::cancel(const core::job& of)
{
    std::optional<error_code> out;
    start(put(jobs->cancel(of.key, time.now() + 100ms), out));
    let_commits_pass();
}

std::size_t jobs_world::purge()
{
    std::optional<std::size_t> out;
    start(put(jobs->purge(), out));
    let_commits_pass();
    return out.value();
}

} // namespace gateway::test
