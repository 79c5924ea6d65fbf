#include "work/transfer.hpp"

#include "base/log.hpp"
#include "base/redact.hpp"
#include "base/text.hpp"
#include "proto/file_reply.hpp"
#include "proto/part_note.hpp"
#include "store/sha256.hpp"

#include <algorithm>

namespace gateway::work {

namespace {

constexpr std::size_t buffer_size = std::size_t{1} << 20;
constexpr std::size_t first_look = 64 * 1024; // the start is looked at as soon as it is there
constexpr std::size_t read_size = 256 * 1024; // what one turn of the loop copies at most
constexpr auto tick_interval = std::chrono::milliseconds(100);
constexpr auto longest_wait = std::chrono::seconds(1);
constexpr auto rate_window = std::chrono::seconds(1);
constexpr double rate_memory = 0.8; // of the old rate, each window: about 5 s

std::string hash_of(std::string_view text)
{
    store::sha256_sum sum;
    sum.add(text);
    return sum.hex();
}

} // namespace

transfer::transfer(net::executor ex, parts uses, const fetch_options& options,
                   const fetch_order& order, proto::model_source from, fetch_progress& progress)
    : ex_(ex),
      uses_(uses),
      options_(options),
      order_(order),
      from_(std::move(from)),
      progress_(progress),
      machine_(options.limits, {}, uses.time.now()),
      changed_(ex)
{
}

bool transfer::over() const
{
    return stopping_ || disk_ || machine_.state() != core::download_state::fetching;
}

void transfer::failed(const store::file_failure& why)
{
    if (!disk_)
        disk_ = why;
    changed_.bump();
}

net::task<fetch_result> transfer::run()
{
    auto done = co_await try_until_done();
    co_await drop();
    co_return std::move(done);
}

// What is not published or put aside is gone when this returns.
net::task<> transfer::drop()
{
    if (writer_)
        co_await writer_->discard();
    writer_.reset();
}

net::task<fetch_result> transfer::try_until_done()
{
    using state = core::download_state;
    facts_ = co_await uses_.source.describe(from_);
    co_await take_up();
    for (;;) {
        if (from_.from == proto::hub::folder)
            co_await copy();
        else
            co_await bring();
        if (stopping_) {
            co_await put_aside();
            const bool asked = order_.stop.stop_requested();
            co_return fetch_failure{asked ? "nobody wants it any more" : "the gateway is stopping",
                                    false, asked};
        }
        if (!disk_ && machine_.state() == state::complete) {
            auto done = co_await finish();
            if (done)
                co_return std::move(*done);
        }
        if (disk_) {
            if (disk_->permanent || ++disk_failures_ > options_.limits.retries)
                co_return fetch_failure{disk_->what, disk_->permanent};
            log::warning("download failed, trying again",
                         {{"file", order_.file.name}, {"reason", disk_->what}});
            const auto pause =
                core::backoff_delay(options_.limits.backoff, disk_failures_, uses_.random());
            const auto stopped = co_await uses_.time.sleep_for(pause);
            stopping_ = stopped.failed();
        }
        if (machine_.state() == state::failed) {
            const auto why = machine_.trouble();
            if (!why.permanent)
                co_await put_aside();
            co_return fetch_failure{why.reason, why.permanent};
        }
        if (disk_ || machine_.state() == state::restart) {
            log::warning("download begins anew",
                         {{"file", order_.file.name}, {"reason", machine_.trouble().reason}});
            disk_.reset();
            co_await drop();
            link_.reset();
            saved_ = 0;
            format_needs_ = 64;
            extension_.clear();
            machine_.restarted(uses_.time.now());
            facts_ = co_await uses_.source.describe(from_);
        }
    }
}

// What an earlier try has left, if it is of the same file.
net::task<> transfer::take_up()
{
    const auto text = co_await uses_.files.note(order_.folder, order_.file.name);
    const auto note = text ? proto::parse_part_note(*text) : std::nullopt;
    if (!note || note->url_hash != hash_of(from_.url) || note->have.empty() ||
        note->size > order_.size_limit)
        co_return;
    auto writer =
        co_await uses_.files.resume(order_.folder, order_.file.name, note->size, note->have);
    if (!writer)
        co_return;
    writer_.emplace(std::move(*writer));
    if (facts_.sha256.empty())
        facts_.sha256 = note->sha256;
    facts_.commit = note->commit;
    saved_ = writer_->size();
    rated_ = told_ = saved_;
    machine_ = core::download(
        options_.limits, {note->have, note->size, note->etag, note->etag_host}, uses_.time.now());
    log::info("download goes on",
              {{"file", order_.file.name}, {"bytes", saved_}, {"total", note->size}});
}

// Until all is there, or nothing more can come.
net::task<> transfer::bring()
{
    net::task_group connections(ex_);
    net::task_group beside(ex_);
    beside.spawn(keep_notes());
    beside.spawn(watch_format());
    while (!over()) {
        tick();
        // The first reply opens the file; the others come after that.
        while (machine_.wants_more() && (writer_ || connections.size() == 0))
            connections.spawn(serve(machine_.join(uses_.time.now())));
        const auto seen = changed_.current();
        const bool moved =
            co_await changed_.past(seen, uses_.time, uses_.time.now() + tick_interval);
        (void)moved;
        const bool ending = co_await net::cancelled();
        stopping_ = stopping_ || ending || order_.stop.stop_requested();
    }
    connections.cancel(); // whoever waits for bytes that are not needed any more
    co_await connections.join();
    changed_.bump();
    co_await beside.join();
    tick();
    progress_.connections = 0;
}

void transfer::tick()
{
    const auto now = uses_.time.now();
    machine_.on_tick(now);
    const auto bytes = machine_.received();
    progress_.bytes = bytes;
    progress_.total = machine_.size().value_or(0);
    progress_.connections = machine_.receiving();
    rated_ = std::min(rated_, bytes); // it has begun anew
    told_ = std::min(told_, bytes);
    if (rated_at_ == steady_time{})
        rated_at_ = now;
    const auto took = std::chrono::duration<double>(now - rated_at_).count();
    if (now - rated_at_ >= rate_window || (progress_.bytes_per_second == 0 && took > 0)) {
        const auto rate = static_cast<double>(bytes - rated_) / took;
        progress_.bytes_per_second =
            progress_.bytes_per_second > 0
                ? rate_memory * progress_.bytes_per_second + (1 - rate_memory) * rate
                : rate;
        rated_ = bytes;
        rated_at_ = now;
    }
    if (bytes - told_ < options_.progress_log_each)
        return;
    told_ = bytes;
    const auto rate = static_cast<std::uint64_t>(progress_.bytes_per_second);
    log::info("downloading", {{"file", order_.file.name},
                              {"bytes", bytes},
                              {"total", progress_.total},
                              {"connections", progress_.connections},
                              {"rate", format_bytes(rate) + "/s"}});
}

// --- one connection ---

std::string transfer::current_host() const
{
    if (link_)
        return link_->host;
    const auto own = net::url::parse(from_.url);
    return own ? own->host : std::string();
}

net::task<> transfer::serve(int id)
{
    using action = core::download_step::action;
    auto host = current_host();
    auto place = co_await uses_.traffic.take(std::move(host));
    connection mine(ex_, id);
    std::unique_ptr<net::reply_stream> reply;
    while (!over()) {
        const auto step = machine_.next(id, uses_.time.now());
        if (step.what == action::leave)
            break;
        if (step.what != action::go_on)
            reply.reset();
        if (step.what == action::wait) {
            const auto until = std::min(step.until, uses_.time.now() + longest_wait);
            const auto seen = changed_.current();
            const bool moved = co_await changed_.past(seen, uses_.time, until);
            (void)moved;
            const bool ending = co_await net::cancelled();
            if (ending)
                break;
            continue;
        }
        if (step.what == action::request)
            reply = co_await ask(id, step);
        place.move_to(current_host());
        if (reply)
            co_await read(mine, *reply);
        changed_.bump();
    }
    co_await mine.writing.join();
    machine_.leave(id);
    changed_.bump();
}

net::task<std::unique_ptr<net::reply_stream>> transfer::ask(int id, core::download_step step)
{
    const auto own = net::url::parse(proto::pinned_url(from_, facts_.commit));
    if (!own) {
        machine_.fail({"its URL cannot be read", true});
        co_return nullptr;
    }
    net::url from = step.from_source || !link_ ? *own : *link_;
    std::string range =
        step.plain ? std::string() : proto::range_header(step.range, step.to_the_end);
    auto got = co_await uses_.source.ask(from_, std::move(from), std::move(range));
    const auto now = uses_.time.now();
    if (over())
        co_return nullptr;
    learn(got);
    if (got.refused) {
        log::debug("a request brought nothing",
                   {{"file", order_.file.name}, {"reason", got.trouble.reason}});
        machine_.on_refusal(id, got.head, std::move(got.trouble), now, uses_.random());
        co_return nullptr;
    }
    const bool usable = machine_.on_reply(id, got.head, now, uses_.random());
    if (!usable)
        co_return nullptr;
    link_ = got.at;
    if (!writer_)
        co_await open_file();
    if (!writer_)
        co_return nullptr;
    co_return std::move(got.body);
}

void transfer::learn(const file_source::answer& got)
{
    if (!got.facts.sha256.empty() && !facts_.sha256.empty() && got.facts.sha256 != facts_.sha256 &&
        machine_.received() > 0)
        machine_.on_wrong_content("its source has another file now");
    if (!got.facts.sha256.empty())
        facts_.sha256 = got.facts.sha256;
    if (!got.facts.commit.empty())
        facts_.commit = got.facts.commit;
}

// Now that its size is known.
net::task<> transfer::open_file()
{
    const auto size = machine_.size();
    if (size && *size > order_.size_limit) {
        machine_.fail({"it has " + format_bytes(*size) + ", the limit for a " +
                           std::string(core::to_text(order_.file.kind)) + " is " +
                           format_bytes(order_.size_limit),
                       true});
        co_return;
    }
    auto made = co_await uses_.files.create(order_.folder, order_.file.name, size);
    if (!made)
        failed(made.error());
    else
        writer_.emplace(std::move(*made));
}

// As far as the machine lets this connection read.
net::task<> transfer::read(connection& c, net::reply_stream& reply)
{
    auto room = machine_.room(c.id);
    while (room > 0 && !over()) {
        auto& b = c.buffers[c.filling];
        if (b.bytes.empty())
            b.bytes.resize(buffer_size);
        if (b.filled == 0)
            b.offset = machine_.position(c.id);
        const auto free = std::min<std::uint64_t>(b.bytes.size() - b.filled, room);
        const std::span<char> into(b.bytes.data() + b.filled, std::min(free, read_size));
        const auto n = co_await reply.read(into);
        const auto now = uses_.time.now();
        if (!n) {
            co_await flush(c);
            machine_.on_trouble(c.id, {redact(n.error().what)}, now, uses_.random());
            co_return;
        }
        if (*n == 0) {
            co_await flush(c);
            machine_.on_end(c.id, now, uses_.random());
            co_return;
        }
        const auto used = machine_.on_bytes(c.id, *n, now);
        b.filled += used;
        room = used < *n ? 0 : machine_.room(c.id);
        if (machine_.received() > order_.size_limit)
            machine_.fail({"it is longer than " + format_bytes(order_.size_limit), true});
        if (b.filled == b.bytes.size() || (b.offset == 0 && b.filled >= first_look)) {
            co_await flush(c);
            co_await wait_for_room();
        }
        const auto pause = uses_.traffic.received(*n, now);
        if (pause > duration::zero()) {
            const auto stopped = co_await uses_.time.sleep_for(pause);
            (void)stopped;
        }
    }
    co_await flush(c);
}

// Hands the buffer on to be written, as soon as the one before it is.
net::task<> transfer::flush(connection& c)
{
    auto& b = c.buffers[c.filling];
    if (b.filled == 0)
        co_return;
    co_await c.writing.join();
    c.writing.spawn(put(b));
    c.filling = 1 - c.filling;
}

net::task<> transfer::put(buffer& b)
{
    const std::string_view bytes(b.bytes.data(), b.filled);
    if (!disk_) {
        const auto ec = co_await writer_->write(b.offset, bytes);
        if (ec)
            failed(
                {"it cannot be written to " + order_.folder.string() + ": " + ec.message(), false});
    }
    b.filled = 0;
    changed_.bump();
}

// --- what can be taken up again ---

// A crash costs no more than a lease per connection (decisions.md 20).
std::uint64_t transfer::most_unsaved() const
{
    return options_.limits.lease * static_cast<std::uint64_t>(std::max(1, machine_.wanted()));
}

net::task<> transfer::wait_for_room()
{
    while (!over() && machine_.in_ranges() && writer_->size() - saved_ >= most_unsaved()) {
        const auto seen = changed_.current();
        const auto ec = co_await changed_.past(seen);
        if (ec)
            co_return;
    }
}

net::task<> transfer::keep_notes()
{
    while (!over()) {
        const auto seen = changed_.current();
        if (writer_ && machine_.in_ranges() && writer_->size() - saved_ >= most_unsaved() / 2)
            co_await save_note();
        const auto ec = co_await changed_.past(seen);
        if (ec)
            co_return;
    }
}

net::task<> transfer::save_note()
{
    proto::part_note note;
    note.url_hash = hash_of(from_.url);
    note.size = machine_.size().value_or(0);
    note.sha256 = facts_.sha256;
    note.etag = machine_.etag();
    note.etag_host = machine_.etag_host();
    note.commit = facts_.commit;
    note.have = writer_->have();
    note.written = uses_.time.wall();
    const auto bytes = writer_->size();
    const auto ec = co_await writer_->save(proto::to_text(note));
    if (ec)
        failed({"it cannot be saved in " + order_.folder.string() + ": " + ec.message(), false});
    else
        saved_ = bytes;
    changed_.bump();
}

// It ends here for now; what is worth it is kept.
net::task<> transfer::put_aside()
{
    if (!writer_ || disk_ || !machine_.in_ranges() || writer_->size() < options_.limits.progress)
        co_return;
    co_await save_note();
    if (disk_)
        co_return;
    writer_->keep();
    writer_.reset();
}

// --- what it is ---

net::task<> transfer::watch_format()
{
    while (!over()) {
        const auto seen = changed_.current();
        auto wrong = co_await look_at_format();
        if (!wrong.empty() && !over()) {
            machine_.fail({std::move(wrong), true});
            changed_.bump();
        }
        const auto ec = co_await changed_.past(seen);
        if (ec)
            co_return;
    }
}

} // namespace gateway::work
