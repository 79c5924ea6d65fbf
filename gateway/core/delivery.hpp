#pragma once

// Webhooks: which message goes out when, what its receiver's answer means, and what becomes of a
// receiver that does not answer (runpod.md §1.9, peers.md §5.7, decisions.md 14). One receiver's
// trouble never holds up another's messages.

#include "base/time.hpp"
#include "core/job.hpp"

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::core {

// One end of a job that its webhook is told of: the first, or one after a client's /retry
// (job::ends).
struct message_id {
    job_key job = 0;
    std::uint32_t number = 0;
    auto operator<=>(const message_id&) const = default;
};

// The names are kept in the journal: add at the end, never renumber.
enum class delivery_state : std::uint8_t {
    pending,   // waits for its next try, or is on its way
    delivered, // the receiver answered 2xx
    given_up,  // all tries are used up
    gone,      // the receiver answered 410: it wants no more of this
};
std::string_view to_text(delivery_state state); // "pending", …

struct delivery_limits {
    // The wait before each try, the first one included; as many tries as there are waits.
    std::vector<duration> schedule{duration::zero(), std::chrono::seconds(10),
                                   std::chrono::seconds(20)};
    double jitter = 0.1;                             // every wait becomes up to this share longer
    duration longest_asked = std::chrono::hours(24); // of what Retry-After may ask for
    std::size_t at_once = 128;
    std::size_t at_once_per_host = 4;
    // A receiver is left alone after so many failures in a row: no answer, 408, 429 or 5xx. Then it
    // gets one message at a time, after a pause that doubles.
    int breaker_after = 5;
    duration breaker_pause = std::chrono::seconds(5);
    duration longest_breaker_pause = std::chrono::minutes(5);

    // From a message's first wait to its last try, at the latest.
    duration whole() const;
};

// What came of one try.
struct delivery_reply {
    int status = 0; // 0: there was no reply
    std::optional<duration> retry_after;
    bool ours = false; // the try failed on our side: says nothing of the receiver
};

class delivery_queue {
public:
    struct message {
        message_id id;
        std::string host;        // of the receiver, with scheme and port
        std::uint32_t tries = 0; // made so far
        steady_time opened{};    // the job's end, or when it was opened again
        steady_time due{};
    };
    // What to do with a message that is due.
    struct step {
        enum class kind : std::uint8_t {
            send,
            give_up, // its time is over, and its receiver is out of service
        };
        message_id id;
        kind what = kind::send;
        std::uint32_t tries = 0; // made so far
    };
    enum class breaker_change : std::uint8_t { none, opened, closed };
    struct decision {
        delivery_state state = delivery_state::pending;
        std::uint32_t tries = 0; // made so far, with this one
        duration wait{};         // until the next one, when pending
        breaker_change breaker = breaker_change::none;
        duration breaker_pause{}; // when it was opened
    };

    explicit delivery_queue(delivery_limits allowed) : allowed_(std::move(allowed)) {}

    // A message that is known already stays as it is.
    void add(message m);
    // A message that waits becomes due now, whatever its receiver's breaker says. False when it is
    // not known.
    bool hurry(message_id id, steady_time now);
    // The message does not exist any more; one that is under way ends without a decision.
    void forget(message_id id);

    // The next thing to do now, if any. What it names is under way until ended(), postpone() or
    // forget(); a message given up is not known any more.
    std::optional<step> next(steady_time now);
    // When next() has something to do again, if nothing ends before that.
    std::optional<steady_time> next_due() const;
    // A try has ended. `random` is in [0, 1). Nothing when the message has been forgotten.
    std::optional<decision> ended(message_id id, const delivery_reply& reply, steady_time now,
                                  double random);
    // The try could not even begin, and not because of the receiver.
    void postpone(message_id id, steady_time until);

    std::size_t size() const { return messages_.size(); }
    std::size_t under_way() const { return under_way_; }
    std::size_t open_breakers() const { return open_breakers_; }
    std::optional<steady_time> oldest() const; // when the oldest message was opened

private:
    struct host {
        std::string name;
        std::set<std::pair<steady_time, message_id>> waiting; // by when they are due
        std::size_t known = 0;                                // messages, waiting or under way
        std::size_t under_way = 0;
        int failures = 0;       // in a row
        int pauses = 0;         // since the breaker was closed last
        bool open = false;      // the breaker
        steady_time opens_at{}; // when an open breaker lets one message through
        std::optional<std::pair<steady_time, message_id>> agenda; // its place in agenda_
    };
    struct entry {
        host* to = nullptr;
        std::uint32_t tries = 0;
        steady_time opened{};
        steady_time due{};
        bool under_way = false;
    };
    using messages = std::map<message_id, entry>;

    host& host_of(const std::string& name);
    void plan(host& h);
    void wait(messages::iterator m, steady_time due);
    void remove(messages::iterator m);
    bool is_over(const entry& e, steady_time now) const;
    breaker_change judge(host& h, const delivery_reply& reply, steady_time now);
    void give_up_old(host& h, steady_time now);

    delivery_limits allowed_;
    messages messages_;
    std::map<std::string, host> hosts_;
    // When each host has something to do, and with which message it begins.
    std::map<std::pair<steady_time, message_id>, host*> agenda_;
    std::multiset<steady_time> opened_;
    std::vector<step> given_up_; // not told yet
    std::size_t under_way_ = 0;
    std::size_t open_breakers_ = 0;
};

} // namespace gateway::core
