#include "proto/model_view.hpp"

#include <boost/json/parse.hpp>
#include <boost/test/unit_test.hpp>

using namespace gateway;
using namespace gateway::proto;
using core::model_kind;

namespace {

core::model_status model(model_kind kind, std::string name, std::string state = "present")
{
    core::model_status m;
    m.kind = kind;
    m.name = std::move(name);
    m.state = std::move(state);
    return m;
}

std::string names_in(const std::vector<core::model_status>& all, const model_page& page)
{
    const auto body = boost::json::parse(model_list_body(all, page));
    std::string names;
    for (const auto& one : body.at("models").as_array())
        names += std::string(one.at("name").as_string()) + ' ';
    const auto* next = body.as_object().if_contains("next_cursor");
    return next != nullptr ? names + "→ " + std::string(next->as_string()) : names;
}

std::string error_of(std::string_view body)
{
    const auto file = parse_pull_request(body);
    return file ? "" : file.error().detail;
}

} // namespace

BOOST_AUTO_TEST_SUITE(model_view_)

BOOST_AUTO_TEST_CASE(a_model_tells_what_is_known_of_it)
{
    auto m = model(model_kind::lora, "style");
    BOOST_TEST(
        model_body(m) ==
        R"({"kind":"lora","name":"style","state":"present","usage_count":0,"pinned":false,"managed":false,"needed":false,"listed_by":[]})");

    m.path = "/m/Lora/style.safetensors";
    m.size = 10;
    m.sha256 = "ab";
    m.source = "https://files.test/style";
    m.uses = 3;
    m.downloaded = m.last_used = wall_time(std::chrono::milliseconds(1'767'355'200'034));
    m.pinned = m.ours = m.needed = true;
    m.listed_by = {"webui-0", "webui-1"};
    BOOST_TEST(
        model_body(m) ==
        R"({"kind":"lora","name":"style","state":"present","file":"style.safetensors","size":10,"sha256":"ab","source":"https://files.test/style","usage_count":3,"downloaded_at":"2026-01-02T12:00:00.034Z","last_used":"2026-01-02T12:00:00.034Z","pinned":true,"managed":true,"needed":true,"listed_by":["webui-0","webui-1"]})");
}

BOOST_AUTO_TEST_CASE(a_model_on_its_way_tells_how_far_it_is)
{
    auto m = model(model_kind::checkpoint, "dream", "fetching");
    m.progress = {"dream", 25, 100, 5, "fetching"};
    BOOST_TEST(
        model_body(m).find(
            R"("progress":{"bytes":25,"total":100,"bytes_per_second":5.0,"eta_seconds":15.0})") !=
        std::string::npos);
    m.progress.total = 0;
    BOOST_TEST(model_body(m).find(R"("progress":{"bytes":25,"bytes_per_second":5.0})") !=
               std::string::npos);
    m.state = "failed";
    m.reason = "404";
    BOOST_TEST(model_body(m).find(R"("error":"404")") != std::string::npos);
    BOOST_TEST(model_body(m).find("progress") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(pages_follow_each_other_without_gaps)
{
    const std::vector all{model(model_kind::checkpoint, "a"), model(model_kind::checkpoint, "b/c"),
                          model(model_kind::lora, "a"), model(model_kind::lora, "b", "failed"),
                          model(model_kind::vae, "z")};
    model_page page;
    BOOST_TEST(names_in(all, page) == "a b/c a b z ");
    page.limit = 2;
    BOOST_TEST(names_in(all, page) == "a b/c → checkpoint/b/c");
    page.after = "checkpoint/b/c";
    BOOST_TEST(names_in(all, page) == "a b → lora/b");
    page.after = "lora/b";
    BOOST_TEST(names_in(all, page) == "z ");
    page.after = "lora/aa"; // gone since
    BOOST_TEST(names_in(all, page) == "b z ");
    page.after.clear();
    page.kind = model_kind::lora;
    BOOST_TEST(names_in(all, page) == "a b ");
    page.state = "failed";
    BOOST_TEST(names_in(all, page) == "b ");
}

BOOST_AUTO_TEST_CASE(a_pull_names_a_file_and_where_it_is)
{
    const auto file = parse_pull_request(
        R"({"kind":"lora","name":"style.safetensors","url":"https://files.test/s","hash":"SHA256:ABCDEF0123"})");
    BOOST_REQUIRE(file.has_value());
    BOOST_TEST((file->kind == model_kind::lora));
    BOOST_TEST(file->name == "style");
    BOOST_TEST(file->url == "https://files.test/s");
    BOOST_TEST(file->sha256 == "abcdef0123");

    const auto least = parse_pull_request(R"({"name":"dream","url":"https://files.test/d"})");
    BOOST_REQUIRE(least.has_value());
    BOOST_TEST((least->kind == model_kind::checkpoint));
}

BOOST_AUTO_TEST_CASE(a_pull_that_makes_no_sense_is_refused_with_the_reason)
{
    BOOST_TEST(error_of("") != "");
    BOOST_TEST(error_of("[]").find("an array") != std::string::npos);
    BOOST_TEST(error_of(R"({"url":"https://files.test/d"})").find("name") != std::string::npos);
    BOOST_TEST(error_of(R"({"name":"d"})").find("url") != std::string::npos);
    BOOST_TEST(error_of(R"({"name":"../d","url":"https://files.test/d"})").find("../d") !=
               std::string::npos);
    BOOST_TEST(
        error_of(R"({"kind":"movie","name":"d","url":"https://files.test/d"})").find("kind") !=
        std::string::npos);
    BOOST_TEST(error_of(R"({"name":"d","url":"https://files.test/d","hash":"xyz"})") != "");
    BOOST_TEST(
        error_of(R"({"name":"d","url":"https://huggingface.co/some/page"})").find("/resolve/") !=
        std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
