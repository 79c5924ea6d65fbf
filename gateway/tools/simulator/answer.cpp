#include "tools/simulator/answer.hpp"

namespace gateway::tools::simulator {

answer not_found()
{
    auto out = answer::json({{"detail", "Not Found"}});
    out.status = 404;
    return out;
}

answer method_not_allowed(std::string_view allow)
{
    auto out = answer::json({{"detail", "Method Not Allowed"}});
    out.status = 405;
    out.first_headers = {{"allow", std::string(allow)}};
    return out;
}

answer unprocessable(json::object body)
{
    auto out = answer::json(std::move(body));
    out.status = 422;
    return out;
}

answer from(const http_exception& e, const dialect& d)
{
    json::object body;
    if (d.four_key_errors)
        body = {{"error", "HTTPException"}, {"detail", e.what()}, {"body", ""}, {"errors", ""}};
    else
        body = {{"detail", e.what()}};
    auto out = answer::json(std::move(body));
    out.status = e.status;
    return out;
}

answer from(const python_error& e, const dialect& d)
{
    auto out = answer::json({{"error", e.type},
                             {"detail", ""},
                             {"body", ""},
                             {d.four_key_errors ? "errors" : "message", e.what()}});
    out.status = 500;
    out.timed = false;
    return out;
}

} // namespace gateway::tools::simulator
