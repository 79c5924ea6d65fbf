// PNG by hand over zlib: few chunks, no surprises (PNG specification, third edition).

#include "tools/simulator/picture.hpp"
#include "tools/simulator/python.hpp"

#include <openssl/evp.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace gateway::tools::simulator {

namespace {

constexpr std::string_view signature("\x89PNG\r\n\x1a\n", 8);
constexpr int compression = 2; // grain does not compress; speed is worth more here

std::string big_endian(std::uint32_t value)
{
    std::string out;
    for (int shift = 24; shift >= 0; shift -= 8)
        out += static_cast<char>(value >> shift & 0xff);
    return out;
}

std::uint32_t from_big_endian(std::string_view bytes)
{
    std::uint32_t out = 0;
    for (const char c : bytes.substr(0, 4))
        out = out << 8 | static_cast<unsigned char>(c);
    return out;
}

void append_chunk(std::string& out, std::string_view type, std::string_view data)
{
    out += big_endian(static_cast<std::uint32_t>(data.size()));
    const auto begin = out.size();
    out += type;
    out += data;
    const auto* covered = reinterpret_cast<const Bytef*>(out.data() + begin);
    out += big_endian(static_cast<std::uint32_t>(
        crc32(0, covered, static_cast<uInt>(type.size() + data.size()))));
}

// Each row less the one above it, which suits smooth pictures.
std::string filtered(const picture& p)
{
    constexpr char up = 2;
    const std::size_t stride = p.width * 3;
    std::string out(p.height * (stride + 1), '\0');
    for (std::size_t y = 0; y < p.height; ++y) {
        auto* to = reinterpret_cast<std::uint8_t*>(&out[y * (stride + 1)]);
        const auto* row = &p.rgb[y * stride];
        const auto* above = y > 0 ? row - stride : nullptr;
        *to++ = static_cast<std::uint8_t>(up);
        for (std::size_t x = 0; x < stride; ++x)
            to[x] = static_cast<std::uint8_t>(row[x] - (above != nullptr ? above[x] : 0));
    }
    return out;
}

std::string deflated(const std::string& raw)
{
    auto size = compressBound(static_cast<uLong>(raw.size()));
    std::string out(size, '\0');
    const int failed = compress2(reinterpret_cast<Bytef*>(out.data()), &size,
                                 reinterpret_cast<const Bytef*>(raw.data()),
                                 static_cast<uLong>(raw.size()), compression);
    if (failed != Z_OK)
        throw std::runtime_error("zlib could not compress a picture: " + std::to_string(failed));
    out.resize(size);
    return out;
}

// UTF-8 as Latin-1, when every character fits.
std::optional<std::string> as_latin1(std::string_view text)
{
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const auto byte = static_cast<unsigned char>(text[at]);
        if (byte < 0x80) {
            out += text[at];
            continue;
        }
        if (byte > 0xc3 || at + 1 >= text.size())
            return std::nullopt;
        out += static_cast<char>((byte & 3) << 6 | (text[++at] & 0x3f));
    }
    return out;
}

std::string from_latin1(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x80) {
            out += static_cast<char>(0xc0 | byte >> 6);
            out += static_cast<char>(0x80 | (byte & 0x3f));
        } else {
            out += c;
        }
    }
    return out;
}

// The text of an uncompressed iTXt chunk, behind its five fields.
std::string international_text(std::string_view data)
{
    auto rest = data.substr(std::min(data.size(), data.find('\0') + 3));
    for (int field = 0; field < 2; ++field)
        rest = rest.substr(std::min(rest.size(), rest.find('\0') + 1));
    return std::string(rest);
}

} // namespace

std::string encode_png(const picture& p, std::string_view parameters)
{
    std::string out(signature);
    std::string head = big_endian(static_cast<std::uint32_t>(p.width)) +
                       big_endian(static_cast<std::uint32_t>(p.height));
    head += std::string_view("\x08\x02\0\0\0", 5); // eight bits, RGB, no interlace
    append_chunk(out, "IHDR", head);
    const std::string key("parameters\0", 11);
    if (const auto latin1 = as_latin1(parameters); latin1 && !parameters.empty())
        append_chunk(out, "tEXt", key + *latin1);
    else if (!parameters.empty())
        append_chunk(out, "iTXt", key + std::string("\0\0\0\0", 4) + std::string(parameters));
    append_chunk(out, "IDAT", deflated(filtered(p)));
    append_chunk(out, "IEND", {});
    return out;
}

std::optional<std::string> read_png_text(std::string_view png)
{
    if (!png.starts_with(signature))
        return std::nullopt;
    png.remove_prefix(signature.size());
    while (png.size() >= 12) {
        const std::size_t size = from_big_endian(png);
        if (png.size() - 12 < size)
            return std::nullopt;
        const auto type = png.substr(4, 4);
        const auto data = png.substr(8, size);
        if (data.starts_with(std::string_view("parameters\0", 11))) {
            if (type == "tEXt")
                return from_latin1(data.substr(11));
            if (type == "iTXt")
                return international_text(data);
        }
        png.remove_prefix(size + 12);
    }
    return "";
}

std::string to_base64(std::string_view bytes)
{
    std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
    const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()),
                                     static_cast<int>(bytes.size()));
    out.resize(static_cast<std::size_t>(size));
    return out;
}

std::optional<std::string> from_base64(std::string_view text)
{
    if (text.starts_with("data:image/")) {
        const auto comma = text.find(',');
        if (comma == std::string_view::npos)
            return std::nullopt;
        text.remove_prefix(comma + 1);
    }
    std::string out;
    std::uint32_t bits = 0;
    int filled = 0;
    std::size_t padding = 0;
    std::size_t digits = 0;
    for (const char c : text) {
        const auto value = c >= 'A' && c <= 'Z'   ? c - 'A'
                           : c >= 'a' && c <= 'z' ? c - 'a' + 26
                           : c >= '0' && c <= '9' ? c - '0' + 52
                           : c == '+'             ? 62
                           : c == '/'             ? 63
                                                  : -1;
        padding += c == '=' ? 1U : 0U;
        if (value < 0 || padding > 0)
            continue; // b64decode drops what is not in its alphabet
        ++digits;
        bits = bits << 6 | static_cast<std::uint32_t>(value);
        filled += 6;
        if (filled >= 8) {
            filled -= 8;
            out += static_cast<char>(bits >> filled & 0xff);
        }
    }
    if (digits % 4 == 1 || (digits % 4 != 0 && padding + digits % 4 < 4))
        return std::nullopt;
    return out;
}

bool looks_like_picture(std::string_view bytes)
{
    return bytes.starts_with(signature) || bytes.starts_with("\xff\xd8\xff") ||
           bytes.starts_with("GIF8") || (bytes.starts_with("RIFF") && bytes.substr(8, 4) == "WEBP");
}

} // namespace gateway::tools::simulator
