#include "api/answer.hpp"

namespace gateway::api {

net::response json_answer(std::string body)
{
    net::response answer;
    answer.body = std::move(body);
    return answer;
}

net::response problem_answer(const proto::problem& what)
{
    net::response answer;
    answer.status = proto::status_of(what.code);
    answer.body = proto::runpod_body(what);
    if (answer.status == 401)
        answer.headers.emplace_back("WWW-Authenticate", "Bearer");
    if (what.retry_after)
        answer.headers.emplace_back("Retry-After", std::to_string(what.retry_after->count()));
    return answer;
}

net::response problem_answer(proto::problem_code code, std::string detail)
{
    return problem_answer(proto::make_problem(code, std::move(detail)));
}

} // namespace gateway::api
