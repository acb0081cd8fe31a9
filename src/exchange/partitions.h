#pragma once

#include "pgrecast/exchange/inventory.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/target.h"

#include <string>
#include <vector>

namespace pgrecast::exchange {

// The partitions of the new table go along with it, each by a statement of its
// own: SET SCHEMA of a partitioned table leaves them where they are.
std::vector<std::string> move_partitions(const plan::TableTarget& target);

// What every partition is, in one query: read before the exchange and in it.
// Empty for an ordinary table.
Inventory read_partition_facts(pg::Connection& connection,
                               const plan::TableTarget& target,
                               catalog::Oid root);

// A line for each difference that the exchange does not make: it takes off our
// indexes, and adds constraints that `root_now`, the new table's own inventory,
// shows too.
std::vector<std::string> partition_differences(const plan::TableTarget& target,
                                               Inventory before,
                                               const Inventory& now,
                                               const Inventory& root_now);

}  // namespace pgrecast::exchange
