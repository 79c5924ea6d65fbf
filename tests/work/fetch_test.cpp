#include "work/fetching.hpp"

#include <cerrno>

using namespace gateway;
using namespace gateway::test;

BOOST_FIXTURE_TEST_SUITE(fetch_, fetching)

BOOST_AUTO_TEST_CASE(a_file_arrives_byte_for_byte_under_its_final_name)
{
    const auto got = fetch();

    BOOST_REQUIRE(got.has_value());
    BOOST_TEST(got->file_name == "dream.safetensors");
    BOOST_TEST(got->size == file.body.size());
    BOOST_TEST(got->sha256 == sha256_of(file.body));
    BOOST_TEST(content() == file.body);
    BOOST_TEST(there().size() == 1u);
    BOOST_TEST(progress.bytes == file.body.size());
    BOOST_TEST(progress.total == file.body.size());
    const auto& r = asked(hub).at(0);
    BOOST_TEST(r.header("accept-encoding") == "identity");
    BOOST_TEST(r.header("user-agent").starts_with("webui-gateway/"));
    BOOST_TEST(r.header("referer") == "");
}

BOOST_AUTO_TEST_CASE(a_file_of_unknown_length_is_as_long_as_its_header_says)
{
    file.end = answer::ending::closed;
    check_fetched();
}

BOOST_AUTO_TEST_CASE(a_file_that_is_there_already_with_the_same_content_is_a_success)
{
    check_fetched();
    check_fetched();
}

BOOST_AUTO_TEST_CASE(a_file_that_is_there_with_another_content_is_never_replaced)
{
    std::filesystem::create_directories(order.folder);
    std::ofstream(order.folder / "dream.safetensors") << "mine";

    const auto got = fetch();

    BOOST_REQUIRE(!got.has_value());
    BOOST_TEST(got.error().permanent);
    BOOST_TEST(content() == "mine");
    BOOST_TEST(there().size() == 1u);
}

// --- redirects ---

BOOST_AUTO_TEST_CASE(redirects_relative_and_absolute_lead_to_the_file)
{
    for (const int status : {301, 302, 303, 307, 308}) {
        serve(hub, [&](const heard& r) {
            return r.path() == file_path ? answer::redirect("../moved?x=1", status)
                                         : answer::redirect(storage + "/blob?sig=abc", status);
        });
        serve(storage, [this](const heard&) { return file; });
        check_fetched();
        BOOST_TEST(asked(hub).back().target == "/someone/model/resolve/moved?x=1");
        BOOST_TEST(asked(storage).back().target == "/blob?sig=abc");
        BOOST_TEST(asked(storage).back().method == "GET");
    }
}

BOOST_AUTO_TEST_CASE(ten_redirects_are_followed_and_eleven_are_not)
{
    for (const int hops : {10, 11}) {
        wires.at(hub).forget();
        serve(hub, [this, hops](const heard& r) {
            const auto at = r.path() == file_path ? 0 : std::stoi(r.path().substr(1));
            return at == hops ? file : answer::redirect("/" + std::to_string(at + 1));
        });
        if (hops == 10)
            check_fetched();
        std::filesystem::remove_all(order.folder);
    }
    check_fails("more than 10 times", true);
    BOOST_TEST(asked(hub).size() == 11u);
}

BOOST_AUTO_TEST_CASE(a_circle_of_redirects_is_noticed)
{
    serve(hub, [](const heard& r) { return answer::redirect(r.path() == "/a" ? "/b" : "/a"); });
    check_fails("in a circle", true);
    BOOST_TEST(asked(hub).size() == 3u);
}

BOOST_AUTO_TEST_CASE(a_redirect_from_https_to_http_is_not_followed)
{
    serve(hub, [](const heard&) { return answer::redirect("http://cdn-lfs.hf.co/blob"); });
    check_fails("from https to http", true);
    BOOST_TEST(asked("http://cdn-lfs.hf.co").empty());
}

BOOST_AUTO_TEST_CASE(a_redirect_to_a_login_page_asks_for_a_token)
{
    for (const char* to :
         {"/login?next=/x", "https://huggingface.co/login", "/somewhere?reason=download-auth"}) {
        serve(hub, [to](const heard&) { return answer::redirect(to); });
        check_fails("token", true);
    }
    BOOST_TEST(asked(hub).size() == 3u);
}

BOOST_AUTO_TEST_CASE(a_redirect_to_nowhere_is_an_error)
{
    for (const char* to : {"", "ftp://cdn-lfs.hf.co/blob"}) {
        serve(hub, [to](const heard&) { return answer::redirect(to); });
        const auto got = fetch();
        BOOST_REQUIRE(!got.has_value());
        BOOST_TEST(got.error().permanent, got.error().reason);
    }
}

BOOST_AUTO_TEST_CASE(a_redirect_to_a_host_that_is_not_allowed_is_not_followed)
{
    for (const char* to : {"https://evil.test/blob", "https://evil-hf.co/blob",
                           "https://huggingface.co.evil.test/blob", "https://127.0.0.1/blob",
                           "https://[::ffff:10.0.0.1]/blob", "https://169.254.169.254/latest"}) {
        wires.place(net::url::parse(to)->host, "93.184.216.34");
        serve(net::url::parse(to)->origin(), [this](const heard&) { return file; });
        serve(hub, [to](const heard&) { return answer::redirect(to); });
        check_fails("not allowed", true);
        BOOST_TEST(asked(net::url::parse(to)->origin()).empty(), to);
    }
}

BOOST_AUTO_TEST_CASE(a_redirect_to_a_name_with_a_private_address_is_not_followed)
{
    serve(storage, [this](const heard&) { return file; });
    serve(hub, [](const heard&) { return answer::redirect(storage + "/blob"); });
    for (const char* ip : {"127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fc00::1"}) {
        wires.place("cdn-lfs.hf.co", ip);
        check_fails("not public", true);
    }
    BOOST_TEST(asked(storage).empty());
}

// --- hosts ---

BOOST_AUTO_TEST_CASE(a_host_that_is_not_allowed_is_not_asked_and_the_setting_is_named)
{
    order.file.url = "https://example.test/dream.safetensors";
    serve("https://example.test", [this](const heard&) { return file; });

    check_fails("download.allow_hosts", true);

    BOOST_TEST(asked("https://example.test").empty());
}

BOOST_AUTO_TEST_CASE(plain_http_and_strange_ports_are_refused)
{
    order.file.url = "http://cdn-lfs.hf.co/dream.safetensors";
    check_fails("plain http", true);
    order.file.url = "https://cdn-lfs.hf.co:8443/dream.safetensors";
    check_fails("port 8443", true);
}

BOOST_AUTO_TEST_CASE(an_exempt_host_may_be_private_and_speak_plain_http)
{
    options.exempt_hosts = {"files.lan:9000"};
    wires.place("files.lan", "192.168.1.5");
    serve("http://files.lan:9000", [this](const heard&) { return file; });
    serve("http://files.lan:9001", [this](const heard&) { return file; });

    order.file.url = "http://files.lan:9000/dream.safetensors";
    check_fetched();
    std::filesystem::remove_all(order.folder);
    order.file.url = "http://files.lan:9001/dream.safetensors";
    check_fails("not allowed", true);
}

BOOST_AUTO_TEST_CASE(what_is_no_url_of_a_file_is_refused_without_asking_anybody)
{
    for (const char* url : {"nonsense", "file:///etc/passwd", "file://../x", "file:///a/../b",
                            "https://huggingface.co/a/b"}) {
        order.file.url = url;
        const auto got = fetch();
        BOOST_REQUIRE(!got.has_value());
        BOOST_TEST(got.error().permanent);
    }
    BOOST_TEST(asked(hub).empty());
}

// --- files of this machine ---

BOOST_AUTO_TEST_CASE(a_file_of_an_allowed_folder_is_copied_by_the_same_rules)
{
    const auto from = folder / "mine";
    std::filesystem::create_directories(from);
    std::ofstream(from / "my model.safetensors", std::ios::binary) << file.body;
    std::ofstream(from / "page.safetensors") << "<html>" << std::string(100, ' ');
    options.allow_folders = {from.string()};

    order.file.url = "file://" + from.string() + "/my%20model.safetensors";
    check_fetched();
    BOOST_TEST(progress.bytes == file.body.size());
    std::filesystem::remove_all(order.folder);

    order.file.url = "file://" + from.string() + "/page.safetensors";
    check_fails("web page", true);
    order.file.url = "file://" + from.string() + "/absent.safetensors";
    check_fails("No such file", true);
    order.file.url = "file://" + from.string() + "-other/x.safetensors";
    check_fails("download.allow_folders", true);
    BOOST_TEST(asked(hub).empty());
}

// --- secrets ---

BOOST_AUTO_TEST_CASE(a_token_goes_to_its_own_origin_and_nowhere_else)
{
    serve(hub, [](const heard&) { return answer::redirect(storage + "/blob"); });
    serve(storage, [this](const heard&) { return file; });

    check_fetched();

    BOOST_TEST(asked(hub).at(0).header("authorization") == "Bearer hf_secretsecretsecret");
    for (const auto& [name, value] : asked(storage).at(0).headers) {
        BOOST_TEST(name != "authorization");
        BOOST_TEST(name != "cookie");
        BOOST_TEST(name != "referer");
        BOOST_TEST(value.find("secret") == std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(a_token_in_the_url_is_sent_as_a_header_and_never_told)
{
    const std::string civitai = "https://civitai.com";
    order.file.url = civitai + "/api/download/models/12?token=job-secret";
    serve(civitai, [](const heard&) { return answer(404, "no"); });

    check_fails("404", true);

    const auto downloads = wires.at(civitai).requests_for("/api/download/models/12");
    BOOST_REQUIRE(downloads.size() == 1u);
    BOOST_TEST(downloads[0].header("authorization") == "Bearer job-secret");
    BOOST_TEST(downloads[0].target == "/api/download/models/12");
    BOOST_TEST(asked(civitai).at(0).header("authorization") == ""); // the description is public
}

BOOST_AUTO_TEST_CASE(no_token_is_sent_to_hosts_that_are_no_hub)
{
    order.file.url = storage + "/dream.safetensors";
    serve(storage, [this](const heard&) { return file; });
    check_fetched();
    BOOST_TEST(asked(storage).at(0).header("authorization") == "");
}

BOOST_AUTO_TEST_CASE(credentials_go_to_the_hosts_they_are_for_and_no_further)
{
    options.credentials = {{"*.hf.co", "for-storage"}, {"files.test", "Basic eHl6"}};
    options.allow_hosts.emplace_back("files.test");
    options.allow_hosts.emplace_back("evil-hf.co");
    order.file.url = "https://files.test/dream.safetensors";
    serve("https://files.test", [](const heard&) { return answer::redirect(storage + "/blob"); });
    serve(storage, [](const heard&) { return answer::redirect("https://evil-hf.co/blob"); });
    serve("https://evil-hf.co", [this](const heard&) { return file; });

    check_fetched();

    BOOST_TEST(asked("https://files.test").at(0).header("authorization") == "Basic eHl6");
    BOOST_TEST(asked(storage).at(0).header("authorization") == "Bearer for-storage");
    BOOST_TEST(asked("https://evil-hf.co").at(0).header("authorization") == "");
}

BOOST_AUTO_TEST_CASE(a_host_pattern_covers_whole_labels)
{
    const struct {
        const char* pattern;
        const char* host;
        bool covered;
    } table[] = {
        {"hf.co", "hf.co", true},
        {"hf.co", "x.hf.co", false},
        {"*.hf.co", "a.b.hf.co", true},
        {"*.hf.co", "hf.co", false},
        {"*.hf.co", "evil-hf.co", false},
        {"a.*.r2.com", "a.123.r2.com", true},
        {"a.*.r2.com", "a.1.2.r2.com", false},
        {"a.*.r2.com", "a..r2.com", false},
        {"a.*.r2.com", "b.123.r2.com", false},
        {"a.*.r2.com", "a.123.r2.com.evil", false},
    };
    for (const auto& row : table)
        BOOST_TEST(work::covers(row.pattern, row.host) == row.covered,
                   row.pattern << " " << row.host);
}

// --- what comes is not what was wanted ---

BOOST_AUTO_TEST_CASE(what_is_no_model_file_is_refused_after_its_first_bytes)
{
    const auto as = [](std::string body, std::string type = "application/octet-stream") {
        answer a(200, std::move(body));
        a.type = std::move(type);
        return a;
    };
    const std::string page = "<!DOCTYPE html><html><title>Log in</title>" + std::string(200, ' ');
    auto gzip = as(model_file(1000));
    gzip.headers.emplace_back("Content-Encoding", "gzip");
    auto bad_header = model_file(1000);
    bad_header[8] = '[';
    auto huge_header = model_file(1000);
    huge_header[7] = 1;
    const struct {
        answer came;
        const char* why;
    } table[] = {
        {as(page, "text/html; charset=utf-8"), "text/html"},
        {as(page), "web page"},
        {as(R"({"error":"nope"})", "application/json"), "application/json"},
        {as(R"({"error":"nope","text":"this is longer than the sixty-four bytes of a sniff"})"),
         "JSON"},
        {as("version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') +
            "\nsize 123\n"),
         "LFS"},
        {std::move(gzip), "gzip"},
        {as("PK\x03\x04" + std::string(200, 'x')), "zip"},
        {as("\x80\x02}q" + std::string(200, 'x')), "pickle"},
        {as("GGUF" + std::string(200, 'x')), "GGUF"},
        {as(std::string(200, 'x')), ""},
        {as(std::string(5, '\0')), ""},
        {as(""), ""},
        {as(std::move(bad_header)), ""},
        {as(std::move(huge_header)), ""},
    };
    for (const auto& row : table) {
        file = row.came;
        wires.at(hub).forget();
        BOOST_TEST_CONTEXT(row.why << " " << row.came.body.substr(0, 40))
        {
            check_fails(row.why, true);
            BOOST_TEST(asked(hub).size() == 1u);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_file_that_is_longer_or_shorter_than_its_header_says_is_refused)
{
    file.body += "more";
    check_fails("its header speaks of", true);
    file.body.resize(file.body.size() - 10);
    check_fails("its header speaks of", true);
}

BOOST_AUTO_TEST_CASE(a_file_whose_header_contradicts_its_announced_length_is_given_up_early)
{
    file.announced = 40'000'000;
    file.end = answer::ending::stalled;
    file.part = file.head_size() + 50'000;
    check_fails("its header speaks of", true);
}

BOOST_AUTO_TEST_CASE(the_hash_of_the_job_decides)
{
    order.file.sha256 = std::string(64, 'a');
    check_fails(std::string(64, 'a'), true);
    order.file.sha256 = sha256_of(file.body).substr(0, 10);
    check_fetched();
}

BOOST_AUTO_TEST_CASE(the_hash_of_the_hub_counts_when_the_job_gives_none)
{
    const auto with_etag = [this](std::string etag) {
        serve(hub, [etag](const heard&) {
            auto a = answer::redirect(storage + "/blob");
            a.headers.emplace_back("X-Linked-Etag", '"' + etag + '"');
            return a;
        });
    };
    serve(storage, [this](const heard&) {
        auto a = file;
        a.headers.emplace_back("ETag", '"' + std::string(64, 'c') + '"'); // says nothing
        return a;
    });
    with_etag(std::string(64, 'b'));
    check_fails("its source says", true);
    with_etag(sha256_of(file.body));
    check_fetched();
}

BOOST_AUTO_TEST_CASE(the_hash_of_the_hub_is_read_behind_a_renamed_repository_too)
{
    serve(hub, [](const heard& r) {
        if (r.path() == file_path)
            return answer::redirect("/new/model/resolve/main/dream.safetensors", 307);
        auto a = answer::redirect(storage + "/blob");
        a.headers.emplace_back("X-Linked-Etag", '"' + std::string(64, 'b') + '"');
        return a;
    });
    serve(storage, [this](const heard&) { return file; });
    check_fails("its source says", true);
}

BOOST_AUTO_TEST_CASE(a_file_over_the_limit_is_refused_by_its_announced_length_or_its_own)
{
    order.size_limit = file.body.size() - 1;
    check_fails("the limit for a checkpoint", true);
    file.end = answer::ending::closed;
    check_fails("longer than", true);
}

BOOST_AUTO_TEST_CASE(a_size_that_the_hub_contradicts_is_noticed_without_a_length)
{
    serve(hub, [](const heard&) {
        auto a = answer::redirect(storage + "/blob");
        a.headers.emplace_back("X-Linked-Size", "99");
        return a;
    });
    serve(storage, [this](const heard&) { return file; });
    file.end = answer::ending::closed;
    options.limits.retries = 1;
    const auto got = fetch();
    BOOST_TEST(!got.has_value());
    BOOST_TEST(there().empty());
}

// --- tries ---

BOOST_AUTO_TEST_CASE(a_refusal_for_good_is_not_repeated)
{
    for (const int status : {400, 401, 403, 404, 410, 416, 451}) {
        wires.at(hub).forget();
        file = answer(status, R"({"error":"because"})");
        BOOST_TEST_CONTEXT(status)
        {
            const auto got = fetch();
            BOOST_REQUIRE(!got.has_value());
            BOOST_TEST(got.error().permanent);
            BOOST_TEST(asked(hub).size() == 1u);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_passing_refusal_is_repeated_with_growing_pauses_and_then_told)
{
    for (const int status : {408, 429, 500, 502, 503, 504}) {
        wires.at(hub).forget();
        file = answer(status, "not now");
        check_fails("tried 6 times", false);
        const auto& sent = asked(hub);
        BOOST_REQUIRE(sent.size() == 6u);
        duration before{};
        for (std::size_t i = 1; i < sent.size(); ++i) {
            const auto pause = sent[i].when - sent[i - 1].when;
            BOOST_TEST((pause > before));
            before = pause;
        }
        BOOST_TEST((before <= 30s));
    }
}

BOOST_AUTO_TEST_CASE(a_server_that_recovers_is_noticed)
{
    int n = 0;
    serve(hub, [&](const heard&) { return ++n < 4 ? answer(503, "") : file; });
    check_fetched();
    BOOST_TEST(n == 4);
}

BOOST_AUTO_TEST_CASE(retry_after_is_obeyed)
{
    int n = 0;
    serve(hub, [&](const heard&) {
        if (++n == 2)
            return file;
        answer a(429, "");
        a.headers.emplace_back("Retry-After", "77");
        return a;
    });
    check_fetched();
    BOOST_TEST((asked(hub).at(1).when - asked(hub).at(0).when >= 77s));
}

BOOST_AUTO_TEST_CASE(a_body_cut_anywhere_is_fetched_again)
{
    const auto whole = file.head_size() + file.body.size();
    for (const auto ending : {answer::ending::cut, answer::ending::reset, answer::ending::stalled})
        for (std::size_t part = 0; part < whole; part += whole / 7) {
            int n = 0;
            serve(hub, [&](const heard&) {
                auto a = file;
                if (++n == 1) {
                    a.end = ending;
                    a.part = part;
                }
                return a;
            });
            BOOST_TEST_CONTEXT("after " << part)
            {
                check_fetched();
                BOOST_TEST(n == 2);
            }
            std::filesystem::remove_all(order.folder);
        }
}

BOOST_AUTO_TEST_CASE(a_body_that_is_always_cut_is_given_up_with_the_reason)
{
    file.end = answer::ending::cut;
    file.part = file.head_size() + 1000;
    check_fails("tried 6 times", false);
    BOOST_TEST(asked(hub).size() == 6u);
}

BOOST_AUTO_TEST_CASE(a_stall_ends_after_30_seconds)
{
    file.end = answer::ending::stalled;
    file.part = file.head_size() + 1000;
    options.limits.retries = 0;
    const auto began = time.now();
    const auto got = fetch();
    BOOST_TEST(!got.has_value());
    BOOST_TEST((time.now() - began >= 30s));
    BOOST_TEST((time.now() - began < 31s));
}

BOOST_AUTO_TEST_CASE(a_server_that_cannot_be_reached_is_asked_again)
{
    for (const auto state :
         {test::fake_server::port::closed, test::fake_server::port::swallowing}) {
        wires.at(hub).set_port(state);
        check_fails("huggingface.co", false);
    }
    BOOST_TEST(asked(hub).empty());
    BOOST_TEST(wires.at(hub).connects() == 12);
}

BOOST_AUTO_TEST_CASE(a_download_that_nobody_wants_ends_and_says_so)
{
    std::stop_source enough;
    order.stop = enough.get_token();
    serve(hub, [&](const heard&) {
        enough.request_stop();
        return file;
    });

    const auto got = fetch();

    BOOST_REQUIRE(!got.has_value());
    BOOST_TEST(got.error().cancelled);
    BOOST_TEST(!got.error().permanent);
    BOOST_TEST(!std::filesystem::exists(order.folder / "dream.safetensors"));
}

// --- our own disk ---

BOOST_AUTO_TEST_CASE(a_full_disk_is_told_before_a_byte_is_fetched)
{
    disk_faults.set_free_bytes(1000);
    const auto got = fetch();
    BOOST_REQUIRE(!got.has_value());
    BOOST_TEST(got.error().reason.find("Stable-diffusion") != std::string::npos,
               got.error().reason);
    BOOST_TEST(there().empty());
}

BOOST_AUTO_TEST_CASE(a_disk_that_fills_up_at_any_call_leaves_nothing_behind)
{
    using call = test::fault_files::call;
    file.body = model_file(1'000'000);
    options.limits.retries = 0;
    for (const auto what :
         {call::make_folders, call::open, call::write, call::sync, call::link, call::sync_folder})
        for (int nth = 1; nth <= 5; ++nth) {
            disk_faults.fail(what, nth, ENOSPC);
            const auto before = disk_faults.calls(what);
            const auto got = fetch();
            const bool hit = disk_faults.calls(what) - before >= nth;
            disk_faults.heal();
            BOOST_TEST_CONTEXT("call " << static_cast<int>(what) << " number " << nth)
            {
                // link falls back to rename where a file system has no links, and the first
                // file that is opened is the note of an earlier try, which need not be there
                const bool harmless = what == call::link || (what == call::open && nth == 1);
                if (hit && !harmless) {
                    BOOST_REQUIRE(!got.has_value());
                    BOOST_TEST(got.error().reason.find("No space left") != std::string::npos,
                               got.error().reason);
                }
                if (!got.has_value())
                    for (const auto& name : there())
                        BOOST_TEST(name == "dream.safetensors");
            }
            std::filesystem::remove_all(order.folder);
            if (!hit)
                break;
        }
}

BOOST_AUTO_TEST_CASE(a_disk_that_has_room_again_is_noticed)
{
    disk_faults.fail(test::fault_files::call::write, 1, ENOSPC);
    check_fetched();
    BOOST_TEST(asked(hub).size() == 2u);
}

BOOST_AUTO_TEST_SUITE_END()
