#pragma once

// The real jobs under random calls, several at a time, over a journal that is slow, fails, and does
// not always know what it has done, in a process that dies now and then; held against the reference
// model: some order of the calls must explain every answer and everything that is left.

#include "support/jobs_world.hpp"
#include "support/lifecycle_model.hpp"

#include <map>
#include <stdexcept>

namespace gateway::test {

// One random decision; what it comes to depends on what there is.
struct lifecycle_step {
    enum class kind {
        submit,
        lease,
        complete,
        end,
        cancel,
        retry,
        purge,
        fail_waiting,
        settle,  // the calls before it are over before those after it begin
        fault,   // the next commit fails in some way
        crash,   // the process dies
        shorten, // a result is kept for a shorter time
        pass,    // time passes
        jump,    // the wall clock is set
    };
    kind what = kind::settle;
    std::uint64_t dice = 0;
};

struct lifecycle_mismatch : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class lifecycle_simulation : jobs_world {
public:
    lifecycle_simulation() : runners_(ex()), house_(ex())
    {
        limits.retry.pause = {}; // the model does not know the time
        restart();
        on_restart = [this] {
            stop(runners_);
            stop(house_);
        };
        house_.spawn(jobs->keep_house());
    }
    ~lifecycle_simulation() { stop(house_); }

    // Throws a lifecycle_mismatch.
    void run(const std::vector<lifecycle_step>& steps)
    {
        for (const auto& s : steps)
            take(s);
        settle_calls();
        drain();
    }
    std::size_t calls_made() const { return made_; }

private:
    void take(const lifecycle_step& s);
    void begin(const lifecycle_step& s, call::kind what);
    void settle_calls();
    void crash(std::uint64_t dice);
    void pass(wall_duration jump, duration d);
    void drain();
    void avoid_expiry();
    void stop(net::task_group& group);

    bool explain(const lifecycle_model& m, std::vector<const call*> rest, bool died);
    bool is_left(const lifecycle_model& m) const;
    bool is_due(core::job_key key) const;
    void follow_expiry();
    void check(const std::string& when);
    [[noreturn]] void fail(const std::string& what) const;

    static net::task<> submit(lifecycle_simulation& self, std::shared_ptr<call> c,
                              jobs::submission s);
    static net::task<> lease(lifecycle_simulation& self, std::shared_ptr<call> c);
    static net::task<> complete(lifecycle_simulation& self, std::shared_ptr<call> c);
    static net::task<> change(lifecycle_simulation& self, std::shared_ptr<call> c);
    void answered(call& c, std::string text) const;

    net::task_group runners_, house_;
    lifecycle_model model_;
    std::vector<std::shared_ptr<call>> calls_; // since the last settling
    std::vector<core::fence> attempts_;        // every one that a runner was given
    std::map<core::job_key, wall_time> due_;   // as last seen
    std::map<core::job_key, wall_time> shortened_;
    core::job_key submitted_ = 0;
    std::uint64_t failures_ = 0; // of the journal, before these calls
    std::size_t made_ = 0, settled_ = 0, written_ = 0;
};

} // namespace gateway::test
