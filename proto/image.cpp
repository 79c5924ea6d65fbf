#include "proto/image.hpp"

namespace gateway::proto {

image_format sniff_image(std::string_view first_bytes)
{
    if (first_bytes.starts_with("\x89PNG\r\n\x1a\n"))
        return image_format::png;
    if (first_bytes.starts_with("\xff\xd8\xff"))
        return image_format::jpeg;
    if (first_bytes.starts_with("RIFF") && first_bytes.size() >= 12 &&
        first_bytes.substr(8, 4) == "WEBP")
        return image_format::webp;
    return image_format::unknown;
}

// Four characters hold three bytes, so a fixed start of a picture is a fixed start of its text, but
// for the character where fixed and free bits meet: after `RIFF` and before `WEBP` come four free
// bytes, which leave characters 5 to 10 open.
image_format sniff_base64_image(std::string_view first)
{
    if (first.starts_with("iVBORw0KGg"))
        return image_format::png;
    if (first.starts_with("/9j/"))
        return image_format::jpeg;
    if (first.starts_with("UklGR") && first.size() >= 16 && first.substr(11, 5) == "XRUJQ")
        return image_format::webp;
    return image_format::unknown;
}

std::string_view to_text(image_format format)
{
    switch (format) {
    case image_format::png: return "png";
    case image_format::jpeg: return "jpeg";
    case image_format::webp: return "webp";
    case image_format::unknown: break;
    }
    return "unknown";
}

std::string_view mime_type(image_format format)
{
    switch (format) {
    case image_format::png: return "image/png";
    case image_format::jpeg: return "image/jpeg";
    case image_format::webp: return "image/webp";
    case image_format::unknown: break;
    }
    return "application/octet-stream";
}

} // namespace gateway::proto
