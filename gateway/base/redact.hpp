#pragma once

// Takes secrets out of a text before it goes to a log, an error, a metric, the registry or a client
// (downloads.md §5.5): one function for all of them.

#include <cstddef>
#include <string>
#include <string_view>

namespace gateway {

// Masks user names and tokens in URLs, Authorization values and Hugging Face tokens.
std::string redact(std::string_view text);

constexpr std::size_t longest_logged_value = 2048;

// redact(), and what is longer than 2 KiB is cut with a note: no base64 picture survives this.
std::string redact_and_cut(std::string_view text, std::size_t limit = longest_logged_value);

} // namespace gateway
