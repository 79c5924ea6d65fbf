#pragma once

// The answers that every door gives: JSON, and problems with the headers that belong to them.

#include "net/http.hpp"
#include "proto/problem.hpp"

namespace gateway::api {

net::response json_answer(std::string body);

// In the shape of runpod.md §1.8, with Retry-After and WWW-Authenticate where they belong.
net::response problem_answer(const proto::problem& what);
net::response problem_answer(proto::problem_code code, std::string detail = {});
// The same in the way of the door that the path leads to: problem+json below /api/.
net::response problem_on(std::string_view path, const proto::problem& what);

} // namespace gateway::api
