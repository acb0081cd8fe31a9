#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/fold.h"

#include <vector>

namespace pgrecast::plan {

// Why foreign keys from, to and between the tables cannot be as they were with
// the new shapes, in a line each:
//
// - a key that becomes wider while a column that references it does not: the
//   server would take that, until the first new value is to be referenced;
// - what the server itself refuses. It is asked on the clones, and for tables
//   that the script does not name, on empty stand-ins, so that no table of the
//   application's is locked.
//
// What the script drops is left out. `targets`: in the order of `tables`.
//
// In a transaction of the caller's, where the clones have the script's shape
// and their indexes; what is made for the question is gone afterwards.
std::vector<Refusal> foreign_key_problems(
    pg::Connection& connection, const std::vector<FoldTable>& tables,
    const std::vector<TableTarget>& targets);

// A clone has no foreign keys. For a statement that drops one of the source's:
// makes a constraint of its name that checks nothing, so that the server takes
// the statement as it is. False where the source has none of this name, or has
// it from the table that it is a part of, or the clone has another constraint
// of this name.
bool stand_in_for_foreign_key(pg::Connection& connection, catalog::Oid source,
                              catalog::Oid clone_oid,
                              const catalog::QualifiedName& clone,
                              const std::string& name);

}  // namespace pgrecast::plan
