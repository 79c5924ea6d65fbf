#pragma once

// What /api/v1/models says and hears.

#include "core/ports.hpp"
#include "proto/problem.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

// {"kind", "name", "state", "file", "size", "sha256", "source", "usage_count", "downloaded_at",
// "last_used", "pinned", "managed", "needed", "listed_by": […], "progress": {"bytes", "total",
// "bytes_per_second", "eta_seconds"}, "error"}; what is not known is left out.
std::string model_body(const core::model_status& model);
// {"bytes", "total", "bytes_per_second", "eta_seconds"}
std::string progress_body(const core::model_wait& wait);

// "checkpoint", "lora", "embedding", "vae"
std::optional<core::model_kind> parse_model_kind(std::string_view text);
// The body of POST /api/v1/models: {"kind", "name", "url", "hash"?}.
parsed<core::model_ref> parse_pull_request(std::string_view body);

// Which models a list shows: ?kind=&state=&limit=&cursor=.
struct model_page {
    std::optional<core::model_kind> kind;
    std::string state; // empty: any
    std::size_t limit = 100;
    std::string after; // "kind/name" of the last one that was shown
};
// {"models": […], "next_cursor": …}
std::string model_list_body(const std::vector<core::model_status>& all, const model_page& page);

} // namespace gateway::proto
