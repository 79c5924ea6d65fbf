#include "proto/model_view.hpp"

#include "base/text.hpp"
#include "proto/hub.hpp"
#include "proto/json.hpp"
#include "proto/webui_job.hpp"

#include <array>

namespace gateway::proto {

namespace {

using core::model_kind;

constexpr std::array kinds{model_kind::checkpoint, model_kind::lora, model_kind::embedding,
                           model_kind::vae};

void text_if_known(object_writer& into, std::string_view key, std::string_view text)
{
    if (!text.empty())
        into.text(key, text);
}

void time_if_known(object_writer& into, std::string_view key, wall_time when)
{
    if (when != wall_time{})
        into.text(key, format_time(when));
}

std::string list_of(const std::vector<std::string>& names)
{
    std::string out = "[";
    for (const auto& name : names) {
        if (out.size() > 1)
            out += ',';
        append_quoted(out, name);
    }
    return out + ']';
}

std::string cursor_of(const core::model_status& model)
{
    return std::string(core::to_text(model.kind)) + '/' + model.name;
}

// As the list is ordered: by kind as core counts them, then by name.
bool comes_after(const core::model_status& model, std::string_view cursor)
{
    const auto slash = cursor.find('/');
    const auto kind = parse_model_kind(cursor.substr(0, slash));
    if (slash == std::string_view::npos || !kind)
        return true;
    return model.kind != *kind ? model.kind > *kind : model.name > cursor.substr(slash + 1);
}

} // namespace

std::string progress_body(const core::model_wait& wait)
{
    std::string out;
    object_writer body(out);
    body.integer("bytes", static_cast<std::int64_t>(wait.bytes));
    if (wait.total > 0)
        body.integer("total", static_cast<std::int64_t>(wait.total));
    body.number("bytes_per_second", wait.bytes_per_second);
    if (const auto eta = wait.eta_seconds())
        body.number("eta_seconds", *eta);
    body.close();
    return out;
}

std::string model_body(const core::model_status& model)
{
    std::string out;
    object_writer body(out);
    body.text("kind", core::to_text(model.kind))
        .text("name", model.name)
        .text("state", model.state);
    text_if_known(body, "file", model.path.substr(model.path.rfind('/') + 1));
    if (model.size > 0)
        body.integer("size", static_cast<std::int64_t>(model.size));
    text_if_known(body, "sha256", model.sha256);
    text_if_known(body, "source", model.source);
    body.integer("usage_count", static_cast<std::int64_t>(model.uses));
    time_if_known(body, "downloaded_at", model.downloaded);
    time_if_known(body, "last_used", model.last_used);
    body.boolean("pinned", model.pinned)
        .boolean("managed", model.ours)
        .boolean("needed", model.needed)
        .raw("listed_by", list_of(model.listed_by));
    if (model.state == "fetching")
        body.raw("progress", progress_body(model.progress));
    text_if_known(body, "error", model.reason);
    body.close();
    return out;
}

std::optional<core::model_kind> parse_model_kind(std::string_view text)
{
    for (const auto kind : kinds) {
        if (text == core::to_text(kind))
            return kind;
    }
    return std::nullopt;
}

parsed<core::model_ref> parse_pull_request(std::string_view body)
{
    const document doc(body);
    if (!doc.ok())
        return make_problem(problem_code::malformed_json, doc.error());
    const auto* object = doc.root().if_object();
    if (object == nullptr)
        return make_problem(problem_code::invalid_request,
                            "found " + describe(&doc.root()) +
                                R"(; wanted is {"kind", "name", "url", "hash"})");
    complaints wrong;
    reader from(*object, "", wrong);
    core::model_ref file;
    const auto kind = parse_model_kind(from.text("kind").value_or("checkpoint"));
    if (!kind)
        from.complain_wanted("kind", "checkpoint, lora, embedding or vae");
    file.kind = kind.value_or(model_kind::checkpoint);
    const auto name = from.required_text("name");
    file.url = from.required_text("url").value_or("");
    const auto hash = from.text("hash");
    if (!wrong.none())
        return wrong.as_problem();
    const auto good_name = parse_model_name(*name, file.kind);
    if (!good_name)
        return good_name.error();
    file.name = *good_name;
    if (hash && !hash->empty()) {
        const auto good_hash = parse_model_hash(*hash);
        if (!good_hash)
            return good_hash.error();
        file.sha256 = *good_hash;
    }
    const auto source = parse_model_source(file.url, "https://huggingface.co");
    if (!source)
        return source.error();
    return file;
}

std::string model_list_body(const std::vector<core::model_status>& all, const model_page& page)
{
    std::string out;
    object_writer body(out);
    body.key("models");
    out += '[';
    std::size_t shown = 0;
    std::string last;
    bool more = false;
    for (const auto& model : all) {
        const bool fits = (!page.kind || model.kind == *page.kind) &&
                          (page.state.empty() || model.state == page.state) &&
                          (page.after.empty() || comes_after(model, page.after));
        if (!fits)
            continue;
        if (shown == page.limit) {
            more = true;
            break;
        }
        out += (shown++ > 0 ? "," : "") + model_body(model);
        last = cursor_of(model);
    }
    out += ']';
    if (more)
        body.text("next_cursor", last);
    body.close();
    return out;
}

} // namespace gateway::proto
