#include "tools/simulator/fault_plan.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace gateway::tools::simulator {

namespace {

struct kind_name {
    std::string_view name;
    fault_kind kind;
    bool needs_time;
};

constexpr std::array kinds{
    kind_name{"oom", fault_kind::oom, false},
    kind_name{"nan", fault_kind::nan, false},
    kind_name{"error500", fault_kind::error500, false},
    kind_name{"reset", fault_kind::reset, false},
    kind_name{"drop", fault_kind::drop, false},
    kind_name{"exit", fault_kind::exit, false},
    kind_name{"html", fault_kind::html, false},
    kind_name{"error200", fault_kind::error200, false},
    kind_name{"empty", fault_kind::empty, false},
    kind_name{"truncate", fault_kind::truncate, false},
    kind_name{"stall", fault_kind::stall, false},
    kind_name{"slow", fault_kind::slow, true},
    kind_name{"no-model", fault_kind::no_model, false},
    kind_name{"cache-db", fault_kind::cache_db, false},
    kind_name{"404-for", fault_kind::missing, true},
    kind_name{"slow-get", fault_kind::slow_get, true},
    kind_name{"list-500", fault_kind::list_500, false},
};

[[noreturn]] void bad(std::string_view item, std::string_view why)
{
    throw std::invalid_argument("fault " + json_quoted(item) + ": " + std::string(why));
}

template <class Number> std::optional<Number> number(std::string_view text)
{
    Number out{};
    const auto end = text.data() + text.size();
    const auto [stop, ec] = std::from_chars(text.data(), end, out);
    if (text.empty() || ec != std::errc{} || stop != end)
        return std::nullopt;
    return out;
}

// What follows the '@': "3", "3-5", "3+", "p=0.01", "~word", "~word#2".
void parse_when(std::string_view item, std::string_view when, fault& out)
{
    if (when.starts_with('~')) {
        const auto hash = when.find('#');
        out.word = when.substr(1, hash == std::string_view::npos ? hash : hash - 1);
        if (hash != std::string_view::npos)
            out.word_turn = number<std::uint64_t>(when.substr(hash + 1)).value_or(0);
        if (out.word.empty() || (hash != std::string_view::npos && out.word_turn == 0))
            bad(item, "a word looks like @~kitten or @~kitten#1");
        return;
    }
    if (when.starts_with("p=")) {
        const auto p = number<double>(when.substr(2));
        if (!p || *p < 0 || *p > 1)
            bad(item, "a probability looks like @p=0.01");
        out.probability = *p;
        return;
    }
    const bool open = when.ends_with('+');
    const auto dash = when.find('-');
    const auto first =
        number<std::uint64_t>(open ? when.substr(0, when.size() - 1) : when.substr(0, dash));
    const auto last = open ? std::optional<std::uint64_t>(0)
                      : dash == std::string_view::npos
                          ? first
                          : number<std::uint64_t>(when.substr(dash + 1));
    if (!first || !last || *first == 0 || (*last != 0 && *last < *first))
        bad(item, "what follows @ is a number, 3-5, 3+, p=0.01 or ~word");
    out.first = *first;
    out.last = *last;
}

fault parse_fault(std::string_view item)
{
    const auto at = item.find('@');
    const auto name = item.substr(0, at);
    const auto colon = name.find(':');
    const auto it = std::find_if(kinds.begin(), kinds.end(), [&](const kind_name& k) {
        return k.name == name.substr(0, colon);
    });
    if (it == kinds.end())
        bad(item, "there is no such fault; see --help for the list");
    fault out{};
    out.kind = it->kind;
    if (colon != std::string_view::npos)
        out.argument = name.substr(colon + 1);
    if (it->needs_time) {
        const auto time = parse_time(out.argument);
        if (!time)
            bad(item, "it needs a time, as in " + std::string(it->name) + ":2s");
        out.time = *time;
    }
    if (at != std::string_view::npos)
        parse_when(item, item.substr(at + 1), out);
    return out;
}

bool is_of_generation(fault_kind kind)
{
    return kind != fault_kind::slow_get && kind != fault_kind::list_500;
}

} // namespace

std::optional<duration> parse_time(std::string_view text)
{
    double unit = 1;
    if (text.ends_with("ms"))
        unit = 0.001;
    else if (text.ends_with('m'))
        unit = 60;
    const auto digits = text.substr(0, text.find_first_not_of("0123456789."));
    const auto suffix = text.substr(digits.size());
    const auto value = number<double>(digits);
    if (!value || (suffix != "" && suffix != "s" && suffix != "ms" && suffix != "m"))
        return std::nullopt;
    return std::chrono::duration_cast<duration>(std::chrono::duration<double>(*value * unit));
}

fault_plan fault_plan::parse(std::string_view text)
{
    fault_plan out;
    while (!text.empty()) {
        const auto comma = text.find(',');
        const auto item = trim(text.substr(0, comma));
        text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
        if (item.empty())
            continue;
        if (item.starts_with("seed=")) {
            const auto seed = number<std::uint64_t>(item.substr(5));
            if (!seed)
                bad(item, "a seed is a number, as in seed=7");
            out.random_ = seeded_random(*seed);
            continue;
        }
        out.faults_.push_back(parse_fault(item));
    }
    return out;
}

std::string_view fault_plan::help()
{
    return "Faults: NAME[:ARGUMENT][@WHEN], separated by commas; \"seed=N\" seeds the dice.\n"
           "WHEN counts generations as they get the lock (warm-ups too):\n"
           "  @3 the third · @3-5 · @3+ from the third on · @p=0.01 by chance · @~word prompts "
           "that\n"
           "  hold the word · @~word#1 the first of those · nothing: always\n"
           "Of generations:\n"
           "  oom, nan          500 OutOfMemoryError half-way, 500 NansException at the decode\n"
           "  error500:TEXT     500 RuntimeError\n"
           "  no-model          500 AttributeError, as when the model never loaded\n"
           "  cache-db          500 OperationalError, as when cache/ was deleted\n"
           "  reset             connection cut half-way, the job runs on\n"
           "  drop              connection cut before the job has begun; it never runs\n"
           "  exit              the process dies half-way (exit status 137)\n"
           "  html              502 with an HTML body, as from a proxy\n"
           "  error200, empty   200 with an error as its body, 200 without images\n"
           "  truncate, stall   the body ends, or stops, in its middle\n"
           "  slow:5s           the job takes longer\n"
           "  404-for:5s        from then on every route is missing for that long\n"
           "Of other requests (WHEN counts those):\n"
           "  slow-get:2s       GETs are answered later\n"
           "  list-500          GET sd-models fails as during a refresh\n";
}

bool fault_plan::strikes(fault& f, std::uint64_t number, std::string_view prompt)
{
    if (!f.word.empty()) {
        if (prompt.find(f.word) == std::string_view::npos)
            return false;
        ++f.word_seen;
        return f.word_turn == 0 || f.word_seen == f.word_turn;
    }
    if (f.probability >= 0)
        return random_.fraction() < f.probability;
    if (f.first == 0)
        return true;
    return number >= f.first && (f.last == 0 || number <= f.last);
}

std::vector<fault> fault_plan::next_generation(std::string_view prompt)
{
    ++generations_;
    std::vector<fault> out;
    for (auto& f : faults_) {
        if (is_of_generation(f.kind) && strikes(f, generations_, prompt))
            out.push_back(f);
    }
    return out;
}

std::optional<fault> fault_plan::next_of(fault_kind kind, std::uint64_t& count)
{
    ++count;
    for (auto& f : faults_) {
        if (f.kind == kind && strikes(f, count, {}))
            return f;
    }
    return std::nullopt;
}

std::optional<fault> fault_plan::next_get() { return next_of(fault_kind::slow_get, gets_); }
std::optional<fault> fault_plan::next_list() { return next_of(fault_kind::list_500, lists_); }

} // namespace gateway::tools::simulator
