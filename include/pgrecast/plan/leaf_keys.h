#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/views.h"
#include "pgrecast/pg/connection.h"

#include <vector>

// Foreign keys from one partitioned table to another, or to itself, as the
// tables will be. Before 18 the exchange gives each leaf a key of its own, with
// a part for each partition of the other table; afterwards the whole table's
// takes them in.
namespace pgrecast::plan {

// Why the server could not do that for one of them, by name. For the plan, and
// once more in the exchange.
std::vector<Refusal> unfit_leaf_keys(
    pg::Connection& connection, const std::vector<catalog::Reshaped>& tables);

// Whether the server, of this version (170004), takes in the keys of leaves and
// leaves nothing of their parts behind.
bool takes_in_leaf_keys(int server_version);

}  // namespace pgrecast::plan
