// The request body once the backend is known: the writing half of webui_job.hpp.

#include "base/text.hpp"
#include "proto/json.hpp"
#include "proto/webui_fields.hpp"
#include "proto/webui_job.hpp"

namespace gateway::proto {

namespace {

void append_overrides(object_writer& body, std::string& out, const job_request& job,
                      const backend_names& names)
{
    if (job.overrides.empty() && names.checkpoint.empty())
        return;
    body.key("override_settings");
    object_writer overrides(out);
    if (!names.checkpoint.empty())
        overrides.text("sd_model_checkpoint", names.checkpoint);
    for (const auto& setting : job.overrides)
        overrides.raw(setting.name, setting.value);
    overrides.close();
    body.boolean("override_settings_restore_afterwards", false);
}

} // namespace

std::string lora_prompt(const job_request& job, const std::vector<std::string>& stems)
{
    std::string prompt;
    for (std::size_t i = 0; i < job.loras.size() && i < stems.size(); ++i) {
        if (stems[i].empty())
            continue;
        prompt.append("<lora:").append(stems[i]).append(":");
        append_number(prompt, job.loras[i].scale);
        prompt += "> ";
    }
    if (prompt.empty())
        return job.prompt;
    prompt += job.prompt;
    return std::string(trim(prompt));
}

std::string request_body(const job_request& job, const backend_names& names)
{
    if (job.kind == request_kind::other)
        return job.payload;
    std::string out;
    out.reserve(job.prompt.size() + 1024);
    object_writer body(out);
    auto next = job.fields.begin(); // both lists are in the order of the model
    const bool from_image = job.kind == request_kind::img2img;
    for (const auto& rule : from_image ? img2img_fields() : txt2img_fields()) {
        if (rule.name == "prompt")
            body.text("prompt", lora_prompt(job, names.loras));
        else if (rule.name == "sampler_name" && !names.sampler.empty())
            body.text("sampler_name", names.sampler);
        else if (rule.name == "scheduler" && !names.scheduler.empty())
            body.text("scheduler", names.scheduler);
        else if (rule.name == "override_settings")
            append_overrides(body, out, job, names);
        else if (next != job.fields.end() && next->name == rule.name) {
            body.raw(next->name, next->value);
            ++next;
        }
    }
    body.close();
    return out;
}

std::string_view warm_up_body() { return R"({"prompt":"test","steps":1,"width":64,"height":64})"; }

} // namespace gateway::proto
