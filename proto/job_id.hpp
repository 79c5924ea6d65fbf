#pragma once

// Public job ids: `<uuid4 shape>-u1` and `sync-<uuid4 shape>-u1`. The 122 free bits of the uuid
// carry the journal's integer key and 60 random bits that the row must match (decisions.md 11).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gateway::proto {

struct job_ref {
    std::uint64_t key = 0;    // below 2^62
    std::uint64_t secret = 0; // below 2^60, random
    bool sync = false;        // the `sync-` form

    bool operator==(const job_ref&) const = default;
};

constexpr std::uint64_t max_job_key = (std::uint64_t{1} << 62) - 1;
constexpr std::uint64_t max_job_secret = (std::uint64_t{1} << 60) - 1;

// Bits above the limits are dropped. The key is masked by the secret, so that neighbours in the
// journal do not look like neighbours.
std::string to_text(const job_ref& ref);

// Nothing for any text that to_text() could not have made, `local_test` among them.
std::optional<job_ref> parse_job_id(std::string_view text);

} // namespace gateway::proto
