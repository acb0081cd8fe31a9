#pragma once

#include "pgrecast/catalog/fingerprint.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/plan/target.h"

#include <string>

namespace pgrecast::plan {

// A table of a migration under way: what copy, refresh and verification need of
// it. Constant while their threads run.
struct MigratedTable {
  TableTarget target;
  catalog::Table source;
  catalog::Oid shadow_oid = 0;
  catalog::Fingerprint fingerprint;
};

}  // namespace pgrecast::plan
