#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/plan.h"

#include <vector>

namespace pgrecast::migration {

// What is there under the names of a migration that no record tells of: left
// behind where somebody dropped schema pgrecast, or made by somebody else. The
// slot, the publication, the schemas, each with the statement that removes it.
//
// We remove none of it unasked, not knowing whose it is: the schema of retired
// tables may hold the only copy of rows. Ask where there is no record, before
// anything is made.
std::vector<Refusal> leftover_refusals(pg::Connection& connection,
                                       const plan::Names& names);

}  // namespace pgrecast::migration
