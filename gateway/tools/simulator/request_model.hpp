#pragma once

// The request models of the WebUI as tables of fields (webui.md §2.1, §2.2), and pydantic's way of
// reading a body against them: what it converts, what it refuses, and in which words (v1 and v2).

#include "tools/simulator/dialect.hpp"
#include "tools/simulator/python.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace gateway::tools::simulator {

enum class field_type {
    text,
    integer,
    number,
    flag,
    list,      // of anything
    text_list, // of strings
    dict,
};

struct field {
    std::string_view name;
    field_type type;
    json::value default_value;
    bool nullable = true;  // an explicit null is allowed
    bool required = false; // has no default
};

using request_model = std::vector<field>;

const request_model& txt2img_model(const dialect& d);
const request_model& img2img_model(const dialect& d);
const request_model& png_info_model();
const request_model& interrogate_model();
const request_model& internal_progress_model();
// The fields that extra-single-image and extra-batch-images share, then their own.
const request_model& extra_single_model();
const request_model& extra_batch_model();

// What a validation found wrong: the whole 422 body.
struct invalid {
    json::object body;
};
// The body could not be read at all: 400 "There was an error parsing the body".
struct unparsable {};

using validated = std::variant<json::object, invalid, unparsable>;

// FastAPI's reading of a body: Content-Type decides whether it is JSON at all. On success every
// field of the model, in the model's order, with defaults filled in.
validated read_body(const request_model& fields, std::string_view content_type,
                    std::string_view body, bool pydantic_v2);
// The same for a handler that takes any object (POST options).
validated read_any_object(std::string_view content_type, std::string_view body, bool pydantic_v2);
// A boolean query parameter with default false.
std::variant<bool, invalid>
read_query_flag(std::string_view name, const std::optional<std::string>& text, bool pydantic_v2);

} // namespace gateway::tools::simulator
