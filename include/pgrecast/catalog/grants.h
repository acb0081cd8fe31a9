#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pgrecast::catalog {

// One entry of an access control list, as aclexplode says it.
struct Grant {
  std::string column;  // empty: the whole relation
  std::string privilege;
  std::string grantee;  // empty: PUBLIC
  std::string grantor;
  bool grantable = false;
  bool by_owner = false;
  // We may act as the grantor, who may use the schema: else the owner grants,
  // or whoever we are.
  bool as_grantor = false;

  bool operator==(const Grant&) const = default;
};

// Of a table with its columns, or of a sequence: also the entries that the
// catalogs leave out as they are the default.
std::vector<Grant> read_grants(pg::Connection& connection, Oid relation);

// On the row type of a table.
std::vector<Grant> read_row_type_grants(pg::Connection& connection, Oid table);

enum class GrantOn { kTable, kSequence, kType };

struct GrantChange {
  std::string relation;  // quoted, as it is called when they run
  GrantOn on = GrantOn::kTable;
  std::vector<Grant> present;  // on it now: what default privileges put there
  std::vector<Grant> wanted;
  std::string current_role;  // to come back to from SET LOCAL ROLE
};

// Statements that turn `present` into `wanted`; none where they agree.
std::vector<std::string> grant_statements(const GrantChange& change);

}  // namespace pgrecast::catalog
