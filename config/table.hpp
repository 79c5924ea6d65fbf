#pragma once

// The one list of everything that can be set. Reading, checking, printing and the documented file
// all walk it; the defaults are the initializers in settings.hpp.

#include "config/value.hpp"

#include <functional>
#include <string>
#include <vector>

namespace gateway::config {

// Another environment variable that means the same, with what its text has to become.
struct alias {
    std::string name;
    std::function<std::string(std::string)> meaning; // empty: as it is
};

struct setting {
    std::string table;
    std::string key;
    std::string doc;      // one line
    std::string expected; // completes "must be …"
    bool secret = false;
    bool is_list = false; // its flags add up
    std::string flag;     // "--listen"; empty when there is only --set
    std::string bare;     // what the flag means without a value
    std::vector<alias> aliases;
    // False: what was found is not `expected`.
    std::function<bool(settings&, const found&)> assign;
    // Adds to a list instead of replacing it. Only for lists.
    std::function<bool(settings&, const found&)> append;
    std::function<std::string(const settings&)> show; // as TOML

    std::string name() const { return table + '.' + key; }
    std::string variable() const; // WEBUI_GATEWAY_TABLE_KEY
};

struct table_doc {
    std::string name;
    std::string doc;
};

const std::vector<setting>& all_settings(); // in the order of the file
const std::vector<table_doc>& all_tables();
const setting* find_setting(std::string_view name); // "table.key"; null when there is none

constexpr std::string_view variable_prefix = "WEBUI_GATEWAY_";

} // namespace gateway::config
