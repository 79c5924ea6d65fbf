// What `config print` and `config check` say, and the documented file with every default.

#include "config/settings.hpp"
#include "config/table.hpp"

#include <algorithm>

namespace gateway::config {

namespace {

bool is_empty_literal(const std::string& toml) { return toml == "\"\"" || toml == "[]"; }

std::string value_line(const setting& s, const settings& from)
{
    const std::string value = s.show(from);
    const bool hide = s.secret && !is_empty_literal(value);
    return s.key + " = " + (hide ? "\"***\"" : value);
}

// " Also --listen, PORT."
std::string other_names(const setting& s)
{
    std::string all = s.flag;
    for (const alias& other : s.aliases)
        all += (all.empty() ? "" : ", ") + other.name;
    return all.empty() ? all : " Also " + all + '.';
}

// "#key = value", a long list on several lines of at most 100 characters.
std::string commented_out(std::string_view line)
{
    constexpr std::size_t width = 100;
    std::string out = "#";
    while (line.size() + 1 > width) {
        const auto comma = line.rfind(", ", width - 6);
        if (comma == line.npos)
            break;
        out += std::string(line.substr(0, comma + 1)) + "\n#   ";
        line.remove_prefix(comma + 1);
    }
    return out + std::string(line) + '\n';
}

// Calls `each` for every setting of a table, in the order of the file.
void for_each_in(const table_doc& table, auto each)
{
    for (const setting& s : all_settings()) {
        if (s.table == table.name)
            each(s);
    }
}

} // namespace

std::string print(const loaded& of)
{
    std::string out;
    for (const table_doc& table : all_tables()) {
        out += (out.empty() ? "[" : "\n[") + table.name + "]\n";
        for_each_in(table, [&](const setting& s) {
            constexpr std::size_t column = 44;
            std::string text = value_line(s, of.settings);
            text.resize(std::max(text.size() + 2, column), ' ');
            out += text + "# " + to_text(of.origins.at(s.name())) + '\n';
        });
    }
    return out;
}

std::string check(const loaded& of)
{
    std::string out;
    for (const problem& p : of.problems)
        out += to_text(p) + '\n';
    for (const std::string& note : of.notes)
        out += "note: " + note + '\n';
    if (of.ok())
        return out + "ok\n";
    const std::size_t count = of.problems.size();
    return out + (count == 1 ? "1 problem\n" : std::to_string(count) + " problems\n");
}

std::string reference()
{
    const settings defaults;
    std::string out =
        "# Settings of webui-gateway. Every setting is here with its default; take away the # in\n"
        "# front of one to change it. A flag (or --set table.key=value) wins over the environment\n"
        "# (WEBUI_GATEWAY_TABLE_KEY; for secrets also WEBUI_GATEWAY_TABLE_KEY_FILE), and that "
        "over\n"
        "# this file. `webui-gateway config print` tells what is in force and where it came from,\n"
        "# `webui-gateway config check` what is wrong.\n";
    for (const table_doc& table : all_tables()) {
        out += "\n\n# " + table.doc + "\n[" + table.name + "]\n";
        for_each_in(table, [&](const setting& s) {
            out += "\n# " + s.doc + other_names(s) + '\n';
            out += commented_out(s.key + " = " + s.show(defaults));
        });
    }
    return out;
}

} // namespace gateway::config
