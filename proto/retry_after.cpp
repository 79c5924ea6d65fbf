#include "proto/retry_after.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace gateway::proto {

namespace {

using std::chrono::seconds;

template <class Number> bool take_number(std::string_view text, Number& into)
{
    const auto* end = text.data() + text.size();
    const auto [stop, wrong] = std::from_chars(text.data(), end, into);
    return wrong == std::errc{} && stop == end && !text.empty();
}

// "Sun, 06 Nov 1994 08:49:37 GMT": the one form that is still written.
std::optional<std::chrono::sys_seconds> parse_date(std::string_view text)
{
    constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    if (text.size() != 29 || text.substr(3, 2) != ", " || !text.ends_with(" GMT"))
        return std::nullopt;
    const auto month = std::find(months.begin(), months.end(), text.substr(8, 3));
    unsigned day = 0;
    int year = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
    if (month == months.end() || !take_number(text.substr(5, 2), day) ||
        !take_number(text.substr(12, 4), year) || !take_number(text.substr(17, 2), hour) ||
        !take_number(text.substr(20, 2), minute) || !take_number(text.substr(23, 2), second))
        return std::nullopt;
    const std::chrono::year_month_day date{
        std::chrono::year(year),
        std::chrono::month(static_cast<unsigned>(month - months.begin()) + 1),
        std::chrono::day(day)};
    if (!date.ok() || hour > 23 || minute > 59 || second > 60 || hour < 0 || minute < 0 ||
        second < 0)
        return std::nullopt;
    return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
           seconds(second);
}

} // namespace

std::optional<seconds> parse_retry_after(std::string_view text, wall_time now)
{
    text = trim(text);
    std::uint32_t count = 0;
    if (take_number(text, count))
        return seconds(count);
    const auto date = parse_date(text);
    if (!date)
        return std::nullopt;
    return std::max(std::chrono::ceil<seconds>(*date - now), seconds(0));
}

} // namespace gateway::proto
