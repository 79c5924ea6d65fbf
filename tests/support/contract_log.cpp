#include "support/contract_log.hpp"

#include "proto/json.hpp"

#include <filesystem>
#include <fstream>
#include <map>

namespace gateway::test {

namespace {

const std::filesystem::path& emptied(const std::string& suite)
{
    static std::map<std::string, std::filesystem::path> known;
    const auto [at, is_new] =
        known.try_emplace(suite, std::filesystem::path(GATEWAY_CONTRACT_DIR) / suite);
    if (is_new) {
        std::filesystem::remove_all(at->second);
        std::filesystem::create_directories(at->second);
    }
    return at->second;
}

} // namespace

void keep_answer(const std::string& suite, const std::string& name, std::string_view method,
                 std::string_view target, const reply& answer)
{
    std::string headers;
    proto::object_writer fields(headers);
    for (const auto& [key, value] : answer.headers)
        fields.text(key, value);
    fields.close();
    std::string text;
    proto::object_writer(text)
        .text("case", suite + "/" + name)
        .text("method", method)
        .text("target", target)
        .integer("status", answer.status)
        .raw("headers", headers)
        .text("body", answer.body)
        .close();
    std::ofstream(emptied(suite) / (name + ".json")) << text << '\n';
}

} // namespace gateway::test
