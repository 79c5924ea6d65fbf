#include "api/models.hpp"

#include "api/answer.hpp"
#include "api/model_events.hpp"
#include "base/text.hpp"
#include "proto/model_view.hpp"

#include <charconv>

namespace gateway::api {

namespace {

using proto::problem_code;

// How long DELETE waits for the disk before it says that it is under way.
constexpr auto delete_wait = std::chrono::seconds(5);
constexpr std::size_t most_models = 1000; // in one list

proto::parsed<std::size_t> limit_of(const std::string& text)
{
    std::size_t limit = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), limit);
    if (failed != std::errc{} || end != text.data() + text.size() || limit == 0 ||
        limit > most_models)
        return proto::make_problem(problem_code::invalid_request, "limit: a number from 1 to " +
                                                                      std::to_string(most_models) +
                                                                      " is wanted");
    return limit;
}

// For a path.
std::string encoded(std::string_view name)
{
    constexpr std::string_view plain = "-._~";
    std::string out;
    for (const char c : name) {
        const bool kept = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                          (c >= 'A' && c <= 'Z') || plain.find(c) != plain.npos;
        out += kept ? std::string(1, c) : '%' + hex(std::string_view(&c, 1));
    }
    return out;
}

proto::problem no_such_kind(std::string_view text)
{
    return proto::make_problem(problem_code::invalid_request,
                               "kind: '" + std::string(text) +
                                   "' is not checkpoint, lora, embedding or vae");
}

} // namespace

std::vector<route> models::routes()
{
    if (with_.library == nullptr)
        return {};
    const auto body = with_.settings.server.body_limit;
    const auto at_once = [](auto answer) {
        return [answer](const call& c) { return std::optional<net::response>(answer(c)); };
    };
    const auto listing = at_once([this](const call& c) { return list(c); });
    const auto getting = at_once([this](const call& c) { return get(c); });
    const auto pulling = at_once([this](const call& c) { return pull(c); });
    const auto pinning = at_once([this](const call& c) { return pin(c, true); });
    const auto unpinning = at_once([this](const call& c) { return pin(c, false); });
    const auto telling = at_once([this](const call& c) { return events(c); });
    const auto removing = [this](call c) { return remove(c); };
    return {
        {"GET", "/api/v1/models", "listModels", false, false, body, listing, {}},
        {"POST", "/api/v1/models", "pullModel", false, false, body, pulling, {}},
        {"GET", "/api/v1/models/events", "modelEvents", false, false, body, telling, {}},
        {"GET", "/api/v1/models/{kind}/{name}", "getModel", false, false, body, getting, {}},
        {"DELETE", "/api/v1/models/{kind}/{name}", "deleteModel", false, false, body, {}, removing},
        {"PUT", "/api/v1/models/{kind}/{name}/pin", "pinModel", false, false, body, pinning, {}},
        {"DELETE",
         "/api/v1/models/{kind}/{name}/pin",
         "unpinModel",
         false,
         false,
         body,
         unpinning,
         {}},
    };
}

net::response models::problem(const call& c, const proto::problem& what)
{
    return problem_on(c.request.path, what);
}

proto::parsed<models::named> models::name_of(const call& c) const
{
    const auto kind = proto::parse_model_kind(c.id);
    if (!kind)
        return proto::make_problem(problem_code::model_not_found,
                                   no_such_kind(c.id.substr(0, 100)).detail);
    return named{*kind, net::percent_decode(c.part)};
}

net::response models::show(const call& c, const named& file, int status) const
{
    const auto model = with_.library->file(file.kind, file.name);
    if (!model)
        return problem(c, proto::make_problem(problem_code::model_not_found));
    auto answer = json_answer(proto::model_body(*model));
    answer.status = status;
    return answer;
}

net::response models::list(const call& c) const
{
    proto::model_page page;
    if (const auto kind = c.request.parameter("kind")) {
        page.kind = proto::parse_model_kind(*kind);
        if (!page.kind)
            return problem(c, no_such_kind(*kind));
    }
    if (const auto limit = c.request.parameter("limit")) {
        const auto read = limit_of(*limit);
        if (!read)
            return problem(c, read.error());
        page.limit = *read;
    }
    page.state = c.request.parameter("state").value_or("");
    page.after = c.request.parameter("cursor").value_or("");
    return json_answer(proto::model_list_body(with_.library->files(), page));
}

net::response models::get(const call& c) const
{
    const auto file = name_of(c);
    return file ? show(c, *file) : problem(c, file.error());
}

net::response models::pull(const call& c) const
{
    const auto file = proto::parse_pull_request(c.request.body);
    if (!file)
        return problem(c, file.error());
    const auto done = with_.library->pull(*file);
    if (done.what == core::library_port::answer::refused)
        return problem(c, proto::make_problem(problem_code::conflict, done.reason));
    auto answer = show(c, {file->kind, file->name}, 202);
    answer.headers.emplace_back("Location", "/api/v1/models/" +
                                                std::string(core::to_text(file->kind)) + '/' +
                                                encoded(file->name));
    return answer;
}

net::task<net::response> models::remove(call c)
{
    const auto file = name_of(c);
    if (!file)
        co_return problem(c, file.error());
    const auto done = with_.library->remove(file->kind, file->name);
    if (done.what == core::library_port::answer::unknown)
        co_return problem(c, proto::make_problem(problem_code::model_not_found));
    if (done.what == core::library_port::answer::refused)
        co_return problem(c, proto::make_problem(problem_code::conflict, done.reason));
    const auto until = with_.time.now() + delete_wait;
    for (;;) {
        const auto seen = with_.changes->current();
        const auto now = with_.library->file(file->kind, file->name);
        if (!now)
            break;
        if (now->state == "present")
            co_return problem(
                c, proto::make_problem(problem_code::conflict, "another process uses the file"));
        const bool moved = co_await with_.changes->past(seen, with_.time, until);
        if (!moved)
            co_return show(c, *file, 202);
    }
    net::response gone;
    gone.status = 204;
    gone.content_type.clear();
    co_return gone;
}

net::response models::pin(const call& c, bool on) const
{
    const auto file = name_of(c);
    if (!file)
        return problem(c, file.error());
    const auto done = with_.library->pin(file->kind, file->name, on);
    if (done.what == core::library_port::answer::unknown)
        return problem(c, proto::make_problem(problem_code::model_not_found));
    return show(c, *file);
}

net::response models::events(const call& c) const
{
    std::optional<core::model_kind> kind;
    if (const auto text = c.request.parameter("kind")) {
        kind = proto::parse_model_kind(*text);
        if (!kind)
            return problem(c, no_such_kind(*text));
    }
    net::response answer;
    answer.content_type = "text/event-stream";
    answer.headers.emplace_back("Cache-Control", "no-store");
    answer.headers.emplace_back("X-Accel-Buffering", "no");
    answer.source = std::make_shared<model_events>(
        model_events::parts{*with_.library, *with_.changes, with_.time, holding_}, kind,
        c.request.parameter("name").value_or(""));
    return answer;
}

} // namespace gateway::api
