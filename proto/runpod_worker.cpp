#include "proto/runpod_worker.hpp"

#include "base/text.hpp"
#include "proto/json.hpp"
#include "proto/json_scanner.hpp"

#include <boost/url/encode.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>

namespace gateway::proto {

namespace {

constexpr std::string_view take_path = "/job-take/";
constexpr std::size_t longest_reason = 256; // of an unhealthy ping (runpod.md §4.6)

void replace_all(std::string& text, std::string_view what, std::string_view by)
{
    for (std::size_t at = text.find(what); at != std::string::npos;
         at = text.find(what, at + by.size()))
        text.replace(at, what.size(), by);
}

// `id` is the worker's or the job's: runpod.md §4.1.
std::string filled(std::string text, std::string_view worker, std::string_view id)
{
    replace_all(text, "$RUNPOD_POD_ID", worker);
    replace_all(text, "$ID", id);
    return text;
}

void append_query(std::string& url, std::string_view query)
{
    const bool joined = url.ends_with('?') || url.ends_with('&');
    if (!joined)
        url += url.find('?') == std::string::npos ? '?' : '&';
    url += query;
}

std::string escaped(std::string_view text)
{
    return boost::urls::encode(text, boost::urls::unreserved_chars);
}

// --- Reading -------------------------------------------------------------------------------------

const member_span* present(const member_list& from, std::string_view key)
{
    const member_span* found = from.find(key);
    return found == nullptr || found->kind == json_kind::null ? nullptr : found;
}

// The value of a text; any other value as its JSON.
std::string as_text(const member_span& member)
{
    if (member.kind != json_kind::string)
        return std::string(member.text);
    const document text(member.text);
    return text.ok() ? std::string(text.root().as_string()) : std::string(member.text);
}

std::string text_of(const member_list& from, std::string_view key)
{
    const member_span* found = present(from, key);
    return found == nullptr ? std::string() : as_text(*found);
}

// Empty on success, else what is wrong.
std::string read_taken(std::string_view text, taken_job& job)
{
    const member_list members = split_members(text);
    if (!members.error.empty())
        return members.error;
    if (!members.is_object)
        return "a job that is not an object";
    const member_span* id = present(members, "id");
    if (id == nullptr || id->kind != json_kind::string || as_text(*id).empty())
        return "a job without an `id`";
    job.id = as_text(*id);
    const member_span* input = present(members, "input");
    job.input = input == nullptr ? "{}" : std::string(input->text);
    job.webhook = text_of(members, "webhook");
    job.batch_id = text_of(members, "batchId");
    return {};
}

void take_in(take_answer& answer, std::string_view text)
{
    taken_job job;
    std::string wrong = read_taken(text, job);
    if (wrong.empty())
        answer.jobs.push_back(std::move(job));
    else
        answer.refused.push_back(std::move(wrong));
}

parsed<member_list> members_of(std::string_view body)
{
    member_list members = split_members(body);
    if (!members.error.empty())
        return make_problem(problem_code::malformed_json, members.error);
    if (!members.is_object)
        return make_problem(problem_code::invalid_request, "the body is JSON, but not an object");
    return members;
}

// --- Writing, with the spaces of Python's json.dumps ---------------------------------------------

constexpr std::string_view stop_pod_member = R"("stopPod": true)";

std::string finished(std::string body, bool stop_pod)
{
    if (stop_pod)
        (body += ", ") += stop_pod_member;
    body += '}';
    return body;
}

void append_taken(std::string& out, const taken_job& job)
{
    object_writer to(out);
    if (!job.batch_id.empty())
        to.text("batchId", job.batch_id);
    to.text("id", job.id);
    to.raw("input", job.input);
    if (!job.webhook.empty())
        to.text("webhook", job.webhook);
    to.close();
}

} // namespace

// --- URLs ----------------------------------------------------------------------------------------

std::string worker_urls::take(std::size_t wanted, bool busy) const
{
    std::string url = filled(templates_.take, worker_, worker_);
    std::string query = busy ? "job_in_progress=1" : "job_in_progress=0";
    const std::size_t at = url.find(take_path);
    if (wanted > 1 && at != std::string::npos) {
        url.replace(at, take_path.size(), "/job-take-batch/");
        query = "batch_size=" + std::to_string(wanted) + "&" + query;
    }
    append_query(url, query);
    return url;
}

std::string worker_urls::stop() const
{
    std::string url = filled(templates_.take, worker_, worker_);
    const std::size_t at = url.find(take_path);
    if (at == std::string::npos)
        return {};
    url.replace(at, take_path.size(), "/job-stop/");
    return url;
}

std::string worker_urls::done(std::string_view job, bool is_stream) const
{
    std::string url = filled(templates_.done, worker_, job);
    append_query(url, is_stream ? "isStream=true" : "isStream=false");
    return url;
}

std::string worker_urls::stream(std::string_view job) const
{
    std::string url = filled(templates_.stream, worker_, job);
    append_query(url, "isStream=false");
    return url;
}

std::string worker_urls::ping(std::span<const std::string> jobs, std::string_view version) const
{
    std::string url = filled(templates_.ping, worker_, worker_);
    std::string ids;
    for (const auto& id : jobs)
        (ids += ids.empty() ? "" : ",") += escaped(id);
    if (!ids.empty())
        append_query(url, "job_id=" + ids);
    append_query(url, "runpod_version=" + escaped(version));
    return url;
}

std::string worker_urls::ping_unhealthy(std::string_view check, std::string_view reason,
                                        std::string_view version) const
{
    std::string url = filled(templates_.ping, worker_, worker_);
    append_query(url, "status=unhealthy&check=" + escaped(check) +
                          "&reason=" + escaped(reason.substr(0, longest_reason)) +
                          "&runpod_version=" + escaped(version));
    return url;
}

// --- The worker's side ---------------------------------------------------------------------------

parsed<take_answer> parse_take_answer(std::string_view content_type, std::string_view body)
{
    take_answer answer;
    const std::string_view text = trim(body);
    if (text.empty() || !to_lower(content_type).starts_with("application/json"))
        return answer;
    const document whole(text);
    if (!whole.ok())
        return make_problem(problem_code::malformed_json, whole.error());
    if (const json::array* several = whole.root().if_array()) {
        for (const json::value& one : *several)
            take_in(answer, to_json(one));
        return answer;
    }
    take_in(answer, text);
    return answer;
}

parsed<std::vector<std::string>> parse_stop_answer(std::string_view body)
{
    std::vector<std::string> ids;
    if (trim(body).empty())
        return ids;
    const document whole(body);
    if (!whole.ok())
        return make_problem(problem_code::malformed_json, whole.error());
    const json::object* object = whole.root().if_object();
    if (object == nullptr)
        return make_problem(problem_code::invalid_request, "the answer is not an object");
    complaints wrong;
    reader from(*object, "answer", wrong);
    if (const json::array* list = from.array("jobsToStop")) {
        for (const json::value& id : *list) {
            if (const json::string* text = id.if_string())
                ids.emplace_back(*text);
        }
    }
    if (!wrong.none())
        return wrong.as_problem();
    return ids;
}

frame done_frame(bool stop_pod) { return {R"({"output": )", finished({}, stop_pod)}; }

std::string done_output(std::string_view output, bool stop_pod)
{
    return finished(R"({"output": )" + std::string(output), stop_pod);
}

std::string done_error(std::string_view error, bool stop_pod)
{
    return finished(R"({"error": )" + quoted(error), stop_pod);
}

std::string done_progress(std::string_view output)
{
    return finished(R"({"status": "IN_PROGRESS", "output": )" + std::string(output), false);
}

std::string error_text(std::string_view type, std::string_view message, const worker_identity& who)
{
    std::string text = R"({"error_type": )" + quoted(type);
    text += R"(, "error_message": )" + quoted(message);
    text += R"(, "error_traceback": "")";
    text += R"(, "hostname": )" + quoted(who.hostname);
    text += R"(, "worker_id": )" + quoted(who.worker_id);
    text += R"(, "runpod_version": )" + quoted(who.version) + "}";
    return text;
}

// --- The queue's side ----------------------------------------------------------------------------

parsed<done_request> parse_done(std::string_view body)
{
    const auto members = members_of(body);
    if (!members)
        return members.error();
    done_request request;
    // An output of null is one; only a missing one is none.
    if (const member_span* output = members->find("output"))
        request.output = output->text;
    if (const member_span* error = present(*members, "error")) {
        request.kind = worker_report::failed;
        request.error = as_text(*error);
    } else if (text_of(*members, "status") == "IN_PROGRESS") {
        request.kind = worker_report::progress;
    }
    const member_span* stop = present(*members, "stopPod");
    request.stop_pod = stop != nullptr && stop->text == "true";
    return request;
}

parsed<std::string> parse_stream_chunk(std::string_view body)
{
    const auto members = members_of(body);
    if (!members)
        return members.error();
    const member_span* output = members->find("output");
    if (output == nullptr)
        return make_problem(problem_code::invalid_request, "a chunk without `output`");
    return std::string(output->text);
}

glued_segment split_glued(std::string_view segment)
{
    const std::size_t at = segment.find('&');
    if (at == std::string_view::npos)
        return {std::string(segment), {}};
    return {std::string(segment.substr(0, at)), std::string(segment.substr(at + 1))};
}

std::string taken_body(const taken_job& job)
{
    std::string body;
    append_taken(body, job);
    return body;
}

std::string taken_batch_body(std::span<const taken_job> jobs)
{
    std::string body = "[";
    for (const auto& job : jobs) {
        if (body.size() > 1)
            body += ',';
        append_taken(body, job);
    }
    body += ']';
    return body;
}

std::string stop_body(std::span<const std::string> jobs)
{
    std::string body = R"({"jobsToStop":[)";
    for (const auto& id : jobs) {
        if (!body.ends_with('['))
            body += ',';
        append_quoted(body, id);
    }
    body += "]}";
    return body;
}

} // namespace gateway::proto
