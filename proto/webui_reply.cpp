#include "proto/webui_reply.hpp"

#include "proto/json.hpp"
#include "proto/text.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

namespace gateway::proto {

namespace {

using core::outcome;

// --- What a body says ----------------------------------------------------------------------------

constexpr std::size_t longest_quote = 400; // of a backend's words in a reason

// Foreign text for a reason: one line, not too long, cut between characters.
std::string tidy(std::string_view text)
{
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        if (out.size() >= longest_quote)
            return out + "…";
        const std::size_t length = utf8_length(text.substr(at));
        const bool blank = static_cast<unsigned char>(text[at]) <= 0x20;
        if (blank && (out.empty() || out.back() != ' '))
            out += ' ';
        else if (!blank)
            out.append(length == 0 ? "?" : text.substr(at, length));
        at += std::max<std::size_t>(length, 1);
    }
    return out;
}

std::string text_of(const json::value* value)
{
    const json::string* text = value == nullptr ? nullptr : value->if_string();
    return text == nullptr ? std::string() : std::string(text->data(), text->size());
}

// "steps: value is not a valid integer" from one entry of a pydantic list, v1 or v2. The rest of
// the entry may hold the whole request and is left alone.
std::string complaint_text(const json::object& entry)
{
    std::string where;
    const json::value* path = entry.if_contains("loc");
    const json::array* steps = path == nullptr ? nullptr : path->if_array();
    for (std::size_t i = 1; steps != nullptr && i < steps->size(); ++i) {
        const json::value& step = (*steps)[i];
        where += where.empty() ? "" : ".";
        where += step.is_string() ? text_of(&step) : to_json(step);
    }
    const std::string what = text_of(entry.if_contains("msg"));
    return where.empty() ? what : where + ": " + what;
}

// `detail` may be a text, pydantic's list, or koboldcpp's object.
std::string detail_text(const json::value* detail)
{
    if (detail == nullptr)
        return {};
    if (const auto* object = detail->if_object())
        return text_of(object->if_contains("msg"));
    std::string out = text_of(detail);
    constexpr std::size_t enough = 3;
    if (const auto* list = detail->if_array())
        for (std::size_t i = 0; i < list->size() && i < enough; ++i)
            if (const auto* entry = (*list)[i].if_object())
                out += (out.empty() ? "" : "; ") + complaint_text(*entry);
    return out;
}

struct error_body {
    bool is_json = false;
    bool is_object = false;
    bool is_html = false;
    bool only_detail = false; // an object with the one key `detail`
    bool has_error_key = false;
    std::string error;  // exception name, or text
    std::string detail; // text form
    std::string errors; // text; `message` when there is none

    // Everything said, the most telling first.
    std::string words() const
    {
        std::string out = errors.empty() ? detail : errors;
        if (!error.empty() && error != "HTTPException" && error != out)
            out = out.empty() ? error : error + ": " + out;
        return out;
    }
    bool says(std::string_view part) const
    {
        return contains_ignoring_case(error, part) || contains_ignoring_case(detail, part) ||
               contains_ignoring_case(errors, part);
    }
};

error_body read_error(std::string_view body)
{
    error_body read;
    const std::size_t first = body.find_first_not_of(" \t\r\n");
    read.is_html = first != std::string_view::npos && body[first] == '<';
    if (read.is_html)
        return read;
    const document text(body);
    read.is_json = text.ok();
    const json::object* object = text.root().if_object();
    read.is_object = object != nullptr;
    if (object == nullptr) {
        read.detail = text_of(&text.root()); // SD.Next: a bare text
        return read;
    }
    read.has_error_key = object->contains("error") || object->contains("errors");
    read.only_detail = object->size() == 1 && object->contains("detail");
    read.error = text_of(object->if_contains("error"));
    read.detail = detail_text(object->if_contains("detail"));
    read.errors = text_of(object->if_contains("errors"));
    if (read.errors.empty())
        read.errors = text_of(object->if_contains("message"));
    return read;
}

std::string html_title(std::string_view page)
{
    const std::string low = to_lower(page.substr(0, 4096));
    const std::size_t open = low.find("<title>");
    const std::size_t close = low.find("</title>");
    if (open == std::string::npos || close == std::string::npos || close < open)
        return {};
    return tidy(page.substr(open + 7, close - open - 7));
}

// What came back when it says nothing we understand.
std::string describe_body(const reply_facts& facts, const error_body& body)
{
    if (facts.body.empty())
        return "an empty body";
    if (body.is_html) {
        const std::string title = html_title(facts.body);
        return title.empty() ? "an HTML page" : "an HTML page titled " + quoted(title);
    }
    const std::string words =
        tidy(body.words().empty() ? std::string(facts.body.substr(0, 200)) : body.words());
    return quoted(words);
}

std::string answered(const reply_facts& facts)
{
    return "the WebUI answered " + std::to_string(facts.status) + " to " + std::string(facts.route);
}

reply_verdict verdict(outcome what, std::string reason, const error_body& body = {})
{
    reply_verdict made;
    made.what = what;
    made.reason = std::move(reason);
    made.error = tidy(body.error);
    return made;
}

// --- 200 -----------------------------------------------------------------------------------------

bool looks_like_html(const reply_facts& facts)
{
    const std::size_t first = facts.body.find_first_not_of(" \t\r\n");
    return contains_ignoring_case(facts.content_type, "text/html") ||
           (first != std::string_view::npos && facts.body[first] == '<');
}

reply_verdict no_pictures()
{
    reply_verdict made = verdict(outcome::bad_reply,
                                 "the WebUI answered 200 without pictures: the job was interrupted "
                                 "before its first step, or failed without saying so");
    made.empty = true;
    return made;
}

reply_verdict classify_result(const reply_facts& facts, const reply_summary& reply)
{
    if (!reply.is_object)
        return verdict(outcome::bad_reply, answered(facts) + " with JSON that is not an object");
    if ((reply.has_error || reply.has_detail) && reply.images.empty())
        return verdict(outcome::bad_reply, answered(facts) + " with an error in its body: " +
                                               quoted(tidy(reply.error_text)));
    if (!reply.has_images)
        return verdict(outcome::bad_reply, answered(facts) + " with JSON that has no `images`");
    if (reply.other_images != 0)
        return verdict(outcome::bad_reply,
                       answered(facts) + " with something in `images` that is not text");
    if (!facts.wants_images)
        return verdict(outcome::done, {});
    if (reply.images.empty())
        return no_pictures();
    const bool blank = std::any_of(reply.images.begin(), reply.images.end(),
                                   [](const image_place& image) { return image.length == 0; });
    if (blank)
        return verdict(outcome::bad_reply, answered(facts) +
                                               " with an empty picture, which is how koboldcpp "
                                               "says that generating failed; see its log");
    return verdict(outcome::done, {});
}

reply_verdict classify_success(const reply_facts& facts)
{
    if (facts.status != 200)
        return verdict(outcome::bad_reply, answered(facts) + ", which is not a result");
    result_scan own;
    if (facts.scan == nullptr && own.feed(facts.body))
        own.finish();
    const result_scan& scan = facts.scan != nullptr ? *facts.scan : own;
    if (scan.error().empty())
        return facts.any_json ? verdict(outcome::done, {}) : classify_result(facts, scan.summary());
    if (looks_like_html(facts)) {
        error_body page;
        page.is_html = true;
        return verdict(outcome::bad_reply, answered(facts) + " with " + describe_body(facts, page) +
                                               "; is this really a WebUI's address?");
    }
    return verdict(outcome::bad_reply, answered(facts) + ", but its reply of " +
                                           std::to_string(scan.summary().size) +
                                           " bytes is not JSON: " + scan.error());
}

// --- 4xx -----------------------------------------------------------------------------------------

reply_verdict route_missing(const reply_facts& facts, const std::string& what_came)
{
    return verdict(outcome::route_missing,
                   answered(facts) + " with " + what_came +
                       ": the route is not there. It is starting, was restarted, or runs without "
                       "--api");
}

// webui.md §2.7, line by line.
reply_verdict classify_not_found(const reply_facts& facts, const error_body& body)
{
    const bool standard = body.is_object && body.detail == "Not Found";
    if (standard && (body.only_detail || body.has_error_key))
        return route_missing(facts, "\"Not Found\"");
    if (body.is_object && (!body.detail.empty() || body.has_error_key))
        return verdict(outcome::rejected, answered(facts) + ": " + tidy(body.words()), body);
    return route_missing(facts, describe_body(facts, body));
}

reply_verdict classify_refusal(const reply_facts& facts, const error_body& body)
{
    const std::string came = describe_body(facts, body);
    switch (facts.status) {
    case 401:
    case 403:
    case 407:
        return verdict(outcome::unauthorized,
                       answered(facts) + ": " + came +
                           "; check the user and password configured for this WebUI",
                       body);
    case 404: return classify_not_found(facts, body);
    case 405: return route_missing(facts, came);
    case 408:
    case 425: return verdict(outcome::proxy_error, answered(facts) + " with " + came, body);
    case 413:
    case 414:
        return verdict(outcome::rejected,
                       answered(facts) +
                           ": the request is too large for it or for a proxy before "
                           "it (" +
                           came + ")",
                       body);
    case 429:
        return verdict(outcome::rate_limited,
                       answered(facts) + ": too many requests in its time window (" + came + ")",
                       body);
    default: break;
    }
    const std::string words = tidy(body.words());
    return verdict(outcome::rejected,
                   "the WebUI refused the request (" + std::to_string(facts.status) +
                       "): " + (words.empty() ? came : words),
                   body);
}

// --- 5xx -----------------------------------------------------------------------------------------

bool says_any(const error_body& body, std::span<const std::string_view> parts)
{
    return std::any_of(parts.begin(), parts.end(),
                       [&](std::string_view part) { return body.says(part); });
}

bool is_out_of_memory(const error_body& body)
{
    return body.error == "OutOfMemoryError" || body.says("out of memory");
}

bool is_nan(const error_body& body)
{
    return body.error == "NansException" || body.says("tensor with all NaNs");
}

bool lacks_model(const error_body& body)
{
    return body.says("No checkpoints found") ||
           body.says("'NoneType' object has no attribute 'lowvram'");
}

bool has_broken_cache(const error_body& body)
{
    return body.error == "OperationalError" || body.error == "DatabaseError" ||
           body.says("unable to open database file") || body.says("no such table: Cache") ||
           body.says("file is not a database") || body.says("database disk image is malformed");
}

// 500s that the request itself causes (webui.md §2.6, §7.1).
bool blames_request(const error_body& body)
{
    constexpr std::array<std::string_view, 5> details{
        "Invalid encoded image", "Invalid image url", "Requests not allowed",
        "Request to local resource not allowed", "Invalid image format"};
    constexpr std::array<std::string_view, 5> texts{
        "Could not find checkpoint", "could not find upscaler", "bad number of images passed",
        "changing settings is disabled", "' not found"};
    const bool by_detail = std::find(details.begin(), details.end(), body.detail) != details.end();
    return by_detail || body.error == "KeyError" || body.error == "AssertionError" ||
           says_any(body, texts);
}

std::string cache_advice(const error_body& body)
{
    if (body.says("no such column: \"size\""))
        return "its SQLite is built without double-quoted strings, and deleting the cache does not "
               "help: run it with another SQLite or with --no-hashing";
    return "stop it, delete its cache folder and start it again";
}

reply_verdict classify_crash(const reply_facts& facts, const error_body& body)
{
    const std::string words = tidy(body.words());
    if (is_out_of_memory(body))
        return verdict(outcome::out_of_memory, "the WebUI is out of memory: " + words, body);
    if (is_nan(body))
        return verdict(outcome::nan,
                       "the WebUI made a picture of NaNs (often a VAE in half precision; "
                       "--no-half-vae helps): " +
                           words,
                       body);
    if (lacks_model(body))
        return verdict(outcome::no_model, "the WebUI has no model loaded: " + words, body);
    if (has_broken_cache(body))
        return verdict(outcome::cache_broken,
                       "the WebUI's cache database is broken: " + words + "; " + cache_advice(body),
                       body);
    if (blames_request(body))
        return verdict(outcome::rejected, "the WebUI refused the request (500): " + words, body);
    return verdict(outcome::server_error, answered(facts) + " with " + describe_body(facts, body),
                   body);
}

reply_verdict classify_failure(const reply_facts& facts, const error_body& body)
{
    const std::string came = describe_body(facts, body);
    if (facts.status == 503 && body.is_object)
        return verdict(outcome::busy, "the WebUI is busy (503): " + tidy(body.words()), body);
    const bool gateway_status = (facts.status >= 502 && facts.status <= 504) || facts.status >= 520;
    if (gateway_status || body.is_html)
        return verdict(outcome::proxy_error,
                       "something between the gateway and the WebUI answered " +
                           std::to_string(facts.status) + " with " + came,
                       body);
    return classify_crash(facts, body);
}

} // namespace

reply_verdict classify(const reply_facts& facts)
{
    if (facts.status >= 200 && facts.status < 300)
        return classify_success(facts);
    const error_body body = read_error(facts.body);
    if (facts.status >= 500)
        return classify_failure(facts, body);
    if (facts.status >= 400)
        return classify_refusal(facts, body);
    if (facts.status >= 300)
        return verdict(outcome::proxy_error,
                       answered(facts) + " with a redirect; the address must be the WebUI's own");
    return verdict(outcome::bad_reply, answered(facts) + ", which is no HTTP answer to this");
}

route_probe classify_route_probe(int status, std::string_view)
{
    if (status == 405)
        return route_probe::present;
    return status == 404 ? route_probe::missing : route_probe::unclear;
}

} // namespace gateway::proto
