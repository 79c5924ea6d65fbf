#include "tools/simulator/wire.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <ctime>

namespace gateway::tools::simulator {

namespace {

std::string http_date_of(wall_time now)
{
    const auto when = static_cast<std::time_t>(
        std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count());
    std::tm utc{};
    gmtime_r(&when, &utc);
    std::array<char, 40> text{};
    std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    return text.data();
}

// Announces the whole body and delivers half of it.
class half_body final : public net::body_source {
public:
    half_body(std::string whole, bool stalls, net::time_source& time, net::stream* connection)
        : whole_(std::move(whole)),
          left_(whole_.size() / 2),
          stalls_(stalls),
          time_(time),
          connection_(connection)
    {
    }

    std::optional<std::uint64_t> size() const override { return whole_.size(); }

    net::task<result<std::size_t>> read(std::span<char> into) override
    {
        const auto n = std::min(left_, into.size());
        if (n > 0) {
            std::memcpy(into.data(), whole_.data() + at_, n);
            at_ += n;
            left_ -= n;
            co_return n;
        }
        // A stalled body ends when its reader has had enough.
        while (stalls_ && connection_ != nullptr && !connection_->peer_closed()) {
            const auto ec = co_await time_.sleep_for(std::chrono::milliseconds(100));
            if (ec)
                break;
        }
        co_return error_code(
            boost::system::errc::make_error_code(boost::system::errc::connection_aborted));
    }

private:
    std::string whole_;
    std::size_t at_ = 0;
    std::size_t left_;
    bool stalls_;
    net::time_source& time_;
    net::stream* connection_;
};

} // namespace

net::response as_uvicorn(answer what, net::time_source& time, net::stream* connection)
{
    net::response out;
    out.status = what.status;
    out.raw_headers = true;
    out.headers = {{"date", http_date_of(time.wall())}, {"server", "uvicorn"}};
    out.headers.insert(out.headers.end(), what.first_headers.begin(), what.first_headers.end());
    out.headers.emplace_back("content-length", std::to_string(what.body.size()));
    if (!what.content_type.empty())
        out.headers.emplace_back("content-type", what.content_type);
    out.headers.insert(out.headers.end(), what.last_headers.begin(), what.last_headers.end());
    if (what.sent == answer::delivery::whole) {
        out.body = std::move(what.body);
    } else {
        const bool stalls = what.sent == answer::delivery::stall;
        out.source = std::make_shared<half_body>(std::move(what.body), stalls, time, connection);
        out.close = true;
    }
    return out;
}

bool wants_gzip(std::string_view accept_encoding, std::size_t body_size)
{
    constexpr std::size_t smallest = 1000;
    return body_size >= smallest && accept_encoding.find("gzip") != std::string_view::npos;
}

std::string gzipped(std::string_view body)
{
    constexpr int gzip_format = 15 + 16;
    z_stream z{};
    if (deflateInit2(&z, 9, Z_DEFLATED, gzip_format, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        throw std::runtime_error("zlib could not start a gzip stream");
    std::string out(deflateBound(&z, static_cast<uLong>(body.size())), '\0');
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
    z.avail_in = static_cast<uInt>(body.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    deflate(&z, Z_FINISH);
    out.resize(z.total_out);
    deflateEnd(&z);
    return out;
}

std::string process_time(duration taken)
{
    const double seconds = std::chrono::duration<double>(taken).count();
    return repr(std::round(seconds * 10000) / 10000);
}

} // namespace gateway::tools::simulator
