#include "proto/webhook.hpp"

#include "base/text.hpp"
#include "proto/json.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <new>
#include <stdexcept>

namespace gateway::proto {

namespace {

constexpr std::string_view prefix = "whsec_";
constexpr std::size_t shortest_key = 24;
constexpr std::size_t longest_key = 64;
constexpr std::size_t sha256_size = 32;

struct mac_free {
    void operator()(EVP_MAC_CTX* mac) const { EVP_MAC_CTX_free(mac); }
};
using mac_context = std::unique_ptr<EVP_MAC_CTX, mac_free>;

mac_context begin_hmac(const std::string& key)
{
    EVP_MAC* algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    mac_context mac(algorithm == nullptr ? nullptr : EVP_MAC_CTX_new(algorithm));
    EVP_MAC_free(algorithm);
    std::string digest = "SHA256";
    const std::array<OSSL_PARAM, 2> with{
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
        OSSL_PARAM_construct_end()};
    if (!mac || EVP_MAC_init(mac.get(), reinterpret_cast<const unsigned char*>(key.data()),
                             key.size(), with.data()) != 1)
        throw std::bad_alloc();
    return mac;
}

} // namespace

std::optional<std::string> webhook_key(std::string_view secret)
{
    if (!secret.starts_with(prefix))
        return std::nullopt;
    auto key = base64_decode(secret.substr(prefix.size()));
    if (!key || key->size() < shortest_key || key->size() > longest_key)
        return std::nullopt;
    return key;
}

struct webhook_signer::impl {
    std::string id;
    std::string time;
    std::vector<mac_context> macs; // one for each secret

    void add(std::string_view bytes)
    {
        for (const auto& mac : macs)
            EVP_MAC_update(mac.get(), reinterpret_cast<const unsigned char*>(bytes.data()),
                           bytes.size());
    }
};

webhook_signer::webhook_signer(const std::vector<std::string>& secrets, std::string id,
                               std::chrono::seconds time)
    : impl_(std::make_unique<impl>())
{
    impl_->id = std::move(id);
    impl_->time = std::to_string(time.count());
    for (const auto& secret : secrets) {
        const auto key = webhook_key(secret);
        if (!key)
            throw std::invalid_argument("a webhook secret is not whsec_ and base64");
        impl_->macs.push_back(begin_hmac(*key));
    }
    add(impl_->id + '.' + impl_->time + '.');
}

webhook_signer::~webhook_signer() = default;
webhook_signer::webhook_signer(webhook_signer&&) noexcept = default;

bool webhook_signer::signs() const { return !impl_->macs.empty(); }

void webhook_signer::add(std::string_view bytes) { impl_->add(bytes); }

std::vector<std::pair<std::string, std::string>> webhook_signer::headers()
{
    std::string signatures;
    for (const auto& mac : impl_->macs) {
        std::array<unsigned char, sha256_size> code{};
        std::size_t size = 0;
        if (EVP_MAC_final(mac.get(), code.data(), &size, code.size()) != 1 || size != code.size())
            throw std::runtime_error("HMAC-SHA256 failed");
        const std::string_view bytes(reinterpret_cast<const char*>(code.data()), code.size());
        signatures += (signatures.empty() ? "v1," : " v1,") + base64_encode(bytes);
    }
    std::vector<std::pair<std::string, std::string>> all{{"webhook-id", impl_->id},
                                                         {"webhook-timestamp", impl_->time}};
    if (!signatures.empty())
        all.emplace_back("webhook-signature", std::move(signatures));
    return all;
}

// --- the log of deliveries ---

namespace {

std::string written(const webhook_message& m);
std::string written(const webhook_try& t)
{
    std::string out;
    object_writer one(out);
    one.text("at", format_time(t.when));
    if (!t.error.empty())
        one.text("error", t.error);
    if (t.status != 0)
        one.integer("status", t.status);
    one.integer("took_ms", t.took.count()).close();
    return out;
}

template <class Items> std::string array_of(const Items& items)
{
    std::string out = "[";
    for (const auto& item : items)
        out += (out.size() == 1 ? "" : ",") + written(item);
    return out + ']';
}

std::string written(const webhook_message& m)
{
    std::string out;
    object_writer one(out);
    one.text("id", m.id).text("job_status", core::to_text(m.told));
    if (m.state == core::delivery_state::pending)
        one.text("next_try_at", format_time(m.next));
    one.text("opened_at", format_time(m.opened)).text("state", core::to_text(m.state));
    one.raw("tries", array_of(m.tried)).close();
    return out;
}

} // namespace

std::string webhook_id(std::string_view job_id, std::uint32_t end)
{
    return std::string(job_id) + '-' + std::to_string(end);
}

std::string webhook_log_body(std::string_view job_id, std::string_view url,
                             const std::vector<webhook_message>& messages)
{
    std::string out;
    object_writer body(out);
    body.text("job_id", job_id).raw("messages", array_of(messages));
    if (!url.empty())
        body.text("url", url.substr(0, url.find('?')));
    body.close();
    return out;
}

std::string redelivery_body(std::string_view id)
{
    std::string out;
    object_writer body(out);
    body.text("id", id).text("state", core::to_text(core::delivery_state::pending)).close();
    return out;
}

} // namespace gateway::proto
