#pragma once

#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/plan.h"
#include "pgrecast/script/script.h"

namespace pgrecast::plan {

// Tries how fast the server is: copies blocks from all over each source into
// its shadow, builds the indexes, compares the rows, each of them timed, under
// whatever load there is now. Fills `plan.measured`, or leaves it empty and
// says why in `plan.not_measured`.
//
// In the transaction in which the shadows of `plan` were built, which are empty
// and have no index; all it does there is rolled back. Some seconds at most,
// and 16 MB of rows of all tables together.
void measure(pg::Connection& connection, const script::Script& script,
             Plan& plan);

}  // namespace pgrecast::plan
