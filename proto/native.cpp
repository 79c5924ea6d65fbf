#include "proto/native.hpp"

#include "base/text.hpp"
#include "proto/json.hpp"
#include "proto/runpod.hpp"

#include <algorithm>
#include <charconv>

namespace gateway::proto {

namespace {

using core::job_state;

void time(object_writer& to, std::string_view key, wall_time when)
{
    if (when != wall_time{})
        to.text(key, format_time(when));
}

void text(object_writer& to, std::string_view key, std::string_view value)
{
    if (!value.empty())
        to.text(key, value);
}

// Calls write(item) for each, between brackets.
template <class Range, class Write>
void array(std::string& out, object_writer& to, std::string_view key, const Range& items,
           Write write)
{
    to.key(key);
    out += '[';
    bool first = true;
    for (const auto& item : items) {
        if (!first)
            out += ',';
        first = false;
        write(item);
    }
    out += ']';
}

std::string progress_of(const core::progress_view& p)
{
    return progress_object({p.fraction, core::to_text(p.phase), p.eta_seconds});
}

void append_links(object_writer& to, std::string_view id)
{
    const auto url = job_url(id);
    to.text("status_url", url)
        .text("events_url", url + "/events")
        .text("result_url", url + "/result")
        .text("cancel_url", url + "/cancel");
}

void append_wait(std::string& out, object_writer& to, const job_wait& wait)
{
    to.key("waiting");
    object_writer inner(out);
    inner.text("code", wait.code).text("reason", wait.reason);
    if (!wait.models.empty())
        array(out, inner, "models", wait.models, [&](const core::model_wait& m) {
            object_writer one(out);
            one.text("file", m.file).integer("bytes", static_cast<std::int64_t>(m.bytes));
            if (m.total != 0)
                one.integer("total", static_cast<std::int64_t>(m.total));
            if (m.bytes_per_second > 0)
                one.number("bytes_per_second", m.bytes_per_second);
            if (const auto eta = m.eta_seconds())
                one.number("eta_seconds", *eta);
            if (!m.state.empty())
                one.text("state", m.state);
            one.close();
        });
    inner.close();
}

void append_attempt(std::string& out, const core::attempt_record& a)
{
    object_writer one(out);
    one.integer("attempt", a.attempt).text("backend", a.backend);
    time(one, "started_at", a.started);
    time(one, "ended_at", a.ended_at);
    if (a.ended)
        one.text("outcome", core::to_text(*a.ended));
    text(one, "reason", a.reason);
    one.close();
}

void append_image(std::string& out, std::string_view id, std::size_t n, const image_place& image)
{
    object_writer one(out);
    one.integer("n", static_cast<std::int64_t>(n))
        .text("format", to_text(image.format))
        .text("content_type", mime_type(image.format));
    if (const auto bytes = image.bytes())
        one.integer("bytes", static_cast<std::int64_t>(*bytes));
    one.text("url", job_url(id) + "/images/" + std::to_string(n)).close();
}

void append_policy(std::string& out, object_writer& to, const core::job_policy& policy)
{
    to.key("policy");
    object_writer(out)
        .integer("execution_timeout_ms", policy.execution_timeout.count())
        .integer("ttl_ms", policy.ttl.count())
        .boolean("low_priority", policy.low_priority)
        .close();
}

void append_times(object_writer& to, const core::job& job, wall_time now)
{
    time(to, "submitted_at", job.submitted);
    if (job.queued != job.submitted)
        time(to, "queued_at", job.queued);
    time(to, "started_at", job.started);
    time(to, "ended_at", job.ended);
    time(to, "expires_at", job.expires());
    if (job.state != job_state::in_queue)
        to.integer("delay_ms", job.delay().count());
    if (job.started != wall_time{} && job.state != job_state::in_queue)
        to.integer("execution_ms", job.execution(now).count());
}

problem wrong(std::string_view name, std::string_view found, std::string_view wanted)
{
    return make_problem(problem_code::invalid_request, std::string(name) + ": found the text " +
                                                           quoted(found.substr(0, 60)) + "; " +
                                                           std::string(wanted) + " is wanted");
}

} // namespace

std::string job_url(std::string_view id)
{
    return std::string(native_jobs) + '/' + std::string(id);
}

// --- one job ---

void append_native_job(std::string& out, const native_job& view)
{
    const auto& job = *view.job;
    object_writer to(out);
    to.text("id", view.id).text("status", core::to_text(job.state));
    append_times(to, job, view.now);
    to.integer("attempt", job.attempt).integer("retries", job.retries).boolean("sync", job.sync);
    text(to, "backend", view.backend);
    if (job.state == job_state::in_progress && job.cancel_asked)
        to.boolean("cancel_asked", true);
    if (job.state == job_state::in_progress && view.progress != nullptr)
        to.raw("progress", progress_of(*view.progress));
    if (view.waiting)
        append_wait(out, to, *view.waiting);
    text(to, "error", view.error);
    to.integer("input_bytes", static_cast<std::int64_t>(job.input_bytes));
    append_policy(out, to, job.policy);
    if (view.models != nullptr && !view.models->empty())
        array(out, to, "models", *view.models, [&](const core::model_ref& m) {
            object_writer(out).text("kind", core::to_text(m.kind)).text("name", m.name).close();
        });
    if (view.past != nullptr)
        array(out, to, "attempts", view.past->attempts,
              [&](const core::attempt_record& a) { append_attempt(out, a); });
    if (view.has_result) {
        std::size_t n = 0;
        array(out, to, "images", view.images,
              [&](const image_place& image) { append_image(out, view.id, n++, image); });
    }
    append_links(to, view.id);
    to.close();
}

std::string accepted_body(std::string_view id)
{
    std::string out;
    object_writer to(out);
    to.text("id", id).text("status", core::to_text(job_state::in_queue));
    append_links(to, id);
    to.close();
    return out;
}

// --- a batch ---

void append_batch_line(std::string& out, std::uint64_t line, std::string_view id, bool replayed)
{
    object_writer to(out);
    to.integer("line", static_cast<std::int64_t>(line)).text("id", id);
    if (replayed)
        to.boolean("replayed", true);
    to.close();
    out += '\n';
}

void append_batch_line(std::string& out, std::uint64_t line, const problem& what)
{
    object_writer to(out);
    to.integer("line", static_cast<std::int64_t>(line))
        .text("code", name_of(what.code))
        .text("error", what.detail.empty() ? default_detail(what.code) : what.detail)
        .integer("status", native_status_of(what.code))
        .boolean("retryable", retryable(what.code));
    if (what.retry_after)
        to.integer("retry_after", what.retry_after->count());
    if (!what.errors.empty())
        array(out, to, "errors", what.errors,
              [&](const std::string& error) { append_quoted(out, error); });
    to.close();
    out += '\n';
}

// --- events ---

std::string event_object(std::string_view id, std::uint64_t number, const core::job_event& event)
{
    std::string out;
    object_writer to(out);
    to.integer("number", static_cast<std::int64_t>(number))
        .text("event", core::to_text(event.what));
    time(to, "at", event.at);
    if (event.attempt != 0)
        to.integer("attempt", event.attempt);
    text(to, "backend", event.backend);
    if (event.ended)
        to.text("outcome", core::to_text(*event.ended));
    text(to, core::is_final(event.what) ? "error" : "reason", event.reason);
    if (event.what == core::job_event::kind::completed)
        to.text("result_url", job_url(id) + "/result");
    to.close();
    return out;
}

std::string events_body(std::string_view id, std::span<const core::job_event> events)
{
    std::string out;
    object_writer to(out);
    to.text("id", id);
    std::uint64_t n = 0;
    array(out, to, "events", events,
          [&](const core::job_event& e) { out += event_object(id, ++n, e); });
    to.close();
    return out;
}

std::string progress_event(const core::progress_view& progress, std::uint32_t attempt,
                           std::string_view backend)
{
    auto out = progress_of(progress);
    out.pop_back();
    out += ",\"attempt\":" + std::to_string(attempt) + ",\"backend\":" + quoted(backend) + '}';
    return out;
}

// --- what clients ask for ---

bool job_filter::takes(const core::job& job, std::string_view backend_name) const
{
    if (!states.empty() && std::find(states.begin(), states.end(), job.state) == states.end())
        return false;
    if ((since && job.submitted < *since) || (until && job.submitted >= *until))
        return false;
    return (backend.empty() || backend == backend_name) && (!sync || job.sync == *sync);
}

parsed<std::vector<job_state>> parse_states(std::string_view all)
{
    std::vector<job_state> states;
    for (auto rest = all; !rest.empty();) {
        const auto end = std::min(rest.find(','), rest.size());
        const auto one = trim(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const auto before = states.size();
        for (auto s = 0; s <= static_cast<int>(job_state::timed_out); ++s) {
            if (iequals(one, core::to_text(static_cast<job_state>(s))))
                states.push_back(static_cast<job_state>(s));
        }
        if (states.size() == before)
            return wrong("status", one,
                         "IN_QUEUE, IN_PROGRESS, COMPLETED, FAILED, CANCELLED or TIMED_OUT, or "
                         "several with commas between them,");
    }
    return states;
}

namespace {

// Takes exactly `digits` digits off the front.
bool take_number(std::string_view& from, std::size_t digits, int& into)
{
    if (from.size() < digits)
        return false;
    const auto [stop, failed] = std::from_chars(from.data(), from.data() + digits, into);
    const bool good = failed == std::errc{} && stop == from.data() + digits && from[0] != '-';
    from.remove_prefix(digits);
    return good;
}

bool take_sign(std::string_view& from, std::string_view any_of)
{
    const bool there = !from.empty() && any_of.find(from[0]) != std::string_view::npos;
    if (there)
        from.remove_prefix(1);
    return there;
}

std::optional<std::chrono::milliseconds> take_fraction(std::string_view& from)
{
    if (!take_sign(from, "."))
        return std::chrono::milliseconds(0);
    int ms = 0;
    int unit = 100;
    std::size_t digits = 0;
    for (; !from.empty() && from[0] >= '0' && from[0] <= '9'; from.remove_prefix(1), ++digits) {
        ms += (from[0] - '0') * unit;
        unit /= 10;
    }
    return digits > 0 ? std::optional(std::chrono::milliseconds(ms)) : std::nullopt;
}

std::optional<std::chrono::minutes> take_offset(std::string_view& from)
{
    if (take_sign(from, "Zz"))
        return std::chrono::minutes(0);
    const bool west = !from.empty() && from[0] == '-';
    int hours = 0;
    int minutes = 0;
    if (!take_sign(from, "+-") || !take_number(from, 2, hours) || !take_sign(from, ":") ||
        !take_number(from, 2, minutes) || hours > 23 || minutes > 59)
        return std::nullopt;
    return std::chrono::minutes((west ? -1 : 1) * (hours * 60 + minutes));
}

std::optional<wall_time> read_time(std::string_view from)
{
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
    const bool read =
        take_number(from, 4, year) && take_sign(from, "-") && take_number(from, 2, month) &&
        take_sign(from, "-") && take_number(from, 2, day) && take_sign(from, "Tt ") &&
        take_number(from, 2, hour) && take_sign(from, ":") && take_number(from, 2, minute) &&
        take_sign(from, ":") && take_number(from, 2, second);
    const std::chrono::year_month_day date{std::chrono::year(year),
                                           std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (!read || !date.ok() || hour > 23 || minute > 59 || second > 60)
        return std::nullopt;
    const auto fraction = take_fraction(from);
    const auto offset = fraction ? take_offset(from) : std::nullopt;
    if (!offset || !from.empty())
        return std::nullopt;
    return wall_time(std::chrono::sys_days(date) + std::chrono::hours(hour) +
                     std::chrono::minutes(minute) + std::chrono::seconds(second) + *fraction -
                     *offset);
}

} // namespace

parsed<wall_time> parse_rfc3339(std::string_view name, std::string_view when)
{
    const auto read = read_time(when);
    if (!read)
        return wrong(name, when, "a time such as 2026-01-02T07:45:12Z");
    return *read;
}

parsed<bool> parse_flag(std::string_view name, std::string_view flag)
{
    if (flag.empty() || iequals(flag, "true") || flag == "1")
        return true;
    if (iequals(flag, "false") || flag == "0")
        return false;
    return wrong(name, flag, "true or false");
}

parsed<std::size_t> parse_limit(std::string_view number, std::size_t most)
{
    std::size_t value = 0;
    const auto* end = number.data() + number.size();
    const auto [stop, failed] = std::from_chars(number.data(), end, value);
    if (failed != std::errc{} || stop != end || value == 0)
        return wrong("limit", number, "a whole number from 1 to " + std::to_string(most));
    return std::min(value, most);
}

} // namespace gateway::proto
