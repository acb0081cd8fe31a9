#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/target.h"

#include <vector>

// A shadow that is partitioned: what its tree is, and what cannot hang off it.
namespace pgrecast::plan {

// Every partition of `shadow`, at every level, parents first; none if it is an
// ordinary table.
std::vector<Partition> read_partitions(pg::Connection& connection,
                                       catalog::Oid shadow);

// Also one that has no partition yet, which unfit_for_partitions() refuses.
bool is_partitioned(pg::Connection& connection, catalog::Oid shadow);

// The index that rounds and verification need on each heap, for a target that
// has no unique index on exactly the source's key.
ShadowIndex our_key_index(const TableTarget& target);

// What belongs to `source` and cannot go along to a partitioned table, by name;
// and what is wrong with the tree itself. For the plan, and once more under the
// exchange's locks. The shadow has its indexes.
std::vector<Refusal> unfit_for_partitions(pg::Connection& connection,
                                          const catalog::Table& source,
                                          catalog::Oid shadow);

// Gives the partitions to the owner of their root, which its own change of
// owner does not, and to nobody else. In a transaction of the caller's.
void own_partitions(pg::Connection& connection, const TableTarget& target,
                    catalog::Oid shadow);

}  // namespace pgrecast::plan
