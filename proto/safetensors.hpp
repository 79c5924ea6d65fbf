#pragma once

// The header rules of safetensors (downloads.md §4.4) and what a file is by its first bytes. The
// header alone gives the exact size of the file, so a wrong file is known after its first segment.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

enum class file_kind : std::uint8_t {
    unknown,
    html,        // an error page
    json,        // an error body
    lfs_pointer, // the ~130 bytes Git keeps instead of the file
    zip,         // a new-style torch pickle, or an archive
    pickle,      // runs code when loaded
    gguf,        // A1111 cannot load it
    image,       // an embedding in a picture
    safetensors, // a candidate: check_safetensors() decides
};

// 64 bytes are enough for everything but pages that open with a lot of white space.
file_kind sniff_file(std::string_view first_bytes);
std::string_view to_text(file_kind kind);
// One sentence for a person about a file that is not what was wanted: "the server sent a web page".
std::string_view explain(file_kind kind);

constexpr std::uint64_t max_safetensors_header = 100'000'000;
constexpr std::uint64_t large_safetensors_header = 25'000'000; // a warning

struct safetensors_check {
    enum class state : std::uint8_t {
        need_more, // give at least `need` bytes from the start of the file
        valid,     // the file must be exactly `total_size` bytes long
        invalid,   // `error` says why
    };
    state result = state::need_more;
    std::uint64_t need = 8;
    std::uint64_t total_size = 0;
    std::uint64_t tensors = 0;
    std::string error;
    std::vector<std::string> warnings;
    // From __metadata__, empty when absent: the alias and the hash A1111 knows a LoRA by.
    std::string ss_output_name;
    std::string sshs_model_hash;
};

// `prefix` is the file from its first byte on.
safetensors_check check_safetensors(std::string_view prefix);

} // namespace gateway::proto
