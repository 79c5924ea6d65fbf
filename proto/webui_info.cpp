// What `info` says about how a picture was made, and whether that is what was asked for: the second
// half of webui_reply.hpp.

#include "proto/json.hpp"
#include "proto/text.hpp"
#include "proto/webui_reply.hpp"

#include <algorithm>

namespace gateway::proto {

namespace {

// The text between the quotes of `Lora hashes: "a: 0123456789ab, b: …"`, taken from the last line
// of an infotext: a prompt may hold the same words further up.
std::optional<std::string_view> lora_hashes(std::string_view infotext)
{
    constexpr std::string_view label = "Lora hashes: \"";
    const std::size_t line = infotext.rfind('\n');
    if (line != std::string_view::npos)
        infotext.remove_prefix(line + 1);
    const std::size_t begin = infotext.rfind(label);
    if (begin == std::string_view::npos)
        return std::nullopt;
    infotext.remove_prefix(begin + label.size());
    return infotext.substr(0, infotext.find('"'));
}

std::vector<std::string> names_in(std::string_view hashes)
{
    std::vector<std::string> names;
    while (!hashes.empty()) {
        const std::size_t comma = hashes.find(", ");
        const std::string_view pair = hashes.substr(0, comma);
        if (const std::size_t colon = pair.rfind(": "); colon != std::string_view::npos)
            names.emplace_back(pair.substr(0, colon));
        if (comma == std::string_view::npos)
            break;
        hashes.remove_prefix(comma + 2);
    }
    return names;
}

std::string first_infotext(const json::object& info)
{
    const json::value* found = info.if_contains("infotexts");
    const json::array* list = found == nullptr ? nullptr : found->if_array();
    if (list == nullptr || list->empty() || !list->front().is_string())
        return {};
    const json::string& text = list->front().get_string();
    return {text.data(), text.size()};
}

// Old and new names of one file differ in folder, extension and letter case only by mistake.
std::string_view stem_of(std::string_view name) { return without_model_extension(base_name(name)); }

// Two hashes of one file: one begins like the other. Nothing when either is too short to tell.
std::optional<bool> same_hash(std::string_view a, std::string_view b)
{
    constexpr std::size_t shortest = 10;
    const std::size_t length = std::min(a.size(), b.size());
    if (length < shortest)
        return std::nullopt;
    return iequals(a.substr(0, length), b.substr(0, length));
}

info_verdict wrong(std::string reason)
{
    info_verdict verdict;
    verdict.ok = false;
    verdict.reason = std::move(reason);
    return verdict;
}

std::string with_hash(std::string_view name, std::string_view hash)
{
    std::string out = quoted(name);
    if (!hash.empty())
        out.append(" (").append(hash.substr(0, 10)).append(")");
    return out;
}

// Empty when the picture was made with the checkpoint asked for.
std::string checkpoint_fault(const reply_info& made, const expected_models& expected)
{
    if (expected.checkpoint.empty() && expected.checkpoint_sha256.empty())
        return {};
    const auto by_hash = same_hash(made.model_hash, expected.checkpoint_sha256);
    const bool by_name =
        !expected.checkpoint.empty() && stem_of(expected.checkpoint) == made.model_name;
    if (by_hash.value_or(by_name))
        return {};
    if (made.model_name.empty() && made.model_hash.empty())
        return "the reply does not say which checkpoint made the picture";
    return "the picture was made with " + with_hash(made.model_name, made.model_hash) + ", not " +
           with_hash(stem_of(expected.checkpoint), expected.checkpoint_sha256) +
           ": the WebUI does not know that checkpoint and silently used another one";
}

void check_loras(const reply_info& made, const expected_models& expected, info_verdict& verdict)
{
    if (expected.loras.empty())
        return;
    if (!made.has_lora_hashes) {
        const std::string text = "the reply lists no LoRA hashes, so it is not known whether the "
                                 "LoRAs were used";
        if (expected.hashes_loras)
            verdict = wrong(text + "; this WebUI lists them otherwise");
        else
            verdict.notes.push_back(text);
        return;
    }
    for (const auto& lora : expected.loras) {
        if (std::find(made.loras.begin(), made.loras.end(), lora) != made.loras.end())
            continue;
        const std::string text = "the LoRA " + quoted(lora) + " is not among those the WebUI used";
        if (expected.hashes_loras)
            verdict = wrong(text + "; it ignores LoRAs it cannot find or load");
        else
            verdict.notes.push_back(text);
    }
}

} // namespace

parsed<reply_info> parse_info(std::string_view info)
{
    const document text(info);
    const json::object* object = text.root().if_object();
    if (object == nullptr)
        return make_problem(problem_code::bad_backend_reply, text.ok()
                                                                 ? "info is JSON, but not an object"
                                                                 : "info is " + text.error());
    complaints nobody;
    reader from(*object, "info", nobody);
    reply_info made;
    made.model_name = from.text("sd_model_name").value_or("");
    made.model_hash = from.text("sd_model_hash").value_or("");
    made.sampler = from.text("sampler_name").value_or("");
    made.version = from.text("version").value_or("");
    made.job_timestamp = from.text("job_timestamp").value_or("");
    made.seed = from.integer("seed").value_or(-1);
    made.first_image =
        static_cast<std::size_t>(from.integer("index_of_first_image", 0, 1'000'000).value_or(0));
    const std::string infotext = first_infotext(*object);
    if (const auto hashes = lora_hashes(infotext)) {
        made.has_lora_hashes = true;
        made.loras = names_in(*hashes);
    }
    return made;
}

info_verdict verify_info(std::string_view info, const expected_models& expected)
{
    // These run the one model they were started with and say little about it (webui.md §6).
    if (!traits_of(expected.from).has_models)
        return {};
    const auto made = parse_info(info);
    if (!made)
        return wrong("the reply cannot be checked: " + made.error().detail);
    if (auto fault = checkpoint_fault(*made, expected); !fault.empty())
        return wrong(std::move(fault));
    info_verdict verdict;
    check_loras(*made, expected, verdict);
    const bool other_sampler = !expected.sampler.empty() && !made->sampler.empty() &&
                               !iequals(made->sampler, expected.sampler);
    if (other_sampler)
        verdict.notes.push_back("the picture was sampled with " + quoted(made->sampler) +
                                ", not with " + quoted(expected.sampler));
    return verdict;
}

} // namespace gateway::proto
