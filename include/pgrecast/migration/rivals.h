#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/plan.h"

#include <vector>

namespace pgrecast::migration {

// The other migrations that are at `table`, at what it is a part of, or at a
// part of it, and have not exchanged it yet. Two of one table would each
// exchange it for what they made of the old one: the second would undo the
// first.
//
// Asked twice. By the plan, for the operator's sake. And in the transaction
// that records the migration, behind insert_migration(), whose lock lasts until
// the commit: of two that begin together the second waits there, and then sees
// the first.
//
// Throws Refused where the state cannot be read.
std::vector<Refusal> rival_refusals(pg::Connection& connection,
                                    const catalog::Table& table,
                                    const plan::Names& names);

}  // namespace pgrecast::migration
