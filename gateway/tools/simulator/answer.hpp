#pragma once

// What a handler gives back before it is dressed as uvicorn would send it, and the error bodies of
// each dialect (webui.md §2.6, §6).

#include "net/http.hpp"
#include "tools/simulator/dialect.hpp"
#include "tools/simulator/python.hpp"

#include <stdexcept>
#include <string>

namespace gateway::tools::simulator {

struct answer {
    int status = 200;
    std::string body; // compact JSON unless content_type says otherwise
    std::string content_type = "application/json";
    net::header_list first_headers; // before content-length
    net::header_list last_headers;  // after content-type
    bool timed = true;              // carries x-process-time

    // How the bytes fail to arrive.
    enum class delivery {
        whole,
        cut,   // the connection ends in the middle
        stall, // nothing more comes after the middle
    };
    delivery sent = delivery::whole;

    static answer json(json::value value)
    {
        answer out;
        out.body = dump_compact(value);
        return out;
    }
};

// fastapi.HTTPException: an answer that the code meant to give.
struct http_exception : std::runtime_error {
    http_exception(int code, const std::string& text) : std::runtime_error(text), status(code) {}
    int status;
};

// The connection is closed without a word.
struct hang_up : std::runtime_error {
    hang_up() : std::runtime_error("hung up") {}
};

answer not_found();
answer method_not_allowed(std::string_view allow);
answer unprocessable(json::object body);
answer from(const http_exception& e, const dialect& d);
// An exception that nobody expected: 500, without x-process-time.
answer from(const python_error& e, const dialect& d);

} // namespace gateway::tools::simulator
