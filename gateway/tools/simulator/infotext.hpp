#pragma once

// The "parameters" text that the WebUI writes into pictures, and what it reads back out of one.

#include "tools/simulator/python.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gateway::tools::simulator {

// The key-value line, in order. A null value is left out; a bare word has key == value.
struct infotext {
    std::string prompt;
    std::string negative_prompt;
    std::vector<std::pair<std::string, json::value>> parameters;
};

// prompt, "Negative prompt: …" when there is one, "Steps: 20, Sampler: …" (webui.md §2.4).
std::string write_infotext(const infotext& text);

// The other way: every value as text, as POST png-info gives them.
json::object read_infotext(std::string_view text);

// Request fields that an infotext fills in where the client left them out (webui.md §2.1).
json::object fields_from_infotext(std::string_view text);

// A tag of the prompt: <lora:name:0.8:unet=1>.
struct network_tag {
    std::string kind;
    std::vector<std::string> positional;
    std::vector<std::pair<std::string, std::string>> named;
};

struct parsed_prompt {
    std::string text; // without the tags
    std::vector<network_tag> tags;
};

parsed_prompt parse_tags(std::string_view prompt);

} // namespace gateway::tools::simulator
