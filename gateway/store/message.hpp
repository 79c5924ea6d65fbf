#pragma once

// The outbox: what the webhooks of ended jobs are to be told, and what became of it. A message is
// written by the very transaction that ends its job, and goes when the job's row goes.

#include "base/time.hpp"
#include "core/delivery.hpp"
#include "core/job.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace gateway::store {

struct delivery_try {
    wall_time when{};
    std::chrono::milliseconds took{};
    int status = 0;    // of the reply; 0: there was none
    std::string error; // for people; empty when it was delivered
};

// More than this are not kept of one job; the newest stay.
constexpr std::uint32_t messages_kept = 20;
// The same of the tries of one message.
constexpr std::uint32_t tries_kept = 50;

struct message_record {
    core::message_id id;
    core::job_state told = core::job_state::completed; // the state that the job ended in
    std::string url;
    core::delivery_state state = core::delivery_state::pending;
    std::uint32_t tries = 0;         // made since it was opened
    wall_time opened{};              // the job's end, or when it was opened again
    wall_time next{};                // of pending ones: not tried before
    std::vector<delivery_try> tried; // oldest first, since the job's end
};

// --- operations (journal.hpp) ---

// A try of a pending message has ended.
struct record_try {
    core::message_id id;
    core::delivery_state state = core::delivery_state::pending;
    std::uint32_t tries = 0;
    wall_time next{};
    delivery_try tried;
};
// A message that is not pending any more becomes so again, with all its tries before it.
struct reopen_message {
    core::message_id id;
    wall_time when{};
};

} // namespace gateway::store
