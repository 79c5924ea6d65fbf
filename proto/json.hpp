#pragma once

// Reads a field of a JSON object or says exactly what is wrong with it; writes JSON into a string
// with keys in the order given. Numbers round-trip exactly (Boost.JSON's own parsing may be off by
// one bit, its own writing prints 7.0 as 7E0 and infinity as no JSON at all).

#include "proto/problem.hpp"

#include <boost/json/array.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::proto {

namespace json = boost::json;

constexpr std::size_t max_json_depth = 64;

// One text parsed into memory of its own: values die together with the document.
class document {
public:
    explicit document(std::string_view text, std::size_t max_depth = max_json_depth);
    document(const document&) = delete;
    document& operator=(const document&) = delete;

    bool ok() const { return error_.empty(); }
    // "not JSON: unexpected character at byte 17" or "not JSON: the text is empty"
    const std::string& error() const { return error_; }
    const json::value& root() const { return root_; } // null when not ok()

private:
    unsigned char first_[4096]; // most requests never need the heap
    json::monotonic_resource memory_;
    json::value root_;
    std::string error_;
};

// Every complaint about one text, in the order of discovery.
class complaints {
public:
    void add(std::string what); // the first twenty are kept
    bool none() const { return all_.empty(); }
    const std::vector<std::string>& all() const { return all_; }
    // The first complaint as detail; all of them in `errors` when there are several.
    problem as_problem(problem_code code = problem_code::invalid_request) const;

private:
    std::vector<std::string> all_;
};

// What was found, for a person: `the text "abc"`, `the number 3.5`, `an array`, `nothing`.
std::string describe(const json::value* found);

// Reads members of one object. An absent member and null are the same: nothing, without complaint.
// Anything else of a wrong type or out of range is a complaint that names the path
// (`input.loras[2].scale`), what was found and what would be right.
class reader {
public:
    reader(const json::object& from, std::string path, complaints& into)
        : from_(from), path_(std::move(path)), into_(into)
    {
    }

    std::optional<std::string_view> text(std::string_view key);
    std::optional<std::string_view> required_text(std::string_view key); // and not empty
    // Accepts 20, 20.0 and "20", as the WebUI does, but not 20.7 or true.
    std::optional<std::int64_t>
    integer(std::string_view key, std::int64_t least = std::numeric_limits<std::int64_t>::min(),
            std::int64_t most = std::numeric_limits<std::int64_t>::max());
    // Accepts numbers and texts that are numbers; never infinite.
    std::optional<double> number(std::string_view key,
                                 double least = std::numeric_limits<double>::lowest(),
                                 double most = std::numeric_limits<double>::max());
    std::optional<bool> boolean(std::string_view key);
    const json::object* object(std::string_view key);
    const json::array* array(std::string_view key);

    // Null when absent or null.
    const json::value* find(std::string_view key) const;
    // `path.key`
    std::string path_of(std::string_view key) const;
    void complain(std::string_view key, std::string_view what);
    // `path.key: found the text "abc"; a whole number is wanted`
    void complain_wanted(std::string_view key, std::string_view wanted);
    complaints& into() { return into_; }

private:
    const json::object& from_;
    std::string path_;
    complaints& into_;
};

// --- Writing -------------------------------------------------------------------------------------

// How many bytes the UTF-8 character at the start of `at` has; 0 when there is none.
std::size_t utf8_length(std::string_view at);

// A JSON string with quotes. Bytes that are not UTF-8 become U+FFFD, so the result is always JSON.
void append_quoted(std::string& out, std::string_view text);
// The shortest text that reads back as the same number, always with a dot or an exponent:
// 0.8, 1.0, 1e+22. Infinite and NaN become null.
void append_number(std::string& out, double number);
void append_number(std::string& out, std::int64_t number);
void append_number(std::string& out, std::uint64_t number);
// Compact, numbers as above.
void append_json(std::string& out, const json::value& value);
std::string to_json(const json::value& value);
std::string to_json(const json::object& object);
std::string quoted(std::string_view text);

// Writes one object, member by member, in the order of the calls. close() ends it.
class object_writer {
public:
    explicit object_writer(std::string& out) : out_(out) { out_ += '{'; }

    object_writer& text(std::string_view key, std::string_view value);
    object_writer& integer(std::string_view key, std::int64_t value);
    object_writer& number(std::string_view key, double value);
    object_writer& boolean(std::string_view key, bool value);
    // `value` is JSON already.
    object_writer& raw(std::string_view key, std::string_view value);
    // Writes the key and the colon; the caller appends the value to the same string.
    object_writer& key(std::string_view key);
    void close() { out_ += '}'; }

private:
    std::string& out_;
    bool first_ = true;
};

} // namespace gateway::proto
