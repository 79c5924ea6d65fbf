#pragma once

// Small questions about names: the nearest in a list, the last part of a path (base/text.hpp has
// the rest).

#include "base/text.hpp"

#include <span>
#include <string>
#include <string_view>

namespace gateway::proto {

char lower(char c); // ASCII only
bool contains_ignoring_case(std::string_view text, std::string_view part);

// What follows the last '/' or '\'.
std::string_view base_name(std::string_view path);
// Without a known model extension (.safetensors, .ckpt, .pt, .pth, .bin, .gguf), in any case.
std::string_view without_model_extension(std::string_view name);

// How many letters must be added, taken away, exchanged or swapped with their neighbour to turn one
// text into the other, ignoring case; texts over 64 letters are not compared (64 then).
std::size_t edit_distance(std::string_view a, std::string_view b);
// The candidate with the fewest edits, when a third of its letters or fewer differ; else empty.
std::string_view nearest(std::string_view wanted, std::span<const std::string_view> candidates);

} // namespace gateway::proto
