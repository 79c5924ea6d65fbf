#pragma once

// Pictures: painted from a seed, with the prompt written into them, and packed as PNG with the
// WebUI's text chunk. The same request always gives the same bytes. Blocking; belongs on a lane.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::tools::simulator {

struct picture {
    std::size_t width = 0, height = 0;
    std::vector<std::uint8_t> rgb; // three bytes a pixel, row by row
};

struct subject {
    std::string prompt; // drawn into the picture, and part of what it depends on
    std::int64_t seed = 0;
    std::size_t width = 512, height = 512; // floored to a multiple of 8
    std::string model;
    std::string loras;  // names and multipliers
    double done = 1.0;  // below one the picture is still noisy
    bool black = false; // what a VAE overflow leaves
};

picture paint(const subject& what);
// Several of one size side by side.
picture paint_grid(const std::vector<subject>& all);

// With `parameters` as tEXt when it is Latin-1, as iTXt otherwise. Empty text: no chunk.
std::string encode_png(const picture& p, std::string_view parameters);

// The `parameters` text of a PNG; nothing when it is not a PNG at all, empty when it has none.
std::optional<std::string> read_png_text(std::string_view png);

std::string to_base64(std::string_view bytes);
// Accepts data URIs and whitespace as the WebUI does; nothing when it is not base64.
std::optional<std::string> from_base64(std::string_view text);
// Whether the bytes begin like a picture that PIL opens.
bool looks_like_picture(std::string_view bytes);

} // namespace gateway::tools::simulator
