#pragma once

// The way of a new job through any door: read and checked, large ones beside the loop; its
// Idempotency-Key looked at; handed to jobs.

#include "api/keys.hpp"
#include "api/route.hpp"
#include "api/submission.hpp"

namespace gateway::api {

class intake {
public:
    // All of it outlives the intake. `parsing` is where large bodies are read.
    struct parts {
        jobs::jobs& jobs;
        net::lane& parsing;
        const config::settings& settings;
    };

    explicit intake(parts with);

    // Durable when it returns a job. Takes the body.
    net::task<proto::parsed<jobs::accepted>> submit(call c, jobs::door through, bool sync) const;
    // Many texts at once, always beside the loop.
    using texts = std::vector<std::string>;
    using readings = std::vector<proto::parsed<jobs::submission>>;
    net::task<readings> read(texts lines, submission_facts facts) const;
    // Whose Idempotency-Keys these are.
    std::string client_of(const net::request& request) const;

private:
    net::task<proto::parsed<jobs::submission>> read_large(std::string body,
                                                          submission_facts facts) const;

    parts with_;
    submission_rules rules_;
    keys keys_;
};

// Why jobs did not take it, as a problem.
proto::problem problem_of(const jobs::refusal& why);

} // namespace gateway::api
