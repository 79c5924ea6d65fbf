#include "config/table.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

using namespace gateway::config;

namespace {

std::string content_of(const std::string& path)
{
    std::ifstream file(std::string(GATEWAY_SOURCE_DIR "/config/") + path);
    BOOST_REQUIRE(file.is_open());
    return {std::istreambuf_iterator<char>(file), {}};
}

// Takes the # away in front of every setting, as a user would. Words have one space after it.
std::string uncommented(const std::string& text)
{
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        std::string line = text.substr(at, end - at);
        const bool is_words = line.size() > 2 && line[1] == ' ' && line[2] != ' ';
        if (line.starts_with('#') && !is_words)
            line.erase(0, 1);
        out += line + '\n';
        at = end + 1;
    }
    return out;
}

loaded load_text(const std::string& name, const std::string& text)
{
    sources from;
    from.file_name = name;
    from.file_text = text;
    from.environment["HOME"] = "/home/me";
    return load(from);
}

} // namespace

BOOST_AUTO_TEST_SUITE(table_)

BOOST_AUTO_TEST_CASE(the_documented_file_is_what_the_program_would_write)
{
    // Both ways: a setting missing in the file, or one only there, is a difference here.
    BOOST_TEST(content_of("webui-gateway.toml") == reference());
}

BOOST_AUTO_TEST_CASE(the_documented_file_changes_nothing_as_it_is)
{
    const loaded l = load_text("webui-gateway.toml", content_of("webui-gateway.toml"));

    BOOST_TEST(l.ok(), check(l));
    for (const auto& [name, from] : l.origins)
        BOOST_TEST(to_text(from) == "default", name);
}

BOOST_AUTO_TEST_CASE(every_line_of_the_documented_file_can_be_uncommented_and_is_the_default)
{
    const loaded l = load_text("f", uncommented(content_of("webui-gateway.toml")));
    const loaded untouched = load_text("f", "");

    BOOST_TEST(l.ok(), check(l));
    for (const setting& s : all_settings()) {
        BOOST_TEST(l.origins.at(s.name()).where.starts_with("f:"), s.name());
        BOOST_TEST(s.show(l.settings) == s.show(untouched.settings), s.name());
    }
}

BOOST_AUTO_TEST_CASE(profiles_can_be_loaded)
{
    int count = 0;
    const std::filesystem::path folder = GATEWAY_SOURCE_DIR "/config/profiles";
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
        const std::string name = file.path().filename();
        const loaded l = load_text(name, content_of("profiles/" + name));
        BOOST_TEST(l.ok(), check(l));
        ++count;
    }
    BOOST_TEST(count > 0);
}

BOOST_AUTO_TEST_CASE(names_variables_and_flags_are_unique)
{
    std::set<std::string> seen;
    for (const setting& s : all_settings()) {
        BOOST_TEST(seen.insert(s.name()).second, s.name());
        BOOST_TEST(seen.insert(s.variable()).second, s.variable());
        BOOST_TEST((s.flag.empty() || seen.insert(s.flag).second), s.flag);
        for (const alias& other : s.aliases)
            BOOST_TEST(seen.insert(other.name).second, other.name);
        BOOST_TEST(find_setting(s.name()) == &s);
    }
    for (const char* none : {"server", "server.", "serverXlisten", "", ".", "listen"})
        BOOST_TEST(find_setting(none) == nullptr, none);
}

BOOST_AUTO_TEST_CASE(every_setting_belongs_to_a_table_and_is_explained_in_one_line)
{
    const auto& tables = all_tables();
    for (const setting& s : all_settings()) {
        BOOST_TEST(std::any_of(tables.begin(), tables.end(),
                               [&](const table_doc& table) { return table.name == s.table; }),
                   s.name());
        BOOST_TEST(!s.doc.empty(), s.name());
        BOOST_TEST(s.doc.size() <= 96u, s.name());
        BOOST_TEST(!s.expected.empty(), s.name());
    }
}

BOOST_AUTO_TEST_CASE(every_setting_can_be_set_from_the_environment_and_with_a_flag)
{
    const settings defaults;
    for (const setting& s : all_settings()) {
        // The default as the environment would have it: without quotes and brackets.
        std::string text = s.show(defaults);
        std::erase_if(text, [](char c) {
            return std::string_view("\"[]{}").find(c) != std::string_view::npos;
        });

        sources from;
        from.environment = {{"HOME", "/home/me"}, {s.variable(), text}};
        const loaded by_variable = load(from);
        from.environment.erase(s.variable());
        from.flags = {{"--set", s.name() + '=' + text}};
        const loaded by_flag = load(from);

        BOOST_TEST(by_variable.ok(), check(by_variable));
        BOOST_TEST(to_text(by_variable.origins.at(s.name())) == "environment " + s.variable());
        BOOST_TEST(by_flag.ok(), check(by_flag));
        BOOST_TEST(to_text(by_flag.origins.at(s.name())) == "flag --set " + s.name());
    }
}

BOOST_AUTO_TEST_CASE(the_constants_of_the_original_handler_are_the_defaults)
{
    // handler.md §1, as literals.
    const std::pair<const char*, const char*> constants[] = {
        {"webui.urls", "[\"http://127.0.0.1:3000\"]"},
        {"webui.get_retries", "10"},
        {"webui.get_backoff", "\"100ms\""},
        {"webui.service_gate_timeout", "\"2m\""},
        {"webui.service_gate_interval", "\"200ms\""},
        {"webui.service_gate_tries", "300"},
        {"webui.endpoint_gate_timeout", "\"30s\""},
        {"webui.endpoint_gate_interval", "\"500ms\""},
        {"webui.endpoint_gate_tries", "240"},
        {"webui.log_each", "15"},
        {"webui.status_timeout", "\"30s\""},
        {"webui.inference_timeout", "\"10m\""},
        {"retry.attempts", "3"},
        {"retry.interval", "\"5s\""},
        {"recovery.wait", "\"5s\""},
        {"recovery.settle", "\"3s\""},
        {"recovery.service_gate_tries", "60"},
        {"recovery.endpoint_gate_tries", "120"},
        {"models.after_download_settle", "\"3s\""},
        {"models.after_download_tries", "30"},
        {"models.pinned", "[]"},
        {"models.budget", "\"0B\""},
        {"models.min_free", "\"10GiB\""},
        {"models.unused_after", "\"30d\""},
        {"models.keep_most_used", "10"},
        {"download.progress_log_each", "\"100MB\""},
        {"recovery.clean_caches", "false"},
        {"recovery.cache_paths",
         "[\"/stable-diffusion-webui/cache\", \"/stable-diffusion-webui/models/Stable-diffusion/"
         "*.cache\", \"/stable-diffusion-webui/models/Lora/*.cache\"]"},
        // Where decisions.md says otherwise.
        {"download.stall_timeout", "\"30s\""},
        {"webui.model_load_timeout", "\"15m\""},
        {"retry.max_restarts", "20"},
    };
    const settings defaults;
    for (const auto& [name, expected] : constants) {
        const setting* s = find_setting(name);
        BOOST_REQUIRE(s != nullptr);
        BOOST_TEST(s->show(defaults) == expected, name);
    }
}

BOOST_AUTO_TEST_SUITE_END()
