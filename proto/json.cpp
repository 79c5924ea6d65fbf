#include "proto/json.hpp"

#include "proto/json_scanner.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value_stack.hpp>

#include <charconv>
#include <cmath>

namespace gateway::proto {

namespace {

// Builds values like Boost.JSON's own parser, but reads numbers with a point exactly.
class value_builder {
public:
    static constexpr std::size_t max_object_size = std::size_t(-1);
    static constexpr std::size_t max_array_size = std::size_t(-1);
    static constexpr std::size_t max_key_size = std::size_t(-1);
    static constexpr std::size_t max_string_size = std::size_t(-1);

    using error = boost::system::error_code;
    using view = json::string_view;

    void start(json::storage_ptr memory) { stack_.reset(std::move(memory)); }
    json::value release() { return stack_.release(); }

    bool on_document_begin(error&) { return true; }
    bool on_document_end(error&) { return true; }
    bool on_object_begin(error&) { return true; }
    bool on_object_end(std::size_t size, error&) { return stack_.push_object(size), true; }
    bool on_array_begin(error&) { return true; }
    bool on_array_end(std::size_t size, error&) { return stack_.push_array(size), true; }
    bool on_key_part(view run, std::size_t, error&) { return stack_.push_chars(run), true; }
    bool on_key(view run, std::size_t, error&) { return stack_.push_key(run), true; }
    bool on_string_part(view run, std::size_t, error&) { return stack_.push_chars(run), true; }
    bool on_string(view run, std::size_t, error&) { return stack_.push_string(run), true; }
    bool on_number_part(view run, error&) { return number_.append(run.data(), run.size()), true; }
    bool on_int64(std::int64_t value, view, error&)
    {
        number_.clear();
        return stack_.push_int64(value), true;
    }
    bool on_uint64(std::uint64_t value, view, error&)
    {
        number_.clear();
        return stack_.push_uint64(value), true;
    }
    bool on_double(double nearly, view run, error& wrong)
    {
        number_.append(run.data(), run.size());
        double exact = nearly;
        std::from_chars(number_.data(), number_.data() + number_.size(), exact);
        number_.clear();
        if (std::isinf(exact) || std::isinf(nearly)) {
            wrong = make_error_code(json::error::exponent_overflow);
            return false;
        }
        stack_.push_double(exact);
        return true;
    }
    bool on_bool(bool value, error&) { return stack_.push_bool(value), true; }
    bool on_null(error&) { return stack_.push_null(), true; }
    bool on_comment_part(view, error&) { return true; }
    bool on_comment(view, error&) { return true; }

private:
    json::value_stack stack_;
    std::string number_;
};

json::parse_options with_depth(std::size_t depth)
{
    json::parse_options options;
    options.max_depth = depth;
    return options;
}

// Says what our own scanner says, which knows the place; Boost's text for what only Boost refuses.
std::string why_not_json(std::string_view text, const boost::system::error_code& from_boost)
{
    json_listener nobody;
    json_scanner<json_listener> scanner;
    if (!scanner.feed(text, nobody) || !scanner.finish(nobody))
        return "not JSON: " + scanner.error();
    return "not JSON: " + from_boost.message();
}

std::string range_text(std::string_view thing, const std::string& least, const std::string& most)
{
    std::string out(thing);
    if (!least.empty() && !most.empty())
        return out + " from " + least + " to " + most;
    if (!least.empty())
        return out + " of " + least + " or more";
    if (!most.empty())
        return out + " of " + most + " or less";
    return out;
}

template <class Number> std::string bound_text(Number bound, Number unbounded)
{
    std::string out;
    if (bound != unbounded)
        append_number(out, bound);
    return out;
}

template <class Number> std::optional<Number> number_in_text(const json::string& text)
{
    Number value{};
    const char* const end = text.data() + text.size();
    const auto [stop, wrong] = std::from_chars(text.data(), end, value);
    if (wrong != std::errc{} || stop != end || text.empty())
        return std::nullopt;
    return value;
}

std::optional<std::int64_t> whole(double number)
{
    constexpr double limit = 9007199254740992.0; // 2^53: beyond it doubles skip whole numbers
    if (!(std::abs(number) <= limit) || number != std::floor(number))
        return std::nullopt;
    return static_cast<std::int64_t>(number);
}

std::optional<std::int64_t> as_integer(const json::value& value)
{
    if (const auto* number = value.if_int64())
        return *number;
    if (const auto* number = value.if_double())
        return whole(*number);
    if (const auto* text = value.if_string())
        return number_in_text<std::int64_t>(*text);
    return std::nullopt;
}

std::optional<double> as_number(const json::value& value)
{
    if (const auto* number = value.if_int64())
        return static_cast<double>(*number);
    if (const auto* number = value.if_uint64())
        return static_cast<double>(*number);
    if (const auto* number = value.if_double())
        return *number;
    if (const auto* text = value.if_string())
        return number_in_text<double>(*text);
    return std::nullopt;
}

} // namespace

document::document(std::string_view text, std::size_t max_depth) : memory_(first_, sizeof first_)
{
    json::basic_parser<value_builder> parser(with_depth(max_depth));
    parser.handler().start(&memory_);
    boost::system::error_code wrong;
    const std::size_t taken = parser.write_some(false, text.data(), text.size(), wrong);
    if (!wrong && taken < text.size())
        wrong = make_error_code(json::error::extra_data);
    if (wrong)
        error_ = why_not_json(text, wrong);
    else
        root_ = parser.handler().release();
}

void complaints::add(std::string what)
{
    constexpr std::size_t enough = 20;
    if (all_.size() < enough)
        all_.push_back(std::move(what));
}

problem complaints::as_problem(problem_code code) const
{
    problem made = make_problem(code, all_.empty() ? std::string() : all_.front());
    if (all_.size() > 1)
        made.errors = all_;
    return made;
}

std::string describe(const json::value* found)
{
    if (found == nullptr || found->is_null())
        return "nothing";
    if (const auto* text = found->if_string()) {
        constexpr std::size_t longest = 40;
        const bool cut = text->size() > longest;
        const std::string_view shown(text->data(), cut ? longest : text->size());
        return "the text " + quoted(shown) + (cut ? "…" : "");
    }
    if (found->is_object())
        return "an object";
    if (found->is_array())
        return "an array";
    if (found->is_bool())
        return found->get_bool() ? "true" : "false";
    return "the number " + to_json(*found);
}

// --- reader --------------------------------------------------------------------------------------

const json::value* reader::find(std::string_view key) const
{
    const json::value* found = from_.if_contains({key.data(), key.size()});
    return found == nullptr || found->is_null() ? nullptr : found;
}

std::string reader::path_of(std::string_view key) const
{
    std::string out = path_;
    if (!out.empty())
        out += '.';
    out += key;
    return out;
}

void reader::complain(std::string_view key, std::string_view what)
{
    into_.add(path_of(key).append(": ").append(what));
}

void reader::complain_wanted(std::string_view key, std::string_view wanted)
{
    complain(key, "found " + describe(find(key)) + "; " + std::string(wanted) + " is wanted");
}

std::optional<std::string_view> reader::text(std::string_view key)
{
    const json::value* found = find(key);
    if (found == nullptr)
        return std::nullopt;
    if (const auto* text = found->if_string())
        return std::string_view(text->data(), text->size());
    complain_wanted(key, "a text");
    return std::nullopt;
}

std::optional<std::string_view> reader::required_text(std::string_view key)
{
    const auto found = text(key);
    if (found ? found->empty() : find(key) == nullptr)
        complain_wanted(key, "a text that is not empty");
    return found && !found->empty() ? found : std::nullopt;
}

std::optional<std::int64_t> reader::integer(std::string_view key, std::int64_t least,
                                            std::int64_t most)
{
    const json::value* found = find(key);
    if (found == nullptr)
        return std::nullopt;
    const auto value = as_integer(*found);
    if (value && *value >= least && *value <= most)
        return value;
    using bounds = std::numeric_limits<std::int64_t>;
    complain_wanted(key, range_text("a whole number", bound_text(least, bounds::min()),
                                    bound_text(most, bounds::max())));
    return std::nullopt;
}

std::optional<double> reader::number(std::string_view key, double least, double most)
{
    const json::value* found = find(key);
    if (found == nullptr)
        return std::nullopt;
    const auto value = as_number(*found);
    if (value && *value >= least && *value <= most)
        return value;
    using bounds = std::numeric_limits<double>;
    complain_wanted(key, range_text("a number", bound_text(least, bounds::lowest()),
                                    bound_text(most, bounds::max())));
    return std::nullopt;
}

std::optional<bool> reader::boolean(std::string_view key)
{
    const json::value* found = find(key);
    if (found == nullptr)
        return std::nullopt;
    if (found->is_bool())
        return found->get_bool();
    complain_wanted(key, "true or false");
    return std::nullopt;
}

const json::object* reader::object(std::string_view key)
{
    const json::value* found = find(key);
    if (found == nullptr)
        return nullptr;
    if (!found->is_object())
        complain_wanted(key, "an object");
    return found->if_object();
}

const json::array* reader::array(std::string_view key)
{
    const json::value* found = find(key);
    if (found == nullptr)
        return nullptr;
    if (!found->is_array())
        complain_wanted(key, "an array");
    return found->if_array();
}

} // namespace gateway::proto
