#include "config/value.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

#include <arpa/inet.h>

namespace gateway::config {

namespace {

struct unit {
    std::string_view name;
    std::uint64_t worth;
};
// Larger first. A size is shown in the first unit that leaves no remainder.
constexpr std::array<unit, 9> size_units{{{"TiB", std::uint64_t{1} << 40},
                                          {"GiB", gib},
                                          {"MiB", mib},
                                          {"KiB", kib},
                                          {"TB", 1'000'000'000'000},
                                          {"GB", 1'000'000'000},
                                          {"MB", 1'000'000},
                                          {"kB", 1'000},
                                          {"B", 1}}};
constexpr std::array<unit, 5> time_units{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

template <class Number> std::optional<Number> parse_number(std::string_view text)
{
    Number number{};
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return number;
}

// "1.5GiB": digits, perhaps a point and more digits, then a unit. Nothing when it does not come out
// even or is too large.
template <std::size_t N>
std::optional<std::uint64_t> parse_with_unit(std::string_view text,
                                             const std::array<unit, N>& units)
{
    text = trim(text);
    const auto digits = std::min(text.find_first_not_of("0123456789."), text.size());
    const std::string_view name = trim(text.substr(digits));
    const auto known = std::find_if(units.begin(), units.end(),
                                    [&](const unit& u) { return iequals(u.name, name); });
    const auto amount = parse_number<double>(text.substr(0, digits));
    if (known == units.end() || !amount)
        return std::nullopt;
    const double total = *amount * static_cast<double>(known->worth);
    if (total > 0x1p62 || total != std::floor(total))
        return std::nullopt;
    return static_cast<std::uint64_t>(total);
}

template <std::size_t N>
std::string show_with_unit(std::uint64_t total, const std::array<unit, N>& units)
{
    for (const unit& u : units) {
        if (total != 0 && total % u.worth == 0)
            return std::to_string(total / u.worth) + std::string(u.name);
    }
    return std::to_string(total) + std::string(units.back().name);
}

template <class T> rule<T> between(std::string words, T least, T most, auto parse, auto show)
{
    auto read = [=](const found& f) -> std::optional<T> {
        const std::optional<T> value = parse(f);
        return value && *value >= least && *value <= most ? value : std::nullopt;
    };
    return {std::move(words), std::move(read), std::move(show)};
}

std::vector<std::string> split(std::string_view text)
{
    std::vector<std::string> out;
    while (!text.empty()) {
        const auto comma = std::min(text.find(','), text.size());
        const std::string_view item = trim(text.substr(0, comma));
        if (!item.empty())
            out.emplace_back(item);
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return out;
}

std::optional<mapping> split_pairs(std::string_view text)
{
    mapping out;
    for (const std::string& item : split(text)) {
        const auto equals = item.find('=');
        if (equals == item.npos)
            return std::nullopt;
        out.insert_or_assign(std::string(trim(std::string_view(item).substr(0, equals))),
                             std::string(trim(std::string_view(item).substr(equals + 1))));
    }
    return out;
}

bool is_port(std::string_view text)
{
    const auto port = parse_number<std::uint16_t>(text);
    return port.has_value();
}

bool is_v4(std::string_view text)
{
    in_addr ignored{};
    return ::inet_pton(AF_INET, std::string(text).c_str(), &ignored) == 1;
}

bool is_v6(std::string_view text)
{
    in6_addr ignored{};
    return ::inet_pton(AF_INET6, std::string(text).c_str(), &ignored) == 1;
}

bool is_name(std::string_view text)
{
    const bool letters = std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '.' || c == '_';
    });
    return letters && !text.empty() && text.size() <= 253 && !text.starts_with('.') &&
           !text.ends_with('.') && text.find("..") == text.npos;
}

// Cuts "host:port" or "[v6]:port" in two; the port is empty when there is none.
std::pair<std::string_view, std::string_view> split_port(std::string_view text)
{
    const auto colon = text.rfind(':');
    if (colon == text.npos || text.ends_with(']'))
        return {text, {}};
    return {text.substr(0, colon), text.substr(colon + 1)};
}

bool is_bracketed_v6(std::string_view host)
{
    return host.size() > 2 && host.front() == '[' && host.back() == ']' &&
           is_v6(host.substr(1, host.size() - 2));
}

bool has_good_port(std::string_view whole, std::string_view host, std::string_view port)
{
    return host.size() == whole.size() || is_port(port);
}

std::size_t edit_distance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({row[j + 1] + 1, row[j] + 1, changed});
        }
    }
    return row.back();
}

struct shower {
    std::string operator()(const plain_text& t) const { return quoted(t.text); }
    std::string operator()(bool b) const { return b ? "true" : "false"; }
    std::string operator()(std::int64_t i) const { return std::to_string(i); }
    std::string operator()(double d) const { return shortest_decimal(d); }
    std::string operator()(const std::string& s) const { return quoted(s); }
    std::string operator()(const something_else& e) const { return e.text; }
    std::string operator()(const names& all) const
    {
        std::string out;
        for (const std::string& one : all)
            out += (out.empty() ? "" : ", ") + quoted(one);
        return '[' + out + ']';
    }
    std::string operator()(const mapping& all) const
    {
        std::string out;
        for (const auto& [key, value] : all)
            out += (out.empty() ? " " : ", ") + quoted(key) + " = " + quoted(value);
        return out.empty() ? "{}" : '{' + out + " }";
    }
};

} // namespace

std::string show(const found& f) { return std::visit(shower{}, f); }

std::string quoted(std::string_view text) { return json_quoted(text); }

std::optional<std::string> as_text(const found& f)
{
    if (const auto* plain = std::get_if<plain_text>(&f))
        return to_lower(trim(plain->text));
    if (const auto* typed = std::get_if<std::string>(&f))
        return to_lower(*typed);
    return std::nullopt;
}

bool anything(std::string_view) { return true; }

rule<bool> yes_or_no()
{
    auto read = [](const found& f) -> std::optional<bool> {
        if (const auto* b = std::get_if<bool>(&f))
            return *b;
        if (!std::holds_alternative<plain_text>(f))
            return std::nullopt;
        const auto word = as_text(f);
        if (word == "true" || word == "1" || word == "yes" || word == "on")
            return true;
        if (word == "false" || word == "0" || word == "no" || word == "off")
            return false;
        return std::nullopt;
    };
    return {"true or false", read, [](bool b) { return show(found(b)); }};
}

rule<std::int64_t> number(std::int64_t least, std::int64_t most)
{
    auto parse = [](const found& f) -> std::optional<std::int64_t> {
        if (const auto* i = std::get_if<std::int64_t>(&f))
            return *i;
        if (const auto* plain = std::get_if<plain_text>(&f))
            return parse_number<std::int64_t>(trim(plain->text));
        return std::nullopt;
    };
    return between<std::int64_t>("a number from " + std::to_string(least) + " to " +
                                     std::to_string(most),
                                 least, most, parse, [](std::int64_t i) { return show(found(i)); });
}

rule<double> ratio(double least, double most)
{
    auto parse = [](const found& f) -> std::optional<double> {
        if (const auto* d = std::get_if<double>(&f))
            return *d;
        if (const auto* i = std::get_if<std::int64_t>(&f))
            return static_cast<double>(*i);
        if (const auto* plain = std::get_if<plain_text>(&f))
            return parse_number<double>(trim(plain->text));
        return std::nullopt;
    };
    return between<double>("a number from " + shortest_decimal(least) + " to " +
                               shortest_decimal(most),
                           least, most, parse, [](double d) { return show(found(d)); });
}

rule<milliseconds> time(milliseconds least, milliseconds most)
{
    auto parse = [](const found& f) -> std::optional<milliseconds> {
        const auto word = as_text(f);
        return word ? parse_time(*word) : std::nullopt;
    };
    return between<milliseconds>("a time from " + quoted(show_time(least)) + " to " +
                                     quoted(show_time(most)) + " with its unit (ms, s, m, h, d)",
                                 least, most, parse,
                                 [](milliseconds t) { return quoted(show_time(t)); });
}

rule<bytes> size(bytes least, bytes most)
{
    auto parse = [](const found& f) -> std::optional<bytes> {
        const auto word = as_text(f);
        return word ? parse_size(*word) : std::nullopt;
    };
    return between<bytes>("a size from " + quoted(show_size(least)) + " to " +
                              quoted(show_size(most)) + " with its unit (KiB, MiB, GiB, MB, …)",
                          least, most, parse, [](bytes b) { return quoted(show_size(b)); });
}

rule<std::string> text(std::string expected, text_check check)
{
    auto read = [check = std::move(check)](const found& f) -> std::optional<std::string> {
        std::optional<std::string> value;
        if (const auto* typed = std::get_if<std::string>(&f))
            value = *typed;
        else if (const auto* plain = std::get_if<plain_text>(&f))
            value = trim(plain->text);
        return value && (value->empty() || check(*value)) ? value : std::nullopt;
    };
    return {std::move(expected), std::move(read), quoted};
}

rule<std::string> needed_text(std::string expected, text_check check)
{
    auto rule = text(std::move(expected), std::move(check));
    rule.read = [read = std::move(rule.read)](const found& f) {
        const auto value = read(f);
        return value && !value->empty() ? value : std::nullopt;
    };
    return rule;
}

rule<names> list(std::string expected_element, text_check check)
{
    auto read = [check = std::move(check)](const found& f) -> std::optional<names> {
        std::optional<names> value;
        if (const auto* typed = std::get_if<names>(&f))
            value = *typed;
        else if (const auto* plain = std::get_if<plain_text>(&f))
            value = split(plain->text);
        const auto good = [&](const std::string& one) { return !one.empty() && check(one); };
        return value && std::all_of(value->begin(), value->end(), good) ? value : std::nullopt;
    };
    return {"a list of " + expected_element, std::move(read),
            [](const names& all) { return show(found(all)); }};
}

rule<std::vector<milliseconds>> times(milliseconds least, milliseconds most)
{
    const auto one = time(least, most);
    const auto texts = list("", [one](std::string_view text) {
        return one.read(plain_text{std::string(text)}).has_value();
    });
    auto read = [one, texts](const found& f) -> std::optional<std::vector<milliseconds>> {
        const auto all = texts.read(f);
        if (!all || all->empty())
            return std::nullopt;
        std::vector<milliseconds> value;
        for (const auto& text : *all)
            value.push_back(*one.read(plain_text{text}));
        return value;
    };
    auto show_all = [](const std::vector<milliseconds>& all) {
        names texts_of;
        for (const auto t : all)
            texts_of.push_back(show_time(t));
        return show(found(texts_of));
    };
    // "a time from …" → "from …"
    return {"a list of times, each " + one.expected.substr(7), std::move(read), show_all};
}

rule<mapping> map_of(std::string expected, text_check key, text_check value)
{
    auto read = [key = std::move(key),
                 value = std::move(value)](const found& f) -> std::optional<mapping> {
        std::optional<mapping> all;
        if (const auto* typed = std::get_if<mapping>(&f))
            all = *typed;
        else if (const auto* plain = std::get_if<plain_text>(&f))
            all = split_pairs(plain->text);
        const auto good = [&](const auto& one) { return key(one.first) && value(one.second); };
        return all && std::all_of(all->begin(), all->end(), good) ? all : std::nullopt;
    };
    return {std::move(expected), std::move(read),
            [](const mapping& all) { return show(found(all)); }};
}

std::optional<milliseconds> parse_time(std::string_view text)
{
    const auto count = parse_with_unit(text, time_units);
    return count ? std::optional(milliseconds(*count)) : std::nullopt;
}

std::optional<bytes> parse_size(std::string_view text) { return parse_with_unit(text, size_units); }

std::string show_time(milliseconds t)
{
    const auto count = static_cast<std::uint64_t>(t.count());
    if (count == 0)
        return "0s";
    // "24h" says more than "1d".
    if (count == 86'400'000)
        return "24h";
    return show_with_unit(count, time_units);
}

std::string show_size(bytes b) { return show_with_unit(b, size_units); }

bool is_listen_address(std::string_view text)
{
    const auto [host, port] = split_port(text);
    return host.size() < text.size() && is_port(port) &&
           (host.empty() || host == "localhost" || is_v4(host) || is_bracketed_v6(host));
}

bool is_host(std::string_view text)
{
    const auto [host, port] = split_port(text);
    return (is_name(host) || is_bracketed_v6(host)) && has_good_port(text, host, port);
}

bool is_webhook_secret(std::string_view text)
{
    constexpr std::string_view prefix = "whsec_";
    if (!text.starts_with(prefix))
        return false;
    const auto key = base64_decode(text.substr(prefix.size()));
    return key && key->size() >= 24 && key->size() <= 64;
}

bool is_numeric_address(std::string_view text)
{
    const auto [host, port] = split_port(text);
    return is_v6(text) ||
           ((is_v4(host) || is_bracketed_v6(host)) && has_good_port(text, host, port));
}

bool is_webui_url(std::string_view text)
{
    const auto mark = text.find("://");
    if (mark == text.npos || (text.substr(0, mark) != "http" && text.substr(0, mark) != "https"))
        return false;
    const std::string_view rest = text.substr(mark + 3);
    return text.find_first_of(" \t\r\n?#@") == text.npos && is_host(rest.substr(0, rest.find('/')));
}

bool is_origin(std::string_view text)
{
    return is_webui_url(text) && text.find('/', text.find("://") + 3) == text.npos;
}

bool is_host_pattern(std::string_view text)
{
    std::string plain(text);
    std::replace(plain.begin(), plain.end(), '*', 'x');
    return is_name(plain) && plain == to_lower(plain) && text.find('.') != text.npos &&
           text.find("**") == text.npos;
}

std::string nearest(std::string_view mistyped, const names& known)
{
    const std::string word = to_lower(mistyped);
    std::string best;
    std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
    for (const std::string& name : known) {
        const std::size_t distance = edit_distance(word, name);
        if (distance < least) {
            least = distance;
            best = name;
        }
    }
    const auto longer = std::find_if(known.begin(), known.end(), [&](const std::string& name) {
        return word.size() > 2 && name.starts_with(word);
    });
    return best.empty() && longer != known.end() ? *longer : best;
}

} // namespace gateway::config
