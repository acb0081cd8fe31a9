#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/catalog/views.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/plan.h"

#include <vector>

namespace pgrecast::plan {

struct TriedTable {
  catalog::QualifiedName source;
  catalog::QualifiedName shadow;  // which has the indexes still
  catalog::Reshaped shape;
};

// What reads the sources or hangs off them, made once on the new shapes, so
// that the server says now, and not in the exchange, what does not work with
// them or for which rights are missing: views, the conditions of policies,
// triggers, rules, functions BEGIN ATOMIC, extended statistics, row filters,
// and the twins of twins.h. A Refusal each, and one for each view that cannot
// be created anew. Where two sources have one name, triggers and rules of the
// second are left to the exchange.
//
// The server prints a definition with the schemas of sources and views as its
// search_path, so that their names stand alone, and reads it again with the
// shadows' schema before them: the names then mean the shadows. No text is
// rewritten.
//
// In the caller's transaction, of which a savepoint is rolled back. Takes
// ACCESS SHARE locks on what is read, and gives them back.
std::vector<Refusal> try_readers(pg::Connection& connection,
                                 const std::vector<TriedTable>& tables,
                                 const Names& names);

}  // namespace pgrecast::plan
