#pragma once

// What the head of a reply says about the bytes that follow it (RFC 9110 §14, downloads.md §3.1).

#include "core/download.hpp"
#include "proto/hub.hpp"

namespace gateway::proto {

// Fills everything but `host`, `known` and `from_storage`, which the head does not tell.
core::reply_facts read_file_reply(int status, std::optional<std::uint64_t> content_length,
                                  const header_lookup& headers);

// "bytes=0-" or "bytes=0-65535".
std::string range_header(core::byte_range range, bool to_the_end);

} // namespace gateway::proto
