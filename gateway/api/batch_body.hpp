#pragma once

// The answer to many jobs at once: a line for each line of the request, in order, written once the
// job is durable. Lines are taken as they arrive, up to a window at a time, with one write to the
// journal for all of a window; a client that does not read its answer is not read from either.

#include "api/intake.hpp"
#include "net/http.hpp"

#include <deque>
#include <memory>

namespace gateway::api {

class batch_body final : public net::body_source {
public:
    static constexpr std::size_t window = 256; // lines

    // `client` lives as long as the answer; `open` becomes false when the gateway stops.
    struct parts {
        jobs::jobs& jobs;
        const api::intake& intake;
        const net::request& client;
        std::shared_ptr<bool> open;
    };
    batch_body(parts with, submission_facts facts, std::uint64_t line_limit);

    std::optional<std::uint64_t> size() const override { return std::nullopt; }
    net::task<result<std::size_t>> read(std::span<char> into) override;

private:
    struct line {
        std::uint64_t number = 0;
        std::string text;
        bool too_long = false;
    };

    net::task<error_code> gather();
    net::task<> answer_window();
    void split(std::string_view bytes);
    void end_line();

    parts with_;
    submission_facts facts_;
    std::uint64_t line_limit_;
    std::vector<char> piece_; // what arrives at once
    std::deque<line> lines_;  // whole ones, not answered yet
    line current_{1, {}, false};
    bool complete_ = false; // nothing more will arrive
    std::string ready_;
    std::size_t given_ = 0; // of ready_
};

} // namespace gateway::api
