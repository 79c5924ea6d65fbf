#include "work/exchange.hpp"

#include "support/fault_files.hpp"
#include "support/work_world.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>

using namespace gateway;
using namespace std::chrono_literals;
using core::outcome;
using test::answer;
using test::heard;
using test::scripted_webui;

namespace {

struct exchanging : test::work_world {
    exchanging()
    {
        server.on_request([this](const heard&) { return next; });
        order.file = "7-1";
        order.body = R"({"prompt":"a cat"})";
        order.limit = 600s;
    }

    work::exchange_report exchange()
    {
        work::webui::options o;
        o.name = "webui-0";
        o.url = first_webui;
        work::webui to(http, wires, time, std::move(o));
        return get(work::exchange(to, spool_on_faults, order));
    }
    std::size_t files() const
    {
        std::size_t n = 0;
        for (const auto& entry : std::filesystem::directory_iterator(folder.path() / "faults"))
            n += entry.is_regular_file();
        return n;
    }
    void check_nothing_is_left() { BOOST_TEST(files() == 0u); }

    test::fault_files disk_faults;
    store::spool spool_on_faults{folder.path() / "faults", disk, disk_faults};
    test::fake_server& server = webui.server();
    answer next{200, scripted_webui::picture("Dream")};
    work::exchange_order order;
};

std::string text(core::outcome what) { return std::string(core::to_text(what)); }

} // namespace

BOOST_FIXTURE_TEST_SUITE(exchange_, exchanging)

BOOST_AUTO_TEST_CASE(a_reply_is_kept_byte_for_byte)
{
    const auto report = exchange();

    BOOST_TEST(text(report.what) == "done");
    BOOST_TEST(!report.lost);
    BOOST_TEST(report.reason == "");
    BOOST_TEST(report.file.size() == next.body.size());
    BOOST_TEST(report.reply.images.size() == 1u);
    BOOST_TEST(report.model_loaded == "Dream");
    BOOST_TEST(files() == 1u);
    BOOST_TEST(server.requests().at(0).body == order.body);
}

BOOST_AUTO_TEST_CASE(a_route_without_pictures_may_answer_any_json)
{
    order.route = {"GET", "/sdapi/v1/samplers"};
    order.body = "";
    order.any_json = true;
    next = {200, R"([{"name":"Euler"}])"};

    const auto report = exchange();

    BOOST_TEST(text(report.what) == "done");
    BOOST_TEST(report.file.size() == next.body.size());
    BOOST_TEST(server.requests().at(0).method == "GET");
    BOOST_TEST(server.requests().at(0).path() == "/sdapi/v1/samplers");
}

BOOST_AUTO_TEST_CASE(a_route_that_this_webui_never_had_is_the_jobs_mistake)
{
    order.route = {"POST", "/controlnet/detect"};
    order.any_json = true;
    int api_status = 405;
    server.on_request([&](const heard& r) {
        return r.path() == "/sdapi/v1/txt2img"
                   ? answer{api_status, R"({"detail":"Method Not Allowed"})"}
                   : answer{404, R"({"detail":"Not Found"})"};
    });

    const auto never_there = exchange();
    api_status = 404;
    const auto all_gone = exchange();

    BOOST_TEST(text(never_there.what) == "rejected");
    BOOST_TEST(never_there.reason == "this WebUI has no route /controlnet/detect");
    BOOST_TEST(text(all_gone.what) == "route_missing");
}

BOOST_AUTO_TEST_CASE(a_reply_whose_end_is_the_end_of_the_connection_counts_too)
{
    next.end = answer::ending::closed;

    const auto report = exchange();

    BOOST_TEST(text(report.what) == "done");
    BOOST_TEST(report.file.size() == next.body.size());
}

BOOST_AUTO_TEST_CASE(nobody_listening_means_that_nothing_was_sent)
{
    server.set_port(test::fake_server::port::closed);

    const auto report = exchange();

    BOOST_TEST(text(report.what) == "unreachable");
    BOOST_TEST(!report.lost);
    BOOST_TEST(report.reason.find("http://webui:7860") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_reset_before_the_first_byte_means_that_nothing_was_sent)
{
    server.set_port(test::fake_server::port::resetting);

    const auto report = exchange();

    BOOST_TEST(text(report.what) == "reset_unsent");
    BOOST_TEST(!report.lost);
}

BOOST_AUTO_TEST_CASE(a_reply_that_never_comes_or_is_cut_anywhere_leaves_it_open_what_happened)
{
    next.body = scripted_webui::picture("Dream", {}, 300'000);
    const auto whole = next.head_size() + next.body.size();
    for (const auto ending : {answer::ending::cut, answer::ending::reset, answer::ending::stalled})
        for (const std::size_t part : {std::size_t{0}, next.head_size() / 2, next.head_size(),
                                       next.head_size() + 1, whole / 2, whole - 1}) {
            if (ending == answer::ending::stalled && part <= next.head_size() / 2)
                continue; // silence before the reply is the attempt's to end
            next.end = ending;
            next.part = part;

            const auto report = exchange();

            BOOST_TEST_CONTEXT("after " << part << " of " << whole)
            {
                BOOST_TEST(report.lost);
                BOOST_TEST(report.reason.find("http://webui:7860") != std::string::npos);
                check_nothing_is_left();
            }
        }
}

BOOST_AUTO_TEST_CASE(a_truncated_reply_of_5_megabytes_is_never_taken_for_a_result)
{
    next.body = scripted_webui::picture("Dream", {}, 5'000'000);
    next.end = answer::ending::cut;
    next.part = next.head_size() + 4'000'000;

    const auto report = exchange();

    BOOST_TEST(report.lost);
    check_nothing_is_left();
}

BOOST_AUTO_TEST_CASE(a_body_that_stops_for_a_minute_is_given_up)
{
    next.end = answer::ending::stalled;
    next.part = next.head_size() + 100;
    const auto began = time.now();

    const auto report = exchange();

    BOOST_TEST(report.lost);
    BOOST_TEST((time.now() - began >= 60s));
    BOOST_TEST((time.now() - began < 62s));
}

BOOST_AUTO_TEST_CASE(what_is_no_result_is_refused_with_what_came_instead)
{
    const struct {
        answer came;
        const char* outcome;
        const char* part_of_reason;
    } table[] = {
        {{200, "<html><title>Sign in</title></html>"}, "bad_reply", "Sign in"},
        {{200, R"({"error":"boom","detail":"","errors":"it broke"})"}, "bad_reply", "boom"},
        {{200, "[]"}, "bad_reply", "not an object"},
        {{200, "{}"}, "bad_reply", "images"},
        {{200, R"({"images":[],"parameters":{},"info":"{}"})"}, "bad_reply", "without pictures"},
        {{200, R"({"images":[""],"parameters":{},"info":"{}"})"}, "bad_reply", "empty picture"},
        {{200, R"({"images":["AA)"}, "bad_reply", "not JSON"},
        {{200, ""}, "bad_reply", ""},
        {{204, ""}, "bad_reply", "204"},
        {{404, R"({"detail":"Not Found"})"}, "route_missing", "not there"},
        {{405, R"({"detail":"Method Not Allowed"})"}, "route_missing", "405"},
        {{404, R"({"error":"HTTPException","detail":"Sampler not found","body":"","errors":""})"},
         "rejected",
         "Sampler not found"},
        {{401, R"({"error":"HTTPException","detail":"Not authenticated","body":"","errors":""})"},
         "unauthorized",
         "Not authenticated"},
        {{422, R"({"detail":[{"loc":["body","steps"],"msg":"value is not a valid integer"}]})"},
         "rejected",
         "steps: value is not a valid integer"},
        {{500,
          R"({"error":"OutOfMemoryError","detail":"","body":"","errors":"CUDA out of memory"})"},
         "out_of_memory",
         "CUDA out of memory"},
        {{500, R"({"error":"RuntimeError","detail":"","body":"","errors":"it broke"})"},
         "server_error",
         "it broke"},
        {{429, "slow down"}, "rate_limited", "too many"},
        {{503, R"({"detail":{"msg":"busy","type":"service_unavailable"}})"}, "busy", "busy"},
        {{502, "<html><title>502 Bad Gateway</title></html>"}, "proxy_error", "502 Bad Gateway"},
    };
    for (const auto& row : table) {
        next = row.came;
        const auto report = exchange();
        BOOST_TEST_CONTEXT(row.came.status << " " << row.came.body)
        {
            BOOST_TEST(text(report.what) == row.outcome);
            BOOST_TEST(!report.lost);
            BOOST_TEST(report.reason.find(row.part_of_reason) != std::string::npos, report.reason);
            check_nothing_is_left();
        }
    }
}

BOOST_AUTO_TEST_CASE(a_reply_that_cannot_become_json_is_not_read_to_its_end)
{
    next.body = "<html>" + std::string(100, ' ');
    next.announced = 50'000'000;

    const auto report = exchange();

    BOOST_TEST(text(report.what) == "bad_reply");
    BOOST_TEST(server.open_connections() == 0u);
}

BOOST_AUTO_TEST_CASE(a_refusal_without_end_is_read_no_further_than_needed)
{
    next =
        answer(500, R"({"error":"RuntimeError","errors":")" + std::string(1'000'000, 'x') + "\"}");

    const auto report = exchange();

    BOOST_TEST(text(report.what) == "server_error");
    BOOST_TEST(report.reason.size() < 2000u);
}

BOOST_AUTO_TEST_CASE(a_picture_made_with_another_model_is_refused)
{
    order.expected.checkpoint = "Photo.safetensors";

    const auto report = exchange();

    BOOST_TEST(text(report.what) == "wrong_model");
    BOOST_TEST(report.reason.find("Dream") != std::string::npos);
    BOOST_TEST(report.reason.find("Photo") != std::string::npos);
    check_nothing_is_left();
}

BOOST_AUTO_TEST_CASE(a_picture_made_with_other_content_under_the_same_name_is_refused)
{
    next.body = scripted_webui::picture("Dream", std::string(64, 'b'));
    order.expected.checkpoint = "Dream.safetensors";
    order.expected.checkpoint_sha256 = std::string(64, 'a');

    const auto report = exchange();

    BOOST_TEST(text(report.what) == "wrong_model");
    check_nothing_is_left();
}

BOOST_AUTO_TEST_CASE(every_failing_step_of_the_disk_is_storage_failed_and_leaves_nothing)
{
    using call = test::fault_files::call;
    next.body = scripted_webui::picture("Dream", {}, 3'000'000);
    for (const auto step : {call::open, call::write, call::sync, call::sync_folder}) {
        disk_faults.fail(step, 1, ENOSPC);

        const auto report = exchange();

        disk_faults.heal();
        BOOST_TEST_CONTEXT("step " << static_cast<int>(step))
        {
            BOOST_TEST(text(report.what) == "storage_failed");
            BOOST_TEST(report.reason.find("No space left") != std::string::npos, report.reason);
            check_nothing_is_left();
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
