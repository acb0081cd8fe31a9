#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/shape.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/target.h"

#include <map>
#include <string>
#include <vector>

// Partitioned tables, as shadows and as sources: what their trees are, and what
// cannot hang off them.
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

// What every partition of `root` is by itself, for comparison with those of
// another root; names of schemas are in none of the facts. Written
// independently of the code that makes partitions.
catalog::Facts read_partition_facts(pg::Connection& connection,
                                    catalog::Oid root);
// How those of these facts begin that tell who may do what with a partition, of
// that name as the server quotes it where it must. The exchange hands them
// over.
std::string partition_grants(const std::string& called);

// A Refusal for whatever a partition of `source` has, or lacks, unlike those of
// `shadow`, which was made of the source and no script has touched. A closed
// world: what is not known to be made alike, or handed over, differs.
std::vector<Refusal> unlike_partitions(pg::Connection& connection,
                                       const catalog::Table& source,
                                       catalog::Oid shadow);

// The facts less the grants: TableTarget::source_partitions.
std::map<std::string, std::string> partition_shape(pg::Connection& connection,
                                                   catalog::Oid root);

// What has become of them since the plan, a line each: somebody's change would
// be lost.
std::vector<std::string> changed_partitions(pg::Connection& connection,
                                            const TableTarget& target,
                                            catalog::Oid source);
// A line for each grant on a column of a partition: GRANT takes no lock, so
// that one may come at any time.
std::vector<std::string> column_grants(const catalog::Facts& facts);

// Statements that give the indexes of the shadow's partitions the names that
// they have on the source's partition of the same name.
std::vector<std::string> restored_index_names(pg::Connection& connection,
                                              catalog::Oid source,
                                              catalog::Oid shadow);

// Gives the partitions to the owner of their root, which its own change of
// owner does not, and to nobody else. In a transaction of the caller's.
void own_partitions(pg::Connection& connection, const TableTarget& target,
                    catalog::Oid shadow);

}  // namespace pgrecast::plan
