#include "proto/job_id.hpp"

namespace gateway::proto {

namespace {

constexpr std::string_view sync_prefix = "sync-";
constexpr std::string_view suffix = "-u1";
constexpr std::size_t uuid_length = 36;
constexpr std::size_t version_place = 14; // '4'
constexpr std::size_t variant_place = 19; // '8', '9', 'a' or 'b': two of its bits are free

bool is_dash(std::size_t place) { return place == 8 || place == 13 || place == 18 || place == 23; }

// Spreads the secret over the 62 bits of the key (the finalizer of splitmix64).
std::uint64_t mask_of(std::uint64_t secret)
{
    std::uint64_t x = secret + 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return (x ^ (x >> 31)) & max_job_key;
}

int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return -1;
}

// The 122 free bits, most significant first: the masked key, then the secret.
struct bits {
    std::uint64_t key = 0;
    std::uint64_t secret = 0;

    // The top `count` bits, taken out.
    unsigned take(unsigned count)
    {
        const std::uint64_t all = key << 2; // the key's 62 bits at the top
        const auto top = static_cast<unsigned>(all >> (64 - count));
        key = ((key << count) | (secret >> (60 - count))) & max_job_key;
        secret = (secret << count) & max_job_secret;
        return top;
    }
    void give(unsigned count, unsigned value)
    {
        key = ((key << count) | (secret >> (60 - count))) & max_job_key;
        secret = ((secret << count) | value) & max_job_secret;
    }
};

} // namespace

std::string to_text(const job_ref& ref)
{
    static constexpr char hex[] = "0123456789abcdef";
    const std::uint64_t secret = ref.secret & max_job_secret;
    bits left{(ref.key & max_job_key) ^ mask_of(secret), secret};
    std::string out;
    if (ref.sync)
        out += sync_prefix;
    for (std::size_t place = 0; place < uuid_length; ++place) {
        if (is_dash(place))
            out += '-';
        else if (place == version_place)
            out += '4';
        else if (place == variant_place)
            out += hex[8U | left.take(2)];
        else
            out += hex[left.take(4)];
    }
    out += suffix;
    return out;
}

std::optional<job_ref> parse_job_id(std::string_view text)
{
    job_ref ref;
    if (text.starts_with(sync_prefix)) {
        ref.sync = true;
        text.remove_prefix(sync_prefix.size());
    }
    if (text.size() != uuid_length + suffix.size() || !text.ends_with(suffix))
        return std::nullopt;
    bits found;
    for (std::size_t place = 0; place < uuid_length; ++place) {
        if (is_dash(place)) {
            if (text[place] != '-')
                return std::nullopt;
            continue;
        }
        const int digit = digit_value(text[place]);
        const bool version = place == version_place;
        const bool variant = place == variant_place;
        if (digit < 0 || (version && digit != 4) || (variant && digit >> 2 != 2))
            return std::nullopt;
        if (variant)
            found.give(2, static_cast<unsigned>(digit) & 3U);
        else if (!version)
            found.give(4, static_cast<unsigned>(digit));
    }
    ref.secret = found.secret;
    ref.key = found.key ^ mask_of(found.secret);
    return ref;
}

} // namespace gateway::proto
