#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/catalog/views.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/plan.h"
#include "pgrecast/plan/try_readers.h"

#include <string>
#include <vector>

// A materialized view reads the table that it was made on, and no command makes
// it read another one. So a twin is made of it on the shadow, with all that it
// has, and filled, all before the exchange and outside of its locks; there it
// takes the name of the original, which is dropped. A view that stands between
// such a one and a source has a twin, too.
//
// It is filled by REFRESH, as its owner: so it shows rows as of then, like any
// REFRESH. What must not be is that it shows older rows than the original does:
// Twin::refreshed tells.
namespace pgrecast::plan {

struct Twin {
  catalog::Oid original = 0;
  catalog::QualifiedName name;   // of the original
  catalog::QualifiedName place;  // of the twin, until the exchange
  std::string owner;
  bool materialized = false;
  bool populated = false;
  // Statements that would make the original as it is now. While they stay the
  // same, the twin is right.
  std::string made_by;
  // Another one after each REFRESH of the original, of either kind: both mark
  // it as populated in its row of pg_class, whatever that said before. (After
  // some other commands, too: then it is filled once more than needed.)
  std::string refreshed;
};

// Of all originals as they are now, each after those that it reads; without
// places. On a session with an empty search_path.
std::vector<Twin> read_twins(pg::Connection& connection,
                             const std::vector<catalog::Reshaped>& tables);

// Makes the twins, empty, and sets their places, in the caller's transaction; a
// Refusal for what cannot be made, and then the transaction is to be rolled
// back. Nobody reads the shadows meanwhile: their columns have the sources'
// names for as long.
//
// `schemas`: those that the migration has made already; new ones are added.
std::vector<Refusal> make_twins(pg::Connection& connection,
                                const std::vector<TriedTable>& tables,
                                const Names& names, std::vector<Twin>& twins,
                                std::vector<std::string>& schemas);

// For people: what becomes of the materialized views.
std::vector<std::string> twin_warnings(pg::Connection& connection,
                                       const std::vector<TriedTable>& tables);

}  // namespace pgrecast::plan
