#pragma once

// Checks a WebUI's reply while it streams through, in constant memory and in pieces of any size: is
// it JSON, where does each picture lie, what does `info` say, where can `cache_info` be spliced in.

#include "proto/image.hpp"
#include "proto/json_scanner.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

// One picture in the reply: the base64 text between the quotes.
struct image_place {
    std::uint64_t offset = 0; // of the first character, from the start of the reply
    std::uint64_t length = 0;
    image_format format = image_format::unknown;
    bool escaped = false;     // holds `\/` or the like: not base64 as it stands
    std::uint8_t padding = 0; // `=` at its end

    // Of the picture itself; nothing when it is escaped, or not known (an older index).
    std::optional<std::uint64_t> bytes() const;

    bool operator==(const image_place&) const = default;
};

// What was seen at the top level of the reply. Of a key that comes twice the last one counts.
struct reply_summary {
    std::vector<image_place> images;
    std::optional<std::string> info; // unescaped; nothing when absent, null or no text
    std::string error_text; // the first 2 KiB of the texts in error, detail, errors, message
    std::uint64_t size = 0; // bytes seen
    std::uint64_t closing_brace = 0; // offset of the reply's last brace
    std::uint64_t other_images = 0;  // entries of `images` that are no text
    bool is_object = false;
    bool is_empty = true;        // an object without members: no comma before a new one
    bool has_images = false;     // `images` is there and an array
    bool has_parameters = false; // in any form
    bool has_error = false;      // `error` is there and not null
    bool has_detail = false;     // `detail` is there and not null
    bool info_too_long = false;  // over the limit; info is nothing then

    bool operator==(const reply_summary&) const = default;
};

class result_scan {
public:
    struct limits {
        std::size_t info_bytes = std::size_t{1} << 20;
        std::size_t images = 4096;
    };

    result_scan() : result_scan(limits{}) {}
    explicit result_scan(limits allowed) : allowed_(allowed) {}

    // Takes the next bytes. False once the text can no longer become JSON; error() says why.
    bool feed(std::string_view chunk);
    // The text has ended. False when it is cut short or was wrong before.
    bool finish();

    const std::string& error() const { return error_; } // "cut short at byte 5120", …
    const reply_summary& summary() const { return found_; }

private:
    // Which top-level member is being read.
    enum class place : std::uint8_t {
        elsewhere,
        images,
        info,
        error,
    };

    friend class json_scanner<result_scan>;
    void key_begin(std::size_t depth);
    void key_text(std::string_view run, std::size_t depth);
    void key_end(std::size_t depth);
    void value_begin(json_kind kind, std::size_t depth, std::uint64_t offset);
    void value_text(std::string_view run, std::size_t depth, bool was_escaped);
    void value_end(json_kind kind, std::size_t depth, std::uint64_t offset);

    void begin_member(json_kind kind);
    void begin_image(json_kind kind, std::uint64_t offset);
    void info_text(std::string_view run);

    limits allowed_;
    json_scanner<result_scan> scanner_;
    reply_summary found_;
    std::string error_;
    std::string key_;  // of the top-level member at hand, its first bytes
    std::string head_; // first characters of the picture at hand
    place at_ = place::elsewhere;
    bool in_image_ = false;
};

// Where each picture lies, for the journal: a line for each. What cannot be read is left out.
std::string image_index(const reply_summary& reply);
std::vector<image_place> parse_image_index(std::string_view index);

// `,"cache_info":{…}}` and the like: the text that replaces the closing brace of a reply.
struct cache_info {
    std::uint64_t checkpoints_cached = 0;
    std::uint64_t loras_cached = 0;
    double total_cache_size_mb = 0;
};
std::string splice_tail(const reply_summary& reply, const cache_info& info);

} // namespace gateway::proto
