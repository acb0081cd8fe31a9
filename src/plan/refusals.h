#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/pg/result.h"

#include <vector>

namespace pgrecast::plan {

// Of a query whose rows are (what, remedy).
std::vector<Refusal> read_refusals(const pg::Result& rows);

}  // namespace pgrecast::plan
