#pragma once

#include "pgrecast/exchange/inventory.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/target.h"

#include <string>
#include <utility>
#include <vector>

// The part of the exchange that is about partitions: of a partitioned shadow,
// and of a source that is partitioned already.
namespace pgrecast::exchange {

struct TreePart {
  catalog::Oid oid = 0;
  catalog::QualifiedName name;
  std::string called;  // within facts
};

// Every partition of `root`, at every level; none of an ordinary table.
std::vector<TreePart> read_tree(pg::Connection& connection, catalog::Oid root);

// Statements that move the retired table's partitions out of the way, and the
// shadow's into the source's schema, where their roots are already.
std::vector<std::string> move_partitions(
    const plan::TableTarget& target, const std::vector<TreePart>& of_source);

// The same partition of the source and of the shadow, where both have one of
// that name.
std::vector<std::pair<TreePart, TreePart>> partition_pairs(
    const std::vector<TreePart>& of_source,
    const std::vector<TreePart>& of_shadow);

// Those of them whose grants differ; there may be hundreds, and the table is
// locked.
std::vector<std::pair<TreePart, TreePart>> pairs_with_other_grants(
    pg::Connection& connection,
    std::vector<std::pair<TreePart, TreePart>> pairs);

// What the partitions under `root` are, by name: before the exchange and after
// it the same, wherever they lie. Empty for an ordinary table.
Inventory read_partition_facts(pg::Connection& connection,
                               const plan::TableTarget& target,
                               catalog::Oid root);

// What the new table's partitions have now and should not, or lack, a line
// each. Our own key's indexes are to be gone, the root's late constraints
// (`root_now`: its inventory) to have come; grants are what the `retired`
// table's have in the end, and so are names of indexes that both have.
struct PartitionFacts {
  Inventory before;                  // of the shadow
  Inventory now;                     // of the same
  Inventory retired;                 // of the source, in the end
  std::vector<std::string> in_both;  // partitions, as they are `called`
};
std::vector<std::string> partition_differences(const plan::TableTarget& target,
                                               PartitionFacts facts,
                                               const Inventory& root_now);

}  // namespace pgrecast::exchange
