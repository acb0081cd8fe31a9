#pragma once

#include "pgrecast/catalog/fingerprint.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/plan/target.h"

#include <string>
#include <vector>

namespace pgrecast::plan {

// A table of a migration under way: what copy, refresh and verification need of
// it. Constant while their threads run.
struct MigratedTable {
  TableTarget target;
  catalog::Table source;
  catalog::Oid shadow_oid = 0;
  catalog::Fingerprint fingerprint;
  // The leaves of a partitioned source with their sizes at X0, in an order that
  // stays: a copy counts their blocks as one range after the other. None where
  // the source is an ordinary table.
  std::vector<catalog::Heap> leaves = {};
};

}  // namespace pgrecast::plan
