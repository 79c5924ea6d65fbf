#include "api/openapi.hpp"

#include "base/text.hpp"
#include "support/front.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value_to.hpp>
#include <boost/test/unit_test.hpp>

#include <set>

using namespace gateway;
namespace json = boost::json;

namespace {

using operations = std::set<std::string>; // "post /v2/{endpoint_id}/run run open"

json::value document()
{
    const auto text = api::openapi_json();
    return json::parse(json::string_view(text.data(), text.size()));
}

operations described()
{
    operations all;
    const auto whole = document();
    for (const auto& [path, item] : whole.at("paths").as_object()) {
        for (const auto& [method, operation] : item.as_object()) {
            if (method == "parameters")
                continue;
            const auto& fields = operation.as_object();
            const bool open = fields.contains("security");
            all.insert(std::string(method) + " " + std::string(path) + " " +
                       json::value_to<std::string>(fields.at("operationId")) +
                       (open ? " open" : ""));
        }
    }
    return all;
}

std::string line(const api::route& r, std::string_view before, std::string_view after)
{
    return to_lower(r.method) + " " + std::string(before) + std::string(r.pattern) + " " +
           std::string(r.operation) + std::string(after) + (r.open ? " open" : "");
}

operations routed(const std::vector<api::route>& routes)
{
    operations all;
    for (const auto& r : routes) {
        if (r.in_endpoint)
            all.insert(line(r, "/v2/{endpoint_id}", ""));
        all.insert(line(r, "", r.in_endpoint ? "Bare" : ""));
    }
    return all;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(openapi_, test::front)

BOOST_AUTO_TEST_CASE(the_document_and_the_router_know_the_same_routes)
{
    const auto in_document = described();
    const auto in_router = routed(doors->service().routes());

    BOOST_CHECK_EQUAL_COLLECTIONS(in_document.begin(), in_document.end(), in_router.begin(),
                                  in_router.end());
    BOOST_TEST(in_router.size() == 52U);
}

BOOST_AUTO_TEST_CASE(the_limits_in_the_document_are_the_defaults)
{
    const config::settings standard;
    const auto whole = document();
    const auto& policy = whole.at("components").at("schemas").at("Policy").at("properties");
    const auto standard_of = [&](const char* key) {
        return policy.at(key).at("default").to_number<std::int64_t>();
    };

    BOOST_TEST(standard_of("executionTimeout") == standard.jobs.execution_timeout.count());
    BOOST_TEST(standard_of("ttl") == standard.jobs.ttl.count());
    BOOST_TEST(standard.jobs.run_body_limit == 10 * config::mib);
    BOOST_TEST(standard.jobs.runsync_body_limit == 20 * config::mib);
}

BOOST_AUTO_TEST_CASE(the_document_names_this_version)
{
    const auto whole = document();

    BOOST_TEST(json::value_to<std::string>(whole.at("info").at("version")) == GATEWAY_VERSION);
}

BOOST_AUTO_TEST_SUITE_END()
