#pragma once

// Reads one field of a request model: its value in the type the WebUI wants, within the operator's
// limits, or a complaint (webui.md §2.1, §2.2).

#include "proto/json.hpp"
#include "proto/webui_fields.hpp"
#include "proto/webui_job.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace gateway::proto {

class value_reader {
public:
    explicit value_reader(const input_rules& rules) : rules_(rules) {}

    // As JSON. Nothing when it is absent or wrong; what is wrong has been complained about.
    std::optional<std::string> read(reader& from, const field_rule& rule) const;
    // Complains when it is.
    bool too_long(reader& from, std::string_view key, std::string_view value) const;

    bool allows_field(std::string_view name) const; // a gated one
    bool allows_script(std::string_view title) const;

private:
    std::optional<std::string> integer_value(reader& from, const field_rule& rule) const;
    std::optional<std::string> texts_value(reader& from, const field_rule& rule) const;
    std::optional<std::string> scripts_value(reader& from, const field_rule& rule) const;
    std::optional<std::string> script_value(reader& from, const field_rule& rule) const;

    const input_rules& rules_;
};

} // namespace gateway::proto
