#include "api/image_body.hpp"

#include "base/text.hpp"

#include <boost/system/errc.hpp>

#include <algorithm>
#include <charconv>
#include <limits>

namespace gateway::api {

namespace {

constexpr std::size_t step =
    std::size_t{48} * 1024; // of text; a turn of the loop decodes that much

error_code damaged() { return boost::system::errc::make_error_code(boost::system::errc::io_error); }

std::optional<std::uint64_t> number(std::string_view text)
{
    std::uint64_t value = 0;
    const auto* end = text.data() + text.size();
    const auto [stop, wrong] = std::from_chars(text.data(), end, value);
    return wrong == std::errc{} && stop == end ? std::optional(value) : std::nullopt;
}

} // namespace

image_body::image_body(store::spool_file file, const proto::image_place& where)
    : file_(std::move(file)),
      at_(where.offset),
      end_(where.offset + where.length),
      size_(where.bytes()),
      left_(size_.value_or(std::numeric_limits<std::uint64_t>::max()))
{
}

// Four signs are three bytes: the text is entered at the group that the first byte is in.
image_body::image_body(store::spool_file file, const proto::image_place& where, byte_range part)
    : image_body(std::move(file), where)
{
    at_ += part.first / 3 * 4;
    skip_ = part.first % 3;
    size_ = left_ = part.length;
}

net::task<result<std::size_t>> image_body::read(std::span<char> into)
{
    while (given_ == ready_.size() && left_ > 0 && !ended_) {
        const auto ec = co_await decode_more();
        if (ec)
            co_return ec;
    }
    if (given_ == ready_.size() && size_ && left_ > 0)
        co_return damaged(); // less than was promised
    const auto n = static_cast<std::size_t>(
        std::min<std::uint64_t>({left_, ready_.size() - given_, into.size()}));
    ready_.copy(into.data(), n, given_);
    given_ += n;
    left_ -= n;
    co_return n;
}

net::task<error_code> image_body::decode_more()
{
    ready_.clear();
    given_ = 0;
    std::string text(std::min<std::uint64_t>(step, end_ - at_), '\0');
    const std::span<char> room(text);
    if (!text.empty()) {
        const auto n = co_await file_.read(at_, room);
        if (!n)
            co_return n.error();
        if (*n == 0)
            co_return damaged();
        text.resize(*n);
        at_ += *n;
    }
    bool good = decoder_.feed(text, ready_);
    if (at_ == end_) {
        ended_ = true;
        good = good && decoder_.finish(ready_);
    }
    const auto skipped = std::min<std::uint64_t>(skip_, ready_.size());
    ready_.erase(0, skipped);
    skip_ -= skipped;
    co_return good ? error_code{} : damaged();
}

range_wish parse_range(std::string_view header, std::uint64_t size)
{
    header = trim(header);
    constexpr std::string_view unit = "bytes=";
    if (!header.starts_with(unit) || header.find(',') != std::string_view::npos)
        return {};
    header.remove_prefix(unit.size());
    const auto dash = header.find('-');
    if (dash == std::string_view::npos)
        return {};
    const auto first = number(header.substr(0, dash));
    const auto last = number(header.substr(dash + 1));
    if (dash == 0) { // the last so many bytes
        if (!last)
            return {};
        const auto length = std::min(*last, size);
        return length == 0 ? range_wish{{}, true} : range_wish{byte_range{size - length, length}};
    }
    const bool is_open = dash + 1 == header.size();
    if (!first || (!last && !is_open) || (last && *last < *first))
        return {};
    if (*first >= size)
        return {{}, true};
    const auto end = std::min(size, last ? *last + 1 : size);
    return {byte_range{*first, end - *first}};
}

net::response image_answer(const net::request& to, const store::spool_file& file,
                           const proto::image_place& where, const std::string& tag)
{
    net::response answer;
    answer.headers = {{"ETag", tag}, {"Cache-Control", "private, max-age=86400, immutable"}};
    const auto known = to.header("If-None-Match");
    if (known == "*" || known.find(tag) != std::string_view::npos) {
        answer.status = 304;
        answer.content_type.clear();
        return answer;
    }
    answer.content_type = proto::mime_type(where.format);
    const auto size = where.bytes();
    range_wish wish;
    const auto if_range = to.header("If-Range");
    if (size && to.method == "GET" && (if_range.empty() || if_range == tag))
        wish = parse_range(to.header("Range"), *size);
    if (size)
        answer.headers.emplace_back("Accept-Ranges", "bytes");
    if (wish.impossible) {
        answer.status = 416;
        answer.content_type.clear();
        answer.headers.emplace_back("Content-Range", "bytes */" + std::to_string(*size));
    } else if (wish.part) {
        const auto last = wish.part->first + wish.part->length - 1;
        answer.status = 206;
        answer.headers.emplace_back("Content-Range", "bytes " + std::to_string(wish.part->first) +
                                                         "-" + std::to_string(last) + "/" +
                                                         std::to_string(*size));
        answer.source = std::make_shared<image_body>(file, where, *wish.part);
    } else {
        answer.source = std::make_shared<image_body>(file, where);
    }
    return answer;
}

} // namespace gateway::api
