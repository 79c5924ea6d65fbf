#pragma once

// Tells picture formats by their first bytes, plain or in base64 (webui.md rule 11).

#include <cstdint>
#include <string_view>

namespace gateway::proto {

enum class image_format : std::uint8_t {
    unknown,
    png,
    jpeg,
    webp,
};

image_format sniff_image(std::string_view first_bytes);
// 16 characters are enough.
image_format sniff_base64_image(std::string_view first_characters);

std::string_view to_text(image_format format);   // "png"; "unknown"
std::string_view mime_type(image_format format); // "image/png"; "application/octet-stream"

} // namespace gateway::proto
