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

BOOST_AUTO_TEST_SUITE_END()
