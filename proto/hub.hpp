#pragma once

// Where model files come from: what a URL of Hugging Face or Civitai really means, what their
// answers say about a file, and why they refuse (downloads.md §1, §2).

#include "proto/problem.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace gateway::proto {

enum class hub : std::uint8_t {
    huggingface,
    civitai,
    folder, // file:// on this machine
    other,
};

std::string_view to_text(hub from); // "huggingface", "civitai", "folder", "other"

struct model_source {
    std::string url; // what to ask: /blob/ and /raw/ become /resolve/, ?token= is taken out
    hub from = hub::other;
    std::string token; // that the URL carried; never to be stored or logged
};

// `endpoint` replaces https://huggingface.co (HF_ENDPOINT). A URL of a web page that cannot be
// turned into a file is a problem that says what to use instead.
parsed<model_source> parse_model_source(std::string_view url, std::string_view endpoint);

using header_lookup = std::function<std::string_view(std::string_view lower_case_name)>;

// What the hub's own (first) answer says about the file; the CDN's ETag says nothing.
struct source_facts {
    std::string sha256; // lower-case hex; empty when unknown
    std::optional<std::uint64_t> size;
    std::string commit; // what a revision of Hugging Face points at
};
source_facts read_source_facts(hub from, const header_lookup& headers);

// The path of a file:// source; empty when it is not a plain absolute one.
std::string local_path(const model_source& source);

// The same file by its commit, so that a branch that moves cannot mix two versions of it.
std::string pinned_url(const model_source& source, const std::string& commit);

// Where Civitai describes what a download link means (downloads.md §2.2); empty for other sources.
std::string description_url(const model_source& source);
// The file of the description that the link means: its sha256; nothing when it cannot be told.
source_facts read_description(const model_source& source, std::string_view body);

// Why there is no file, and whether asking again may help.
struct source_refusal {
    std::string reason; // for people, with what to do
    bool permanent = false;
    std::optional<std::chrono::seconds> wait; // asked for by the server
};
// `body` is the start of the answer's body.
source_refusal explain_refusal(hub from, int status, const header_lookup& headers,
                               std::string_view body, bool had_token);

// A redirect to a login page: following it would end in HTML with status 200.
bool is_login_redirect(std::string_view location);

} // namespace gateway::proto
