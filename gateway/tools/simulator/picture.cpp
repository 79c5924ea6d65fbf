#include "tools/simulator/picture.hpp"

#include "tools/simulator/font.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace gateway::tools::simulator {

namespace {

struct colour {
    float r = 0, g = 0, b = 0; // 0…1
};

colour mix(const colour& a, const colour& b, float t)
{
    return {a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
}

// Hue in turns, saturation and lightness in 0…1.
colour hsl(float hue, float saturation, float lightness)
{
    const float chroma = (1 - std::fabs(2 * lightness - 1)) * saturation;
    const auto channel = [&](float shift) {
        float k = (hue + shift - std::floor(hue + shift)) * 6;
        k = std::clamp(std::fabs(k - 3) - 1, 0.0F, 1.0F);
        return lightness + chroma * (k - 0.5F);
    };
    return {channel(0), channel(2.0F / 3), channel(1.0F / 3)};
}

std::uint64_t scramble(std::uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

// All that a picture depends on, as one stream of numbers.
class dice {
public:
    explicit dice(const subject& what)
    {
        for (const auto* text : {&what.prompt, &what.model, &what.loras}) {
            for (const char c : *text)
                state_ = scramble(state_ ^ static_cast<unsigned char>(c));
            state_ = scramble(state_ + 0x100);
        }
        state_ = scramble(state_ ^ static_cast<std::uint64_t>(what.seed));
        state_ = scramble(state_ ^ (what.width << 20 | what.height));
    }
    std::uint64_t state() const { return state_; }
    // In [low, high).
    float between(float low, float high)
    {
        state_ = scramble(state_);
        return low + (high - low) * static_cast<float>(state_ >> 40) / 16777216.0F;
    }

private:
    std::uint64_t state_ = 0x5eed;
};

struct glow {
    float x, y, rx, ry, strength;
    colour tint;
    // How much of the tint a point gets: one in the middle, fading smoothly to nothing.
    float at(float px, float py) const
    {
        const float dx = (px - x) / rx;
        const float dy = (py - y) / ry;
        const float rest = 1 - dx * dx - dy * dy;
        return rest <= 0 ? 0 : rest * rest * strength;
    }
};

struct ridge {
    std::vector<float> height; // y of its crest for each column, in pixels
    colour top, bottom;
};

// A sky of four stops, a few soft lights, a sun, and hills in front.
class landscape {
public:
    landscape(dice& d, std::size_t width, std::size_t height)
        : width_(static_cast<float>(width)),
          height_(static_cast<float>(height)),
          tilt_(d.between(-0.25F, 0.25F))
    {
        const float hue = d.between(0, 1);
        const float turn = d.between(0.06F, 0.2F) * (d.between(0, 1) < 0.5F ? -1.0F : 1.0F);
        const std::array stops{
            hsl(hue, d.between(0.45F, 0.7F), d.between(0.16F, 0.3F)),
            hsl(hue + turn, d.between(0.4F, 0.65F), d.between(0.38F, 0.5F)),
            hsl(hue + 2 * turn, d.between(0.5F, 0.8F), d.between(0.55F, 0.68F)),
            hsl(hue + 3 * turn, d.between(0.6F, 0.9F), d.between(0.74F, 0.86F)),
        };
        fill_sky(stops);
        add_lights(d, hue + 3 * turn);
        add_ridges(d, hue, stops[2]);
    }

    colour at(std::size_t x, std::size_t y) const
    {
        const float px = static_cast<float>(x);
        const float py = static_cast<float>(y);
        const float down = py / height_ * 1.35F + tilt_ * (px / width_ - 0.5F);
        const auto stop = static_cast<std::size_t>(std::clamp(down, 0.0F, 1.0F) * 255);
        colour out = sky_[stop];
        for (const auto& light : lights_)
            out = mix(out, light.tint, light.at(px, py));
        for (const auto& hill : ridges_) {
            const float over = py - hill.height[x];
            if (over <= 0)
                continue;
            const float depth = std::min(1.0F, over / (height_ * 0.35F));
            out = mix(out, mix(hill.top, hill.bottom, depth), std::min(1.0F, over));
        }
        return out;
    }

private:
    void fill_sky(const std::array<colour, 4>& stops)
    {
        for (std::size_t i = 0; i < sky_.size(); ++i) {
            const float t = static_cast<float>(i) / 255 * 3;
            const auto from = std::min<std::size_t>(2, static_cast<std::size_t>(t));
            const float part = t - static_cast<float>(from);
            sky_[i] = mix(stops[from], stops[from + 1], part * part * (3 - 2 * part));
        }
    }

    void add_lights(dice& d, float hue)
    {
        const float size = std::min(width_, height_);
        for (int i = 0; i < 4; ++i) {
            const float radius = size * d.between(0.2F, 0.5F);
            lights_.push_back({width_ * d.between(0, 1), height_ * d.between(0, 0.6F),
                               radius * d.between(1, 2.2F), radius * 0.6F, d.between(0.12F, 0.3F),
                               hsl(hue + d.between(-0.1F, 0.1F), 0.7F, 0.75F)});
        }
        const float x = width_ * d.between(0.2F, 0.8F);
        const float y = height_ * d.between(0.25F, 0.5F);
        const float radius = size * d.between(0.06F, 0.12F);
        lights_.push_back({x, y, radius * 5, radius * 5, 0.55F, hsl(hue, 0.8F, 0.85F)});
        lights_.push_back({x, y, radius, radius, 4, hsl(hue, 0.9F, 0.95F)});
        lights_.back().strength = 1;
    }

    void add_ridges(dice& d, float hue, const colour& haze)
    {
        constexpr int layers = 4;
        for (int layer = 0; layer < layers; ++layer) {
            const float near = static_cast<float>(layer + 1) / layers;
            ridge hill;
            const float base = height_ * (0.5F + 0.13F * static_cast<float>(layer));
            const float swing = height_ * 0.05F * (1.4F - 0.5F * near);
            std::array<float, 4> phase{};
            for (auto& p : phase)
                p = d.between(0, 2 * std::numbers::pi_v<float>);
            for (float x = 0; x < width_; ++x) {
                float y = base;
                float wave = d_waves_ + static_cast<float>(layer);
                float size = swing;
                for (const float p : phase) {
                    y += size * std::sin(x / width_ * wave * 3 + p);
                    wave *= 2.1F;
                    size *= 0.45F;
                }
                hill.height.push_back(y);
            }
            const colour dark = hsl(hue + 0.02F * static_cast<float>(layer), 0.4F, 0.12F);
            hill.top = mix(haze, dark, 0.25F + 0.7F * near);
            hill.bottom = mix(hill.top, haze, 0.35F * (1 - near) + 0.05F);
            ridges_.push_back(std::move(hill));
        }
    }

    static constexpr float d_waves_ = 1.3F;
    float width_, height_, tilt_;
    std::array<colour, 256> sky_{};
    std::vector<glow> lights_;
    std::vector<ridge> ridges_;
};

std::uint8_t to_byte(float channel)
{
    return static_cast<std::uint8_t>(std::clamp(channel, 0.0F, 1.0F) * 255 + 0.5F);
}

void fill(picture& p, const landscape& scene, const subject& what, std::uint64_t seed)
{
    const float done = static_cast<float>(std::clamp(what.done, 0.0, 1.0));
    for (std::size_t y = 0; y < p.height; ++y) {
        for (std::size_t x = 0; x < p.width; ++x) {
            auto pixel = scene.at(x, y);
            if (done < 1) {
                // The latent has one value per 8×8 block; undone steps leave it noisy.
                const auto noise = scramble(seed ^ (y / 8 << 24 | x / 8));
                const colour block{static_cast<float>(noise & 255) / 255,
                                   static_cast<float>(noise >> 8 & 255) / 255,
                                   static_cast<float>(noise >> 16 & 255) / 255};
                pixel = mix(block, pixel, done * done);
            }
            // A little grain: no banding, and files as large as those of real pictures.
            const auto grain = scramble(seed + (y << 24) + x);
            const float shift = (static_cast<float>(grain & 15) - 7.5F) / 1024;
            auto* out = &p.rgb[3 * (y * p.width + x)];
            out[0] = to_byte(pixel.r + shift);
            out[1] = to_byte(pixel.g + shift);
            out[2] = to_byte(pixel.b + shift);
        }
    }
}

// --- writing ---

void blend(picture& p, std::size_t x, std::size_t y, std::uint8_t grey, unsigned alpha)
{
    if (x >= p.width || y >= p.height)
        return;
    auto* out = &p.rgb[3 * (y * p.width + x)];
    for (int i = 0; i < 3; ++i)
        out[i] = static_cast<std::uint8_t>((out[i] * (256U - alpha) + grey * alpha) >> 8);
}

void write_line(picture& p, std::u32string_view text, std::size_t x, std::size_t y,
                std::size_t scale, unsigned alpha)
{
    for (const char32_t c : text) {
        const auto& rows = glyph(c);
        const std::size_t drop = glyph_drop(c) * scale;
        for (std::size_t dot = 0; dot < glyph_rows * glyph_columns * scale * scale; ++dot) {
            const auto dx = dot % (glyph_columns * scale);
            const auto dy = dot / (glyph_columns * scale);
            if (rows[dy / scale] >> (glyph_columns - 1 - dx / scale) & 1)
                blend(p, x + dx, y + drop + dy, 255, alpha);
        }
        x += (glyph_columns + 1) * scale;
    }
}

std::u32string decode(std::string_view text)
{
    std::u32string out;
    for (std::size_t at = 0; at < text.size();) {
        const auto first = static_cast<unsigned char>(text[at++]);
        if (first < 0x80) {
            out += first < 0x20 ? U' ' : static_cast<char32_t>(first);
            continue;
        }
        while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80)
            ++at;
        out += U'\ufffd';
    }
    return out;
}

// Broken at spaces where there are any; the last line ends in dots when there was more.
std::vector<std::u32string> wrap(std::u32string_view text, std::size_t columns, std::size_t lines)
{
    std::vector<std::u32string> out;
    while (!text.empty() && out.size() < lines) {
        auto length = std::min(columns, text.size());
        if (length < text.size()) {
            const auto space = text.substr(0, length + 1).rfind(U' ');
            if (space != std::u32string_view::npos && space > columns / 3)
                length = space;
        }
        out.emplace_back(text.substr(0, length));
        text.remove_prefix(length);
        while (!text.empty() && text.front() == U' ')
            text.remove_prefix(1);
    }
    if (!text.empty() && !out.empty() && columns > 3) {
        out.back().resize(std::min(out.back().size(), columns - 3));
        out.back() += U"...";
    }
    return out;
}

void write_prompt(picture& p, std::string_view prompt)
{
    const std::size_t scale = std::max<std::size_t>(1, p.width / 320);
    const std::size_t margin = 4 * scale;
    const std::size_t columns = (p.width - std::min(p.width, 2 * margin)) / (6 * scale);
    const auto lines = wrap(decode(prompt), columns, 4);
    const std::size_t line_height = (glyph_rows + 3) * scale;
    const std::size_t band = lines.size() * line_height + 2 * margin;
    if (lines.empty() || columns < 4 || band > p.height / 2)
        return;
    const std::size_t top = p.height - band;
    for (std::size_t y = top; y < p.height; ++y) {
        for (std::size_t x = 0; x < p.width; ++x)
            blend(p, x, y, 0, 110);
    }
    for (std::size_t i = 0; i < lines.size(); ++i)
        write_line(p, lines[i], margin, top + margin + scale + i * line_height, scale, 235);
}

void write_mark(picture& p)
{
    constexpr std::u32string_view mark = U"simulated";
    const std::size_t scale = std::max<std::size_t>(1, p.width / 512);
    const std::size_t width = mark.size() * (glyph_columns + 1) * scale;
    if (width + 4 * scale <= p.width)
        write_line(p, mark, p.width - width - 3 * scale, 4 * scale, scale, 150);
}

} // namespace

picture paint(const subject& what)
{
    picture p;
    p.width = what.width / 8 * 8;
    p.height = what.height / 8 * 8;
    p.rgb.resize(p.width * p.height * 3);
    if (what.black || p.rgb.empty())
        return p;
    dice d(what);
    const auto seed = d.state();
    const landscape scene(d, p.width, p.height);
    fill(p, scene, what, seed);
    write_prompt(p, what.prompt);
    write_mark(p);
    return p;
}

picture paint_grid(const std::vector<subject>& all)
{
    picture out;
    if (all.empty())
        return out;
    const auto rows = static_cast<std::size_t>(std::lround(std::sqrt(all.size())));
    const auto columns = (all.size() + rows - 1) / rows;
    for (std::size_t i = 0; i < all.size(); ++i) {
        const auto one = paint(all[i]);
        if (i == 0) {
            out.width = one.width * columns;
            out.height = one.height * rows;
            out.rgb.resize(out.width * out.height * 3);
        }
        const std::size_t left = i % columns * one.width;
        const std::size_t top = i / columns * one.height;
        for (std::size_t y = 0; y < one.height; ++y) {
            const auto* from = &one.rgb[y * one.width * 3];
            std::copy(from, from + one.width * 3, &out.rgb[((top + y) * out.width + left) * 3]);
        }
    }
    return out;
}

} // namespace gateway::tools::simulator
