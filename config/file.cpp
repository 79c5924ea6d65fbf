#include "config/file.hpp"

#include <algorithm>
#include <sstream>
#include <tuple>

#include <toml++/toml.h>

namespace gateway::config {

namespace {

found unknown_kind(const toml::node& node)
{
    std::ostringstream text;
    text << toml::node_view<const toml::node>(node);
    return something_else{text.str()};
}

found list_of_text(const toml::array& array)
{
    names all;
    for (const toml::node& element : array) {
        const auto text = element.value_exact<std::string>();
        if (!text)
            return unknown_kind(array);
        all.push_back(*text);
    }
    return all;
}

found map_of_text(const toml::table& table)
{
    mapping all;
    for (const auto& [key, element] : table) {
        const auto text = element.value_exact<std::string>();
        if (!text)
            return unknown_kind(table);
        all.emplace(key.str(), *text);
    }
    return all;
}

found value_of(const toml::node& node)
{
    if (const auto* array = node.as_array())
        return list_of_text(*array);
    if (const auto* table = node.as_table())
        return map_of_text(*table);
    if (const auto text = node.value_exact<std::string>())
        return *text;
    if (const auto number = node.value_exact<std::int64_t>())
        return *number;
    if (const auto number = node.value_exact<double>())
        return *number;
    if (const auto truth = node.value_exact<bool>())
        return *truth;
    return unknown_kind(node);
}

std::uint32_t line_of(const toml::source_region& source) { return source.begin.line; }

} // namespace

file_reading read_toml(const std::string& name, const std::string& text)
{
    file_reading out;
    toml::table root;
    try {
        root = toml::parse(text, name);
    } catch (const toml::parse_error& e) {
        out.problems.push_back({name + ':' + std::to_string(line_of(e.source())),
                                "this is not TOML: " + std::string(e.description())});
        return out;
    }
    for (const auto& [table_name, node] : root) {
        const toml::table* table = node.as_table();
        if (table == nullptr) {
            out.entries.push_back(
                {"", std::string(table_name.str()), value_of(node), line_of(table_name.source())});
            continue;
        }
        out.entries.push_back(
            {std::string(table_name.str()), "", mapping{}, line_of(table_name.source())});
        for (const auto& [key, value] : *table)
            out.entries.push_back({std::string(table_name.str()), std::string(key.str()),
                                   value_of(value), line_of(key.source())});
    }
    // toml++ sorts by name; people read from the top.
    std::sort(out.entries.begin(), out.entries.end(), [](const file_entry& a, const file_entry& b) {
        return std::tie(a.line, a.table, a.key) < std::tie(b.line, b.table, b.key);
    });
    return out;
}

} // namespace gateway::config
