#pragma once

// The model library as a stream of events (peers.md §5.9): every model that is on its way when it
// begins, then each one whenever something about it changes, at most twice a second.

#include "core/ports.hpp"
#include "net/http.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace gateway::api {

class model_events final : public net::body_source {
public:
    struct parts {
        const core::library_port& library;
        net::versions& changes;
        net::time_source& time;
        std::shared_ptr<bool> holding; // false: the stream ends
    };
    // `only`: one model, and the stream ends once it is there, failed or gone.
    model_events(parts with, std::optional<core::model_kind> kind, std::string name);

    std::optional<std::uint64_t> size() const override { return std::nullopt; }
    net::task<result<std::size_t>> read(std::span<char> into) override;

private:
    void look();
    bool shows(const core::model_status& model) const;
    void say(std::string_view event, const std::string& data);

    parts with_;
    std::optional<core::model_kind> kind_;
    std::string name_;
    std::map<std::string, std::string> told_; // what was said last of each
    std::string text_;                        // not yet read
    std::uint64_t next_id_ = 1;
    steady_time spoke_{};
    bool begun_ = false;
    bool over_ = false;
};

} // namespace gateway::api
