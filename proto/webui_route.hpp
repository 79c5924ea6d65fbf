#pragma once

// The form of a job's input that names the WebUI's route itself,
// `{"api":{"method":…,"endpoint":…},"payload":{…}}` (runpod.md §6), and what no payload may bring:
// the WebUI would fetch URLs and read files for strangers (webui.md §2.2, rule 12).

#include "proto/json.hpp"
#include "proto/webui_job.hpp"

#include <span>
#include <string>
#include <string_view>

namespace gateway::proto {

// Whether this input has that form; else it is the parameters of txt2img.
bool names_a_route(const json::object& input);

// The route of such an input. `allowed` holds "POST sdapi/v1/img2img" and the like.
parsed<webui_route> read_route(const json::object& input, std::span<const std::string> allowed);

// Empty when the text is a PNG, JPEG or WebP in base64, with or without `data:image/…;base64,`;
// else what is wrong, for people.
std::string why_no_picture(std::string_view text);

// Complains about every URL in `value`, at any depth, and about members that should be a picture
// (`image`, `mask`, …) and are something else, such as the path of a file.
void check_pictures(const json::value& value, const std::string& path, complaints& into);

} // namespace gateway::proto
