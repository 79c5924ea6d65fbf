#pragma once

// A stored result on its way to a client: the text before it, the WebUI's own bytes with what was
// spliced in, the text after it. Nothing is parsed and nothing but the piece at hand is in memory.

#include "jobs/jobs.hpp"
#include "net/http.hpp"
#include "store/recipe.hpp"

namespace gateway::api {

class result_body final : public net::body_source {
public:
    result_body(std::string head, const jobs::stored_result& result, std::string tail);

    std::optional<std::uint64_t> size() const override { return text_.size(); }
    net::task<result<std::size_t>> read(std::span<char> into) override { return text_.read(into); }

private:
    store::recipe text_;
};

// All of a source whose size is known and small.
net::task<result<std::string>> read_all(std::shared_ptr<net::body_source> source);

} // namespace gateway::api
