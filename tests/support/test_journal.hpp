#pragma once

// A journal in memory that keeps the same rules as the real one (tests/store/conformance_test.cpp
// holds both to them), but takes as long as a test says, and fails when a test says.

#include "net/async.hpp"
#include "store/journal.hpp"

#include <deque>
#include <functional>
#include <map>

namespace gateway::test {

class test_journal final : public store::journal {
public:
    struct message {
        store::message_record record;
        store::message_content content;
    };
    struct row {
        store::job_record record;
        std::string input;
        store::job_history past;                   // before the last /retry
        std::map<std::uint32_t, message> messages; // by number
    };

    explicit test_journal(net::time_source& time) : time_(time) {}

    core::job_key next_key() override { return ++last_key_; }
    net::task<error_code> commit(store::write w) override;
    net::task<result<std::string>> read_input(core::job_key job) override;
    net::task<result<store::job_history>> read_history(core::job_key job) override;
    net::task<result<std::vector<store::job_record>>> replay(core::job_key after,
                                                             std::size_t limit) override;
    net::task<result<std::vector<core::message_id>>> pending_messages(core::message_id after,
                                                                      std::size_t limit) override;
    net::task<result<std::vector<store::message_record>>> read_messages(core::job_key job) override;
    net::task<result<store::message_content>> read_message(core::message_id id) override;
    net::task<> close() override;
    const stats& counters() const override { return stats_; }

    // How long a commit takes from now on. Writes that arrive while one is on its way go together
    // into the next one. Even with no delay a commit suspends once.
    void set_delay(duration d) { delay_ = d; }
    // The next write asked for fails; with `happens` it takes effect all the same, as an unknown
    // commit may.
    void fail_next(store::journal_errc e, bool happens = false);
    // Every write that has such an operation fails, until the condition is replaced by {}.
    using condition = std::function<bool(const store::operation&)>;
    void fail_when(condition when, store::journal_errc e = store::journal_errc::io);
    void fail_next_read(store::journal_errc e) { failing_read_ = e; }
    // Commits and reads asked for while held wait for release().
    void hold();
    void release();
    std::size_t waiting() const { return queue_.size(); } // commits asked for, not yet answered

    // What is durable now.
    const std::map<core::job_key, row>& rows() const { return rows_; }
    // The writes that took effect, in order.
    const std::vector<store::write>& history() const { return history_; }
    // The process is killed: of the writes on their way the first `survivors` are durable, the
    // others and all later ones never are, and nobody is told. Returns what the next process opens.
    std::unique_ptr<test_journal> crashed(std::size_t survivors = 0);

private:
    struct entry {
        store::write w;
        steady_time due{};
        std::optional<store::journal_errc> failure;
        bool happens = true;
        bool answered = false;
        error_code answer;
        net::arrival done;
    };

    steady_time schedule();
    net::task<> pass();
    void apply_through(const entry& last);
    error_code apply(const store::write& w);

    net::time_source& time_;
    duration delay_{};
    steady_time batch_start_{};
    steady_time batch_end_{};
    std::shared_ptr<net::arrival> held_;
    std::deque<std::shared_ptr<entry>> queue_;
    std::optional<store::journal_errc> failing_next_;
    bool failing_happens_ = false;
    condition failing_when_;
    store::journal_errc failing_when_with_ = store::journal_errc::io;
    std::optional<store::journal_errc> failing_read_;
    std::map<core::job_key, row> rows_;
    std::vector<store::write> history_;
    core::job_key last_key_ = 0;
    bool closed_ = false;
    stats stats_;
};

} // namespace gateway::test
