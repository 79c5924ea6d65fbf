// The simulator's pure parts: Python's text, prompts and infotexts, names of files, hashes, faults,
// and the log that other tests read.

#include "tools/simulated_webui.hpp"

#include <cmath>
#include <limits>

using namespace gateway;
using gateway::test::golden;
using gateway::test::temporary_folder;
using gateway::test::write_model;
using namespace gateway::tools::simulator;
using namespace std::chrono_literals;

namespace {

std::string decode_error(std::string_view text)
{
    const auto parsed = parse_json(text);
    const auto* e = std::get_if<json_decode_error>(&parsed);
    return e == nullptr ? ""
                        : e->message + " " + std::to_string(e->position) + " " +
                              std::to_string(e->line) + ":" + std::to_string(e->column);
}

std::string why_not(std::string_view plan)
{
    try {
        fault_plan::parse(plan);
    } catch (const std::invalid_argument& e) {
        return e.what();
    }
    return "";
}

// Which of the next `n` generations this plan's only fault strikes.
std::string struck(fault_plan plan, int n, std::string_view prompt = "a cat")
{
    std::string out;
    for (int i = 0; i < n; ++i)
        out += plan.next_generation(prompt).empty() ? '.' : 'x';
    return out;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(simulator_parts_, gateway::test::world)

// --- Python's text ---

BOOST_AUTO_TEST_CASE(floats_are_written_as_python_writes_them)
{
    const std::pair<double, std::string_view> rows[] = {
        {7, "7.0"},
        {0.1, "0.1"},
        {1e22, "1e+22"},
        {1e16, "1e+16"},
        {1e15, "1000000000000000.0"},
        {1e-4, "0.0001"},
        {1e-5, "1e-05"},
        {-2.5, "-2.5"},
        {1.5e300, "1.5e+300"},
        {0, "0.0"},
    };
    for (const auto& [number, text] : rows)
        BOOST_TEST(repr(number) == text);
}

BOOST_AUTO_TEST_CASE(bad_json_is_located_in_characters_not_bytes)
{
    BOOST_TEST(decode_error("{") == "Expecting property name enclosed in double quotes 1 1:2");
    BOOST_TEST(decode_error("{\"\u00e9\":\n x}") == "Expecting value 7 2:2");
    BOOST_TEST(decode_error("[1,]") == "Expecting value 3 1:4");
    BOOST_TEST(decode_error("1 2") == "Extra data 2 1:3");
    BOOST_TEST(decode_error(R"({"a":"\ud83d\udc08"})") == "");
}

BOOST_AUTO_TEST_CASE(json_nested_deeper_than_python_follows_is_unreadable)
{
    const auto parsed = parse_json(std::string(5000, '[') + std::string(5000, ']'));
    BOOST_TEST(std::holds_alternative<unreadable_body>(parsed));
}

BOOST_AUTO_TEST_CASE(info_is_ascii_and_replies_are_utf8)
{
    const json::value v{{"a", "\u00e9\U0001F408\x7f\n"}, {"b", json::array{1, 2.0, nullptr, true}}};

    BOOST_TEST(dump_spaced(v) ==
               R"({"a": "\u00e9\ud83d\udc08\u007f\n", "b": [1, 2.0, null, true]})");
    BOOST_TEST(dump_compact(v) == "{\"a\":\"\u00e9\U0001F408\x7f\\n\",\"b\":[1,2.0,null,true]}");
    BOOST_CHECK_THROW(dump_compact(std::numeric_limits<double>::quiet_NaN()), python_error);
}

// --- prompts and infotexts ---

BOOST_AUTO_TEST_CASE(tags_leave_the_prompt_and_keep_their_arguments)
{
    const auto p = parse_tags("a <lora:x:0.8:te=0.5> b <hypernet:y> <not a tag> <:z>");

    BOOST_TEST(p.text == "a  b  <not a tag> <:z>");
    BOOST_TEST(p.tags.size() == 2u);
    BOOST_TEST(p.tags[0].kind == "lora");
    BOOST_TEST(p.tags[0].positional[1] == "0.8");
    BOOST_TEST(p.tags[0].named[0].first == "te");
}

BOOST_AUTO_TEST_CASE(infotexts_are_written_and_read_back)
{
    infotext text{"a cat", "dog", {}};
    const auto add = [&](const char* key, json::value value) {
        text.parameters.emplace_back(key, std::move(value));
    };
    add("Steps", 20);
    add("Sampler", "Euler");
    add("Schedule type", "Automatic");
    add("CFG scale", 7.0);
    add("Seed", 1);
    add("Size", "512x512");
    add("Model hash", "0123456789");
    add("Model", "dream");
    add("VAE", nullptr);
    add("Lora hashes", "a: 0123456789ab");
    add("Version", "v1.10.1");

    BOOST_TEST(write_infotext(text) == golden("infotext.txt"));

    const auto read = read_infotext(golden("infotext.txt"));
    BOOST_TEST(read.at("Prompt") == "a cat");
    BOOST_TEST(read.at("Negative prompt") == "dog");
    BOOST_TEST(read.at("Size-1") == "512");
    BOOST_TEST(read.at("Lora hashes") == "a: 0123456789ab");
}

BOOST_AUTO_TEST_CASE(texts_beyond_latin1_survive_in_a_png)
{
    picture p{8, 8, std::vector<std::uint8_t>(192)};
    for (const std::string text : {"plain", "caf\u00e9", "\U0001F408 cat", ""})
        BOOST_TEST(*read_png_text(encode_png(p, text)) == text);
    BOOST_TEST(!read_png_text("GIF89a").has_value());
}

BOOST_AUTO_TEST_CASE(base64_is_read_as_the_webui_reads_it)
{
    BOOST_TEST(*from_base64("data:image/png;base64,YWJj") == "abc");
    BOOST_TEST(*from_base64("YW\nJj") == "abc");
    BOOST_TEST(*from_base64("YQ==") == "a");
    BOOST_TEST(!from_base64("YQ").has_value());
    BOOST_TEST(to_base64("abcd") == "YWJjZA==");
}

// --- names (webui.md §4.1) ---

BOOST_AUTO_TEST_CASE(a_checkpoint_answers_to_all_its_names)
{
    const temporary_folder root;
    const model_folders folders(root.path);
    write_model(folders.checkpoints / "sub/Foo.safetensors");
    write_model(folders.checkpoints / "Bar.vae.safetensors");
    std::ofstream(folders.checkpoints / "notes.txt") << "x";
    checkpoint_list list;
    list.assign(scan_checkpoints(folders, false));

    BOOST_TEST(list.all().size() == 1u);
    for (const auto* id :
         {"sub/Foo.safetensors", "sub_Foo", "Foo", "e3b0c442", "sub/Foo.safetensors [e3b0c442]"})
        BOOST_TEST((list.find(id) != nullptr), id);
    BOOST_TEST((list.find("foo") == nullptr));

    const auto sha = hash_file((folders.checkpoints / "sub/Foo.safetensors").string(), false);
    list.learn_hash("sub/Foo.safetensors", sha);
    const auto bracket = " [" + sha.substr(0, 10) + "]";
    for (const auto& id :
         {sha, sha.substr(0, 10), "sub/Foo.safetensors" + bracket, "Foo" + bracket})
        BOOST_TEST((list.find(id) != nullptr), id);
    BOOST_TEST((list.find_fuzzy("b/Fo") != nullptr));
}

BOOST_AUTO_TEST_CASE(a_lora_answers_to_its_stem_and_to_an_alias_of_its_own)
{
    const temporary_folder root;
    const model_folders folders(root.path);
    write_model(folders.loras / "a.safetensors", 64, "\"ss_output_name\":\"shared\"");
    write_model(folders.loras / "x/b.safetensors", 64, "\"ss_output_name\":\"shared\"");
    write_model(folders.loras / "c.safetensors", 64, "\"ss_output_name\":\"mine\"");
    network_list list;
    list.assign(scan_networks(folders));

    BOOST_TEST((list.find("a") != nullptr));
    BOOST_TEST((list.find("b") != nullptr));
    BOOST_TEST((list.find("mine") != nullptr));
    BOOST_TEST((list.find("shared") == nullptr)); // two claim it
}

BOOST_AUTO_TEST_CASE(hashes_go_stale_only_when_the_file_is_newer)
{
    hash_cache cache;
    cache.put("k", 100, "sha");

    BOOST_TEST(cache.find("k", 100).has_value());
    BOOST_TEST(cache.find("k", 50).has_value()); // an older file under the name: the old hash
    BOOST_TEST(!cache.find("k", 101).has_value());
}

BOOST_AUTO_TEST_CASE(half_files_cannot_be_loaded)
{
    const temporary_folder root;
    const auto path = root.path / "m.safetensors";
    write_model(path, 1000);
    BOOST_TEST(!load_failure(path.string()).has_value());
    std::filesystem::resize_file(path, 500);
    BOOST_TEST(load_failure(path.string())->type == "SafetensorError");
    BOOST_TEST(load_failure((root.path / "gone.ckpt").string())->type == "FileNotFoundError");
}

// --- the language of faults ---

BOOST_AUTO_TEST_CASE(faults_strike_when_they_say)
{
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"oom", "xxxxxx"},       {"oom@3", "..x..."},       {"oom@2-4", ".xxx.."},
        {"oom@4+", "...xxx"},    {"oom@~cat", "xxxxxx"},    {"oom@~cat#2", ".x...."},
        {"oom@~dog", "......"},  {"oom@p=0", "......"},     {"oom@p=1", "xxxxxx"},
        {"slow:2s@1", "x....."}, {"slow-get:1s", "......"}, {" nan@1 , reset@2 ", "xx...."},
    };
    for (const auto& [plan, expected] : rows)
        BOOST_TEST(struck(fault_plan::parse(plan), 6) == expected, plan);
}

BOOST_AUTO_TEST_CASE(chance_is_the_same_for_the_same_seed)
{
    const auto of = [](std::string_view plan) { return struck(fault_plan::parse(plan), 200); };
    BOOST_TEST(of("seed=7,oom@p=0.5") == of("seed=7,oom@p=0.5"));
    BOOST_TEST(of("seed=7,oom@p=0.5") != of("seed=8,oom@p=0.5"));
}

BOOST_AUTO_TEST_CASE(a_plan_that_makes_no_sense_is_refused_with_the_reason)
{
    BOOST_TEST(why_not("ooom@3") ==
               "fault \"ooom@3\": there is no such fault; see --help for the list");
    BOOST_TEST(why_not("slow-get") == "fault \"slow-get\": it needs a time, as in slow-get:2s");
    BOOST_TEST(why_not("oom@0").find("a number, 3-5, 3+") != std::string::npos);
    BOOST_TEST(why_not("oom@5-3") != "");
    BOOST_TEST(why_not("oom@p=2") != "");
    BOOST_TEST(why_not("oom@~") != "");
    BOOST_TEST(why_not("seed=x") != "");
    BOOST_TEST(why_not("oom@3,,reset@4") == "");
}

BOOST_AUTO_TEST_CASE(times_have_units)
{
    BOOST_TEST((parse_time("250ms") == 250ms));
    BOOST_TEST((parse_time("2s") == 2s));
    BOOST_TEST((parse_time("1.5") == 1500ms));
    BOOST_TEST((parse_time("5m") == 5min));
    BOOST_TEST(!parse_time("soon").has_value());
    BOOST_TEST(!parse_time("5h").has_value());
}

// --- the run log ---

BOOST_AUTO_TEST_CASE(the_log_has_a_line_for_each_begin_end_and_reply)
{
    const temporary_folder root;
    const auto path = (root.path / "run.log").string();
    {
        run_log log(path, time);
        const auto first = log.begin("txt2img", "a cat", 5, "dream.safetensors");
        log.end(first, "finished", 20, 1);
        log.reply(first, "{}");
        log.begin("txt2img", "a cat", 5, "dream.safetensors");
        log.close("signal");
    }
    std::ifstream in(path);
    std::string line;
    std::vector<json::object> lines;
    while (std::getline(in, line))
        lines.push_back(std::get<json::value>(parse_json(line)).as_object());

    BOOST_TEST(lines.size() == 6u);
    BOOST_TEST(lines[0].at("prompt_hash") == json::value(short_hash("a cat")));
    BOOST_TEST(lines[1].at("outcome") == "finished");
    BOOST_TEST(lines[2].at("n") == json::value(1));
    BOOST_TEST(lines[2].at("hash") == "44136fa355b3678a");
    BOOST_TEST(lines[4].at("outcome") == "killed");
    BOOST_TEST(lines[5].at("event") == "stop");
}

BOOST_AUTO_TEST_CASE(a_log_that_cannot_be_opened_is_said_so)
{
    BOOST_CHECK_THROW(run_log("/nonexistent/folder/run.log", time), std::runtime_error);
}

BOOST_AUTO_TEST_SUITE_END()
