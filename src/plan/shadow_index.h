#pragma once

#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/target.h"

namespace pgrecast::plan {

// All that makes the index, in the caller's transaction.
void build_index(pg::Connection& connection, const ShadowIndex& index);

}  // namespace pgrecast::plan
