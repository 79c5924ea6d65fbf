#include "proto/part_note.hpp"

#include "proto/json.hpp"

#include <boost/crc.hpp>

namespace gateway::proto {

namespace {

constexpr std::int64_t version = 1;

std::uint64_t checksum(std::string_view text)
{
    boost::crc_32_type crc;
    crc.process_bytes(text.data(), text.size());
    return crc.checksum();
}

std::string head_for(std::string_view body)
{
    std::string head;
    object_writer out(head);
    out.integer("version", version);
    out.key("length");
    append_number(head, static_cast<std::uint64_t>(body.size()));
    out.key("crc32");
    append_number(head, checksum(body));
    out.close();
    head += '\n';
    return head;
}

// [[0, 64], [128, 192]] in growing order, within the file; false when it is anything else.
bool read_ranges(const json::array* from, std::uint64_t size, std::vector<core::byte_range>& into)
{
    if (from == nullptr)
        return false;
    std::uint64_t last = 0;
    for (const auto& item : *from) {
        const auto* pair = item.if_array();
        if (pair == nullptr || pair->size() != 2)
            return false;
        boost::system::error_code ec;
        const auto begin = (*pair)[0].to_number<std::uint64_t>(ec);
        const auto end = ec ? 0 : (*pair)[1].to_number<std::uint64_t>(ec);
        if (ec || begin >= end || end > size || (begin < last && last > 0))
            return false;
        last = end;
        into.push_back({begin, end});
    }
    return true;
}

} // namespace

std::string to_text(const part_note& note)
{
    std::string body;
    object_writer out(body);
    out.text("url_hash", note.url_hash);
    out.key("size");
    append_number(body, note.size);
    out.text("sha256", note.sha256).text("etag", note.etag).text("etag_host", note.etag_host);
    out.text("commit", note.commit);
    out.integer("written", note.written.time_since_epoch().count());
    out.key("have");
    body += '[';
    for (const auto& range : note.have) {
        body += body.back() == '[' ? "[" : ",[";
        append_number(body, range.begin);
        body += ',';
        append_number(body, range.end);
        body += ']';
    }
    body += ']';
    out.close();
    return head_for(body) + body + '\n';
}

std::optional<part_note> parse_part_note(std::string_view text)
{
    const auto first = text.find('\n');
    if (first == std::string_view::npos || text.back() != '\n')
        return std::nullopt;
    const auto body = text.substr(first + 1, text.size() - first - 2);
    if (text.substr(0, first + 1) != head_for(body))
        return std::nullopt;
    const document parsed(body);
    const auto* object = parsed.ok() ? parsed.root().if_object() : nullptr;
    if (object == nullptr)
        return std::nullopt;
    complaints wrong;
    reader fields(*object, "note", wrong);
    part_note note;
    const auto text_of = [&fields](std::string_view key) {
        return std::string(fields.text(key).value_or(""));
    };
    note.url_hash = text_of("url_hash");
    note.size = static_cast<std::uint64_t>(fields.integer("size", 0).value_or(0));
    note.sha256 = text_of("sha256");
    note.etag = text_of("etag");
    note.etag_host = text_of("etag_host");
    note.commit = text_of("commit");
    note.written = wall_time(wall_duration(fields.integer("written").value_or(0)));
    if (!wrong.none() || !read_ranges(fields.array("have"), note.size, note.have))
        return std::nullopt;
    return note;
}

} // namespace gateway::proto
