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
// In a transaction of the caller's, where the clones have the script's shape
// and their indexes; what is made for the question is gone afterwards.
std::vector<Refusal> foreign_key_problems(pg::Connection& connection,
                                          const std::vector<FoldTable>& tables);

}  // namespace pgrecast::plan
