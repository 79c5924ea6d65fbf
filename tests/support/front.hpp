#pragma once

// The whole front of the gateway in one process and on a clock that the test turns: server, doors,
// jobs over a journal in memory and a spool in a folder of its own. No sockets; whoever works is
// the test.

#include "api/doors.hpp"
#include "support/fault_files.hpp"
#include "support/scripted_stream.hpp"
#include "support/temp_folder.hpp"
#include "support/test_journal.hpp"
#include "support/world.hpp"

namespace gateway::test {

// What came back.
struct reply {
    int status = 0;
    std::vector<std::pair<std::string, std::string>> headers; // names in lower case
    std::string body;

    std::string header(std::string_view lower_case_name) const; // empty when absent
};

// WebUIs that are what the test says.
struct told_backends final : core::backends_port {
    std::vector<core::backend_status> all;
    std::vector<core::backend_status> backends() const override { return all; }
};

// A library that misses what the test says.
struct told_models final : core::models_port {
    core::model_counts counts;
    std::vector<core::model_wait> waits;
    core::model_counts models() const override { return counts; }
    std::vector<core::model_wait> missing(core::set_id) const override { return waits; }
};

// A model library in which what is asked for is done at once.
struct told_library final : core::library_port {
    std::vector<core::model_status> all; // in order of kind and name
    std::optional<reply> refusal;        // of whatever is asked next
    core::model_ref pulled;
    bool removes_later = false;

    core::model_status& add(core::model_kind kind, std::string name, std::string state = "present");
    std::vector<core::model_status> files() const override { return all; }
    std::optional<core::model_status> file(core::model_kind kind,
                                           const std::string& name) const override;
    reply pull(const core::model_ref& file) override;
    reply remove(core::model_kind kind, const std::string& name) override;
    reply pin(core::model_kind kind, const std::string& name, bool on) override;

private:
    std::size_t place(core::model_kind kind, const std::string& name) const; // all.size(): none
    std::optional<reply> refused() { return std::exchange(refusal, std::nullopt); }
};

class front : public world {
public:
    front() : front(nullptr) {}
    // `change` is called on the settings before anything is built from them.
    explicit front(const std::function<void(config::settings&)>& change);
    ~front();

    // --- a client ---

    // Connects and sends these bytes; the connection stays open.
    std::shared_ptr<scripted_stream> send(std::string bytes);
    // What has been answered on a connection so far, taken off it; nothing while it is held.
    std::optional<reply> take_reply(scripted_stream& connection);
    // Sends a request and gives time until it is answered, at most `patience`.
    reply ask(std::string_view method, std::string_view target, std::string_view body = {},
              std::string_view more_headers = {}, duration patience = std::chrono::minutes(10));
    // Submits a job; its public id.
    std::string submit(std::string_view input = R"({"prompt":"a cat"})");
    std::string submit_sync(std::string_view input = R"({"prompt":"a cat"})");

    // --- a worker ---

    // The next job, begun on this backend.
    jobs::lease begin(std::string backend = "webui-0");
    void report(const jobs::lease& l, double fraction, core::progress_phase phase,
                std::optional<double> eta_seconds = std::nullopt);
    // `reply` is a WebUI's; the tail goes in before its last brace.
    void complete(const jobs::lease& l, std::string reply, std::string tail = {});
    void end(const jobs::lease& l, core::outcome how, std::string reason);
    core::backend_status& backend(std::string name = "webui-0");
    // The gateway goes and comes back over what is durable; connections are lost.
    void restart();

    std::string kept_as; // suite whose answers are held against openapi.yaml; empty: none

    temp_folder folder; // of the spool
    fault_files files;
    config::settings settings;
    seeded_random random{1};
    net::lane disk{"disk", 0};
    net::lane parsing{"parse", 0};
    test_journal journal{time};
    std::unique_ptr<store::spool> spool;
    std::unique_ptr<store::health> health;
    std::unique_ptr<jobs::jobs> jobs;
    told_backends backends;
    told_models models;
    told_library library;
    net::versions library_changes{ex()};
    std::string disk_trouble; // of the check "disk" in /readyz
    std::unique_ptr<api::doors> doors;
    std::unique_ptr<net::deadline_wheel> wheel;
    std::unique_ptr<net::server> server;

private:
    void build();
    void tear_down();

    std::vector<std::shared_ptr<scripted_stream>> connections_;
};

// An HTTP request in text.
std::string http_request(std::string_view method, std::string_view target,
                         std::string_view body = {}, std::string_view more_headers = {});
// The first whole reply in `bytes`, taken off them; nothing when it is not whole yet.
std::optional<reply> parse_reply(std::string& bytes, bool without_body = false);

} // namespace gateway::test
