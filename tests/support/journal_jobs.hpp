#pragma once

// Jobs and operations for tests of journals: every field set, no two alike.

#include "store/journal.hpp"
#include "support/world.hpp"

#include <boost/test/unit_test.hpp>

namespace gateway::test {

inline wall_time at(std::int64_t ms) { return wall_time(wall_duration(ms)); }

inline core::model_set some_files()
{
    return {{core::model_kind::checkpoint, "dream:1,9", "https://host/a?b=c", "abcdef0123"},
            {core::model_kind::lora, "Ä \n", "", ""},
            {core::model_kind::embedding, "", "", ""},
            {core::model_kind::vae, "clear", "http://x/", std::string(64, 'f')}};
}

inline store::insert_job inserted(core::job_key key, std::string input = R"({"prompt":"a cat"})")
{
    store::insert_job op;
    op.job.key = key;
    op.job.secret = (std::uint64_t{1} << 59) + key;
    op.job.submitted = at(1'700'000'000'000 + static_cast<std::int64_t>(key));
    op.job.queued = at(1'700'000'000'500);
    op.job.input_bytes = input.size();
    op.job.policy.execution_timeout = std::chrono::milliseconds(61'001);
    op.job.policy.ttl = std::chrono::milliseconds(3'600'002);
    op.job.policy.low_priority = key % 2 == 0;
    op.job.sync = key % 3 == 0;
    op.files = some_files();
    op.input = std::move(input);
    op.webhook = "https://client/hook?job=" + std::to_string(key);
    if (key % 2 == 1)
        op.once = core::idempotency{{key, ~key}, {~std::uint64_t{0}, 7}};
    return op;
}

inline store::begin_attempt begun(core::job_key key, std::uint32_t attempt)
{
    return {{key, attempt}, "webui-" + std::to_string(attempt), at(1'700'000'001'000 + attempt), 7};
}

inline store::requeue_job requeued(core::job_key key, std::uint32_t attempt)
{
    return {{key, attempt}, core::outcome::lost_restarted, at(1'700'000'005'000), "gone"};
}

inline store::finish_job completed(core::job_key key, std::uint32_t attempt)
{
    store::result_record r{"file-" + std::to_string(key), 123'456,    99, R"("cache_info":{})",
                           std::string("a\0b", 3),        0xfedc'ba98};
    return {
        {key, attempt}, core::job_state::completed, core::outcome::done, at(1'700'000'009'000), "",
        std::move(r)};
}

inline store::finish_job ended(core::job_key key, std::uint32_t attempt, core::job_state state)
{
    return {{key, attempt},        state,      core::outcome::out_of_memory,
            at(1'700'000'009'000), "it broke", std::nullopt};
}

inline store::record_try tried(core::job_key key, std::uint32_t message, core::delivery_state state,
                               std::uint32_t tries = 1)
{
    store::delivery_try t{at(1'700'000'010'000 + tries), std::chrono::milliseconds(17), 503,
                          "try " + std::to_string(tries)};
    return {{key, message}, state, tries, at(1'700'000'020'000), std::move(t)};
}

template <class... Operations> store::write written(Operations... operations)
{
    store::write w;
    (w.emplace_back(std::move(operations)), ...);
    return w;
}

// Asks a journal and turns the loop until it has answered; for journals on a lane without threads.
error_code commit(world& w, store::journal& j, store::write operations);
result<std::string> input(world& w, store::journal& j, core::job_key job);
store::job_history history(world& w, store::journal& j, core::job_key job);
std::vector<store::job_record> everything(world& w, store::journal& j, std::size_t page = 7);

std::vector<core::message_id> pending(world& w, store::journal& j, std::size_t page = 3);
std::vector<store::message_record> messages(world& w, store::journal& j, core::job_key job);
result<store::message_content> message(world& w, store::journal& j, core::message_id id);

void check_same(const store::job_record& a, const store::job_record& b);
void check_same(const store::job_history& a, const store::job_history& b);
void check_same(const store::message_record& a, const store::message_record& b);
void check_same(const store::message_content& a, const store::message_content& b);

} // namespace gateway::test
