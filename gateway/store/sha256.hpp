#pragma once

// SHA-256 of bytes that come in pieces.

#include <memory>
#include <string>
#include <string_view>

namespace gateway::store {

class sha256_sum {
public:
    // Larger pieces fall out of the processor's cache (downloads.md §4.1).
    static constexpr std::size_t best_piece = 64 * 1024;

    sha256_sum();
    sha256_sum(sha256_sum&&) noexcept;
    sha256_sum& operator=(sha256_sum&&) noexcept;
    ~sha256_sum();
    void add(std::string_view bytes);
    // Lower-case hex. Nothing may be added afterwards.
    std::string hex();

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

} // namespace gateway::store
