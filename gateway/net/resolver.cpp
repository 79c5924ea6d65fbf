#include "net/resolver.hpp"

#include "net/error.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/address.hpp>

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

namespace gateway::net {

namespace {

using asio::ip::address_v4;
using asio::ip::address_v6;

// --- which addresses are public (downloads.md §5.1) ---

struct v4_block {
    std::uint32_t base;
    unsigned prefix;
};

constexpr std::uint32_t v4(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return a << 24U | b << 16U | c << 8U | d;
}

constexpr std::array v4_blocks{
    v4_block{v4(0, 0, 0, 0), 8},      v4_block{v4(10, 0, 0, 0), 8},
    v4_block{v4(100, 64, 0, 0), 10},  v4_block{v4(127, 0, 0, 0), 8},
    v4_block{v4(169, 254, 0, 0), 16}, v4_block{v4(172, 16, 0, 0), 12},
    v4_block{v4(192, 0, 0, 0), 24},   v4_block{v4(192, 0, 2, 0), 24},
    v4_block{v4(192, 88, 99, 0), 24}, v4_block{v4(192, 168, 0, 0), 16},
    v4_block{v4(198, 18, 0, 0), 15},  v4_block{v4(198, 51, 100, 0), 24},
    v4_block{v4(203, 0, 113, 0), 24}, v4_block{v4(224, 0, 0, 0), 4},
    v4_block{v4(240, 0, 0, 0), 4},
};

bool is_public(address_v4 ip)
{
    const auto bits = ip.to_uint();
    return std::none_of(v4_blocks.begin(), v4_blocks.end(), [bits](const v4_block& block) {
        return (bits ^ block.base) >> (32U - block.prefix) == 0;
    });
}

struct v6_block {
    std::array<unsigned char, 8> base;
    unsigned prefix;
};

constexpr std::array v6_blocks{
    v6_block{{0x00}, 8},  // unspecified, loopback, v4-compatible, NAT64 (64:ff9b::, 64:ff9b:1::)
    v6_block{{0x01}, 64}, // discard
    v6_block{{0x20, 0x01, 0x00}, 23},       // protocol assignments and Teredo
    v6_block{{0x20, 0x01, 0x0d, 0xb8}, 32}, // documentation
    v6_block{{0xfc}, 7},                    // unique local
    v6_block{{0xfe, 0x80}, 10},             // link local
    v6_block{{0xfe, 0xc0}, 10},             // site local
    v6_block{{0xff}, 8},                    // multicast
};

bool lies_in(const address_v6::bytes_type& ip, const v6_block& block)
{
    for (unsigned bit = 0; bit < block.prefix; ++bit) {
        const auto mask = 0x80U >> bit % 8U;
        if ((ip[bit / 8U] & mask) != (block.base[bit / 8U] & mask))
            return false;
    }
    return true;
}

address_v4 inner(const address_v6::bytes_type& ip, std::size_t at)
{
    return address_v4(address_v4::bytes_type{ip[at], ip[at + 1], ip[at + 2], ip[at + 3]});
}

bool is_public(const address_v6& ip)
{
    const auto bytes = ip.to_bytes();
    if (ip.is_v4_mapped())
        return is_public(inner(bytes, 12));
    if (bytes[0] == 0x20 && bytes[1] == 0x02) // 6to4
        return is_public(inner(bytes, 2));
    const bool isatap =
        (bytes[8] & 0xfdU) == 0 && bytes[9] == 0 && bytes[10] == 0x5e && bytes[11] == 0xfe;
    if (isatap)
        return false;
    return std::none_of(v6_blocks.begin(), v6_blocks.end(),
                        [&bytes](const v6_block& block) { return lies_in(bytes, block); });
}

// --- names ---

std::string lower_case(std::string text)
{
    for (auto& c : text)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return text;
}

bool is_numeric_address(const std::string& host)
{
    error_code ec;
    asio::ip::make_address(host, ec);
    return !ec;
}

// 0x7f.1, 2130706433, 017700000001: the system would take them for addresses. No top-level domain
// looks like a number.
bool looks_like_an_odd_address(std::string_view host)
{
    while (!host.empty() && host.back() == '.')
        host.remove_suffix(1);
    const auto dot = host.rfind('.');
    auto last = dot == std::string_view::npos ? host : host.substr(dot + 1);
    const bool hex = last.size() >= 2 && last[0] == '0' && last[1] == 'x';
    if (hex)
        last.remove_prefix(2);
    const auto* digits = hex ? "0123456789abcdef" : "0123456789";
    return last.find_first_not_of(digits) == std::string_view::npos;
}

struct fixed_answer {
    std::string ip;
    std::optional<std::uint16_t> port;
};

// "127.0.0.1", "127.0.0.1:8080", "::1", "[::1]:8080"
std::optional<fixed_answer> parse_fixed(std::string_view text)
{
    fixed_answer answer{std::string(text), std::nullopt};
    if (is_numeric_address(answer.ip))
        return answer;
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos)
        return std::nullopt;
    auto ip = text.substr(0, colon);
    if (ip.size() > 2 && ip.front() == '[' && ip.back() == ']')
        ip = ip.substr(1, ip.size() - 2);
    answer.ip = ip;
    std::uint16_t port = 0;
    const auto digits = text.substr(colon + 1);
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (ec != std::errc{} || end != digits.data() + digits.size() || !is_numeric_address(answer.ip))
        return std::nullopt;
    answer.port = port;
    return answer;
}

error_code lookup_error(int code)
{
    if (code == EAI_AGAIN)
        return asio::error::host_not_found_try_again;
    if (code == EAI_SYSTEM)
        return {errno, boost::system::system_category()};
    return asio::error::host_not_found;
}

} // namespace

bool is_public_address(std::string_view ip)
{
    error_code ec;
    const auto address = asio::ip::make_address(ip, ec);
    if (ec)
        return false;
    return address.is_v4() ? is_public(address.to_v4()) : is_public(address.to_v6());
}

namespace {

bool must_be_public(const std::string& host, std::uint16_t port, const address_policy& policy)
{
    return !policy.allow_private && !policy.exempt_hosts.contains(host) &&
           !policy.exempt_hosts.contains(host + ':' + std::to_string(port));
}

} // namespace

bool refused_unseen(std::string_view host, std::uint16_t port, const address_policy& policy)
{
    const auto name = lower_case(std::string(host));
    if (!must_be_public(name, port, policy))
        return false;
    if (is_numeric_address(name))
        return !is_public_address(name);
    return name == "localhost" || name.ends_with(".localhost") || looks_like_an_odd_address(name);
}

result<std::vector<std::string>> look_up_with_system(const std::string& host)
{
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
    if (code != 0)
        return lookup_error(code);
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
    std::vector<std::string> ips;
    for (const auto* at = found; at != nullptr; at = at->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        const int failed =
            ::getnameinfo(at->ai_addr, at->ai_addrlen, text.data(),
                          static_cast<socklen_t>(text.size()), nullptr, 0, NI_NUMERICHOST);
        if (failed == 0)
            ips.emplace_back(text.data());
    }
    if (ips.empty())
        return error_code(asio::error::host_not_found);
    return ips;
}

// --- the resolver ---

struct resolver::impl {
    using answer = result<std::vector<std::string>>;
    // One question on the lane, and everyone who waits for it.
    struct running {
        explicit running(executor ex) : done(std::move(ex)) {}
        versions done;
        answer ips = error_code(asio::error::timed_out);
    };
    struct entry {
        std::vector<std::string> ips;
        steady_time until;
    };

    lane& dns;
    time_source& time;
    duration limit;
    duration keep;
    lookup ask;
    std::map<std::string, fixed_answer, std::less<>> fixed;
    std::map<std::string, entry, std::less<>> cache;
    std::map<std::string, std::shared_ptr<running>, std::less<>> questions;

    static task<> question(std::shared_ptr<impl> self, std::shared_ptr<running> mine,
                           std::string host);
    static task<answer> look_up(std::shared_ptr<impl> self, std::string host);
    void remember(const std::string& host, const std::vector<std::string>& ips);
};

void resolver::impl::remember(const std::string& host, const std::vector<std::string>& ips)
{
    constexpr std::size_t most = 1024;
    if (cache.size() >= most) {
        const auto now = time.now();
        std::erase_if(cache, [now](const auto& item) { return item.second.until <= now; });
    }
    if (cache.size() >= most)
        cache.clear();
    cache.insert_or_assign(host, entry{ips, time.now() + keep});
}

task<> resolver::impl::question(std::shared_ptr<impl> self, std::shared_ptr<running> mine,
                                std::string host)
{
    auto work = [ask = self->ask, host] { return ask(host); };
    auto ips = co_await self->dns.run(std::move(work));
    // A question that was given up on has been replaced or removed: its answer is dropped.
    const auto place = self->questions.find(host);
    if (place == self->questions.end() || place->second != mine)
        co_return;
    self->questions.erase(place);
    if (ips)
        self->remember(host, *ips);
    mine->ips = std::move(ips);
    mine->done.bump();
}

task<resolver::impl::answer> resolver::impl::look_up(std::shared_ptr<impl> self, std::string host)
{
    const auto known = self->cache.find(host);
    if (known != self->cache.end() && known->second.until > self->time.now())
        co_return known->second.ips;
    const auto ex = co_await current_executor();
    const auto asked = self->questions.find(host);
    auto mine = asked == self->questions.end() ? nullptr : asked->second;
    if (!mine) {
        mine = std::make_shared<running>(ex);
        self->questions.emplace(host, mine);
        auto done = [](std::exception_ptr) {}; // a lookup that throws is one that never answers
        asio::co_spawn(ex, question(self, mine, host), done);
    }
    const bool answered = co_await mine->done.past(0, self->time, self->time.now() + self->limit);
    if (!answered) {
        const auto still = self->questions.find(host);
        if (still != self->questions.end() && still->second == mine)
            self->questions.erase(still);
    }
    co_return mine->ips;
}

resolver::resolver(lane& dns, time_source& time, duration limit, duration keep, lookup ask)
    : impl_(std::make_shared<impl>(dns, time, limit, keep, std::move(ask)))
{
}

resolver::~resolver() = default;

bool resolver::map(std::string host_and_port, std::string_view to)
{
    auto answer = parse_fixed(to);
    if (!answer)
        return false;
    impl_->fixed.insert_or_assign(lower_case(std::move(host_and_port)), std::move(*answer));
    return true;
}

task<result<std::vector<address>>> resolver::resolve(std::string host, std::uint16_t port,
                                                     const address_policy& policy)
{
    const auto self = impl_;
    host = lower_case(std::move(host));
    const auto with_port = host + ':' + std::to_string(port);
    auto fixed = self->fixed.find(with_port);
    if (fixed == self->fixed.end())
        fixed = self->fixed.find(host);
    if (fixed != self->fixed.end())
        co_return std::vector<address>{{fixed->second.ip, fixed->second.port.value_or(port)}};

    if (refused_unseen(host, port, policy))
        co_return error::address_refused;
    std::vector<std::string> ips{host};
    if (!is_numeric_address(host)) {
        auto found = co_await impl::look_up(self, host);
        if (!found)
            co_return found.error();
        ips = std::move(*found);
    }
    // One private address among public ones is how a name is turned against us: refuse the host.
    if (must_be_public(host, port, policy) &&
        !std::all_of(ips.begin(), ips.end(), is_public_address))
        co_return error::address_refused;
    std::vector<address> addresses;
    for (auto& ip : ips)
        addresses.push_back({std::move(ip), port});
    co_return addresses;
}

} // namespace gateway::net
