#pragma once

// A small alphabet of our own for writing into pictures: seven rows of five dots per character.

#include <array>
#include <cstddef>
#include <cstdint>

namespace gateway::tools::simulator {

constexpr std::size_t glyph_columns = 5;
constexpr std::size_t glyph_rows = 7;

// Rows from the top; bit 4 is the leftmost dot. Anything outside ASCII is a hollow box.
const std::array<std::uint8_t, glyph_rows>& glyph(char32_t character);
// How many rows lower the character sits: letters with a tail hang below the line.
std::size_t glyph_drop(char32_t character);

} // namespace gateway::tools::simulator
