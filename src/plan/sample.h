#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

namespace pgrecast::plan {

// Rows of a source by their ctids, which hold in the transaction's snapshot:
// of each column the least, the greatest and the longest value and a NULL, and
// a thousand rows at random.
//
// Never reads a large table as a whole: extremes come from indexes where there
// are some, everything else from some hundred blocks (a table of fewer blocks
// is looked at in full). Rows of more than a megabyte are left out. What is not
// found by `deadline` is missing, so that a sample may be empty.
//
// In a REPEATABLE READ transaction of the caller's; leaves no setting behind.
std::vector<std::string> take_sample(pg::Connection& connection,
                                     const catalog::Table& source,
                                     Deadline deadline);

}  // namespace pgrecast::plan
