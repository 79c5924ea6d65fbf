#include "base/log.hpp"

#include "base/redact.hpp"
#include "base/text.hpp"

#include <boost/log/attributes/attribute_value_impl.hpp>
#include <boost/log/attributes/value_extraction.hpp>
#include <boost/log/core.hpp>
#include <boost/log/sinks/async_frontend.hpp>
#include <boost/log/sinks/basic_sink_backend.hpp>
#include <boost/log/sinks/bounded_fifo_queue.hpp>
#include <boost/make_shared.hpp>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <ctime>

#include <poll.h>
#include <unistd.h>

namespace gateway::log {

namespace {

namespace sinks = boost::log::sinks;

constexpr std::size_t queue_length = 8192;
const boost::log::attribute_name line_name("Line");

std::atomic<std::uint64_t> lost_lines{0};

std::string_view lower_name(level how_bad)
{
    switch (how_bad) {
    case level::trace: return "trace";
    case level::debug: return "debug";
    case level::info: return "info";
    case level::warning: return "warning";
    case level::error: return "error";
    }
    return "error";
}

// Five letters, as RunPod writes them too (runpod.md §4.7).
std::string_view upper_name(level how_bad)
{
    switch (how_bad) {
    case level::trace: return "TRACE";
    case level::debug: return "DEBUG";
    case level::info: return "INFO";
    case level::warning: return "WARN";
    case level::error: return "ERROR";
    }
    return "ERROR";
}

bool is_control(char c)
{
    const auto code = static_cast<unsigned char>(c);
    return code < 0x20 || code == 0x7f;
}

// A message for a terminal: one line, whatever is in it.
std::string one_line(std::string_view text)
{
    std::string clean = redact_and_cut(text);
    if (std::none_of(clean.begin(), clean.end(), is_control))
        return clean;
    const std::string quoted = json_quoted(clean);
    return quoted.substr(1, quoted.size() - 2);
}

std::string word_or_quoted(std::string_view text)
{
    std::string clean = redact_and_cut(text);
    const bool is_word = !clean.empty() && std::none_of(clean.begin(), clean.end(), [](char c) {
        return is_control(c) || c == ' ' || c == '"' || c == '=';
    });
    return is_word ? clean : json_quoted(clean);
}

std::string number_text(const value::any& held)
{
    if (const auto* b = std::get_if<bool>(&held))
        return *b ? "true" : "false";
    if (const auto* i = std::get_if<std::int64_t>(&held))
        return std::to_string(*i);
    if (const auto* u = std::get_if<std::uint64_t>(&held))
        return std::to_string(*u);
    const double number = std::get<double>(held);
    return std::isfinite(number) ? shortest_decimal(number) : "null";
}

std::string json_text(const value& what)
{
    const auto* text = std::get_if<std::string_view>(&what.get());
    return text != nullptr ? json_quoted(redact_and_cut(*text)) : number_text(what.get());
}

std::string human_text(const value& what)
{
    const auto* text = std::get_if<std::string_view>(&what.get());
    return text != nullptr ? word_or_quoted(*text) : number_text(what.get());
}

void append_fields(std::string& out, fields more)
{
    const char* gap = "  ";
    for (const field& f : more) {
        out += gap;
        out += f.name;
        out += '=';
        out += human_text(f.what);
        gap = " ";
    }
}

std::string human_line(level how_bad, wall_time when, std::string_view message, fields more)
{
    const auto whole = std::chrono::floor<std::chrono::seconds>(when);
    const std::time_t seconds = std::chrono::system_clock::to_time_t(whole);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    std::array<char, 64> start{};
    const int size = std::snprintf(
        start.data(), start.size(), "%02d:%02d:%02d.%03d %-5s ", local.tm_hour, local.tm_min,
        local.tm_sec, static_cast<int>((when - whole).count()), upper_name(how_bad).data());
    std::string out(start.data(), static_cast<std::size_t>(size));
    out += one_line(message);
    append_fields(out, more);
    return out;
}

std::string json_line(level how_bad, wall_time when, std::string_view message, fields more)
{
    std::string out = R"({"time":")" + format_time(when) + R"(","level":")";
    out += lower_name(how_bad);
    out += R"(","msg":)" + json_quoted(redact_and_cut(message));
    for (const field& f : more) {
        out += ',';
        out += json_quoted(f.name);
        out += ':';
        out += json_text(f.what);
    }
    out += '}';
    return out;
}

// RunPod shows requestId, message and level only; the other fields go into the message.
std::string runpod_line(level how_bad, std::string_view message, fields more)
{
    std::string id = "null";
    std::string text = redact_and_cut(message);
    const char* gap = "  ";
    for (const field& f : more) {
        if (f.name == "job_id") {
            id = json_text(f.what);
            continue;
        }
        text += gap;
        text += f.name;
        text += '=';
        text += human_text(f.what);
        gap = " ";
    }
    std::string out = R"({"requestId": )" + id + R"(, "message": )" + json_quoted(text);
    out += R"(, "level": ")";
    out += upper_name(how_bad);
    out += "\"}";
    return out;
}

wall_time system_wall_time()
{
    return std::chrono::time_point_cast<wall_duration>(std::chrono::system_clock::now());
}

// Overflow policy of the queue: the new line is dropped and counted.
struct drop_and_count {
    template <class Lock> static bool on_overflow(const boost::log::record_view&, Lock&)
    {
        lost_lines.fetch_add(1, std::memory_order_relaxed);
        return false;
    }
    static void on_queue_space_available() {}
    static void interrupt() {}
};

// Runs on the sink's own thread.
class writer final : public sinks::basic_sink_backend<
                         sinks::combine_requirements<sinks::synchronized_feeding>::type> {
public:
    writer(output out, format form, std::function<wall_time()> clock)
        : out_(std::move(out)), form_(form), clock_(std::move(clock))
    {
    }

    void consume(const boost::log::record_view& record)
    {
        tell_losses();
        const auto text = record[line_name].extract<std::string>();
        if (text && !out_(*text))
            lost_lines.fetch_add(1, std::memory_order_relaxed);
    }

private:
    void tell_losses()
    {
        const std::uint64_t lost = lost_lines.load(std::memory_order_relaxed);
        if (lost == told_)
            return;
        const std::uint64_t since = lost - told_;
        if (out_(line(form_, level::warning, clock_(), "log lines were lost", {{"lines", since}}) +
                 '\n'))
            told_ = lost;
    }

    output out_;
    format form_;
    std::function<wall_time()> clock_;
    std::uint64_t told_ = 0;
};

using async_sink =
    sinks::asynchronous_sink<writer, sinks::bounded_fifo_queue<queue_length, drop_and_count>>;

} // namespace

struct session::impl {
    format form;
    std::function<wall_time()> clock;
    boost::shared_ptr<async_sink> sink;
};

namespace {

struct current_session {
    format form = format::human;
    const std::function<wall_time()>* clock = nullptr;
};
// Set while no thread logs: the session is built before the lanes and outlives them.
current_session current;

} // namespace

void write(level how_bad, std::string_view message, fields more)
{
    if (!enabled(how_bad))
        return;
    const auto core = boost::log::core::get();
    boost::log::record record = core->open_record(boost::log::attribute_set());
    if (!record)
        return;
    std::string text = line(current.form, how_bad, (*current.clock)(), message, more);
    text += '\n';
    record.attribute_values().insert(line_name,
                                     boost::log::attributes::make_attribute_value(std::move(text)));
    core->push_record(std::move(record));
}

std::string line(format form, level how_bad, wall_time when, std::string_view message, fields more)
{
    switch (form) {
    case format::human: return human_line(how_bad, when, message, more);
    case format::json: return json_line(how_bad, when, message, more);
    case format::runpod: return runpod_line(how_bad, message, more);
    }
    return {};
}

output to_descriptor(int fd)
{
    return [fd](std::string_view text) {
        while (!text.empty()) {
            const auto written = ::write(fd, text.data(), text.size());
            if (written >= 0) {
                text.remove_prefix(static_cast<std::size_t>(written));
                continue;
            }
            if (errno == EAGAIN) { // somebody shares the terminal and made it non-blocking
                pollfd ready{fd, POLLOUT, 0};
                ::poll(&ready, 1, -1);
            } else if (errno != EINTR) {
                return false;
            }
        }
        return true;
    };
}

session::session(options chosen) : impl_(std::make_unique<impl>())
{
    assert(current.clock == nullptr && "one log session at a time");
    impl_->form = chosen.form;
    impl_->clock = chosen.clock ? std::move(chosen.clock) : system_wall_time;
    lost_lines = 0;
    impl_->sink = boost::make_shared<async_sink>(
        boost::make_shared<writer>(std::move(chosen.out), chosen.form, impl_->clock));
    boost::log::core::get()->add_sink(impl_->sink);
    current = {chosen.form, &impl_->clock};
    detail::least = static_cast<std::uint8_t>(chosen.least);
}

session::~session()
{
    detail::least = 0xff;
    boost::log::core::get()->remove_sink(impl_->sink);
    impl_->sink->stop();
    impl_->sink->flush();
    current = {};
}

std::uint64_t session::dropped() const { return lost_lines.load(std::memory_order_relaxed); }

void session::flush() { impl_->sink->flush(); }

} // namespace gateway::log
