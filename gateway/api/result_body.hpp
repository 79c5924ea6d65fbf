#pragma once

// A stored result on its way to a client: the text before it, the WebUI's own bytes with what was
// spliced in, the text after it. Nothing is parsed and nothing but the piece at hand is in memory.

#include "jobs/jobs.hpp"
#include "net/http.hpp"

#include <array>

namespace gateway::api {

class result_body final : public net::body_source {
public:
    result_body(std::string head, const jobs::stored_result& result, std::string tail);

    std::optional<std::uint64_t> size() const override { return size_; }
    net::task<result<std::size_t>> read(std::span<char> into) override;

private:
    // A text, or a range of the file.
    struct piece {
        std::string text;
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
        bool in_file = false;
    };
    static piece of_text(std::string text);
    static piece of_file(std::uint64_t from, std::uint64_t to);

    store::spool_file file_;
    std::array<piece, 5> pieces_;
    std::uint64_t size_ = 0;
    std::size_t at_ = 0;     // the piece being read
    std::uint64_t done_ = 0; // of it
};

// All of a source whose size is known and small.
net::task<result<std::string>> read_all(std::shared_ptr<net::body_source> source);

} // namespace gateway::api
