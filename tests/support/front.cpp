#include "support/front.hpp"

#include "base/text.hpp"
#include "support/contract_log.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdlib>

namespace gateway::test {

namespace {

jobs::limits limits_of(const config::settings& s)
{
    jobs::limits limits;
    limits.queue.jobs = static_cast<std::size_t>(s.jobs.max_queued);
    limits.queue.bytes = s.jobs.max_queued_bytes;
    limits.keep_async = s.jobs.keep_async;
    limits.keep_sync = s.jobs.keep_sync;
    return limits;
}

std::string id_of(const core::job& job)
{
    return proto::to_text(proto::job_ref{job.key, job.secret, job.sync});
}

net::task<> lease_one(front& f, std::string backend, std::optional<jobs::lease>& into)
{
    core::scheduler::runnable anything = [](core::set_id) { return true; };
    into = co_await f.jobs->next_lease(std::move(backend), std::move(anything));
}

net::task<> store_result(front& f, core::fence by, std::string reply, std::string tail, bool& done)
{
    std::string name = "r" + std::to_string(by.job);
    auto writer = co_await f.spool->create(std::move(name));
    BOOST_REQUIRE(writer);
    const auto ec = co_await writer->append(reply);
    BOOST_REQUIRE(!ec);
    auto file = co_await writer->finish();
    BOOST_REQUIRE(file);
    store::result_record record;
    record.file = file->name();
    record.size = file->size();
    record.checksum = file->checksum();
    record.splice = reply.rfind('}');
    record.extra = std::move(tail);
    proto::result_scan scan;
    scan.feed(reply);
    scan.finish();
    record.index = proto::image_index(scan.summary());
    auto stored = std::move(*file);
    const auto verdict = co_await f.jobs->complete(by, std::move(record), std::move(stored));
    BOOST_REQUIRE(verdict);
    done = *verdict == core::verdict::done;
}

net::task<> end_one(front& f, core::fence by, core::outcome how, std::string reason)
{
    const auto ec = co_await f.jobs->end_attempt(by, how, std::move(reason));
    BOOST_REQUIRE(!ec);
}

} // namespace

std::string reply::header(std::string_view lower_case_name) const
{
    for (const auto& [name, value] : headers) {
        if (name == lower_case_name)
            return value;
    }
    return {};
}

std::string http_request(std::string_view method, std::string_view target, std::string_view body,
                         std::string_view more_headers)
{
    std::string text(method);
    text += ' ';
    text += target;
    text += " HTTP/1.1\r\nHost: localhost\r\n";
    text += more_headers;
    if (!body.empty() || method == "POST")
        text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    text += "\r\n";
    text += body;
    return text;
}

namespace {
std::optional<reply> parse_chunks(std::string& bytes, std::size_t at, reply r)
{
    for (;;) {
        const auto line = bytes.find("\r\n", at);
        if (line == std::string::npos)
            return std::nullopt;
        const auto length = std::strtoull(bytes.c_str() + at, nullptr, 16);
        at = line + 2 + length + 2;
        if (bytes.size() < at)
            return std::nullopt;
        r.body += bytes.substr(line + 2, length);
        if (length == 0)
            break;
    }
    bytes.erase(0, at);
    return r;
}
} // namespace

std::optional<reply> parse_reply(std::string& bytes, bool without_body)
{
    const auto head_end = bytes.find("\r\n\r\n");
    if (head_end == std::string::npos)
        return std::nullopt;
    reply r;
    r.status = std::atoi(bytes.substr(9, 3).c_str());
    std::size_t length = 0;
    for (auto at = bytes.find("\r\n") + 2; at < head_end + 2;) {
        const auto end = bytes.find("\r\n", at);
        const auto colon = bytes.find(':', at);
        auto name = to_lower(std::string_view(bytes).substr(at, colon - at));
        std::string value(trim(std::string_view(bytes).substr(colon + 1, end - colon - 1)));
        if (name == "content-length")
            length = std::strtoull(value.c_str(), nullptr, 10);
        r.headers.emplace_back(std::move(name), std::move(value));
        at = end + 2;
    }
    if (without_body)
        length = 0;
    else if (r.header("transfer-encoding") == "chunked")
        return parse_chunks(bytes, head_end + 4, std::move(r));
    if (bytes.size() < head_end + 4 + length)
        return std::nullopt;
    r.body = bytes.substr(head_end + 4, length);
    bytes.erase(0, head_end + 4 + length);
    return r;
}

// --- the library ---

std::size_t told_library::place(core::model_kind kind, const std::string& name) const
{
    const auto at = std::find_if(all.begin(), all.end(), [&](const auto& model) {
        return model.kind == kind && model.name == name;
    });
    return static_cast<std::size_t>(at - all.begin());
}

core::model_status& told_library::add(core::model_kind kind, std::string name, std::string state)
{
    auto& model = all.emplace_back();
    model.kind = kind;
    model.name = std::move(name);
    model.state = std::move(state);
    return model;
}

std::optional<core::model_status> told_library::file(core::model_kind kind,
                                                     const std::string& name) const
{
    const auto at = place(kind, name);
    return at == all.size() ? std::nullopt : std::optional(all[at]);
}

core::library_port::reply told_library::pull(const core::model_ref& file)
{
    if (auto no = refused())
        return *no;
    pulled = file;
    add(file.kind, file.name, "queued").source = file.url;
    return {};
}

core::library_port::reply told_library::remove(core::model_kind kind, const std::string& name)
{
    if (auto no = refused())
        return *no;
    const auto at = place(kind, name);
    if (at == all.size())
        return {answer::unknown, {}};
    if (removes_later)
        all[at].state = "removing";
    else
        all.erase(all.begin() + static_cast<std::ptrdiff_t>(at));
    return {};
}

core::library_port::reply told_library::pin(core::model_kind kind, const std::string& name, bool on)
{
    if (auto no = refused())
        return *no;
    const auto at = place(kind, name);
    if (at == all.size())
        return {answer::unknown, {}};
    all[at].pinned = on;
    return {};
}

front::front(const std::function<void(config::settings&)>& change)
{
    settings.auth.mode = config::auth_mode::none;
    if (change)
        change(settings);
    build();
}

void front::build()
{
    spool = std::make_unique<store::spool>(folder / "spool", disk, files);
    jobs::jobs::naming names{[this] { return random.next(); }, id_of};
    const store::health::parts uses{time, disk, journal, *spool, files};
    const store::health_limits room{settings.data.min_free, settings.jobs.max_spool_bytes};
    health = std::make_unique<store::health>(folder.path(), uses, room);
    jobs = std::make_unique<jobs::jobs>(ex(), time, journal, *spool, limits_of(settings), names,
                                        health.get());
    std::vector<api::check> checks{{"disk", [this] { return disk_trouble; }}};
    doors = std::make_unique<api::doors>(api::doors::parts{*jobs,
                                                           backends,
                                                           &models,
                                                           &journal,
                                                           spool.get(),
                                                           health.get(),
                                                           time,
                                                           parsing,
                                                           settings,
                                                           random,
                                                           std::move(checks),
                                                           {},
                                                           nullptr,
                                                           &library,
                                                           &library_changes});
    wheel = std::make_unique<net::deadline_wheel>(ex(), time);
    server = std::make_unique<net::server>(ex(), time, *wheel, doors->service());
    doors->watch(*server);
}

front::~front() { tear_down(); }

// Nobody may wait for anything when the parts go.
void front::tear_down()
{
    doors->drain();
    for (const auto& connection : connections_)
        connection->close();
    connections_.clear();
    advance(std::chrono::seconds(3));
    server.reset();
    doors.reset();
    jobs.reset();
    spool.reset();
}

namespace {
net::task<> replay(jobs::jobs& jobs)
{
    const auto ec = co_await jobs.replay();
    BOOST_REQUIRE(!ec);
}
} // namespace

void front::restart()
{
    tear_down();
    build();
    run(replay(*jobs));
}

std::shared_ptr<scripted_stream> front::send(std::string bytes)
{
    auto connection = std::make_shared<scripted_stream>(ex());
    connections_.push_back(connection);
    connection->arrives(std::move(bytes));
    start(server->serve(connection, "127.0.0.1:50000"));
    settle();
    return connection;
}

std::optional<reply> front::take_reply(scripted_stream& connection)
{
    auto bytes = connection.take_written();
    auto r = parse_reply(bytes);
    BOOST_CHECK(!r || bytes.empty());
    return r;
}

reply front::ask(std::string_view method, std::string_view target, std::string_view body,
                 std::string_view more_headers, duration patience)
{
    const auto connection = send(http_request(method, target, body, more_headers));
    std::optional<reply> got;
    const auto answered = [&] {
        auto bytes = connection->written();
        got = parse_reply(bytes, method == "HEAD");
        return got.has_value();
    };
    BOOST_REQUIRE_MESSAGE(run_until(answered, patience), method << ' ' << target);
    connection->ends();
    settle();
    static int asked = 0;
    if (!kept_as.empty())
        keep_answer(kept_as, std::to_string(++asked), method, target, *got);
    return std::move(*got);
}

namespace {
std::string submitted(const reply& r)
{
    BOOST_REQUIRE_MESSAGE(r.status == 200, r.body);
    const auto at = r.body.find("\"id\":\"") + 6;
    return r.body.substr(at, r.body.find('"', at) - at);
}
} // namespace

std::string front::submit(std::string_view input)
{
    return submitted(ask("POST", "/run", "{\"input\":" + std::string(input) + "}"));
}

std::string front::submit_sync(std::string_view input)
{
    return submitted(ask("POST", "/runsync?wait=1000", "{\"input\":" + std::string(input) + "}"));
}

jobs::lease front::begin(std::string name)
{
    std::optional<jobs::lease> got;
    start(lease_one(*this, std::move(name), got));
    const bool leased = run_until([&] { return got.has_value(); }, std::chrono::minutes(1));
    BOOST_REQUIRE(leased);
    return std::move(*got);
}

void front::report(const jobs::lease& l, double fraction, core::progress_phase phase,
                   std::optional<double> eta_seconds)
{
    jobs->report(l.fence, {phase, fraction, eta_seconds});
    settle();
}

void front::complete(const jobs::lease& l, std::string reply, std::string tail)
{
    bool done = false;
    start(store_result(*this, l.fence, std::move(reply), std::move(tail), done));
    const bool ended = run_until([&] { return done; }, std::chrono::minutes(1));
    BOOST_REQUIRE(ended);
}

void front::end(const jobs::lease& l, core::outcome how, std::string reason)
{
    run(end_one(*this, l.fence, how, std::move(reason)));
}

core::backend_status& front::backend(std::string name)
{
    for (auto& known : backends.all) {
        if (known.name == name)
            return known;
    }
    auto& made = backends.all.emplace_back();
    made.name = std::move(name);
    made.state = "down";
    return made;
}

} // namespace gateway::test
