#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <string>
#include <vector>

namespace pgrecast::plan {

// Where a row lies, in the transaction's snapshot.
struct RowPlace {
  catalog::Oid heap = 0;  // the source, or a leaf of it
  std::string ctid;
};

// Rows of a source: of each column the least, the greatest and the longest
// value and a NULL, and a thousand rows at random.
//
// Never reads a large table as a whole: extremes come from indexes where there
// are some, everything else from some hundred blocks (a table of fewer blocks
// is looked at in full). Rows of more than a megabyte are left out. What is not
// found by `deadline` is missing, so that a sample may be empty. Of a
// partitioned table some leaves are looked at, the first and the last among
// them, and each gives its part of the thousand rows, and its own extremes.
//
// In a REPEATABLE READ transaction of the caller's; leaves no setting behind.
std::vector<RowPlace> take_sample(pg::Connection& connection,
                                  const catalog::Table& source,
                                  Deadline deadline);

// The row that `alias` is lies at one of `places`, as a condition.
std::string is_one_of(const std::string& alias,
                      const std::vector<RowPlace>& places);

}  // namespace pgrecast::plan
