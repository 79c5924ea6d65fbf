#include "tools/hashing.hpp"

#include "base/text.hpp"
#include "net/async.hpp"
#include "proto/safetensors.hpp"
#include "store/sha256.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

namespace gateway::tools {

namespace {

using namespace std::chrono_literals;

// A line that is written over on a terminal, and now and then a whole one elsewhere.
class meter {
public:
    meter(std::string name, std::uint64_t total) : name_(std::move(name)), total_(total) {}
    meter(const meter&) = delete;
    meter& operator=(const meter&) = delete;
    ~meter()
    {
        if (shown_ && terminal_)
            std::cerr << "\r\033[K" << std::flush;
    }

    void at(std::uint64_t bytes)
    {
        const auto now = time_.now();
        if (now < next_)
            return;
        next_ = now + (terminal_ ? duration(200ms) : duration(5s));
        const auto took = std::chrono::duration<double>(now - began_).count();
        if (took <= 0)
            return;
        const auto rate = static_cast<double>(bytes) / took;
        std::string text = name_ + ": " + format_bytes(bytes) + " of " + format_bytes(total_) +
                           ", " + format_bytes(static_cast<std::uint64_t>(rate)) + "/s";
        if (rate > 0 && bytes <= total_) {
            const auto left = static_cast<double>(total_ - bytes) / rate;
            text += ", " +
                    format_duration(
                        std::chrono::duration_cast<duration>(std::chrono::duration<double>(left))) +
                    " left";
        }
        std::cerr << (terminal_ ? "\r\033[K" + text : text + "\n") << std::flush;
        shown_ = true;
    }

private:
    std::string name_;
    std::uint64_t total_;
    bool terminal_ = ::isatty(STDERR_FILENO) != 0;
    bool shown_ = false;
    net::real_time time_;
    steady_time began_ = time_.now();
    steady_time next_ = began_ + 1s; // quick ones say nothing
};

// Follows the start of a file until its header has been judged.
class header_check {
public:
    void feed(std::string_view bytes)
    {
        if (done_)
            return;
        start_.append(bytes);
        if (start_.size() >= need_)
            judge();
    }
    // What is wrong with a safetensors file of this size; empty: nothing.
    std::string trouble(std::uint64_t size)
    {
        if (!done_)
            judge();
        if (!error_.empty())
            return error_;
        if (!done_)
            return "it ends inside its header";
        if (expected_ != size)
            return "its header speaks of " + std::to_string(expected_) + " bytes, it has " +
                   std::to_string(size);
        return {};
    }

private:
    void judge()
    {
        const auto kind = proto::sniff_file(start_);
        if (kind != proto::file_kind::safetensors) {
            error_ = proto::explain(kind);
            done_ = true;
            return;
        }
        const auto found = proto::check_safetensors(start_);
        need_ = std::max(found.need, std::uint64_t{start_.size()} + 1);
        done_ = found.result != proto::safetensors_check::state::need_more;
        error_ = found.error;
        expected_ = found.total_size;
        if (done_)
            start_ = {};
    }

    std::string start_;
    std::uint64_t need_ = 64;
    std::uint64_t expected_ = 0;
    std::string error_;
    bool done_ = false;
};

} // namespace

hashed_file hash_file(const std::filesystem::path& file, std::uint64_t size)
{
    auto& fs = store::real_files();
    auto in = store::open_in(fs, file, O_RDONLY);
    if (!in)
        return {{}, "it cannot be opened: " + in.error().message()};
    meter progress(file.filename().string(), size);
    header_check header;
    store::sha256_sum sum;
    std::string piece(store::sha256_sum::best_piece, '\0');
    std::uint64_t at = 0;
    for (;;) {
        const auto n = fs.read(in->fd(), piece.data(), piece.size(), at);
        if (!n)
            return {{}, "it cannot be read: " + n.error().message()};
        if (*n == 0)
            break;
        const auto bytes = std::string_view(piece).substr(0, *n);
        sum.add(bytes);
        header.feed(bytes);
        at += *n;
        progress.at(at);
    }
    const bool is_safetensors = file.extension() == ".safetensors";
    return {sum.hex(), is_safetensors ? header.trouble(at) : std::string()};
}

} // namespace gateway::tools
