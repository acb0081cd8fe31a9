#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

namespace pgrecast::plan {

// What hangs off a table and is made again in the exchange, as the server
// prints it under the present search_path.
struct Definition {
  std::string what;  // for people
  std::string sql;   // makes it, or something of the same conditions
  // The relation that it is made on, as the statement names it: it must not be
  // the live one when the statement runs. Empty: none.
  std::string on;
  // Should the server not take it; empty: the usual one.
  std::string remedy = {};
};

// Triggers, rules, extended statistics, security labels and publications of the
// tables, and functions whose bodies the server keeps parsed; triggers, rules
// and columns' defaults of the views that are created anew. What has a name
// with a schema is made in `schema` instead. Of relations that the search_path
// does not find there is none.
std::vector<Definition> read_definitions(
    pg::Connection& connection, const std::vector<catalog::Oid>& tables,
    const std::vector<catalog::Oid>& views, const std::string& schema);

// Other tables that have a rule which mentions one of these.
std::vector<catalog::QualifiedName> tables_with_rules(
    pg::Connection& connection, const std::vector<catalog::Oid>& relations);

}  // namespace pgrecast::plan
