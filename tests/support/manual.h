#pragma once

#include <string>

namespace pgrecast::test {

// Whether a row of the tables of docs/reference/plan.md says what the refusal
// does, in the same words and order, but for the names: single letters there.
// What stands in parentheses there is said instead, or left out.
bool is_in_manual(const std::string& refusal);

}  // namespace pgrecast::test
