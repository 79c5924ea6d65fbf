#include "store/sha256.hpp"

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

namespace gateway::store {

struct sha256_sum::impl {
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(),
                                                                    &EVP_MD_CTX_free};
};

namespace {

void check(int returned)
{
    if (returned != 1)
        throw std::runtime_error("OpenSSL cannot compute SHA-256");
}

} // namespace

sha256_sum::sha256_sum() : impl_(std::make_unique<impl>())
{
    check(EVP_DigestInit_ex(impl_->context.get(), EVP_sha256(), nullptr));
}

sha256_sum::sha256_sum(sha256_sum&&) noexcept = default;
sha256_sum& sha256_sum::operator=(sha256_sum&&) noexcept = default;
sha256_sum::~sha256_sum() = default;

void sha256_sum::add(std::string_view bytes)
{
    while (!bytes.empty()) {
        const auto piece = bytes.substr(0, best_piece);
        check(EVP_DigestUpdate(impl_->context.get(), piece.data(), piece.size()));
        bytes.remove_prefix(piece.size());
    }
}

std::string sha256_sum::hex()
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
    unsigned int size = 0;
    check(EVP_DigestFinal_ex(impl_->context.get(), raw.data(), &size));
    std::string text;
    for (unsigned int i = 0; i < size; ++i) {
        text += digits[raw[i] >> 4];
        text += digits[raw[i] & 15];
    }
    return text;
}

} // namespace gateway::store
