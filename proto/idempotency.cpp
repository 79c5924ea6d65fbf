#include "proto/idempotency.hpp"

#include "proto/json.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <new>

namespace gateway::proto {

namespace {

std::string_view unquoted(std::string_view text)
{
    const bool quoted = text.size() >= 2 && text.front() == '"' && text.back() == '"';
    return quoted ? text.substr(1, text.size() - 2) : text;
}

void need(int ok)
{
    if (ok != 1)
        throw std::bad_alloc(); // SHA-256 has no other way to fail
}

} // namespace

parsed<std::string> parse_idempotency_key(std::string_view text)
{
    const auto key = unquoted(text);
    const bool printable =
        std::all_of(key.begin(), key.end(), [](char c) { return c >= ' ' && c <= '~'; });
    if (!key.empty() && key.size() <= longest_idempotency_key && printable)
        return std::string(key);
    const auto found = key.size() > longest_idempotency_key
                           ? std::to_string(key.size()) + " characters"
                           : "the text " + quoted(key);
    return make_problem(problem_code::invalid_request,
                        "Idempotency-Key: found " + found +
                            "; 1 to 255 printable ASCII characters are wanted");
}

core::digest digest_of(std::initializer_list<std::string_view> parts)
{
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> sum(EVP_MD_CTX_new(),
                                                                      &EVP_MD_CTX_free);
    need(sum != nullptr ? 1 : 0);
    need(EVP_DigestInit_ex(sum.get(), EVP_sha256(), nullptr));
    for (const auto part : parts) {
        const std::uint64_t length = part.size();
        need(EVP_DigestUpdate(sum.get(), &length, sizeof length));
        need(EVP_DigestUpdate(sum.get(), part.data(), part.size()));
    }
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    need(EVP_DigestFinal_ex(sum.get(), bytes.data(), nullptr));
    core::digest made{};
    for (std::size_t i = 0; i < 16; ++i)
        made[i / 8] = made[i / 8] << 8 | bytes[i];
    return made;
}

} // namespace gateway::proto
