#pragma once

// Answers that tests got, kept for tests/api/contract_schema_test.py, which holds them against
// openapi.yaml.

#include "support/front.hpp"

namespace gateway::test {

// `suite` is who asked; its answers of earlier runs are removed first.
void keep_answer(const std::string& suite, const std::string& name, std::string_view method,
                 std::string_view target, const reply& answer);

} // namespace gateway::test
