#pragma once

// What a WebUI's answer means: classify() turns status and body into an outcome and one sentence
// that names what came back (webui.md §2.6, §2.7, §6, §7.1); verify_info() checks that the picture
// was made with the models asked for (rule 8).

#include "core/retry.hpp"
#include "proto/problem.hpp"
#include "proto/result_scan.hpp"
#include "proto/webui_dialect.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

struct reply_facts {
    int status = 0;
    std::string_view content_type;
    std::string_view body;             // at least its first 64 KiB
    const result_scan* scan = nullptr; // of a whole 200 reply, finished; else `body` is scanned
    std::string_view route = "txt2img";
    dialect from = dialect::unknown;
    bool wants_images = true; // the request asked for pictures
    // Of a route that makes no pictures: whatever JSON it answers is the result.
    bool any_json = false;
};

struct reply_verdict {
    core::outcome what = core::outcome::bad_reply;
    // The 200 of an interrupted job: nothing wrong but the pictures are missing.
    bool empty = false;
    // For people: "the WebUI is out of GPU memory: CUDA out of memory. Tried …"
    std::string reason;
    // The WebUI's own exception name, when it gave one: "OutOfMemoryError".
    std::string error;
};
reply_verdict classify(const reply_facts& facts);

// GET of a POST-only route: does it exist yet? (webui.md rule 4)
enum class route_probe : std::uint8_t {
    present,
    missing,
    unclear, // neither 404 nor 405: something else answers
};
route_probe classify_route_probe(int status, std::string_view body);

// What `info` says about how the picture was made.
struct reply_info {
    std::string model_name; // file name without folder and extension
    std::string model_hash; // first 10 hex of the sha256; empty with --no-hashing
    std::string sampler;
    std::string version;
    std::string job_timestamp;
    std::vector<std::string> loras; // of `Lora hashes` in the infotext
    bool has_lora_hashes = false;
    std::int64_t seed = -1;
    std::size_t first_image = 0; // index_of_first_image
};
parsed<reply_info> parse_info(std::string_view info);

struct expected_models {
    std::string checkpoint;         // name as listed; empty: any
    std::string checkpoint_sha256;  // whole or its start; empty: unknown
    std::vector<std::string> loras; // stems
    std::string sampler;            // as sent; empty: any
    bool hashes_loras = false; // this backend lists the hash of every LoRA: absence is evidence
    dialect from = dialect::unknown;
};
struct info_verdict {
    bool ok = true;
    std::string reason;             // when not: "the picture was made with Foo, not Bar: …"
    std::vector<std::string> notes; // could not be checked, or differs without being wrong
};
info_verdict verify_info(std::string_view info, const expected_models& expected);

} // namespace gateway::proto
