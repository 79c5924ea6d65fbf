#include "proto/hub.hpp"

#include "base/text.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>

namespace gateway::proto {

namespace {

constexpr std::string_view hf_home = "https://huggingface.co";

struct split_url {
    std::string_view scheme, host, path, query;
};

split_url split(std::string_view url)
{
    split_url s;
    url = url.substr(0, url.find('#'));
    const auto scheme_end = url.find("://");
    if (scheme_end == std::string_view::npos)
        return s;
    s.scheme = url.substr(0, scheme_end);
    url.remove_prefix(scheme_end + 3);
    const auto host_end = url.find_first_of("/?");
    s.host = url.substr(0, host_end);
    if (host_end == std::string_view::npos)
        return s;
    url.remove_prefix(host_end);
    const auto query = url.find('?');
    s.path = url.substr(0, query);
    if (query != std::string_view::npos)
        s.query = url.substr(query + 1);
    return s;
}

// Takes the parameter out of a query and returns its value.
std::string take_parameter(std::string& query, std::string_view name)
{
    std::string kept, value;
    std::string_view rest = query;
    while (!rest.empty()) {
        const auto end = rest.find('&');
        const auto item = rest.substr(0, end);
        rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
        const auto equals = item.find('=');
        if (item.substr(0, equals) == name) {
            value = equals == std::string_view::npos ? "" : item.substr(equals + 1);
            continue;
        }
        if (!kept.empty())
            kept += '&';
        kept += item;
    }
    query = std::move(kept);
    return value;
}

bool is_civitai(std::string_view host)
{
    static constexpr std::array<std::string_view, 4> known{"civitai.com", "www.civitai.com",
                                                           "civitai.red", "civitai.green"};
    return std::find(known.begin(), known.end(), host) != known.end();
}

bool is_hex(std::string_view text, std::size_t length)
{
    return text.size() == length && std::all_of(text.begin(), text.end(), [](unsigned char c) {
               return std::isxdigit(c) != 0;
           });
}

std::string replaced(std::string path, std::string_view what, std::string_view with)
{
    const auto at = path.find(what);
    if (at != std::string::npos)
        path.replace(at, what.size(), with);
    return path;
}

parsed<model_source> huggingface_source(const split_url& url, std::string_view base)
{
    std::string path(url.path);
    path = replaced(std::move(path), "/blob/", "/resolve/");
    path = replaced(std::move(path), "/raw/", "/resolve/");
    if (path.find("/resolve/") == std::string::npos)
        return make_problem(problem_code::invalid_request,
                            "this is a page of Hugging Face, not a file; use "
                            "https://huggingface.co/<owner>/<repository>/resolve/main/<file>");
    std::string query(url.query);
    take_parameter(query, "download");
    model_source s;
    s.from = hub::huggingface;
    s.url = std::string(base) + path + (query.empty() ? "" : "?" + query);
    return s;
}

parsed<model_source> civitai_source(const split_url& url)
{
    std::string path(url.path);
    std::string query(url.query);
    model_source s;
    s.from = hub::civitai;
    s.token = take_parameter(query, "token");
    if (path.starts_with("/models/")) {
        const auto version = take_parameter(query, "modelVersionId");
        if (version.empty())
            return make_problem(problem_code::invalid_request,
                                "this is a page of Civitai without a version; use "
                                "https://civitai.com/api/download/models/<version id>");
        path = "/api/download/models/" + version;
        query.clear();
    }
    s.url = std::string(url.scheme) + "://" + std::string(url.host) + path +
            (query.empty() ? "" : "?" + query);
    return s;
}

std::string message_of(std::string_view body)
{
    boost::system::error_code ec;
    const auto value = boost::json::parse(body, ec);
    const auto* object = ec ? nullptr : value.if_object();
    if (object == nullptr)
        return {};
    for (const auto key : {"message", "error", "detail"}) {
        const auto* text = object->if_contains(key);
        if (text != nullptr && text->is_string())
            return std::string(text->get_string());
    }
    return {};
}

std::optional<std::chrono::seconds> retry_after(const header_lookup& headers)
{
    auto text = headers("retry-after");
    // RateLimit: "resolvers";r=0;t=55 – nothing is left for 55 s (downloads.md §1.4).
    const auto limit = headers("ratelimit");
    const auto reset = limit.find(";t=");
    if (limit.find(";r=0;") != std::string_view::npos && reset != std::string_view::npos) {
        text = limit.substr(reset + 3);
        text = text.substr(0, text.find_first_of(";, "));
    }
    std::int64_t seconds = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (ec != std::errc{} || end != text.data() + text.size() || seconds < 0)
        return std::nullopt;
    seconds += reset == std::string_view::npos ? 0 : 1;
    return std::chrono::seconds(std::min<std::int64_t>(seconds, 900)); // downloads.md §3.3
}

std::string explain_huggingface(int status, const header_lookup& headers, bool had_token)
{
    const auto code = headers("x-error-code");
    if (code == "GatedRepo")
        return "the repository is gated: accept its licence on its page, and give a token with "
               "access to gated repositories (HF_TOKEN)";
    if (code == "EntryNotFound")
        return "the repository has no such file";
    if (code == "RevisionNotFound")
        return "the repository has no such branch, tag or commit";
    if (headers("x-error-message").find("Invalid credentials") != std::string_view::npos)
        return "Hugging Face does not accept the token (HF_TOKEN)";
    if (code == "RepoNotFound" || status == 401)
        return had_token ? "the repository does not exist, or the token may not see it"
                         : "the repository does not exist, or it is private or gated and no token "
                           "was given (HF_TOKEN)";
    return {};
}

std::string explain_civitai(int status, std::string_view message, bool had_token)
{
    if (status == 401 && message.find("disabled downloads") != std::string_view::npos)
        return "its creator has disabled downloads of this file";
    if (status == 401)
        return had_token ? "Civitai does not accept the token (CIVITAI_API_TOKEN)"
                         : "Civitai asks for a login: give a token (CIVITAI_API_TOKEN)";
    if (status == 403 && message.find("Early Access") != std::string_view::npos)
        return "the file is in early access";
    if (status == 410)
        return "the model has been archived";
    return {};
}

bool is_transient(int status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

} // namespace

std::string_view to_text(hub from)
{
    switch (from) {
    case hub::huggingface: return "huggingface";
    case hub::civitai: return "civitai";
    case hub::folder: return "folder";
    case hub::other: return "other";
    }
    return "";
}

parsed<model_source> parse_model_source(std::string_view url, std::string_view endpoint)
{
    const auto parts = split(url);
    if (parts.scheme == "file") {
        model_source local;
        local.url = url;
        local.from = hub::folder;
        if (local_path(local).empty())
            return make_problem(problem_code::invalid_request,
                                "file:// needs an absolute path without \"..\", such as "
                                "file:///mnt/models/x.safetensors");
        return local;
    }
    if ((parts.scheme != "https" && parts.scheme != "http") || parts.host.empty())
        return make_problem(problem_code::invalid_request, "it is not an http or https URL");
    const auto host = to_lower(parts.host);
    if (host == "huggingface.co" || host == "www.huggingface.co" || host == "hf.co")
        return huggingface_source(parts, endpoint.empty() ? hf_home : endpoint);
    if (!endpoint.empty() && url.starts_with(endpoint) &&
        url.find("/resolve/") != std::string_view::npos)
        return huggingface_source(parts,
                                  std::string(parts.scheme) + "://" + std::string(parts.host));
    if (is_civitai(host))
        return civitai_source(parts);
    model_source s;
    s.url = std::string(url.substr(0, url.find('#')));
    return s;
}

std::string local_path(const model_source& source)
{
    constexpr std::string_view scheme = "file://";
    std::string_view rest = source.url;
    rest.remove_prefix(std::min(scheme.size(), rest.size()));
    if (rest.starts_with("localhost/"))
        rest.remove_prefix(9);
    std::string path;
    for (std::size_t at = 0; at < rest.size(); ++at) {
        unsigned code = 0;
        if (rest[at] != '%') {
            path += rest[at];
            continue;
        }
        const auto digits = rest.substr(at + 1, 2);
        const auto [end, ec] =
            std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
        if (ec != std::errc{} || end != digits.data() + 2 || code == 0)
            return {};
        path += static_cast<char>(code);
        at += 2;
    }
    const bool climbs = (path + '/').find("/../") != std::string::npos;
    return path.starts_with('/') && !path.ends_with('/') && !climbs ? path : std::string();
}

source_facts read_source_facts(hub from, const header_lookup& headers)
{
    source_facts facts;
    if (from != hub::huggingface)
        return facts;
    auto tag = headers("x-linked-etag");
    if (tag.starts_with("W/"))
        tag.remove_prefix(2);
    if (tag.size() >= 2 && tag.front() == '"' && tag.back() == '"')
        tag = tag.substr(1, tag.size() - 2);
    if (is_hex(tag, 64))
        facts.sha256 = to_lower(tag);
    const auto size = headers("x-linked-size");
    std::uint64_t n = 0;
    const auto [end, ec] = std::from_chars(size.data(), size.data() + size.size(), n);
    if (ec == std::errc{} && !size.empty() && end == size.data() + size.size())
        facts.size = n;
    if (const auto commit = headers("x-repo-commit"); is_hex(commit, 40))
        facts.commit = commit;
    return facts;
}

std::string pinned_url(const model_source& source, const std::string& commit)
{
    constexpr std::string_view mark = "/resolve/";
    const auto at = source.url.find(mark);
    if (source.from != hub::huggingface || commit.empty() || at == std::string::npos)
        return source.url;
    const auto revision = at + mark.size();
    const auto end = source.url.find('/', revision);
    return end == std::string::npos
               ? source.url
               : source.url.substr(0, revision) + commit + source.url.substr(end);
}

std::string description_url(const model_source& source)
{
    constexpr std::string_view mark = "/api/download/models/";
    const auto at = source.url.find(mark);
    if (source.from != hub::civitai || at == std::string::npos)
        return {};
    const auto id = source.url.substr(at + mark.size());
    return source.url.substr(0, at) + "/api/v1/model-versions/" +
           id.substr(0, id.find_first_of("?/"));
}

namespace {

// Whether every parameter of the link that chooses among files is met by this one.
bool is_meant(const boost::json::object& file, std::string query)
{
    const auto wanted_id = take_parameter(query, "fileId");
    if (!wanted_id.empty()) {
        const auto* id = file.if_contains("id");
        return id != nullptr && id->is_int64() && std::to_string(id->get_int64()) == wanted_id;
    }
    const auto* meta = file.if_contains("metadata");
    const auto text_in = [](const boost::json::value* from, std::string_view key) -> std::string {
        const auto* value =
            from == nullptr || !from->is_object() ? nullptr : from->get_object().if_contains(key);
        return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
    };
    bool chosen = false;
    for (const auto key : {"format", "size", "fp"}) {
        const auto wanted = take_parameter(query, key);
        chosen = chosen || !wanted.empty();
        if (!wanted.empty() && !iequals(wanted, text_in(meta, key)))
            return false;
    }
    const auto type = take_parameter(query, "type");
    const auto* own_type = file.if_contains("type");
    if (!type.empty() && own_type != nullptr && own_type->is_string())
        return iequals(type, std::string_view(own_type->get_string()));
    const auto* primary = file.if_contains("primary");
    return chosen || (primary != nullptr && primary->is_bool() && primary->get_bool());
}

} // namespace

// A link without fileId may mean another file for the owner of a token (downloads.md §2.1), so only
// a description that leaves no choice is believed.
source_facts read_description(const model_source& source, std::string_view body)
{
    source_facts facts;
    boost::system::error_code ec;
    const auto root = boost::json::parse(body, ec);
    const auto* object = ec ? nullptr : root.if_object();
    const auto* files = object == nullptr ? nullptr : object->if_contains("files");
    if (files == nullptr || !files->is_array())
        return facts;
    const auto question = source.url.find('?');
    const std::string query = question == std::string::npos ? "" : source.url.substr(question + 1);
    const boost::json::object* meant = nullptr;
    for (const auto& item : files->get_array()) {
        const auto* file = item.if_object();
        if (file == nullptr || !is_meant(*file, query))
            continue;
        if (meant != nullptr)
            return facts;
        meant = file;
    }
    const auto only = query.find("fileId=") != std::string::npos || files->get_array().size() == 1;
    if (meant == nullptr || !only)
        return facts;
    const auto* hashes = meant->if_contains("hashes");
    const auto* sum = hashes != nullptr && hashes->is_object()
                          ? hashes->get_object().if_contains("SHA256")
                          : nullptr;
    if (sum != nullptr && sum->is_string() && is_hex(std::string_view(sum->get_string()), 64))
        facts.sha256 = to_lower(std::string_view(sum->get_string()));
    return facts;
}

source_refusal explain_refusal(hub from, int status, const header_lookup& headers,
                               std::string_view body, bool had_token)
{
    source_refusal r;
    const auto message = message_of(body);
    switch (from) {
    case hub::huggingface: r.reason = explain_huggingface(status, headers, had_token); break;
    case hub::civitai: r.reason = explain_civitai(status, message, had_token); break;
    case hub::folder:
    case hub::other: break;
    }
    // A 404 that must not be cached is Civitai's storage having a bad moment (downloads.md §2.3).
    const bool passing = from == hub::civitai && status == 404 &&
                         headers("cache-control").find("no-store") != std::string_view::npos;
    r.permanent = !is_transient(status) && !passing;
    r.wait = retry_after(headers);
    if (!r.reason.empty())
        return r;
    r.reason = "it answered " + std::to_string(status);
    if (!message.empty())
        r.reason += ": " + message.substr(0, 200);
    return r;
}

bool is_login_redirect(std::string_view location)
{
    const auto path = location.substr(0, location.find('?'));
    return path.ends_with("/login") || path.find("/login/") != std::string_view::npos ||
           location.find("reason=download-auth") != std::string_view::npos;
}

} // namespace gateway::proto
