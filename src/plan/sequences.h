#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/target.h"

#include <optional>
#include <string>
#include <vector>

namespace pgrecast::plan {

// A line for each sequence of the source that ends before the column does which
// it fills: ALTER TABLE .. TYPE widens an identity's sequence, and not that of
// a serial column, here as by hand. Whoever makes the column a bigint since the
// numbers run out, would find out on the day when they do.
std::vector<std::string> narrow_sequences(pg::Connection& connection,
                                          const catalog::Table& source,
                                          catalog::Oid clone,
                                          const TableTarget& target);

// Columns of the clone whose default draws from the sequence of an identity of
// the source: that one goes with the old table, and the new one's identity has
// a sequence of its own.
std::vector<Refusal> borrowed_identities(pg::Connection& connection,
                                         const catalog::Table& source,
                                         catalog::Oid clone);

// A sequence that an added column draws from, and that is no clone: what is
// drawn does not come back when a transaction is rolled back.
std::optional<std::string> sequence_drawn_from(pg::Connection& connection,
                                               const TableTarget& target,
                                               const catalog::Table& source);

}  // namespace pgrecast::plan
