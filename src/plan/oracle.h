#pragma once

#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/plan.h"
#include "pgrecast/script/script.h"

namespace pgrecast::plan {

// The proof that a script was folded rightly: runs the original on clones that
// hold a sample of the sources, fills the shadows with what the SELECT lists
// make of the same rows, gives them their indexes, and compares the rows as
// images, and the catalogs.
//
// In the REPEATABLE READ transaction in which the shadows of `plan` were built,
// with the sources locked before its snapshot. All it makes there is rolled
// back again. Adds to the plan's warnings where little could be compared.
//
// Throws Refused, naming what differs (a bug of ours: nothing may start), or
// saying why the script cannot run by hand; DataRejected where rows of the
// sample break the script.
void prove_folding(pg::Connection& connection, const script::Script& script,
                   Plan& plan);

// Runs the script by hand on clones without rows, those of leaves attached to a
// copy of the table above, those of children below a stand-in for their
// parents, those of parents above one for their children, so that the server
// itself says what cannot be changed there alone. Nothing, where no source is
// any of these. Throws Refused.
void try_on_empty_clones(pg::Connection& connection,
                         const script::Script& script, const Plan& plan);

}  // namespace pgrecast::plan
