#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/exchange/exchange.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

namespace pgrecast::exchange {

// What an exchange of these tables would lock beside the tables themselves, in
// the words of the code that takes the locks. Right at the moment when it is
// read: what comes to the tables later is locked, too.
struct PlannedLocks {
  // ACCESS SHARE, before the exchange: what foreign keys that the script adds
  // refer to.
  std::vector<catalog::QualifiedName> referenced;
  // ACCESS SHARE, before the exchange: what materialized views read beside the
  // tables, while they are filled.
  std::vector<catalog::QualifiedName> read_to_fill;

  // ACCESS EXCLUSIVE, before the tables.
  std::vector<catalog::QualifiedName> views;
  // ACCESS EXCLUSIVE, with the tables: at the other end of foreign keys, and
  // those whose policies or rules mention one.
  std::vector<catalog::QualifiedName> others;
  // SHARE ROW EXCLUSIVE: nextval() waits.
  std::vector<catalog::QualifiedName> sequences;
  // ACCESS EXCLUSIVE: those of identities, which move with the old table.
  std::vector<catalog::QualifiedName> identities;

  // Afterwards, each in a transaction of its own: SHARE UPDATE EXCLUSIVE on the
  // first, ROW SHARE on the second (which may be the same).
  struct Validation {
    std::string constraint;
    catalog::QualifiedName referencing;
    catalog::QualifiedName referenced;
    // Leaf by leaf of a partitioned table, before 18; then ACCESS EXCLUSIVE on
    // both, with their partitions, while the whole takes in the keys of its
    // leaves, whose triggers are dropped.
    bool by_leaves = false;
  };
  std::vector<Validation> validations;
  // SHARE UPDATE EXCLUSIVE, by ANALYZE.
  bool analyzes = false;
};

// The shadows are there, with or without rows. In the session's transaction,
// with an empty search_path. Takes no lock that hinders anybody.
PlannedLocks planned_locks(pg::Connection& connection,
                           const std::vector<ExchangeTable>& tables,
                           const std::string& own_publication);

}  // namespace pgrecast::exchange
