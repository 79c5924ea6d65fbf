#pragma once

// Python's own text: json.loads with its error messages and positions, json.dumps in both forms
// that the WebUI uses, and repr() of floats. A client can tell a simulator from the real thing by
// these.

#include <boost/json.hpp>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

namespace gateway::tools::simulator {

namespace json = boost::json;

// An exception of the simulated process: its type's name and str(e).
struct python_error : std::runtime_error {
    python_error(std::string type_name, const std::string& text)
        : std::runtime_error(text), type(std::move(type_name))
    {
    }
    std::string type;
};

// repr(float): the shortest digits that round-trip, with a point or an exponent ("7.0", "1e-05").
std::string repr(double number);
// repr(str): quoted as Python would ('it' or "it's").
std::string repr(std::string_view text);

// What Starlette sends: json.dumps(ensure_ascii=False, allow_nan=False, separators=(",", ":")).
std::string dump_compact(const json::value& value);
// What `info` holds: json.dumps(value), that is ", " and ": " and ASCII only.
std::string dump_spaced(const json::value& value);
// json.dumps(text, ensure_ascii=False), used when an infotext quotes a value.
std::string dump_text(std::string_view text);

// json.JSONDecodeError. Positions count characters, not bytes.
struct json_decode_error {
    std::string message;
    std::size_t position = 0;
    std::size_t line = 1;
    std::size_t column = 1;
};
// The body is not text in UTF-8, or is nested deeper than Python follows.
struct unreadable_body {};

std::variant<json::value, json_decode_error, unreadable_body> parse_json(std::string_view text);

// Whether the bytes are UTF-8.
bool is_utf8(std::string_view bytes);

} // namespace gateway::tools::simulator
