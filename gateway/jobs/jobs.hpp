#pragma once

// The only writer of job state: submit, lease, progress, finish, cancel, expire, retry, purge. Each
// is decide (core) → commit (store) → publish (waiters, events, counters). Memory shows committed
// state only, and one transition of a job is under way at a time: whoever comes second waits for
// the commit of the first and then decides on the truth (design.md §4).

#include "core/blocks.hpp"
#include "core/feed.hpp"
#include "core/job.hpp"
#include "core/progress.hpp"
#include "core/retry.hpp"
#include "core/scheduler.hpp"
#include "jobs/key_register.hpp"
#include "jobs/outbox.hpp"
#include "jobs/table.hpp"
#include "net/async.hpp"
#include "store/health.hpp"
#include "store/journal.hpp"
#include "store/spool.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gateway::jobs {

struct limits {
    core::scheduler::limits queue;
    std::chrono::milliseconds keep_async{std::chrono::minutes(30)}; // results of /run
    std::chrono::milliseconds keep_sync{std::chrono::minutes(1)};   // results of /runsync
    core::retry_limits retry;
    std::size_t events_per_job = 64;
    std::size_t slice = 200; // rows per commit of purge and expiry
};

// Through which door a job came.
enum class door : std::uint8_t {
    runpod, // run, runsync
    native, // POST /api/v1/jobs
    batch,  // a line of jobs:batch
};
constexpr std::size_t doors = 3;

// A job as a door has read and checked it.
struct submission {
    std::string input; // JSON text of `input`, kept as it is
    core::model_set files;
    core::job_policy policy;
    std::string webhook;
    bool sync = false;
    door through = door::runpod;
    std::optional<core::idempotency> once; // its Idempotency-Key, if it has one
};

// A job that is kept. With an Idempotency-Key it may have been for some time.
struct accepted {
    core::job job;
    bool replayed = false; // an earlier request with the same key brought it
};

// Why a job was not taken. Nothing is kept of it.
struct refusal {
    enum class why : std::uint8_t {
        queue_full, // too many jobs or bytes wait: try again later
        no_room,    // the disk or the spool is too full to take on more
        draining,   // the gateway is stopping
        storage,    // the journal could not keep it
        reused,     // its Idempotency-Key came with another content before
        pending,    // the first request with its Idempotency-Key is still being kept
    };
    why reason = why::storage;
    std::string text; // for people: what, how much, the limit
    std::chrono::seconds retry_after{5};
};

// What a finished job left: the WebUI's own bytes with `extra` spliced in at `splice`.
struct stored_result {
    store::spool_file file;
    std::uint64_t splice = 0;
    std::string extra;
    std::string index; // where the images lie, as work/ wrote it
};

// One job as the doors may show it. Pointers are good until the next await.
struct view {
    const core::job* job = nullptr;
    std::uint64_t version = 0; // grows with every change
    std::string worker; // backend name of the current or last attempt; empty before the first
    const std::string* error = nullptr;
    const core::progress_view* last_progress = nullptr; // of the running attempt
    const stored_result* result = nullptr;
};

// One attempt handed to a runner. `asked` wakes it when the job is to be stopped.
struct lease {
    core::fence fence;
    std::string id; // the public one, for logs and metadata
    core::job job;  // as committed
    core::model_set files;
    std::string input;
    std::vector<core::outcome> earlier; // outcomes of earlier attempts, oldest first
    std::shared_ptr<net::gate> stop;    // opens when cancel or expiry asks the attempt to end
};

class jobs {
public:
    struct counters {
        std::array<std::uint64_t, doors> submitted{}; // indexed by door
        std::uint64_t replayed = 0;                   // answered with the job of an earlier request
        std::uint64_t refused = 0;
        std::uint64_t completed = 0;
        std::uint64_t failed = 0;
        std::uint64_t cancelled = 0;
        std::uint64_t expired = 0;
        std::uint64_t purged = 0;
        std::uint64_t retried = 0;                      // dispatches after the first, and /retry
        std::uint64_t results_lost = 0;                 // not as they were stored, or gone
        std::uint64_t running = 0;                      // now
        std::uint64_t kept = 0;                         // in memory, any state
        std::vector<std::uint64_t> attempts_by_outcome; // indexed by core::outcome
        // histograms: upper bounds in histogram_bounds(), last bucket is the rest
        std::vector<std::uint64_t> wait_seconds;
        std::vector<std::uint64_t> run_seconds;
        double wait_seconds_sum = 0;
        double run_seconds_sum = 0;
    };
    static const std::vector<double>& histogram_bounds();

    // What jobs needs from outside that is not a part: 60 random bits for each id, and how a job's
    // public id is written (for logs).
    struct naming {
        std::function<std::uint64_t()> secret;
        std::function<std::string(const core::job&)> id;
    };

    // `room` is asked before anything is accepted or begun; nullptr: there is always room.
    jobs(net::executor ex, net::time_source& time, store::journal& journal, store::spool& spool,
         limits allowed, naming names, const store::health* room = nullptr);
    ~jobs();
    jobs(const jobs&) = delete;
    jobs& operator=(const jobs&) = delete;

    // Before anything else: reads the journal back. Jobs that were running become `crashed`
    // attempts and wait again, or fail after too many crashes. Leftover spool files are swept.
    net::task<error_code> replay();
    // Deletes what has expired, for as long as it is not cancelled.
    net::task<> keep_house();
    // From now on nothing is accepted or leased.
    void stop_intake();

    // --- for the doors ---

    // Durable when it returns a job. With an Idempotency-Key that is known already, the job it
    // stands for; while that is still being kept, at most replay_wait passes.
    using answer = boost::system::result<accepted, refusal>;
    static constexpr auto replay_wait = std::chrono::seconds(2);
    net::task<answer> submit(submission s);
    // The same for many, with one write; the answers are in their order.
    net::task<std::vector<answer>> submit(std::vector<submission> all);
    // Nothing when unknown, expired, or the secret does not match.
    std::optional<view> find(core::job_key key, std::uint64_t secret) const;
    // Jobs in the order of their keys, at most `limit` above or below one: the nearest first.
    std::vector<view> above(core::job_key key, std::size_t limit) const;
    std::vector<view> below(core::job_key key, std::size_t limit) const;
    // True once the job's version is above `seen` or it is gone; false when `until` came first.
    net::task<bool> changed(core::job_key key, std::uint64_t seen, steady_time until);
    // Of a waiting job: at once. Of a running one: its attempt is stopped, and this returns when it
    // has ended or `until` has come. The job's true state is then in find().
    net::task<error_code> cancel(core::job_key key, steady_time until);
    // Failed and timed-out jobs wait again. wrong_state otherwise.
    net::task<boost::system::result<core::verdict>> retry(core::job_key key);
    // Removes every waiting job; how many.
    net::task<std::size_t> purge();
    // Deletes a job that does not run; wrong_state when it does. One that is gone is done.
    net::task<boost::system::result<core::verdict>> remove(core::job_key key);
    // All that happened to it, from the journal.
    net::task<result<store::job_history>> history(core::job_key key);
    // Before a result goes to anybody: are its bytes still the ones that were stored? If they are
    // not, the job has no result any more and an error that says so. Other errors are the disk's,
    // for now.
    net::task<error_code> check_result(core::job_key key);
    // Shortens how long a finished job's result is kept.
    void keep_for(core::job_key key, std::chrono::milliseconds from_now);
    // What the job's stream has not delivered yet: its progress, and one item without progress once
    // it has completed. The cursor is moved by acknowledge(), after the reply has really been
    // written.
    struct drained {
        std::vector<core::feed_item> items;
        std::uint64_t cursor = 0;
    };
    drained drain(core::job_key key) const;
    void acknowledge(core::job_key key, std::uint64_t cursor);

    // --- for work ---

    // Waits for the next job that `can_run` admits and commits its attempt. Nothing once intake has
    // stopped (or the caller is cancelled). One call per backend at a time.
    net::task<std::optional<lease>> next_lease(std::string backend,
                                               core::scheduler::runnable can_run);
    // Something that can_run depends on has changed: a backend is ready, a file has arrived.
    void offers_changed();
    void report(core::fence by, core::progress_view p);
    // The attempt made a result. Anything but done: it came too late, and the file is discarded.
    net::task<result<core::verdict>> complete(core::fence by, store::result_record record,
                                              store::spool_file file);
    // The attempt ended otherwise; what becomes of the job is core::decide's to say.
    net::task<error_code> end_attempt(core::fence by, core::outcome what, std::string reason);
    // A waiting job that can never run, e.g. because its model cannot be had.
    net::task<error_code> fail_waiting(core::job_key key, std::string reason);

    // The model sets that waiting jobs need, most urgent first.
    std::vector<core::set_id> wanted_models() const { return queue_.wanted(); }
    std::vector<core::job_key> waiting_for(core::set_id s) const { return queue_.waiting_for(s); }
    // The model sets of running jobs, in no order.
    std::vector<core::set_id> running_models() const;
    const core::model_sets& sets() const { return sets_; }
    // Moves on whenever wanted_models() may have changed.
    net::versions& demand() { return demand_; }

    // What webhooks are to be told.
    gateway::jobs::outbox& outbox() { return outbox_; }

    const counters& numbers() const { return counters_; }
    std::size_t waiting() const { return queue_.size(); }
    std::uint64_t waiting_bytes() const { return queue_.bytes(); }
    std::optional<wall_time> oldest_waiting() const;
    std::size_t running() const { return counters_.running; }

private:
    struct entry;
    struct idle_runner;
    struct arriving;
    class hold;
    using due = std::pair<wall_time, core::job_key>;
    struct itself {
        due operator()(const due& d) const { return d; }
    };

    std::optional<refusal> reserve(const submission& s);
    arriving arrive(const submission& s);
    entry& show(arriving& a, const core::job& now);
    void publish(arriving& a);
    refusal not_kept(const arriving& a, const error_code& ec);
    answer counted(answer a);
    std::optional<answer> known(const core::idempotency& once) const;
    net::task<std::optional<answer>> wait_for_known(core::idempotency once);

    entry* look(core::job_key key) const;
    net::task<hold> take(core::job_key key);
    entry& keep(core::job job);
    void changed_now(entry& e);
    core::feed& events(entry& e) const;
    void forget(core::job_key key);
    view view_of(const entry& e) const;
    void schedule(entry& e);
    void unschedule(entry& e);
    void hide(entry& e);
    bool may_go(const entry& e) const;
    void webhooks_settled(core::job_key key);
    wall_time due_of(const entry& e) const;
    core::scheduler::ticket ticket_of(const core::job& job) const;
    std::uint16_t backend_index(const std::string& name);
    std::shared_ptr<idle_runner> claim_idle(core::set_id models);
    net::task<std::optional<lease>> begin(core::scheduler::ticket t, std::string backend);
    lease lease_of(entry& e, std::string input);
    net::task<error_code> commit_known(store::write w, bool doubtful = false);
    net::task<error_code> commit_surely(store::write w);
    void count_running(core::set_id models);
    void count_stopped(core::set_id models);
    void ended(entry& e, core::outcome last);
    // Model sets as replay meets them: jobs that want the same share one.
    using known_sets = std::map<std::shared_ptr<const core::model_set>, core::set_id>;
    void restore(store::job_record& record, known_sets& known);
    net::task<> reopen_results(std::vector<store::job_record>& records);
    void lose_result(entry& e, const std::string& file, const error_code& why);
    net::task<error_code> fail_held(entry& e, std::string reason);
    bool may_begin() const { return room_ == nullptr || room_->no_start().empty(); }
    net::task<> close_crashed(std::vector<core::fence> open);
    using condition = std::function<bool(const entry&)>;
    net::task<result<std::size_t>> erase(std::vector<core::job_key> keys, condition when);
    net::task<> expire(wall_time now);

    net::executor ex_;
    net::time_source& time_;
    store::journal& journal_;
    store::spool& spool_;
    limits limits_;
    naming naming_;
    const store::health* room_;
    core::scheduler queue_;
    core::model_sets sets_;
    table<entry> jobs_;
    std::vector<std::string> backends_; // names by the index that core::job holds
    net::versions settled_;             // some transition has been committed or given up
    net::versions offers_;
    net::versions demand_;
    gateway::jobs::outbox outbox_;
    core::sorted_blocks<due, itself> due_; // when to look at each job again; one place for each
    net::versions due_changed_;
    std::vector<std::shared_ptr<idle_runner>> idle_;
    key_register keys_;
    std::unordered_map<core::set_id, std::size_t> running_sets_; // how many jobs run with each
    counters counters_;
    bool intake_ = true;
};

} // namespace gateway::jobs
