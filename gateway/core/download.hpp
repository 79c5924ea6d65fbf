#pragma once

// One download as data: which connection fetches which bytes next, what each reply is worth, and
// when it is tried again, begun anew, or given up (downloads.md §3.1, §3.3). It moves no byte: a
// driver has one coroutine per connection, which asks next(), does that, and reports.

#include "core/backoff.hpp"
#include "core/pace.hpp"
#include "core/ranges.hpp"

#include <map>
#include <optional>
#include <string>

namespace gateway::core {

struct download_limits {
    std::uint64_t lease = std::uint64_t{64} << 20; // what one request asks for
    // Of what another one has begun; more than what may be on its way in the kernels' buffers, so
    // that nothing is sent twice.
    std::uint64_t smallest_split = std::uint64_t{8} << 20;
    pace_limits pace;
    int retries = 5; // in a row, without `progress` between them
    backoff_limits backoff{
        .first = std::chrono::seconds(1), .cap = std::chrono::seconds(30), .jitter = 1};
    std::uint64_t progress = std::uint64_t{1} << 20; // bytes after which old troubles are forgotten
    int refreshes = 8;                               // of a link that runs out
    duration without_progress = std::chrono::minutes(10);
    duration longest_wait = std::chrono::minutes(15); // of those that servers ask for
    // Slower than this for so long, while another connection is ten times faster: taken up anew.
    double slow = 64 * 1024; // bytes per second
    duration slow_for = std::chrono::seconds(60);
    duration silent_for = std::chrono::seconds(5); // one that waits takes over after this
};

// What the head of a reply says, and where it came from.
struct reply_facts {
    int status = 0;
    std::optional<byte_range> range;     // Content-Range
    std::optional<std::uint64_t> total;  // the same, "*/N" too
    std::optional<std::uint64_t> length; // Content-Length
    std::optional<std::uint64_t> known;  // the size of the file, as its source says
    bool multipart = false;
    std::string etag; // a strong one, else empty
    std::string host; // that sent it
    // Not the origin that the URL names: a refusal may only mean that its signed link has run out.
    bool from_storage = false;
};

// Why a request did not bring what it was for.
struct download_trouble {
    std::string reason;     // for people
    bool permanent = false; // asking again would not help
    bool crowded = false;   // fewer connections might
    duration wait{};        // asked for by the server
};

struct download_step {
    enum class action : std::uint8_t {
        request, // ask for `range`, and read it as far as room() says
        go_on,   // read on: the reply that is open goes further
        wait,    // until something changes, or until `until`
        leave,   // this connection is not needed any more
    };
    action what = action::wait;
    byte_range range{};
    bool to_the_end = false;  // ask for everything from range.begin on
    bool plain = false;       // without Range
    bool from_source = false; // by the URL that was given, not the one it led to
    steady_time until = steady_time::max();
};

enum class download_state : std::uint8_t {
    fetching,
    complete, // every byte is there
    restart,  // forget what is there, then call restarted()
    failed,   // trouble() says why
};

class download {
public:
    // What is there already, for a download that is taken up again.
    struct beginning {
        std::vector<byte_range> have;
        std::optional<std::uint64_t> size;
        std::string etag, etag_host;
    };

    download(download_limits limits, const beginning& from, steady_time now);

    // --- connections ---
    bool wants_more() const; // another connection would have something to do
    int join(steady_time now);
    void leave(int connection);
    download_step next(int connection, steady_time now);
    // Whether the body is to be read; else the reply is to be dropped. Refusals: on_refusal().
    bool on_reply(int connection, const reply_facts& head, steady_time now, double random);
    void on_refusal(int connection, const reply_facts& head, download_trouble why, steady_time now,
                    double random);
    std::uint64_t room(int connection) const;     // how many bytes it may read now
    std::uint64_t position(int connection) const; // of the next of them in the file
    // Returns how many of them count; the others have been given to another connection.
    std::uint64_t on_bytes(int connection, std::uint64_t n, steady_time now);
    void on_end(int connection, steady_time now, double random); // of the body
    void on_trouble(int connection, download_trouble why, steady_time now, double random);

    // --- the whole ---
    void on_tick(steady_time now); // every 50 to 250 ms
    void restarted(steady_time now);
    void fail(download_trouble why); // for a reason that this class does not know of
    // The bytes are all there and are not the ones that the source promised: once more, then never.
    void on_wrong_content(std::string reason);

    download_state state() const { return state_; }
    const download_trouble& trouble() const { return trouble_; }
    std::optional<std::uint64_t> size() const { return size_; }
    std::uint64_t received() const { return received_.size(); }
    int receiving() const; // connections that bring bytes now
    int wanted() const;
    bool in_ranges() const { return ranges_ == ranged::yes; }
    const std::string& etag() const { return etag_; }
    const std::string& etag_host() const { return etag_host_; }

private:
    enum class ranged : std::uint8_t { unknown, yes, no };
    struct speed {
        void add(std::uint64_t n, steady_time now);
        double at(steady_time now) const; // bytes per second
        steady_time mark{};
        std::uint64_t bytes = 0;
        double rate = 0;
    };
    struct connection {
        // What it has not brought is for others, and its reply is not read any further.
        void drop()
        {
            lease.reset();
            reply_end = 0;
        }
        std::optional<byte_range> lease; // begin moves with what has come
        std::uint64_t asked_end = 0;     // of the request
        std::uint64_t reply_at = 0;      // the next byte of the open reply
        std::uint64_t reply_end = 0;     // 0: none is open
        speed rate;
        steady_time since{};      // of the lease
        steady_time slow_since{}; // or the last time that it was not
        steady_time not_before{};
        int strikes = 0;
        std::uint64_t since_strike = 0; // bytes
    };

    bool judge_part(connection& c, const reply_facts& head, steady_time now, double random);
    bool judge_whole(connection& c, const reply_facts& head);
    void protocol_error(connection& c, std::string what, steady_time now, double random);
    void changed(std::string what);
    void strike(connection& c, download_trouble why, steady_time now, double random);
    bool is_same(const reply_facts& head) const;
    void take_validators(const reply_facts& head);
    byte_range free_gap() const;
    download_step grant(connection& c, byte_range range, steady_time now);
    std::optional<byte_range> steal(connection& c, steady_time now);
    double seconds_left(const connection& c, steady_time now) const;
    bool anybody_else_receives(const connection& c) const;
    std::uint64_t end_of_file() const;
    void check_complete();

    download_limits limits_;
    download_state state_ = download_state::fetching;
    download_trouble trouble_;
    pace pace_;
    ranges received_;
    std::map<int, connection> connections_;
    int next_id_ = 1;
    std::optional<std::uint64_t> size_;
    std::string etag_, etag_host_;
    ranged ranges_ = ranged::unknown;
    bool plain_ = false;      // Range has confused the server
    bool from_source_ = true; // no link, or one that has run out
    int resolving_ = 0;       // the connection that gets a new one
    int refreshed_ = 0;
    std::uint64_t at_refresh_ = 0; // bytes received then
    int changes_ = 0;
    int protocol_errors_ = 0;
    int troubles_ = 0;             // in a row
    std::uint64_t at_trouble_ = 0; // bytes received then
    steady_time hold_until_{};     // asked for by the server
    steady_time last_progress_;
    std::uint64_t counted_ = 0; // received at last_progress_
};

} // namespace gateway::core
