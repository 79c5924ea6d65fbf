#pragma once

// The WebUI's options: their defaults, and how GET options shows them (webui.md §2.5, §4.3).

#include "tools/simulator/dialect.hpp"
#include "tools/simulator/python.hpp"

namespace gateway::tools::simulator {

class option_set {
public:
    explicit option_set(const dialect& d);
    bool knows(std::string_view key) const { return values_.contains(key); }
    const json::value& at(std::string_view key) const;
    std::string text(std::string_view key) const; // empty when it is no string
    bool is_true(std::string_view key) const;
    double number(std::string_view key, double otherwise) const;
    // KeyError for a key that does not exist.
    void set(std::string_view key, json::value value);
    // Integers come back as floats.
    json::object shown() const;

private:
    json::object values_;
};

} // namespace gateway::tools::simulator
