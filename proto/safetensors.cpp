#include "proto/safetensors.hpp"

#include "proto/image.hpp"
#include "proto/json.hpp"

#include <boost/json/basic_parser_impl.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace gateway::proto {

namespace {

// --- The header as JSON --------------------------------------------------------------------------

struct tensor {
    std::string name;
    std::string dtype;
    std::vector<std::uint64_t> shape;
    std::vector<std::uint64_t> offsets;
    bool has_shape = false;
};

constexpr std::size_t max_header_depth = 8;
constexpr std::size_t max_header_keys = 200'000;
constexpr std::size_t max_header_text = 64 * 1024; // outside __metadata__
constexpr std::size_t max_metadata_kept = 256;     // of the two values we look for

// Reads the header without building it: each tensor as it closes, two texts of __metadata__.
class header_listener {
public:
    static constexpr std::size_t max_object_size = std::size_t(-1);
    static constexpr std::size_t max_array_size = std::size_t(-1);
    static constexpr std::size_t max_key_size = std::size_t(-1);
    static constexpr std::size_t max_string_size = std::size_t(-1);

    using error = boost::system::error_code;
    using view = json::string_view;

    bool on_document_begin(error&) { return true; }
    bool on_document_end(error&) { return true; }
    bool on_object_begin(error& wrong)
    {
        ++depth_;
        if (depth_ == 1)
            return true;
        if (depth_ == 2 && !in_array_) {
            current_ = {};
            current_.name = name_;
            return true;
        }
        return refuse(wrong, "holds an object where none belongs");
    }
    bool on_object_end(std::size_t, error& wrong)
    {
        if (depth_-- != 2 || in_metadata())
            return true;
        if (current_.offsets.size() != 2 || !current_.has_shape || current_.dtype.empty())
            return refuse(wrong, "is no tensor: dtype, shape and two data_offsets are wanted");
        tensors.push_back(std::move(current_));
        return true;
    }
    bool on_array_begin(error& wrong)
    {
        if (depth_ != 2 || in_array_ || in_metadata())
            return refuse(wrong, "holds an array where none belongs");
        const bool shape = key_ == "shape";
        if (shape ? current_.has_shape : !current_.offsets.empty())
            return refuse(wrong, "has a key that comes twice");
        in_array_ = true;
        current_.has_shape |= shape;
        return true;
    }
    bool on_array_end(std::size_t, error&)
    {
        in_array_ = false;
        return true;
    }
    bool on_key_part(view run, std::size_t size, error& wrong) { return take(run, size, wrong); }
    bool on_key(view run, std::size_t size, error& wrong)
    {
        if (!take(run, size, wrong))
            return false;
        if (++keys_ > max_header_keys)
            return refuse(wrong, "comes after 200000 keys, which is the limit");
        (depth_ == 1 ? name_ : key_) = std::move(text_);
        text_.clear();
        if (depth_ == 1 && in_metadata() && std::exchange(metadata_seen_, true))
            return refuse(wrong, "is there twice");
        return true;
    }
    bool on_string_part(view run, std::size_t size, error& wrong) { return take(run, size, wrong); }
    bool on_string(view run, std::size_t size, error& wrong)
    {
        if (!take(run, size, wrong))
            return false;
        if (depth_ != 2 || in_array_)
            return refuse(wrong, "holds a text where none belongs");
        if (in_metadata())
            keep_metadata();
        else if (key_ == "dtype")
            current_.dtype = text_;
        text_.clear();
        return true;
    }
    bool on_number_part(view, error&) { return true; }
    bool on_int64(std::int64_t value, view, error& wrong)
    {
        if (value < 0)
            return refuse(wrong, "holds a negative number");
        return on_uint64(static_cast<std::uint64_t>(value), {}, wrong);
    }
    bool on_uint64(std::uint64_t value, view, error& wrong)
    {
        if (!in_array_)
            return refuse(wrong, "holds a number where none belongs");
        if (key_ == "shape")
            current_.shape.push_back(value);
        else if (key_ == "data_offsets")
            current_.offsets.push_back(value);
        return true;
    }
    bool on_double(double, view, error& wrong)
    {
        return refuse(wrong, "holds a number that is not whole");
    }
    bool on_bool(bool, error& wrong) { return refuse(wrong, "holds true or false"); }
    bool on_null(error& wrong) { return refuse(wrong, "holds null"); }
    bool on_comment_part(view, error&) { return true; }
    bool on_comment(view, error&) { return true; }

    std::vector<tensor> tensors;
    std::string reason; // why the parser was told to stop
    std::string ss_output_name;
    std::string sshs_model_hash;

private:
    bool in_metadata() const { return name_ == "__metadata__"; }

    bool refuse(error& wrong, std::string_view why)
    {
        reason = "entry " + quoted(std::string_view(name_).substr(0, 80)) + " " + std::string(why);
        wrong = make_error_code(json::error::syntax);
        return false;
    }
    bool take(view run, std::size_t size, error& wrong)
    {
        if (depth_ == 2 && in_metadata()) {
            text_.append(run.data(), std::min(run.size(), max_metadata_kept - text_.size()));
            return true;
        }
        if (size > max_header_text)
            return refuse(wrong, "is followed by a text of over 64 KiB");
        text_.append(run.data(), run.size());
        return true;
    }
    void keep_metadata()
    {
        if (key_ == "ss_output_name")
            ss_output_name = text_;
        else if (key_ == "sshs_model_hash")
            sshs_model_hash = text_;
    }

    tensor current_;
    std::string name_; // of the top-level entry at hand
    std::string key_;  // inside it
    std::string text_; // of the string at hand
    std::size_t keys_ = 0;
    int depth_ = 0;
    bool in_array_ = false;
    bool metadata_seen_ = false;
};

// --- Sizes ---------------------------------------------------------------------------------------

struct dtype_size {
    std::string_view name;
    std::uint64_t bits;
};
constexpr std::array<dtype_size, 22> dtypes{
    {{"BOOL", 8},    {"U8", 8},          {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8},
     {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},
     {"F16", 16},    {"BF16", 16},       {"I32", 32},        {"U32", 32},    {"F32", 32},
     {"C64", 64},    {"F64", 64},        {"I64", 64},        {"U64", 64},    {"F4", 4},
     {"F6_E2M3", 6}, {"F6_E3M2", 6}}};

std::uint64_t bits_of(std::string_view dtype)
{
    for (const auto& known : dtypes)
        if (known.name == dtype)
            return known.bits;
    return 0;
}

std::optional<std::uint64_t> product(const std::vector<std::uint64_t>& shape, std::uint64_t start)
{
    std::uint64_t all = start;
    for (const std::uint64_t side : shape)
        if (__builtin_mul_overflow(all, side, &all))
            return std::nullopt;
    return all;
}

std::string name_of(const tensor& one)
{
    return "tensor " + quoted(std::string_view(one.name).substr(0, 80));
}

// Empty when the size of one tensor agrees with its shape and type.
std::string size_fault(const tensor& one, std::vector<std::string>& warnings)
{
    if (one.offsets[1] < one.offsets[0])
        return name_of(one) + " ends before it begins";
    const std::uint64_t bits = bits_of(one.dtype);
    if (bits == 0) {
        constexpr std::size_t enough = 5;
        if (warnings.size() < enough)
            warnings.push_back(name_of(one) + " has the unknown type " +
                               quoted(std::string_view(one.dtype).substr(0, 40)) +
                               "; its size was not checked");
        return {};
    }
    const auto total = product(one.shape, bits);
    if (!total)
        return name_of(one) + " is larger than a number can say";
    if (*total % 8 != 0)
        return name_of(one) + " does not fill whole bytes";
    if (*total / 8 != one.offsets[1] - one.offsets[0])
        return name_of(one) + " holds " + std::to_string(one.offsets[1] - one.offsets[0]) +
               " bytes, but its shape and type need " + std::to_string(*total / 8);
    return {};
}

// Empty when the tensors fill the data from its first byte on, without holes or overlaps.
std::string layout_fault(const std::vector<tensor>& in_order)
{
    std::uint64_t end = 0;
    for (const auto& one : in_order) {
        if (one.offsets[0] != end)
            return name_of(one) + " begins at byte " + std::to_string(one.offsets[0]) +
                   " of the data, not at " + std::to_string(end) +
                   (one.offsets[0] < end ? " (an overlap)" : " (a hole)");
        end = one.offsets[1];
    }
    return {};
}

std::string duplicate_fault(std::vector<tensor>& tensors)
{
    const auto by_name = [](const tensor& a, const tensor& b) { return a.name < b.name; };
    std::sort(tensors.begin(), tensors.end(), by_name);
    const auto same = [](const tensor& a, const tensor& b) { return a.name == b.name; };
    const auto twin = std::adjacent_find(tensors.begin(), tensors.end(), same);
    return twin == tensors.end() ? std::string() : name_of(*twin) + " is there twice";
}

std::string tensors_fault(std::vector<tensor>& tensors, std::vector<std::string>& warnings)
{
    if (auto fault = duplicate_fault(tensors); !fault.empty())
        return fault;
    for (const auto& one : tensors)
        if (auto fault = size_fault(one, warnings); !fault.empty())
            return fault;
    const auto by_place = [](const tensor& a, const tensor& b) { return a.offsets < b.offsets; };
    std::sort(tensors.begin(), tensors.end(), by_place);
    return layout_fault(tensors);
}

// --- The file ------------------------------------------------------------------------------------

std::uint64_t little_endian(std::string_view eight)
{
    std::uint64_t value = 0;
    for (std::size_t i = 8; i-- != 0;)
        value = value << 8 | static_cast<unsigned char>(eight[i]);
    return value;
}

safetensors_check invalid(std::string why)
{
    safetensors_check found;
    found.result = safetensors_check::state::invalid;
    found.need = 0;
    found.error = std::move(why);
    return found;
}

std::string parse_header(std::string_view header, header_listener& into)
{
    json::parse_options options;
    options.max_depth = max_header_depth;
    json::basic_parser<header_listener> parser(options);
    boost::system::error_code wrong;
    const std::size_t taken = parser.write_some(false, header.data(), header.size(), wrong);
    if (!wrong && taken < header.size())
        wrong = make_error_code(json::error::extra_data);
    into = std::move(parser.handler());
    if (!wrong)
        return {};
    return into.reason.empty() ? "the header is not JSON: " + wrong.message() + " at byte " +
                                     std::to_string(taken + 8)
                               : "the header's " + into.reason;
}

safetensors_check check_header(std::string_view header)
{
    if (header.empty() || header.front() != '{')
        return invalid("the header does not begin with '{'");
    header_listener listener;
    if (auto fault = parse_header(header, listener); !fault.empty())
        return invalid(std::move(fault));
    safetensors_check found;
    if (auto fault = tensors_fault(listener.tensors, found.warnings); !fault.empty())
        return invalid(std::move(fault));
    const std::uint64_t data = listener.tensors.empty() ? 0 : listener.tensors.back().offsets[1];
    if (__builtin_add_overflow(data, header.size() + 8, &found.total_size))
        return invalid("the file would be larger than a number can say");
    if (header.size() > large_safetensors_header)
        found.warnings.push_back("the header is unusually large: " + std::to_string(header.size()) +
                                 " bytes");
    found.result = safetensors_check::state::valid;
    found.need = 0;
    found.tensors = listener.tensors.size();
    found.ss_output_name = std::move(listener.ss_output_name);
    found.sshs_model_hash = std::move(listener.sshs_model_hash);
    return found;
}

std::string_view without_blanks(std::string_view text)
{
    if (text.starts_with("\xef\xbb\xbf"))
        text.remove_prefix(3);
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

} // namespace

safetensors_check check_safetensors(std::string_view prefix)
{
    if (prefix.size() < 8)
        return {};
    const std::uint64_t length = little_endian(prefix);
    if (length > max_safetensors_header)
        return invalid("a header of " + std::to_string(length) +
                       " bytes is announced; this is no safetensors file");
    if (length < 2)
        return invalid("a header of " + std::to_string(length) + " bytes cannot hold anything");
    if (prefix.size() > 8 && prefix[8] != '{')
        return invalid("the header does not begin with '{'");
    if (prefix.size() < 8 + length) {
        safetensors_check more;
        more.need = 8 + length;
        return more;
    }
    return check_header(prefix.substr(8, length));
}

file_kind sniff_file(std::string_view first)
{
    if (first.size() >= 9 && first[8] == '{' && little_endian(first) <= max_safetensors_header)
        return file_kind::safetensors;
    if (without_blanks(first).starts_with('<'))
        return file_kind::html;
    if (first.starts_with('{') || first.starts_with('['))
        return file_kind::json;
    if (first.starts_with("version https://git-lfs"))
        return file_kind::lfs_pointer;
    if (first.starts_with("PK\x03\x04"))
        return file_kind::zip;
    if (first.size() >= 2 && first[0] == '\x80' && first[1] >= 2 && first[1] <= 5)
        return file_kind::pickle;
    if (first.starts_with("GGUF"))
        return file_kind::gguf;
    if (sniff_image(first) != image_format::unknown)
        return file_kind::image;
    return file_kind::unknown;
}

std::string_view to_text(file_kind kind)
{
    switch (kind) {
    case file_kind::html: return "html";
    case file_kind::json: return "json";
    case file_kind::lfs_pointer: return "lfs_pointer";
    case file_kind::zip: return "zip";
    case file_kind::pickle: return "pickle";
    case file_kind::gguf: return "gguf";
    case file_kind::image: return "image";
    case file_kind::safetensors: return "safetensors";
    case file_kind::unknown: break;
    }
    return "unknown";
}

std::string_view explain(file_kind kind)
{
    switch (kind) {
    case file_kind::html:
        return "the server sent a web page instead of a file; is the link one to a page, or does "
               "it need a token?";
    case file_kind::json: return "the server sent a JSON message instead of a file";
    case file_kind::lfs_pointer:
        return "the server sent a Git LFS pointer; use the /resolve/ link instead of /raw/";
    case file_kind::zip: return "this is a zip: a torch pickle or an archive";
    case file_kind::pickle: return "this is a Python pickle, which runs code when it is loaded";
    case file_kind::gguf: return "this is a GGUF file, which this WebUI cannot load";
    case file_kind::image: return "this is a picture";
    case file_kind::safetensors: return "this looks like a safetensors file";
    case file_kind::unknown: break;
    }
    return "the format of this file is not known";
}

} // namespace gateway::proto
