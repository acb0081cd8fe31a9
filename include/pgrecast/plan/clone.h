#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/target.h"

#include <string>
#include <vector>

// The empty clone on which the script's DDL runs, so that the server itself
// says what it makes of the table. In a transaction of the caller's, on a
// session with an empty search_path.
namespace pgrecast::plan {

// Creates `shadow`, in a schema that exists, with all that a table has by
// itself: columns, defaults, identity, storage, options, constraints, indexes
// under their own names, marks, comments, owner. No row, no trigger, no foreign
// key, nothing that belongs to others. A child's inherits from a stand-in
// beside it (child.h).
void create_clone(pg::Connection& connection, const catalog::Table& source,
                  const catalog::QualifiedName& shadow);

// The same of a partitioned table, without its partitions.
void create_clone_without_partitions(pg::Connection& connection,
                                     const catalog::Table& source,
                                     const catalog::QualifiedName& clone);

// What CREATE TABLE and CREATE MATERIALIZED VIEW say of how rows are stored, as
// `source` has it: " USING .. WITH (..) TABLESPACE ..", or nothing.
std::string storage_clauses(pg::Connection& connection, catalog::Oid source);

// Gives the table or view that we have just made to `owner`.
void own_table(pg::Connection& connection, const std::string& owner,
               const catalog::QualifiedName& shadow);

struct ClonedIndexes {
  std::vector<ShadowIndex> indexes;  // all, the key's among them
  std::vector<std::string> late_constraints;
};

// What hangs on the clone after the script ran, as statements that make it
// again. Or on any other relation that has indexes, as statements that make it
// on `shadow`.
ClonedIndexes read_indexes(pg::Connection& connection, catalog::Oid shadow_oid,
                           const catalog::QualifiedName& shadow);

// Takes off the clone what would make the copy slow or fail: indexes, unique
// and exclusion constraints, CHECKs that are NOT VALID.
void strip_indexes(pg::Connection& connection, catalog::Oid shadow_oid,
                   const catalog::QualifiedName& shadow);

}  // namespace pgrecast::plan
