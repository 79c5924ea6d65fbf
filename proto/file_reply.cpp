#include "proto/file_reply.hpp"

#include "base/text.hpp"

#include <charconv>

namespace gateway::proto {

namespace {

std::optional<std::uint64_t> number(std::string_view text)
{
    std::uint64_t n = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (ec != std::errc{} || text.empty() || end != text.data() + text.size())
        return std::nullopt;
    return n;
}

// "bytes 0-99/1000", "bytes 0-99/*", "bytes */1000".
void read_content_range(std::string_view text, core::reply_facts& into)
{
    text = trim(text);
    if (text.size() < 6 || !iequals(text.substr(0, 6), "bytes "))
        return;
    text = trim(text.substr(6));
    const auto slash = text.find('/');
    if (slash == std::string_view::npos)
        return;
    into.total = number(text.substr(slash + 1));
    const auto part = text.substr(0, slash);
    const auto dash = part.find('-');
    if (dash == std::string_view::npos)
        return;
    const auto first = number(part.substr(0, dash));
    const auto last = number(part.substr(dash + 1));
    if (first && last && *first <= *last && *last + 1 > *last)
        into.range = core::byte_range{*first, *last + 1};
}

} // namespace

core::reply_facts read_file_reply(int status, std::optional<std::uint64_t> content_length,
                                  const header_lookup& headers)
{
    core::reply_facts facts;
    facts.status = status;
    facts.length = content_length;
    read_content_range(headers("content-range"), facts);
    facts.multipart = to_lower(headers("content-type")).starts_with("multipart/");
    const auto tag = trim(headers("etag"));
    if (tag.size() > 2 && tag.front() == '"' && tag.back() == '"')
        facts.etag = tag;
    return facts;
}

std::string range_header(core::byte_range range, bool to_the_end)
{
    return "bytes=" + std::to_string(range.begin) + '-' +
           (to_the_end ? std::string() : std::to_string(range.end - 1));
}

} // namespace gateway::proto
