#include "proto/result_scan.hpp"

#include "proto/json.hpp"

#include <algorithm>
#include <charconv>

namespace gateway::proto {

namespace {

constexpr std::size_t error_text_limit = 2048;

// Appends as much of a run as still fits.
void append_up_to(std::string& text, std::string_view run, std::size_t limit)
{
    text.append(run.substr(0, limit - std::min(limit, text.size())));
}

} // namespace

bool result_scan::feed(std::string_view chunk)
{
    if (!error_.empty())
        return false;
    scanner_.feed(chunk, *this);
    found_.size = scanner_.offset();
    if (error_.empty())
        error_ = scanner_.error();
    return error_.empty();
}

bool result_scan::finish()
{
    if (error_.empty()) {
        scanner_.finish(*this);
        error_ = scanner_.error();
    }
    return error_.empty();
}

void result_scan::key_begin(std::size_t depth)
{
    if (depth != 1)
        return;
    key_.clear();
    found_.is_empty = false;
}

void result_scan::key_text(std::string_view run, std::size_t depth)
{
    constexpr std::size_t longest = 16; // longer than every key we look for
    if (depth == 1)
        append_up_to(key_, run, longest);
}

void result_scan::key_end(std::size_t) {}

void result_scan::value_begin(json_kind kind, std::size_t depth, std::uint64_t offset)
{
    if (depth == 0)
        found_.is_object = kind == json_kind::object;
    else if (depth == 1 && found_.is_object)
        begin_member(kind);
    else if (depth == 2 && at_ == place::images)
        begin_image(kind, offset);
    if (at_ == place::error && kind == json_kind::string && !found_.error_text.empty())
        append_up_to(found_.error_text, "; ", error_text_limit);
}

void result_scan::begin_member(json_kind kind)
{
    const bool given = kind != json_kind::null;
    const bool text = kind == json_kind::string;
    at_ = place::elsewhere;
    if (key_ == "images") {
        found_.images.clear();
        found_.other_images = 0;
        found_.has_images = kind == json_kind::array;
        at_ = kind == json_kind::array ? place::images : place::elsewhere;
    } else if (key_ == "info") {
        found_.info.reset();
        found_.info_too_long = false;
        if (text) {
            found_.info.emplace();
            at_ = place::info;
        }
    } else if (key_ == "parameters") {
        found_.has_parameters = true;
    } else if (key_ == "error" || key_ == "detail" || key_ == "errors" || key_ == "message") {
        found_.has_error = key_ == "error" ? given : found_.has_error;
        found_.has_detail = key_ == "detail" ? given : found_.has_detail;
        at_ = given ? place::error : place::elsewhere;
    }
}

void result_scan::begin_image(json_kind kind, std::uint64_t offset)
{
    if (kind != json_kind::string) {
        ++found_.other_images;
        return;
    }
    if (found_.images.size() == allowed_.images) {
        error_ = "more than " + std::to_string(allowed_.images) + " images";
        return;
    }
    found_.images.push_back({offset, 0, image_format::unknown, false});
    head_.clear();
    in_image_ = true;
}

namespace {
// A text may be cut between two signs.
int padding_of(std::string_view run)
{
    const auto last = run.substr(run.size() - std::min<std::size_t>(run.size(), 2));
    return static_cast<int>(std::count(last.begin(), last.end(), '='));
}
} // namespace

void result_scan::value_text(std::string_view run, std::size_t depth, bool was_escaped)
{
    if (in_image_) {
        constexpr std::size_t enough_to_sniff = 16;
        found_.images.back().escaped |= was_escaped;
        append_up_to(head_, run, enough_to_sniff);
        auto& padding = found_.images.back().padding;
        padding = static_cast<std::uint8_t>(std::min(2, padding + padding_of(run)));
    } else if (depth == 1 && at_ == place::info) {
        info_text(run);
    } else if (at_ == place::error) {
        append_up_to(found_.error_text, run, error_text_limit);
    }
}

void result_scan::info_text(std::string_view run)
{
    if (!found_.info)
        return;
    if (found_.info->size() + run.size() > allowed_.info_bytes) {
        found_.info_too_long = true;
        found_.info.reset();
        return;
    }
    found_.info->append(run);
}

void result_scan::value_end(json_kind kind, std::size_t depth, std::uint64_t offset)
{
    if (in_image_ && depth == 2) {
        image_place& image = found_.images.back();
        image.length = offset - image.offset;
        image.format = sniff_base64_image(head_);
        in_image_ = false;
    } else if (depth == 1) {
        at_ = place::elsewhere;
    } else if (depth == 0 && kind == json_kind::object) {
        found_.closing_brace = offset - 1;
    }
}

// --- the index ---

namespace {

constexpr std::uint8_t unknown_padding = 3;

template <class Number> bool read_number(std::string_view& line, Number& into)
{
    const auto end = std::min(line.find(' '), line.size());
    const auto [stop, wrong] = std::from_chars(line.data(), line.data() + end, into);
    const bool good = wrong == std::errc{} && stop == line.data() + end;
    line.remove_prefix(std::min(end + 1, line.size()));
    return good;
}

std::optional<image_place> parse_place(std::string_view line)
{
    image_place p;
    if (!read_number(line, p.offset) || !read_number(line, p.length))
        return std::nullopt;
    const auto format = line.substr(0, line.find(' '));
    for (const auto known : {image_format::png, image_format::jpeg, image_format::webp}) {
        if (format == to_text(known))
            p.format = known;
    }
    line.remove_prefix(std::min(format.size() + 1, line.size()));
    if (!read_number(line, p.padding))
        p.padding = unknown_padding;
    p.escaped = line == "escaped";
    return p;
}

} // namespace

std::optional<std::uint64_t> image_place::bytes() const
{
    if (escaped || padding == unknown_padding)
        return std::nullopt;
    return (length - padding) * 3 / 4;
}

std::string image_index(const reply_summary& reply)
{
    std::string index;
    for (const auto& image : reply.images) {
        append_number(index, image.offset);
        index += ' ';
        append_number(index, image.length);
        index += ' ';
        index += to_text(image.format);
        index += ' ';
        append_number(index, std::uint64_t{image.padding});
        index += image.escaped ? " escaped\n" : "\n";
    }
    return index;
}

std::vector<image_place> parse_image_index(std::string_view index)
{
    std::vector<image_place> places;
    while (!index.empty()) {
        const auto end = std::min(index.find('\n'), index.size());
        if (const auto place = parse_place(index.substr(0, end)))
            places.push_back(*place);
        index.remove_prefix(std::min(end + 1, index.size()));
    }
    return places;
}

std::string splice_tail(const reply_summary& reply, const cache_info& info)
{
    std::string out = reply.is_empty ? "" : ",";
    out += "\"cache_info\":{\"checkpoints_cached\":";
    append_number(out, info.checkpoints_cached);
    out += ",\"loras_cached\":";
    append_number(out, info.loras_cached);
    out += ",\"total_cache_size_mb\":";
    append_number(out, info.total_cache_size_mb);
    out += "}}";
    return out;
}

} // namespace gateway::proto
