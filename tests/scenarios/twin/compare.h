#pragma once

#include "scenarios/twin/twin_schema.h"
#include "support/session.h"

#include <string>
#include <vector>

namespace pgrecast::test {

// How the rows of two queries differ, duplicates counted.
struct Differences {
  long missing = 0;  // rows that only the expected side has
  long surplus = 0;  // rows that only the actual side has
  std::vector<std::string> examples;

  bool none() const { return missing == 0 && surplus == 0; }
  std::string text() const;
};

// EXCEPT ALL both ways, in one snapshot. Rows are compared by the text of all
// their values, byte for byte: 1.0 is not 1.00, 'Key' is not 'KEY', and types
// that have no equality (json, xml, point) are no special case.
Differences compare_rows(Session& session, const std::string& expected_select,
                         const std::string& actual_select);

// The names, types, collations, NOT NULLs and defaults of a table's columns, in
// order, a line each.
std::string shape_of(Session& session, const std::string& table);
// The names of its valid indexes, quoted, in the order of their bytes.
std::vector<std::string> indexes_of(Session& session, const std::string& table);

}  // namespace pgrecast::test
