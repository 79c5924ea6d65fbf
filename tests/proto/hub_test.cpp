#include "proto/hub.hpp"

#include <boost/test/unit_test.hpp>

#include <map>

using namespace gateway::proto;

BOOST_AUTO_TEST_SUITE(hub_)

namespace {

constexpr std::string_view home = "https://huggingface.co";

std::string asked(std::string_view url)
{
    const auto source = parse_model_source(url, home);
    return source ? source->url : "refused: " + source.error().detail;
}

std::string reason(hub from, int status, std::map<std::string, std::string, std::less<>> headers,
                   std::string_view body, bool had_token = false)
{
    const header_lookup lookup = [&headers](std::string_view name) -> std::string_view {
        const auto at = headers.find(name);
        return at == headers.end() ? std::string_view() : std::string_view(at->second);
    };
    const auto why = explain_refusal(from, status, lookup, body, had_token);
    return (why.permanent ? "for good: " : "for now: ") + why.reason;
}

} // namespace

BOOST_AUTO_TEST_CASE(pages_of_the_hubs_become_their_files)
{
    BOOST_TEST(asked("https://huggingface.co/a/b/blob/main/x.safetensors") ==
               "https://huggingface.co/a/b/resolve/main/x.safetensors");
    BOOST_TEST(asked("https://hf.co/a/b/resolve/main/x.safetensors?download=true") ==
               "https://huggingface.co/a/b/resolve/main/x.safetensors");
    BOOST_TEST(asked("https://civitai.com/models/1/name?modelVersionId=22") ==
               "https://civitai.com/api/download/models/22");
    BOOST_TEST(asked("https://files.test/x.safetensors#part") ==
               "https://files.test/x.safetensors");
}

BOOST_AUTO_TEST_CASE(what_is_no_file_is_refused_with_what_to_use)
{
    BOOST_TEST(asked("https://huggingface.co/a/b").find("/resolve/") != std::string::npos);
    BOOST_TEST(asked("https://civitai.com/models/1").find("version id") != std::string::npos);
    BOOST_TEST(asked("ftp://host/x").starts_with("refused: "));
}

BOOST_AUTO_TEST_CASE(a_token_in_a_url_is_taken_out_of_it)
{
    const auto source = parse_model_source(
        "https://civitai.com/api/download/models/2?token=s3cret&type=Model", home);
    BOOST_TEST(source->url == "https://civitai.com/api/download/models/2?type=Model");
    BOOST_TEST(source->token == "s3cret");
}

BOOST_AUTO_TEST_CASE(refusals_say_what_to_do_and_whether_to_ask_again)
{
    BOOST_TEST(reason(hub::huggingface, 403, {{"x-error-code", "GatedRepo"}}, "").find("licence") !=
               std::string::npos);
    BOOST_TEST(reason(hub::huggingface, 401, {}, "").find("HF_TOKEN") != std::string::npos);
    BOOST_TEST(reason(hub::civitai, 401, {}, "{}").find("CIVITAI_API_TOKEN") != std::string::npos);
    BOOST_TEST(reason(hub::civitai, 404, {{"cache-control", "private, no-store"}}, "")
                   .starts_with("for now: "));
    BOOST_TEST(reason(hub::civitai, 404, {}, "").starts_with("for good: "));
    BOOST_TEST(reason(hub::other, 503, {}, R"({"error":"busy"})") ==
               "for now: it answered 503: busy");
}

BOOST_AUTO_TEST_CASE(a_redirect_to_a_login_page_is_seen)
{
    BOOST_TEST(is_login_redirect("https://civitai.com/login?returnUrl=x"));
    BOOST_TEST(is_login_redirect("/?reason=download-auth"));
    BOOST_TEST(!is_login_redirect("https://cdn.test/loginless/x.safetensors"));
}

BOOST_AUTO_TEST_CASE(a_commit_stands_for_the_branch_once_it_is_known)
{
    const auto source = parse_model_source("https://huggingface.co/a/b/resolve/main/d/x.pt", home);
    const std::string commit(40, 'c');
    BOOST_TEST(pinned_url(*source, commit) ==
               "https://huggingface.co/a/b/resolve/" + commit + "/d/x.pt");
    BOOST_TEST(pinned_url(*source, "") == source->url);
    const auto other = parse_model_source("https://files.test/resolve/main/x", home);
    BOOST_TEST(pinned_url(*other, commit) == other->url);
}

BOOST_AUTO_TEST_CASE(a_reset_of_a_rate_limit_is_waited_for)
{
    const std::map<std::string, std::string, std::less<>> headers{
        {"ratelimit", "\"resolvers\";r=0;t=55"}};
    const header_lookup lookup = [&headers](std::string_view name) -> std::string_view {
        const auto at = headers.find(name);
        return at == headers.end() ? std::string_view() : std::string_view(at->second);
    };
    const auto why = explain_refusal(hub::huggingface, 429, lookup, "", false);
    BOOST_TEST(why.wait.value().count() == 56);
}

BOOST_AUTO_TEST_CASE(civitai_describes_the_file_of_a_link)
{
    const std::string sum(64, 'A');
    const auto of = [](std::string_view query) {
        return parse_model_source("https://civitai.com/api/download/models/7" + std::string(query),
                                  home);
    };
    const auto plain = of("");
    BOOST_TEST(description_url(*plain) == "https://civitai.com/api/v1/model-versions/7");
    BOOST_TEST(description_url(*of("?type=Model")) ==
               "https://civitai.com/api/v1/model-versions/7");
    const auto one = R"({"files":[{"id":5,"type":"Model","primary":true,"hashes":{"SHA256":")" +
                     sum + R"("}}]})";
    BOOST_TEST(read_description(*plain, one).sha256 == std::string(64, 'a'));
    const auto two = R"({"files":[{"id":5,"primary":true,"hashes":{"SHA256":")" + sum +
                     R"("}},{"id":6,"hashes":{"SHA256":")" + std::string(64, 'B') + R"("}}]})";
    BOOST_TEST(read_description(*plain, two).sha256 == ""); // the account chooses
    BOOST_TEST(read_description(*of("?fileId=6"), two).sha256 == std::string(64, 'b'));
    BOOST_TEST(read_description(*of("?fileId=9"), two).sha256 == "");
    for (const char* nonsense : {"", "[]", "{}", R"({"files":7})", R"({"files":[7]})"})
        BOOST_TEST(read_description(*plain, nonsense).sha256 == "");
}

BOOST_AUTO_TEST_CASE(only_civitai_describes_files)
{
    BOOST_TEST(description_url(*parse_model_source("https://files.test/x", home)) == "");
}

BOOST_AUTO_TEST_SUITE_END()
