#pragma once

// One picture of a stored result: the base64 that the WebUI wrote, decoded while it is sent. No
// more of it than the piece at hand is in memory.

#include "net/http.hpp"
#include "proto/base64_stream.hpp"
#include "proto/result_scan.hpp"
#include "store/spool.hpp"

namespace gateway::api {

// Bytes of a picture.
struct byte_range {
    std::uint64_t first = 0;
    std::uint64_t length = 0;
};

class image_body final : public net::body_source {
public:
    // All of it.
    image_body(store::spool_file file, const proto::image_place& where);
    // A part; where.bytes() must be known.
    image_body(store::spool_file file, const proto::image_place& where, byte_range part);

    std::optional<std::uint64_t> size() const override { return size_; }
    net::task<result<std::size_t>> read(std::span<char> into) override;

private:
    net::task<error_code> decode_more();

    store::spool_file file_;
    std::uint64_t at_;  // in the file
    std::uint64_t end_; // of the text
    std::optional<std::uint64_t> size_;
    std::uint64_t left_;     // bytes to give
    std::uint64_t skip_ = 0; // bytes that come before them
    bool ended_ = false;
    proto::base64_stream decoder_;
    std::string ready_; // decoded, from given_
    std::size_t given_ = 0;
};

// What a Range header asks of so many bytes: a part, nothing (the header is to be passed over, RFC
// 9110 §14.2), or a part that is not there.
struct range_wish {
    std::optional<byte_range> part;
    bool impossible = false;
};
range_wish parse_range(std::string_view header, std::uint64_t size);

// The whole picture, or what the request asks of it (Range, If-None-Match). `tag` is its ETag.
net::response image_answer(const net::request& to, const store::spool_file& file,
                           const proto::image_place& where, const std::string& tag);

} // namespace gateway::api
