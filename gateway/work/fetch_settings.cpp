#include "work/fetch_settings.hpp"

namespace gateway::work {

fetch_options fetch_options_from(const config::download_settings& from)
{
    fetch_options o;
    o.allow_hosts = from.allow_hosts;
    o.exempt_hosts = from.exempt_hosts;
    o.connect_timeout = from.connect_timeout;
    o.header_timeout = from.header_timeout;
    o.stall_timeout = from.stall_timeout;
    o.redirects = static_cast<int>(from.redirects);
    o.huggingface_endpoint = from.huggingface_endpoint;
    o.huggingface_token = from.huggingface_token;
    o.civitai_token = from.civitai_token;
    o.credentials = from.credentials;
    o.proxy = from.proxy;
    o.no_proxy = from.no_proxy;
    o.allow_folders = from.allow_folders;
    o.allow_pickle = from.allow_pickle;
    o.limits.pace.first = static_cast<int>(from.first_connections);
    o.limits.pace.most = static_cast<int>(from.connections);
    o.traffic = {static_cast<int>(from.total_connections), static_cast<int>(from.host_connections),
                 from.bandwidth};
    o.limits.retries = static_cast<int>(from.retries);
    o.limits.backoff = {.first = from.backoff, .cap = from.max_backoff, .jitter = 1};
    o.progress_log_each = from.progress_log_each;
    return o;
}

std::uint64_t size_limit_from(const config::download_settings& from, core::model_kind kind)
{
    switch (kind) {
    case core::model_kind::checkpoint: return from.max_checkpoint;
    case core::model_kind::lora: return from.max_lora;
    case core::model_kind::embedding: return from.max_embedding;
    case core::model_kind::vae: return from.max_vae;
    }
    return from.max_checkpoint;
}

const std::string& folder_from(const config::models_settings& from, core::model_kind kind)
{
    switch (kind) {
    case core::model_kind::checkpoint: return from.checkpoints;
    case core::model_kind::lora: return from.loras;
    case core::model_kind::embedding: return from.embeddings;
    case core::model_kind::vae: return from.vae;
    }
    return from.checkpoints;
}

} // namespace gateway::work
