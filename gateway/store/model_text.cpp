#include "store/model_text.hpp"

#include <array>
#include <charconv>
#include <utility>

namespace gateway::store {

namespace {

using core::model_kind;

// Letters stay in databases: add, never change.
constexpr std::array<std::pair<char, model_kind>, 4> letters{{
    {'c', model_kind::checkpoint},
    {'l', model_kind::lora},
    {'e', model_kind::embedding},
    {'v', model_kind::vae},
}};

void write_field(std::string& out, std::string_view field)
{
    out += std::to_string(field.size());
    out += ':';
    out += field;
}

// Takes "<length>:<bytes>" off the front.
bool read_field(std::string_view& text, std::string& field)
{
    std::size_t size = 0;
    const auto* const end = text.data() + text.size();
    const auto [next, ec] = std::from_chars(text.data(), end, size);
    if (ec != std::errc{} || next == end || *next != ':')
        return false;
    text.remove_prefix(static_cast<std::size_t>(next - text.data()) + 1);
    if (size > text.size())
        return false;
    field = text.substr(0, size);
    text.remove_prefix(size);
    return true;
}

bool read_kind(std::string_view& text, model_kind& kind)
{
    for (const auto& [letter, meant] : letters) {
        if (text.starts_with(letter)) {
            kind = meant;
            text.remove_prefix(1);
            return true;
        }
    }
    return false;
}

} // namespace

std::string write_models(const core::model_set& files)
{
    std::string out;
    for (const auto& file : files) {
        for (const auto& [letter, meant] : letters) {
            if (meant == file.kind)
                out += letter;
        }
        write_field(out, file.name);
        write_field(out, file.url);
        write_field(out, file.sha256);
    }
    return out;
}

std::optional<core::model_set> read_models(std::string_view text)
{
    core::model_set files;
    while (!text.empty()) {
        core::model_ref file;
        if (!read_kind(text, file.kind) || !read_field(text, file.name) ||
            !read_field(text, file.url) || !read_field(text, file.sha256))
            return std::nullopt;
        files.push_back(std::move(file));
    }
    return files;
}

} // namespace gateway::store
