#include "api/result_body.hpp"

#include <boost/system/errc.hpp>

#include <algorithm>

namespace gateway::api {

namespace {
// The file is shorter than the journal says.
error_code cut_short()
{
    return boost::system::errc::make_error_code(boost::system::errc::io_error);
}
} // namespace

result_body::piece result_body::of_text(std::string text)
{
    piece p;
    p.length = text.size();
    p.text = std::move(text);
    return p;
}

result_body::piece result_body::of_file(std::uint64_t from, std::uint64_t to)
{
    piece p;
    p.offset = from;
    p.length = to - from;
    p.in_file = true;
    return p;
}

result_body::result_body(std::string head, const jobs::stored_result& result, std::string tail)
    : file_(result.file)
{
    const auto end = file_.size();
    const auto splice = std::min(result.splice, end);
    pieces_ = {of_text(std::move(head)), of_file(0, splice), of_text(result.extra),
               of_file(splice, end), of_text(std::move(tail))};
    for (const auto& p : pieces_)
        size_ += p.length;
}

net::task<result<std::size_t>> result_body::read(std::span<char> into)
{
    std::size_t filled = 0;
    while (filled < into.size() && at_ < pieces_.size()) {
        const auto& p = pieces_[at_];
        const auto wanted = std::min<std::uint64_t>(p.length - done_, into.size() - filled);
        const auto room = into.subspan(filled, wanted);
        if (wanted == 0) {
            ++at_;
            done_ = 0;
            continue;
        }
        std::size_t got = wanted;
        if (p.in_file) {
            const auto from = p.offset + done_;
            const auto n = co_await file_.read(from, room);
            if (!n)
                co_return n.error();
            if (*n == 0)
                co_return cut_short();
            got = *n;
        } else {
            p.text.copy(room.data(), room.size(), done_);
        }
        filled += got;
        done_ += got;
    }
    co_return filled;
}

net::task<result<std::string>> read_all(std::shared_ptr<net::body_source> source)
{
    std::string text(source->size().value_or(0), '\0');
    std::size_t filled = 0;
    while (filled < text.size()) {
        const std::span<char> rest(text.data() + filled, text.size() - filled);
        const auto n = co_await source->read(rest);
        if (!n)
            co_return n.error();
        if (*n == 0)
            co_return cut_short();
        filled += *n;
    }
    co_return std::move(text);
}

} // namespace gateway::api
