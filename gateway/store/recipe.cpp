#include "store/recipe.hpp"

#include <boost/system/errc.hpp>

#include <algorithm>

namespace gateway::store {

void recipe::add(std::string text)
{
    piece p;
    p.length = text.size();
    p.text = std::move(text);
    size_ += p.length;
    pieces_.push_back(std::move(p));
}

void recipe::add(const spool_file& file, std::uint64_t from, std::uint64_t to)
{
    piece p;
    p.file = file;
    p.offset = from;
    p.length = to - from;
    size_ += p.length;
    pieces_.push_back(std::move(p));
}

void recipe::add_spliced(const spool_file& file, std::uint64_t splice, std::string extra)
{
    const auto end = file.size();
    const auto at = std::min(splice, end);
    add(file, 0, at);
    add(std::move(extra));
    add(file, at, end);
}

net::task<result<std::size_t>> recipe::read(std::span<char> into)
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
        if (p.file) {
            const auto from = p.offset + done_;
            const auto n = co_await p.file.read(from, room);
            if (!n)
                co_return n.error();
            if (*n == 0)
                co_return boost::system::errc::make_error_code(boost::system::errc::io_error);
            got = *n;
        } else {
            p.text.copy(room.data(), room.size(), done_);
        }
        filled += got;
        done_ += got;
    }
    co_return filled;
}

void recipe::rewind()
{
    at_ = 0;
    done_ = 0;
}

} // namespace gateway::store
