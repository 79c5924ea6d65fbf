#include "api/job_list.hpp"

#include "base/text.hpp"
#include "proto/json.hpp"

#include <charconv>
#include <limits>

namespace gateway::api {

namespace {

constexpr std::size_t most_in_page = 200;

// Cursors are numbers only so that nobody takes them for job ids.
std::string cursor_text(core::job_key key)
{
    std::array<char, 17> text{'b'};
    const auto end = std::to_chars(text.data() + 1, text.data() + text.size(), key, 16).ptr;
    return {text.data(), end};
}

proto::parsed<core::job_key> parse_cursor(std::string_view text)
{
    core::job_key key = 0;
    const auto* end = text.data() + text.size();
    if (text.size() > 1 && text[0] == 'b') {
        const auto [stop, wrong] = std::from_chars(text.data() + 1, end, key, 16);
        if (wrong == std::errc{} && stop == end && key != 0)
            return key;
    }
    return proto::make_problem(proto::problem_code::invalid_request,
                               "cursor: found the text " + json_quoted(text.substr(0, 40)) +
                                   "; next_cursor of an earlier page is wanted");
}

// Reads one parameter, if it is there; keeps the first problem.
class reader {
public:
    explicit reader(const net::request& from) : from_(from) {}

    template <class Into, class Parse> void read(std::string_view name, Into& into, Parse parse)
    {
        const auto text = from_.parameter(name);
        if (!text || wrong_)
            return;
        auto value = parse(std::string_view(*text));
        if (value)
            into = std::move(*value);
        else
            wrong_ = value.error();
    }
    const std::optional<proto::problem>& wrong() const { return wrong_; }

private:
    const net::request& from_;
    std::optional<proto::problem> wrong_;
};

} // namespace

proto::parsed<list_query> parse_list_query(const net::request& from)
{
    list_query query;
    reader r(from);
    const auto time = [](std::string_view name) {
        return [name](std::string_view text) { return proto::parse_rfc3339(name, text); };
    };
    r.read("status", query.filter.states, proto::parse_states);
    r.read("since", query.filter.since, time("since"));
    r.read("until", query.filter.until, time("until"));
    r.read("sync", query.filter.sync,
           [](std::string_view text) { return proto::parse_flag("sync", text); });
    r.read("limit", query.limit,
           [](std::string_view text) { return proto::parse_limit(text, most_in_page); });
    r.read("cursor", query.below, parse_cursor);
    if (r.wrong())
        return *r.wrong();
    query.filter.backend = from.parameter("backend").value_or("");
    return query;
}

list_page::list_page(const list_query& query, writer show)
    : filter_(query.filter),
      limit_(query.limit),
      at_(query.below == 0 ? std::numeric_limits<core::job_key>::max() : query.below),
      show_(std::move(show))
{
}

void list_page::take(const std::vector<jobs::view>& next, std::size_t asked)
{
    for (const auto& v : next) {
        if (found_ == limit_)
            return;
        at_ = v.job->key;
        ++looked_;
        if (!filter_.takes(*v.job, v.worker))
            continue;
        jobs_ += found_++ == 0 ? "" : ",";
        show_(jobs_, v);
    }
    ended_ = next.size() < asked;
}

std::string list_page::body()
{
    std::string out;
    proto::object_writer to(out);
    to.raw("jobs", "[" + jobs_ + "]");
    if (!ended_)
        to.text("next_cursor", cursor_text(at_));
    to.close();
    return out;
}

} // namespace gateway::api
