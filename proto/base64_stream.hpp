#pragma once

// Base64 as it stands in a JSON text, decoded while it comes in pieces of any size: `\/` and the
// like are understood, line breaks are passed over.

#include <cstdint>
#include <string>
#include <string_view>

namespace gateway::proto {

class base64_stream {
public:
    // Appends what is complete. False when it is not base64; nothing more comes of it then.
    bool feed(std::string_view text, std::string& into);
    // The text has ended. False when it was cut short.
    bool finish(std::string& into);

private:
    bool take(char c, std::string& into);
    bool take_escaped(char c, std::string& into);

    std::uint32_t bits_ = 0;
    int held_ = 0;    // signs in bits_, fewer than four
    int padding_ = 0; // `=` seen
    int hex_left_ = 0;
    unsigned code_ = 0; // of a \u escape
    bool escape_ = false;
};

} // namespace gateway::proto
