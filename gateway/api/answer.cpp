#include "api/answer.hpp"

#include "api/route.hpp"

namespace gateway::api {

net::response json_answer(std::string body)
{
    net::response answer;
    answer.body = std::move(body);
    return answer;
}

namespace {

void add_headers(net::response& answer, const proto::problem& what)
{
    if (answer.status == 401)
        answer.headers.emplace_back("WWW-Authenticate", "Bearer");
    if (what.retry_after)
        answer.headers.emplace_back("Retry-After", std::to_string(what.retry_after->count()));
}

} // namespace

net::response problem_answer(const proto::problem& what)
{
    net::response answer;
    answer.status = proto::status_of(what.code);
    answer.body = proto::runpod_body(what);
    add_headers(answer, what);
    return answer;
}

net::response problem_on(std::string_view path, const proto::problem& what)
{
    if (!is_native(path))
        return problem_answer(what);
    net::response answer;
    answer.status = proto::native_status_of(what.code);
    answer.content_type = proto::problem_content_type;
    answer.body = proto::problem_json(what, path);
    add_headers(answer, what);
    return answer;
}

net::response problem_answer(proto::problem_code code, std::string detail)
{
    return problem_answer(proto::make_problem(code, std::move(detail)));
}

} // namespace gateway::api
