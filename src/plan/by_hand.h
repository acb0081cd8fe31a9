#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/settings.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/plan/native.h"
#include "pgrecast/plan/taken_name.h"
#include "pgrecast/script/script.h"

#include "sample.h"

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

// The script as the operator would have run it by hand, statement by statement,
// on clones of the tables with some of their rows.
namespace pgrecast::plan {

struct HandTable {
  const catalog::Table* source = nullptr;
  catalog::QualifiedName clone;
  std::vector<RowPlace> rows;  // of the source
  // Where the source is a leaf: a copy of the table that it is a part of, to
  // which the clone is attached. In a schema that exists.
  std::optional<catalog::QualifiedName> whole = std::nullopt;
  // Where others inherit from the source: a table that inherits from the clone,
  // so that the server says what cannot be changed without them. In a schema
  // that exists.
  std::optional<catalog::QualifiedName> below = std::nullopt;
};

// The server refused a statement of the script. The transaction is aborted.
class HandFailure : public Error {
 public:
  HandFailure(const script::Statement& statement, pg::SqlError error)
      : Error(error.what(), Remedy::kFail),
        statement_(&statement),
        error_(std::move(error)) {}

  const script::Statement& statement() const { return *statement_; }
  const pg::SqlError& error() const { return error_; }

 private:
  const script::Statement* statement_;
  pg::SqlError error_;
};

// Makes the clones, in schemas that exist, fills them, holds the names `taken`
// beside them and runs the script. A CREATE TABLE that names a whole shape
// takes the clone's place, and its rows by their columns' names once the
// partitions are there. Each statement has the settings that the SETs before it
// leave of those `at_start`; ours hold again afterwards. In a transaction of
// the caller's, which is to be rolled back, in whose snapshot the places hold.
// Throws HandFailure; Refused for a statement that changes a table `below`.
//
// A foreign key that a statement adds is left out: a sample finds nothing to
// refer to. `foreign_keys_of` says what the server calls it, so that later
// statements find a constraint of that name (see Folded).
//
// Answers what each statement did to its clone, but for SET, BEGIN and COMMIT.
std::vector<NativeStep> run_by_hand(
    pg::Connection& connection, const script::Script& script,
    const catalog::Settings& at_start, const std::vector<HandTable>& tables,
    const std::set<TakenName>& taken,
    const std::map<std::size_t, std::vector<std::string>>& foreign_keys_of);

}  // namespace pgrecast::plan
