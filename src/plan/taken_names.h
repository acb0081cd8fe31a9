#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"

#include <vector>

namespace pgrecast::plan {

// Names of the shadow's indexes and sequences that some other relation has in
// the schema where they go at the exchange: by hand the server would have said
// so, or chosen others. What belongs to one of `sources` moves out of the way.
std::vector<Refusal> taken_names(pg::Connection& connection,
                                 const catalog::Table& source,
                                 catalog::Oid shadow,
                                 const std::vector<catalog::Table>& sources);

}  // namespace pgrecast::plan
