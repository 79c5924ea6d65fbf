#include "work/webhooks.hpp"

#include "base/log.hpp"
#include "base/redact.hpp"
#include "base/text.hpp"
#include "net/error.hpp"
#include "proto/retry_after.hpp"
#include "proto/runpod.hpp"
#include "proto/webhook.hpp"

#include <algorithm>

namespace gateway::work {

namespace {

using core::delivery_state;
using breaker = core::delivery_queue::breaker_change;

constexpr auto pause_after_trouble = std::chrono::seconds(5); // with the journal
constexpr std::size_t signed_at_once = 16 * 1024;             // more goes to a lane
constexpr std::size_t signing_step = 256 * 1024;
constexpr std::uint64_t slowest_receiver = 256 * 1024; // bytes a second

// A recipe on its way out. A file that cannot be read is our fault and not the receiver's.
class told_body final : public net::body_source {
public:
    explicit told_body(store::recipe text) : text_(std::move(text)) {}

    std::optional<std::uint64_t> size() const override { return text_.size(); }
    net::task<result<std::size_t>> read(std::span<char> into) override
    {
        auto n = co_await text_.read(into);
        if (!n)
            broken_ = true;
        co_return n;
    }
    bool is_broken() const { return broken_; }

private:
    store::recipe text_;
    bool broken_ = false;
};

proto::job_view view_of(const store::message_content& told, std::string id)
{
    proto::job_view v;
    v.id = std::move(id);
    v.state = told.job.state;
    v.delay_time = told.job.delay();
    v.execution_time = told.job.execution(told.job.ended);
    v.worker_id = told.worker;
    v.retries = told.job.retries;
    v.error = told.error;
    return v;
}

std::string explain(int status)
{
    if (status >= 300 && status < 400)
        return "answered " + std::to_string(status) +
               ": redirects of webhooks are not followed; give the final URL";
    return "answered " + std::to_string(status);
}

std::string explain(const net::failure& f, const net::url& to)
{
    if (f.code == net::error::address_refused)
        return to.host + " has a private address; webhook.allow_hosts (--allow-webhook " + to.host +
               ") permits it";
    return f.what;
}

} // namespace

// What came of one try.
struct webhooks::outcome {
    core::delivery_reply reply;
    std::string error; // empty when it was delivered
    wall_time when{};
    std::chrono::milliseconds took{};
    bool is_cut = false; // by the end of this process: it does not count
};

// A message ready to go out.
struct webhooks::order {
    store::recipe body;
    net::header_list headers;
    std::string id;
};

webhooks::webhooks(net::executor ex, parts uses, options chosen)
    : uses_(std::move(uses)),
      options_(std::move(chosen)),
      queue_(options_.limits),
      changed_(std::move(ex))
{
}

net::task<> webhooks::run()
{
    const auto ex = co_await net::current_executor();
    net::task_group children(ex);
    children.spawn(listen());
    for (bool stopped = false; !stopped;) {
        const auto seen = changed_.current();
        if (!draining_)
            begin_due(children);
        const auto until =
            draining_ ? steady_time::max() : queue_.next_due().value_or(steady_time::max());
        const bool moved = co_await changed_.past(seen, uses_.time, until);
        (void)moved;
        stopped = co_await net::cancelled();
    }
    children.cancel();
    co_await children.join();
}

net::task<> webhooks::drain(steady_time until)
{
    draining_ = true;
    while (queue_.under_way() > 0 && uses_.time.now() < until) {
        const auto seen = changed_.current();
        const bool moved = co_await changed_.past(seen, uses_.time, until);
        (void)moved;
    }
}

core::webhook_counts webhooks::counts() const
{
    auto now = counts_;
    now.pending = queue_.size();
    now.under_way = queue_.under_way();
    now.open_breakers = queue_.open_breakers();
    const auto oldest = queue_.oldest();
    if (oldest)
        now.oldest_pending = uses_.time.now() - *oldest;
    return now;
}

steady_time webhooks::steady(wall_time when) const
{
    return uses_.time.now() + (when - uses_.time.wall());
}

// --- which ---

net::task<> webhooks::listen()
{
    for (;;) {
        const auto note = co_await uses_.outbox.next();
        if (!note)
            co_return;
        co_await admit(*note);
        changed_.bump();
    }
}

net::task<> webhooks::admit(jobs::outbox::note note)
{
    if (note.at_once && queue_.hurry(note.id, uses_.time.now()))
        co_return;
    for (;;) {
        const auto found = co_await uses_.outbox.find(note.id);
        if (!found) {
            log::error("a webhook could not be read from the journal",
                       {{"error", found.error().message()}});
            const auto stopped = co_await uses_.time.sleep_for(pause_after_trouble);
            if (stopped)
                co_return;
            continue;
        }
        if (!*found)
            co_return;
        const auto& m = **found;
        const auto to = net::url::parse(m.url);
        auto due = steady(m.next);
        if (m.tries == 0 && m.next == m.opened)
            due += options_.limits.schedule.front();
        queue_.add({m.id, to ? to->origin() : std::string(), m.tries, steady(m.opened), due});
        if (note.at_once)
            queue_.hurry(m.id, uses_.time.now());
        co_return;
    }
}

void webhooks::begin_due(net::task_group& children)
{
    while (const auto step = queue_.next(uses_.time.now())) {
        using kind = core::delivery_queue::step::kind;
        switch (step->what) {
        case kind::send: children.spawn(carry(step->id)); break;
        case kind::give_up: children.spawn(give_up(step->id, step->tries)); break;
        }
    }
}

// --- one try ---

net::task<> webhooks::carry(core::message_id id)
{
    const auto content = co_await uses_.outbox.read(id);
    if (!content) {
        co_await unreadable(id, content.error());
        co_return;
    }
    auto came = co_await attempt(*content);
    if (came.is_cut)
        co_return;
    const auto next = queue_.ended(id, came.reply, uses_.time.now(), uses_.random());
    changed_.bump();
    if (!next)
        co_return;
    tell(*content, came, *next);
    store::record_try row;
    row.id = id;
    row.state = next->state;
    row.tries = next->tries;
    row.next = uses_.time.wall() + std::chrono::ceil<wall_duration>(next->wait);
    row.tried = {came.when, came.took, came.reply.status, std::move(came.error)};
    const auto ec = co_await uses_.outbox.tried(std::move(row));
    if (ec == store::journal_errc::conflict)
        queue_.forget(id); // its job has been deleted
}

// The journal does not give it out: its job is gone, or the disk is in trouble.
net::task<> webhooks::unreadable(core::message_id id, error_code why)
{
    if (why == store::journal_errc::missing) {
        queue_.forget(id);
    } else {
        log::error("a webhook could not be read from the journal", {{"error", why.message()}});
        queue_.postpone(id, uses_.time.now() + pause_after_trouble);
    }
    changed_.bump();
    co_return;
}

// Without a try.
net::task<> webhooks::give_up(core::message_id id, std::uint32_t tries)
{
    const auto content = co_await uses_.outbox.read(id);
    if (!content)
        co_return; // the next process finds it still pending
    outcome came;
    came.when = uses_.time.wall();
    came.error = "given up: its receiver has been out of service for too long";
    decision end;
    end.state = delivery_state::given_up;
    end.tries = tries;
    tell(*content, came, end);
    store::record_try row;
    row.id = id;
    row.state = end.state;
    row.tries = tries;
    row.tried = {came.when, came.took, 0, std::move(came.error)};
    const auto ec = co_await uses_.outbox.tried(std::move(row));
    (void)ec;
}

net::task<webhooks::outcome> webhooks::attempt(const store::message_content& content)
{
    outcome came;
    came.when = uses_.time.wall();
    const auto began = uses_.time.now();
    const auto to = net::url::parse(content.url);
    order ready;
    const auto ec = co_await compose(content, ready);
    if (ec || !to) {
        came.reply.ours = true;
        came.error = to ? "the result could not be read from disk: " + ec.message()
                        : "the URL cannot be used: " + redact(content.url);
        co_return came;
    }
    const auto body = std::make_shared<told_body>(std::move(ready.body));
    const auto size = body->size().value_or(0);
    net::client_request request;
    request.method = "POST";
    request.to = *to;
    request.headers = std::move(ready.headers);
    request.source = body;
    request.fresh_connection = true;
    request.peers = options_.peers;
    request.connect_timeout = options_.timeout;
    request.header_timeout = options_.timeout;
    request.idle_timeout = options_.timeout;
    request.total_timeout = 3 * options_.timeout + std::chrono::seconds(size / slowest_receiver);
    const auto reply = co_await uses_.http.stream(std::move(request));
    came.took = std::chrono::ceil<std::chrono::milliseconds>(uses_.time.now() - began);
    if (!reply) {
        came.is_cut = co_await net::cancelled();
        came.reply.ours = body->is_broken();
        came.error = explain(reply.error(), *to);
        co_return came;
    }
    const auto& head = (*reply)->head();
    came.reply.status = head.status;
    came.reply.retry_after =
        proto::parse_retry_after(head.header("retry-after"), uses_.time.wall());
    if (head.status < 200 || head.status >= 300)
        came.error = explain(head.status);
    co_return came;
}

net::task<error_code> webhooks::compose(const store::message_content& content, order& into)
{
    auto view = view_of(content, uses_.id(content.job));
    into.id = proto::webhook_id(view.id, content.job.ends);
    const auto& stored = content.result;
    if (stored) {
        auto file = co_await uses_.spool.open(stored->file, stored->size, stored->checksum);
        auto ec = file ? error_code{} : file.error();
        if (!ec)
            ec = co_await file->verify();
        if (ec)
            co_return ec;
        view.has_output = true;
        auto around = proto::webhook_frame(view, content.input, content.url);
        into.body.add(std::move(around.head));
        into.body.add_spliced(*file, stored->splice, stored->extra);
        into.body.add(std::move(around.tail));
    } else {
        into.body.add(proto::webhook_body(view, content.input, content.url));
    }
    co_return co_await sign(into);
}

// A signature needs a first pass over the body.
net::task<error_code> webhooks::sign(order& o)
{
    const auto now = std::chrono::floor<std::chrono::seconds>(uses_.time.wall());
    proto::webhook_signer signer(options_.secrets, o.id, now.time_since_epoch());
    std::string piece(signer.signs() ? std::min<std::uint64_t>(o.body.size(), signing_step) : 0,
                      '\0');
    while (!piece.empty()) {
        const std::span<char> into(piece);
        const auto n = co_await o.body.read(into);
        if (!n)
            co_return n.error();
        if (*n == 0)
            break;
        const auto bytes = std::string_view(piece).substr(0, *n);
        if (bytes.size() <= signed_at_once) {
            signer.add(bytes);
            continue;
        }
        auto work = [&signer, bytes] { signer.add(bytes); };
        co_await uses_.disk.run(std::move(work));
    }
    o.body.rewind();
    o.headers = signer.headers();
    o.headers.emplace_back("Content-Type", "application/json");
    o.headers.emplace_back("User-Agent", "webui-gateway/" GATEWAY_VERSION);
    o.headers.emplace_back("Connection", "close");
    co_return error_code{};
}

// --- for people ---

// Of a URL only its origin is logged: with many receivers the path is a secret, too.
void webhooks::tell(const store::message_content& content, const outcome& came,
                    const decision& next)
{
    const auto to = net::url::parse(content.url);
    const auto receiver = to ? to->origin() : std::string("?");
    const auto id = uses_.id(content.job);
    switch (next.state) {
    case delivery_state::delivered:
        ++counts_.delivered;
        log::info("webhook delivered", {{"job_id", id},
                                        {"receiver", receiver},
                                        {"tries", next.tries},
                                        {"took_ms", came.took.count()}});
        break;
    case delivery_state::gone:
        ++counts_.gone;
        log::info("webhook refused for good (410)", {{"job_id", id}, {"receiver", receiver}});
        break;
    case delivery_state::given_up:
        ++counts_.given_up;
        log::error(
            "webhook given up",
            {{"job_id", id}, {"receiver", receiver}, {"tries", next.tries}, {"error", came.error}});
        break;
    case delivery_state::pending:
        ++counts_.failed_tries;
        log::warning("webhook not taken, trying again", {{"job_id", id},
                                                         {"receiver", receiver},
                                                         {"tries", next.tries},
                                                         {"error", came.error},
                                                         {"pause", format_duration(next.wait)}});
        break;
    }
    if (next.breaker == breaker::opened)
        log::warning("receiver of webhooks out of service: it gets one at a time now",
                     {{"receiver", receiver},
                      {"error", came.error},
                      {"pause", format_duration(next.breaker_pause)}});
    if (next.breaker == breaker::closed)
        log::info("receiver of webhooks back in service", {{"receiver", receiver}});
}

} // namespace gateway::work
